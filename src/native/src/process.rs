//! What belongs to the whole process: its limit of open files, and where its standard error goes.

use crate::kernel::retry;

/// Raises the soft limit of open files towards `wanted`, the hard one too where allowed; the soft limit now in force.
pub fn raise_file_limit(wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a local of this type.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if limit.rlim_cur >= wanted {
        return limit.rlim_cur;
    }
    for attempt in limits_to_try(wanted, limit.rlim_max, most_of_kernel()) {
        // SAFETY: as above.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &attempt) } == 0 {
            return attempt.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// The best first: beyond the hard limit, which takes a privilege; as far as the kernel lets anybody go; up to the hard limit.
fn limits_to_try(wanted: u64, hard: u64, kernel: u64) -> [libc::rlimit; 3] {
    let up_to = |most: u64| libc::rlimit {
        rlim_cur: wanted.min(most),
        rlim_max: wanted.min(most).max(hard),
    };
    [up_to(u64::MAX), up_to(kernel.max(hard)), up_to(hard)]
}

/// The kernel's bound of a hard limit, `fs.nr_open`; no bound where it cannot be read.
fn most_of_kernel() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    text.trim().parse().unwrap_or(u64::MAX)
}

/// Makes `target` another name of what `fd` is open on, in one step. Returns a descriptor of what `target` was before, which is closed by exec; or a negated errno, and
/// nothing has changed.
pub fn replace_descriptor(target: i32, fd: i32) -> i32 {
    // SAFETY: plain numbers; descriptors 0 to 2 are never chosen.
    let before = retry(|| unsafe { libc::fcntl(target, libc::F_DUPFD_CLOEXEC, 3) } as isize) as i32;
    if before < 0 {
        return before;
    }
    // SAFETY: as above.
    let replaced = retry(|| unsafe { libc::dup2(fd, target) } as isize) as i32;
    if replaced < 0 {
        // SAFETY: nobody else knows this descriptor.
        unsafe { libc::close(before) };
        return replaced;
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::{AsRawFd, FromRawFd};

    fn temporary() -> File {
        // SAFETY: a constant C string; the result is checked.
        let fd = unsafe { libc::memfd_create(c"descriptor".as_ptr(), 0) };
        assert!(fd >= 0);
        // SAFETY: it is open and nobody else's.
        unsafe { File::from_raw_fd(fd) }
    }

    fn content(file: &mut File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_descriptor_is_replaced_and_what_it_was_is_kept() {
        let (mut old, mut new) = (temporary(), temporary());
        let mut target = old.try_clone().unwrap();
        let before = replace_descriptor(target.as_raw_fd(), new.as_raw_fd());
        assert!(before > 2);
        // SAFETY: just made, and nobody else's.
        let mut before = unsafe { File::from_raw_fd(before) };
        target.write_all(b"to the new one").unwrap();
        before.write_all(b"to the old one").unwrap();
        assert_eq!(content(&mut new), "to the new one");
        assert_eq!(content(&mut old), "to the old one");
        // SAFETY: reads a flag.
        let flags = unsafe { libc::fcntl(before.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }

    #[test]
    fn what_is_not_open_is_an_error_and_changes_nothing() {
        let mut old = temporary();
        let mut target = old.try_clone().unwrap();
        assert_eq!(replace_descriptor(target.as_raw_fd(), -1), -libc::EBADF);
        assert_eq!(replace_descriptor(-1, old.as_raw_fd()), -libc::EBADF);
        target.write_all(b"as before").unwrap();
        assert_eq!(content(&mut old), "as before");
    }

    #[test]
    fn limits_are_tried_from_the_best_on_and_the_hard_one_never_falls() {
        let tried = |wanted, hard, kernel| {
            limits_to_try(wanted, hard, kernel).map(|limit| (limit.rlim_cur, limit.rlim_max))
        };
        assert_eq!(tried(1_000, 100, 500), [(1_000, 1_000), (500, 500), (100, 100)]);
        assert_eq!(
            tried(1_000, 5_000, 500),
            [(1_000, 5_000), (1_000, 5_000), (1_000, 5_000)]
        );
        assert_eq!(tried(1_000, 600, 500), [(1_000, 1_000), (600, 600), (600, 600)]);
    }
}
