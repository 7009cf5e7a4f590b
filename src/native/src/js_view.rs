//! What comes from JavaScript: typed arrays as raw memory, and errors that go back.
//!
//! The arrays lie over shared memory that other threads write, so they are pointers here, never slices that promise
//! the compiler something.

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{check_status, sys, Error, Result, Status, ValueType};
use std::ptr;

/// Kinds of typed array (`napi_typedarray_type`).
pub const U8: i32 = 1;
pub const I32: i32 = 5;
pub const U32: i32 = 6;
pub const F64: i32 = 8;

/// A typed array of one kind, valid while the call runs (longer if a reference to `value` is kept).
#[derive(Clone, Copy)]
pub struct View<const KIND: i32> {
    pub start: *mut u8,
    /// Elements, not bytes.
    pub length: usize,
    pub value: sys::napi_value,
}

impl<const KIND: i32> TypeName for View<KIND> {
    fn type_name() -> &'static str {
        "TypedArray"
    }

    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl<const KIND: i32> FromNapiValue for View<KIND> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let mut kind = -1;
        let mut length = 0;
        let mut start = ptr::null_mut();
        let status = sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut length,
            &mut start,
            ptr::null_mut(),
            ptr::null_mut(),
        );
        if status != sys::Status::napi_ok || kind != KIND {
            return Err(type_error(env, "a typed array of another kind is wanted"));
        }
        if start.is_null() {
            start = ptr::NonNull::<f64>::dangling().as_ptr().cast();
        }
        Ok(View {
            start: start.cast(),
            length,
            value,
        })
    }
}

// `from_napi_value` checks the kind itself.
impl<const KIND: i32> ValidateNapiValue for View<KIND> {
    unsafe fn validate(_env: sys::napi_env, _value: sys::napi_value) -> Result<sys::napi_value> {
        Ok(ptr::null_mut())
    }
}

impl View<U8> {
    /// The bytes, for a call that reads them while nobody writes.
    ///
    /// # Safety
    /// The slice must not outlive the call.
    pub unsafe fn bytes<'a>(&self) -> &'a [u8] {
        std::slice::from_raw_parts(self.start, self.length)
    }
}

/// A JavaScript value as it is.
pub struct Raw(pub sys::napi_value);

impl FromNapiValue for Raw {
    unsafe fn from_napi_value(_env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        Ok(Raw(value))
    }
}

/// Throws a TypeError; what is returned makes the caller's frame leave it standing.
pub fn type_error(env: sys::napi_env, message: &str) -> Error {
    let length = message.len() as isize;
    // SAFETY: `env` is the calling thread's; the message is copied.
    unsafe {
        let (mut text, mut error) = (ptr::null_mut(), ptr::null_mut());
        sys::napi_create_string_utf8(env, message.as_ptr().cast(), length, &mut text);
        sys::napi_create_type_error(env, ptr::null_mut(), text, &mut error);
        sys::napi_throw(env, error);
    }
    Error::new(Status::PendingException, String::new())
}

/// A strong reference, so that the memory under a view outlives the call.
pub fn keep(env: sys::napi_env, value: sys::napi_value) -> Result<sys::napi_ref> {
    let mut reference = ptr::null_mut();
    // SAFETY: both belong to the calling thread's environment.
    check_status!(unsafe { sys::napi_create_reference(env, value, 1, &mut reference) })?;
    Ok(reference)
}
