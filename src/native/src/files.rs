//! Operations on one fd or one path: a blocking system call (or a few) each, no state.
//!
//! Results are 0 or what is said; below zero a negated errno.

use crate::entry::{code, whole};
use crate::errno;
use crate::kernel::retry;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

/// Result of an operation and the three values of its completion.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    pub result: i32,
    pub values: [f64; 3],
}

impl Outcome {
    fn of(result: isize) -> Self {
        Outcome {
            result: result as i32,
            values: [0.0; 3],
        }
    }
}

const INVALID: isize = -(libc::EINVAL as isize);

/// A code that panics, for tests.
#[cfg(test)]
pub const PANICS: u32 = 0xdead;

/// An operation on an fd: `a` is the file offset (ftruncate: the size), `b` the length.
pub fn on_fd(op: u32, fd: i32, a: f64, b: f64) -> Outcome {
    match op {
        code::FDATASYNC => Outcome::of(retry(|| unsafe { libc::fdatasync(fd) } as isize)),
        code::FSYNC => Outcome::of(retry(|| unsafe { libc::fsync(fd) } as isize)),
        code::FTRUNCATE => Outcome::of(truncate(fd, a)),
        code::FALLOCATE_KEEP_SIZE => Outcome::of(allocate(fd, libc::FALLOC_FL_KEEP_SIZE, a, b)),
        code::PUNCH_HOLE => {
            let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            Outcome::of(allocate(fd, mode, a, b))
        }
        code::SEEK_DATA => seek_outcome(seek(fd, a, libc::SEEK_DATA)),
        code::SEEK_HOLE => seek_outcome(seek(fd, a, libc::SEEK_HOLE)),
        code::CLOSE => Outcome::of(close(fd)),
        code::FSTAT => stat_fd(fd),
        #[cfg(test)]
        PANICS => panic!("asked to"),
        _ => Outcome::of(INVALID),
    }
}

/// An operation on a path: `a` open flags, `b` mode.
pub fn on_path(op: u32, path: &str, path2: &str, a: f64, b: f64) -> Outcome {
    let (Ok(path), Ok(path2)) = (CString::new(path), CString::new(path2)) else {
        return Outcome::of(INVALID);
    };
    match op {
        code::OPEN => open_with_stat(&path, a as i32, b as u32),
        code::UNLINK => Outcome::of(retry(|| unsafe { libc::unlink(path.as_ptr()) } as isize)),
        code::RENAME => Outcome::of(retry(
            || unsafe { libc::rename(path.as_ptr(), path2.as_ptr()) } as isize
        )),
        code::MKDIR => Outcome::of(retry(|| unsafe { libc::mkdir(path.as_ptr(), b as u32) } as isize)),
        code::REMOVE_TREE => Outcome::of(remove_tree(&path)),
        code::FSYNC_FOLDER => Outcome::of(sync_folder(&path)),
        code::STATFS => stat_file_system(&path),
        _ => Outcome::of(INVALID),
    }
}

/// The fd. It is never inherited by another program.
pub fn open(path: &CStr, flags: i32, mode: u32) -> isize {
    retry(|| unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) } as isize)
}

/// After EINTR the fd is gone on Linux: not repeated, and no failure.
pub fn close(fd: i32) -> isize {
    if unsafe { libc::close(fd) } == 0 {
        return 0;
    }
    match errno::last() {
        libc::EINTR => 0,
        errno => -(errno as isize),
    }
}

fn truncate(fd: i32, size: f64) -> isize {
    let Some(size) = whole(size) else {
        return INVALID;
    };
    retry(|| unsafe { libc::ftruncate(fd, size) } as isize)
}

/// fallocate(2).
pub fn allocate(fd: i32, mode: i32, offset: f64, length: f64) -> isize {
    let (Some(offset), Some(length)) = (whole(offset), whole(length)) else {
        return INVALID;
    };
    retry(|| unsafe { libc::fallocate(fd, mode, offset, length) } as isize)
}

/// posix_fadvise(2) for the whole file.
pub fn advise(fd: i32, advice: i32) -> i32 {
    -unsafe { libc::posix_fadvise(fd, 0, 0, advice) }
}

/// lseek(2): the offset.
pub fn seek(fd: i32, offset: f64, whence: i32) -> isize {
    let Some(offset) = whole(offset) else {
        return INVALID;
    };
    retry(|| unsafe { libc::lseek(fd, offset, whence) } as isize)
}

fn seek_outcome(offset: isize) -> Outcome {
    if offset < 0 {
        return Outcome::of(offset);
    }
    Outcome {
        result: 0,
        values: [offset as f64, 0.0, 0.0],
    }
}

fn mtime_ms(stat: &libc::stat) -> f64 {
    (stat.st_mtime * 1000 + stat.st_mtime_nsec / 1_000_000) as f64
}

fn stat_fd(fd: i32) -> Outcome {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let result = retry(|| unsafe { libc::fstat(fd, stat.as_mut_ptr()) } as isize);
    // SAFETY: all zeros is a valid stat, too.
    let stat = unsafe { stat.assume_init() };
    Outcome {
        result: result as i32,
        values: [stat.st_size as f64, mtime_ms(&stat), stat.st_blocks as f64],
    }
}

fn open_with_stat(path: &CStr, flags: i32, mode: u32) -> Outcome {
    let fd = open(path, flags, mode);
    if fd < 0 {
        return Outcome::of(fd);
    }
    let stat = stat_fd(fd as i32);
    if stat.result < 0 {
        close(fd as i32);
        return stat;
    }
    Outcome {
        result: fd as i32,
        values: stat.values,
    }
}

/// Makes names in the folder durable.
fn sync_folder(path: &CStr) -> isize {
    let fd = open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0);
    if fd < 0 {
        return fd;
    }
    let result = retry(|| unsafe { libc::fsync(fd as i32) } as isize);
    close(fd as i32);
    result
}

/// Removes a folder with all that is in it, or a file. Symbolic links are not followed.
fn remove_tree(path: &CStr) -> isize {
    let Ok(name) = path.to_str() else {
        return INVALID;
    };
    let negated = |error: std::io::Error| -(error.raw_os_error().unwrap_or(libc::EIO) as isize);
    match std::fs::remove_dir_all(name) {
        Ok(()) => 0,
        Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
            std::fs::remove_file(name).map_or_else(negated, |()| 0)
        }
        Err(error) => negated(error),
    }
}

fn stat_file_system(path: &CStr) -> Outcome {
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    let result = retry(|| unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } as isize);
    // SAFETY: all zeros is a valid statfs, too.
    let stat = unsafe { stat.assume_init() };
    Outcome {
        result: result as i32,
        values: [stat.f_blocks as f64, stat.f_bavail as f64, stat.f_bsize as f64],
    }
}

/// Takes an exclusive advisory lock without waiting.
pub fn lock(fd: i32) -> isize {
    retry(|| unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } as isize)
}

/// Entries of a folder: names joined with `/`, five numbers each (kind, size, mtime ms, blocks, errno of the stat).
#[derive(Default)]
pub struct Scan {
    pub names: String,
    pub stats: Vec<f64>,
    pub result: i32,
}

/// Lists `path`, without `.` and `..`, in the order of the file system.
pub fn scan(path: &str) -> Scan {
    let mut scan = Scan::default();
    let Ok(path) = CString::new(path) else {
        scan.result = INVALID as i32;
        return scan;
    };
    // SAFETY: the path is a C string; the folder is closed below.
    let folder = unsafe { libc::opendir(path.as_ptr()) };
    if folder.is_null() {
        scan.result = -errno::last();
        return scan;
    }
    loop {
        // readdir tells the end from a failure by errno alone.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: the folder is open.
        let entry = unsafe { libc::readdir(folder) };
        if entry.is_null() {
            scan.result = -unsafe { *libc::__errno_location() };
            break;
        }
        // SAFETY: d_name is a C string that lives until the next readdir.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
        if name != c"." && name != c".." {
            note(&mut scan, unsafe { libc::dirfd(folder) }, name);
        }
    }
    unsafe { libc::closedir(folder) };
    scan
}

fn note(scan: &mut Scan, folder: i32, name: &CStr) {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let result = retry(|| {
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        unsafe { libc::fstatat(folder, name.as_ptr(), stat.as_mut_ptr(), flags) as isize }
    });
    // SAFETY: all zeros is a valid stat, too.
    let stat = unsafe { stat.assume_init() };
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => 1.0,
        libc::S_IFDIR => 2.0,
        _ => 3.0,
    };
    if !scan.stats.is_empty() {
        scan.names.push('/');
    }
    scan.names.push_str(&name.to_string_lossy());
    scan.stats.extend([
        kind,
        stat.st_size as f64,
        mtime_ms(&stat),
        stat.st_blocks as f64,
        -(result as f64),
    ]);
}
