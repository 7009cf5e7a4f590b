//! The system calls that move bytes, behind a trait so that tests can put a fake kernel in their place.
//!
//! Results: bytes moved, or a negated errno. Interrupted calls (EINTR) are repeated here and never show.

use crate::errno;
use crate::files;
use libc::{c_void, iovec, off_t};
use std::ffi::CString;

/// Alignment of reads past the page cache where the kernel does not tell (before Linux 6.1).
const DIRECT_ALIGN_ASSUMED: usize = 4096;

/// Reads and writes at an offset. Pointers must be valid for `length` bytes.
pub trait Kernel {
    fn pread(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize;
    /// Reads what needs no waiting for the disk; -EAGAIN when nothing does.
    fn pread_no_wait(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize;
    fn pwrite(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize;
    fn pwritev(&self, fd: i32, parts: &[iovec], offset: i64) -> isize;
    /// A pwrite whose bytes are durable when it returns (RWF_DSYNC).
    fn pwrite_durable(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize;
    fn fdatasync(&self, fd: i32) -> isize;
    /// Whether all pages of a range of the file, not an empty one, are in the page cache: 1 or 0, or a negated errno. Reads nothing.
    fn is_cached(&self, fd: i32, offset: i64, length: usize) -> isize;
    /// Opens the file of `fd` once more, for reads past the page cache.
    fn open_direct(&self, fd: i32) -> isize;
    /// What such reads must be aligned to: (address, offset and length), bytes; 0 where the file cannot be read so.
    fn direct_alignment(&self, fd: i32) -> (usize, usize);
    fn close(&self, fd: i32);
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

    fn pwrite_durable(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize {
        let part = iovec {
            iov_base: from.cast_mut().cast(),
            iov_len: length,
        };
        // SAFETY: the caller vouches for the buffer, which is only read.
        retry(|| unsafe { libc::pwritev2(fd, &part, 1, offset as off_t, libc::RWF_DSYNC) })
    }

    fn fdatasync(&self, fd: i32) -> isize {
        // SAFETY: a plain call.
        retry(|| unsafe { libc::fdatasync(fd) } as isize)
    }

    fn is_cached(&self, fd: i32, offset: i64, length: usize) -> isize {
        let range = [offset as u64, length as u64];
        // struct cachestat: pages in the cache, dirty, in write-back, evicted, recently evicted.
        let mut counts = [0u64; 5];
        let call =
            || unsafe { libc::syscall(SYS_CACHESTAT, fd, range.as_ptr(), counts.as_mut_ptr(), 0) as isize };
        match retry(call) {
            0 => {
                // SAFETY: a plain question.
                let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
                let last = (offset as u64 + length as u64 - 1) / page;
                isize::from(counts[0] > last - offset as u64 / page)
            }
            errno => errno,
        }
    }

    fn open_direct(&self, fd: i32) -> isize {
        let path = CString::new(format!("/proc/self/fd/{fd}")).expect("no zero in it");
        files::open(&path, libc::O_RDONLY | libc::O_DIRECT, 0)
    }

    fn direct_alignment(&self, fd: i32) -> (usize, usize) {
        // SAFETY: all zeros is a valid statx; the path is an empty C string.
        let mut stat: libc::statx = unsafe { std::mem::zeroed() };
        let asked = libc::STATX_DIOALIGN;
        let call =
            || unsafe { libc::statx(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, asked, &mut stat) } as isize;
        if retry(call) < 0 || stat.stx_mask & asked == 0 {
            return (DIRECT_ALIGN_ASSUMED, DIRECT_ALIGN_ASSUMED);
        }
        (
            stat.stx_dio_mem_align as usize,
            stat.stx_dio_offset_align as usize,
        )
    }

    fn close(&self, fd: i32) {
        files::close(fd);
    }
}

/// cachestat(2), Linux 6.5: the same number on every architecture. The libc crate names it for some only.
const SYS_CACHESTAT: libc::c_long = 451;
