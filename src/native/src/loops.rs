//! Wake-ups of event loops: any thread can ask for the callback of another thread's loop, by number.
//!
//! The table is global to the process; the addon is loaded once and serves several N-API environments. A loop's
//! thread-safe function dies with its environment: its finalizer takes it out under the same lock under which it is called.

use napi::sys;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct Loop {
    id: u32,
    function: Mutex<Option<Function>>,
    /// Asked for and not yet begun: further requests change nothing.
    requested: AtomicBool,
}

struct Function(sys::napi_threadsafe_function);

// SAFETY: made to be called from any thread; its life is guarded by `Loop.function`.
unsafe impl Send for Function {}

static LOOPS: Mutex<BTreeMap<u32, Arc<Loop>>> = Mutex::new(BTreeMap::new());
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers `callback` of the calling thread's environment; its id, or the N-API status that says why not.
///
/// # Safety
/// `env` must be the calling thread's environment and `callback` a function in it.
pub unsafe fn register(env: sys::napi_env, callback: sys::napi_value) -> Result<u32, i32> {
    let id = NEXT_ID.fetch_add(1, Relaxed);
    let of_loop = Arc::new(Loop {
        id,
        function: Mutex::new(None),
        requested: AtomicBool::new(false),
    });
    let mut name = ptr::null_mut();
    let status = sys::napi_create_string_utf8(env, c"extentd.loop".as_ptr(), 12, &mut name);
    if status != sys::Status::napi_ok {
        return Err(status);
    }
    let context = Arc::into_raw(Arc::clone(&of_loop));
    let mut function = ptr::null_mut();
    let status = sys::napi_create_threadsafe_function(
        env,
        callback,
        ptr::null_mut(),
        name,
        0,
        1,
        context as *mut c_void,
        Some(on_end),
        context as *mut c_void,
        Some(on_call),
        &mut function,
    );
    if status != sys::Status::napi_ok {
        drop(Arc::from_raw(context));
        return Err(status);
    }
    sys::napi_unref_threadsafe_function(env, function);
    *locked(&of_loop.function) = Some(Function(function));
    locked(&LOOPS).insert(id, of_loop);
    Ok(id)
}

/// Asks for the callback of `id`. Unknown ids are ignored.
pub fn notify(id: u32) {
    let Some(of_loop) = locked(&LOOPS).get(&id).cloned() else {
        return;
    };
    if of_loop.requested.swap(true, SeqCst) {
        return;
    }
    let mut slot = locked(&of_loop.function);
    if let Some(function) = &*slot {
        let mode = sys::ThreadsafeFunctionCallMode::nonblocking;
        // SAFETY: not finalized, because the finalizer would have emptied the slot.
        let status = unsafe { sys::napi_call_threadsafe_function(function.0, ptr::null_mut(), mode) };
        if status != sys::Status::napi_ok {
            // Closing: it must not be touched again.
            *slot = None;
        }
    }
}

/// Forgets `id`. Its callback runs no more, except for a request that is already on its way.
pub fn unregister(id: u32) {
    let Some(of_loop) = locked(&LOOPS).remove(&id) else {
        return;
    };
    let mut slot = locked(&of_loop.function);
    if let Some(function) = slot.take() {
        let mode = sys::ThreadsafeFunctionReleaseMode::abort;
        // SAFETY: not finalized, because the finalizer would have emptied the slot; nobody else has it now.
        unsafe { sys::napi_release_threadsafe_function(function.0, mode) };
    }
}

/// Runs on the loop's thread, once for all requests so far.
unsafe extern "C" fn on_call(
    env: sys::napi_env,
    callback: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    // SAFETY: the context is released by `on_end`, after the last call.
    let of_loop = &*(context as *const Loop);
    // First, so that a request made while the callback runs is served by another call.
    of_loop.requested.store(false, SeqCst);
    if env.is_null() || callback.is_null() {
        return;
    }
    let mut this = ptr::null_mut();
    sys::napi_get_undefined(env, &mut this);
    let mut ignored = ptr::null_mut();
    let status = sys::napi_call_function(env, this, callback, 0, ptr::null(), &mut ignored);
    if status == sys::Status::napi_pending_exception {
        let mut exception = ptr::null_mut();
        sys::napi_get_and_clear_last_exception(env, &mut exception);
        sys::napi_fatal_exception(env, exception);
    }
}

/// Runs when the environment ends or after `unregister`.
unsafe extern "C" fn on_end(_env: sys::napi_env, context: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the reference that `register` gave away; this runs once.
    let of_loop = Arc::from_raw(context as *const Loop);
    locked(&LOOPS).remove(&of_loop.id);
    *locked(&of_loop.function) = None;
}
