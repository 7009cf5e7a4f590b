//! Test hook: a record of operations in the order in which they returned. Costs one relaxed load while off.

use crate::entry::code_name;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

static ON: AtomicBool = AtomicBool::new(false);
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts or stops the record. What is in it stays.
pub fn switch(on: bool) {
    ON.store(on, Relaxed);
}

/// Notes an operation on an fd.
#[inline]
pub fn fd(code: u32, fd: i32, offset: f64, length: f64, result: f64) {
    if ON.load(Relaxed) {
        push(code, fd, offset, length, result, "-");
    }
}

/// Notes an operation on a path.
#[inline]
pub fn path(code: u32, path: &str, path2: &str, result: f64) {
    if ON.load(Relaxed) {
        if path2.is_empty() {
            push(code, -1, 0.0, 0.0, result, path);
        } else {
            push(code, -1, 0.0, 0.0, result, &format!("{path} -> {path2}"));
        }
    }
}

#[cold]
fn push(code: u32, fd: i32, offset: f64, length: f64, result: f64, last: &str) {
    let name = code_name(code);
    lines().push(format!("{name} {fd} {offset} {length} {result} {last}"));
}

/// Notes a mark.
pub fn mark(text: &str) {
    if ON.load(Relaxed) {
        lines().push(format!("mark -1 0 0 0 {text}"));
    }
}

/// Takes all lines.
pub fn take() -> Vec<String> {
    std::mem::take(&mut *lines())
}
