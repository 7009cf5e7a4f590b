//! The system calls that move bytes, behind a trait so that tests can put a fake kernel in their place.
//!
//! Results: bytes moved, or a negated errno. Interrupted calls (EINTR) are repeated here and never show.

use crate::errno;
use libc::{c_void, iovec, off_t};

/// Reads and writes at an offset. Pointers must be valid for `length` bytes.
pub trait Kernel {
    fn pread(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize;
    /// Reads what needs no waiting for the disk; -EAGAIN when nothing does.
    fn pread_no_wait(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize;
    fn pwrite(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize;
    fn pwritev(&self, fd: i32, parts: &[iovec], offset: i64) -> isize;
}

/// Repeats `call` while it is interrupted; its result, or the negated errno.
pub fn retry(mut call: impl FnMut() -> isize) -> isize {
    loop {
        let result = call();
        if result >= 0 {
            return result;
        }
        let errno = errno::last();
        if errno != libc::EINTR {
            return -(errno as isize);
        }
    }
}

/// The real one.
pub struct Linux;

impl Kernel for Linux {
    fn pread(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize {
        // SAFETY: the caller vouches for the buffer.
        retry(|| unsafe { libc::pread(fd, into.cast::<c_void>(), length, offset as off_t) })
    }

    fn pread_no_wait(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize {
        let part = iovec {
            iov_base: into.cast(),
            iov_len: length,
        };
        // SAFETY: the caller vouches for the buffer.
        retry(|| unsafe { libc::preadv2(fd, &part, 1, offset as off_t, libc::RWF_NOWAIT) })
    }

    fn pwrite(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize {
        // SAFETY: the caller vouches for the buffer.
        retry(|| unsafe { libc::pwrite(fd, from.cast::<c_void>(), length, offset as off_t) })
    }

    fn pwritev(&self, fd: i32, parts: &[iovec], offset: i64) -> isize {
        // SAFETY: the caller vouches for the buffers.
        retry(|| unsafe { libc::pwritev(fd, parts.as_ptr(), parts.len() as i32, offset as off_t) })
    }
}
