//! Reads past the page cache (O_DIRECT), for small cold reads that shall not push other pages out of it.
//!
//! The kernel wants whole blocks at aligned addresses: each thread reads what surrounds the range into an aligned buffer of its own and copies what
//! was asked for. The file is opened once more for each read, through its descriptor in /proc: O_DIRECT is a property of an open file, and setting it
//! on the shared one would change the writes beside it. What the page cache holds unwritten the kernel writes out first, so a read is never stale.

use crate::kernel::Kernel;
use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Bytes of a thread's buffer: a chunk of 128 KiB and its surroundings in one call.
const BOUNCE_BYTES: usize = 256 * 1024;
/// Address of a thread's buffer. Devices ask for 4 to 4096.
const BOUNCE_ALIGN: usize = 4096;
/// Largest alignment of offsets that is served.
const ALIGN_MAX: usize = 64 * 1024;

/// What is known of a disk's file system, shared by its threads.
#[derive(Default)]
pub struct Support {
    /// The kernel cannot tell what is in the page cache: nothing is read past it then (`batch.rs` has why).
    pub look_refused: AtomicBool,
    /// Alignment of offsets and lengths, 0 as long as it is not known.
    alignment: AtomicUsize,
}

struct Bounce(*mut u8);

impl Bounce {
    const LAYOUT: Layout = match Layout::from_size_align(BOUNCE_BYTES, BOUNCE_ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a valid layout"),
    };

    fn new() -> Self {
        // SAFETY: the size is not 0.
        let start = unsafe { alloc_zeroed(Self::LAYOUT) };
        if start.is_null() {
            handle_alloc_error(Self::LAYOUT);
        }
        Bounce(start)
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.0, Self::LAYOUT) };
    }
}

thread_local! {
    static BOUNCE: RefCell<Option<Bounce>> = const { RefCell::new(None) };
}

/// Closes the second descriptor however the read ends.
struct Opened<'a, K: Kernel>(&'a K, i32);

impl<K: Kernel> Drop for Opened<'_, K> {
    fn drop(&mut self) {
        self.0.close(self.1);
    }
}

/// Reads `length` bytes of the file at `offset`, fewer only at its end. Ok has the count or the negated errno of the disk. Err has the errno with which
/// this way of reading was refused: nothing was read, and the page cache will do it.
///
/// # Safety
/// `into` must be valid for `length` bytes.
pub unsafe fn read<K: Kernel>(
    kernel: &K,
    support: &Support,
    fd: i32,
    into: *mut u8,
    length: usize,
    offset: i64,
) -> Result<i32, i32> {
    if support.look_refused.load(Relaxed) {
        return Err(libc::ENOSYS);
    }
    let opened = kernel.open_direct(fd);
    if opened < 0 {
        return Err(-(opened as i32));
    }
    let direct = Opened(kernel, opened as i32);
    let align = alignment(kernel, support, direct.1)?;
    BOUNCE.with_borrow_mut(|bounce| {
        let bounce = bounce.get_or_insert_with(Bounce::new).0;
        let mut done = 0;
        while done < length {
            let at = offset as usize + done;
            let head = at % align;
            let wanted = (head + length - done).next_multiple_of(align).min(BOUNCE_BYTES);
            let count = match kernel.pread(direct.1, bounce, wanted, (at - head) as i64) {
                count @ 0.. => count as usize,
                errno if errno == -(libc::EINVAL as isize) && done == 0 => return Err(libc::EINVAL),
                errno => return Ok(errno as i32),
            };
            let found = count.saturating_sub(head).min(length - done);
            if found == 0 {
                break;
            }
            // SAFETY: `found` bytes are in the buffer behind `head`, and fit what is left of the target.
            unsafe { std::ptr::copy_nonoverlapping(bounce.add(head), into.add(done), found) };
            done += found;
        }
        Ok(done as i32)
    })
}

/// Alignment of offsets and lengths, asked for once a disk: its files are all of one file system.
fn alignment<K: Kernel>(kernel: &K, support: &Support, fd: i32) -> Result<usize, i32> {
    let known = support.alignment.load(Relaxed);
    if known > 0 {
        return Ok(known);
    }
    let (memory, offset) = kernel.direct_alignment(fd);
    if !offset.is_power_of_two() || offset > ALIGN_MAX || memory > BOUNCE_ALIGN {
        return Err(libc::EINVAL);
    }
    support.alignment.store(offset, Relaxed);
    Ok(offset)
}

/// Whether a refusal is for good. The others (no descriptor, no memory at the moment) say nothing about the disk.
pub fn is_lasting(errno: i32) -> bool {
    ![libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN].contains(&errno)
}

#[cfg(test)]
#[path = "direct_tests.rs"]
mod tests;
