//! Runs entries of the operation table in order, on whichever thread calls.
//!
//! Neighbouring pwrites of one fd whose file ranges touch go out as one pwritev: an append stream costs one system
//! call for up to `PARTS_MAX` packets. Each entry still gets its own result.

use crate::crc;
use crate::direct;
use crate::entry::{
    code, whole, Entry, Region, FLAG_CRC, FLAG_DIRECT, FLAG_DURABLE, FLAG_GUARD, FLAG_LINKED, FLAG_NO_WAIT,
};
use crate::fault::{self, Verdict};
use crate::files;
use crate::kernel::Kernel;
use crate::record;
use libc::iovec;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Parts of one pwritev. More gain nothing: the call's cost is spread over 64 packets already.
const PARTS_MAX: usize = 64;
/// Bytes of one pwritev: below Linux's limit of one transfer (0x7ffff000).
const MERGED_BYTES_MAX: usize = 1 << 30;

/// What the entries of one disk share.
pub struct Disk<'a, K: Kernel> {
    pub kernel: &'a K,
    pub device: u32,
    pub regions: &'a [Region],
    /// Set once the file system has refused RWF_NOWAIT: from then on such reads are plain ones.
    pub no_wait_refused: &'a AtomicBool,
    /// The same for RWF_DSYNC: from then on durable writes are a write and an fdatasync.
    pub durable_refused: &'a AtomicBool,
    pub direct: &'a direct::Support,
    /// Set when nobody waits for results any more: ends hanging operations.
    pub abandoned: &'a AtomicBool,
}

impl<K: Kernel> Disk<'_, K> {
    /// Runs all entries in order and fills in their results.
    pub fn run(&self, entries: &mut [Entry]) {
        // Faults count and stop single operations, so nothing is merged while one is set.
        let merging = !fault::is_set(self.device);
        let mut failed: Vec<i32> = Vec::new();
        let mut next = 0;
        while next < entries.len() {
            let first = next;
            let unguarded =
                first > 0 && entries[first - 1].has(FLAG_GUARD) && has_failed(&entries[first - 1]);
            if unguarded || entries[first].has(FLAG_LINKED) && failed.contains(&entries[first].fd) {
                entries[first].result = -libc::ECANCELED;
                next += 1;
            } else {
                let end = if merging {
                    self.merged_end(entries, first)
                } else {
                    first + 1
                };
                if end - first > 1 {
                    next += self.write_merged(&mut entries[first..end]);
                } else {
                    self.run_one(&mut entries[first]);
                    next += 1;
                }
            }
            for entry in &entries[first..next] {
                record::fd(
                    entry.code,
                    entry.fd,
                    entry.offset,
                    f64::from(entry.length),
                    f64::from(entry.result),
                );
                if has_failed(entry) {
                    failed.push(entry.fd);
                } else if entry.code == code::PWRITE && entry.has(FLAG_DURABLE) {
                    record::fd(code::FDATASYNC, entry.fd, 0.0, 0.0, 0.0);
                }
            }
        }
    }

    /// Runs one entry, faults included, and fills in its result.
    fn run_one(&self, entry: &mut Entry) {
        entry.crc = 0;
        entry.result = match fault::consult(self.device, entry.code, self.abandoned) {
            Verdict::Fail(result) => result,
            Verdict::Run(limit) => self.execute(entry, limit),
        };
    }

    fn execute(&self, entry: &mut Entry, limit: Option<usize>) -> i32 {
        match entry.code {
            code::PREAD => self.read(entry, limit),
            code::PWRITE => self.write(entry, limit),
            code::FTRUNCATE => files::on_fd(entry.code, entry.fd, entry.value, 0.0).result,
            _ => {
                let outcome = files::on_fd(entry.code, entry.fd, entry.offset, entry.value);
                let with_value = [code::SEEK_DATA, code::SEEK_HOLE, code::FSTAT];
                if with_value.contains(&entry.code) {
                    entry.value = outcome.values[0];
                }
                outcome.result
            }
        }
    }

    /// Where the entry's bytes are in memory and in the file, or the errno that says what is wrong with it.
    fn place(&self, entry: &Entry) -> Result<(*mut u8, i64), i32> {
        let region = self.regions.get(entry.region as usize);
        let address = region.and_then(|region| region.at(entry.buffer_offset, entry.length as usize));
        let address = address.ok_or(-libc::EFAULT)?;
        let offset = whole(entry.offset).ok_or(-libc::EINVAL)?;
        if entry.length > i32::MAX as u32 {
            return Err(-libc::EINVAL);
        }
        Ok((address, offset))
    }

    fn read(&self, entry: &mut Entry, limit: Option<usize>) -> i32 {
        let (into, offset) = match self.place(entry) {
            Ok(place) => place,
            Err(result) => return result,
        };
        let length = (entry.length as usize).min(limit.unwrap_or(usize::MAX));
        let result = if entry.has(FLAG_DIRECT) {
            self.read_direct(entry, into, length, offset)
        } else {
            self.read_all(entry, into, length, offset)
        };
        if result >= 0 && entry.has(FLAG_CRC) {
            // SAFETY: `place` checked the whole length, and `result` bytes of it were just written.
            let bytes = unsafe { std::slice::from_raw_parts(into, result as usize) };
            entry.crc = crc::ieee(0, bytes);
        }
        result
    }

    /// A read that brings nothing into the page cache. `value` gets the errno with which that was refused for good; the read is a plain one then.
    ///
    /// A look under `noWait` asks what is in the cache before it reads: since Linux 5.9 RWF_NOWAIT starts reading into the cache what it does not find.
    fn read_direct(&self, entry: &mut Entry, into: *mut u8, length: usize, offset: i64) -> i32 {
        entry.value = 0.0;
        if entry.has(FLAG_NO_WAIT) {
            return if self.is_cold(entry.fd, length, offset) {
                -libc::EAGAIN
            } else {
                self.read_all(entry, into, length, offset)
            };
        }
        // SAFETY: `place` checked the range.
        match unsafe { direct::read(self.kernel, self.direct, entry.fd, into, length, offset) } {
            Ok(result) => result,
            Err(errno) => {
                if direct::is_lasting(errno) {
                    entry.value = f64::from(errno);
                }
                self.read_all(entry, into, length, offset)
            }
        }
    }

    /// True when a page of the range is known not to be in the page cache.
    fn is_cold(&self, fd: i32, length: usize, offset: i64) -> bool {
        if length == 0 || self.direct.look_refused.load(Relaxed) {
            return false;
        }
        let cached = self.kernel.is_cached(fd, offset, length);
        if cached < 0 {
            self.direct.look_refused.store(true, Relaxed);
        }
        cached == 0
    }

    /// Reads to `length` or the end of the file. A short count under `noWait` is only given at the end of the file.
    fn read_all(&self, entry: &Entry, into: *mut u8, length: usize, offset: i64) -> i32 {
        let mut done = 0;
        while done < length {
            // SAFETY: `done < length`, which lies inside the region.
            let at = unsafe { into.add(done) };
            let no_wait = entry.has(FLAG_NO_WAIT) && !self.no_wait_refused.load(Relaxed);
            let from = offset + done as i64;
            let count = if no_wait {
                self.kernel.pread_no_wait(entry.fd, at, length - done, from)
            } else {
                self.kernel.pread(entry.fd, at, length - done, from)
            };
            match count {
                0 => break,
                1.. => done += count as usize,
                _ if no_wait && is_unsupported(count) => self.no_wait_refused.store(true, Relaxed),
                _ => return count as i32,
            }
        }
        done as i32
    }

    fn write(&self, entry: &Entry, limit: Option<usize>) -> i32 {
        let (from, offset) = match self.place(entry) {
            Ok(place) => place,
            Err(result) => return result,
        };
        let length = (entry.length as usize).min(limit.unwrap_or(usize::MAX));
        if entry.has(FLAG_DURABLE) {
            return match fault::consult(self.device, code::FDATASYNC, self.abandoned) {
                Verdict::Fail(result) => result,
                Verdict::Run(_) => self.write_durable(entry.fd, from, length, offset),
            };
        }
        write_all(self.kernel, entry.fd, from, length, offset)
    }

    /// Writes all bytes, each call durable when it returns; a part that was cut short is continued.
    fn write_durable(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> i32 {
        write_parts(from, length, offset, |at, left, to| {
            if !self.durable_refused.load(Relaxed) {
                let count = self.kernel.pwrite_durable(fd, at, left, to);
                if !is_unsupported(count) {
                    return count;
                }
                self.durable_refused.store(true, Relaxed);
            }
            let count = self.kernel.pwrite(fd, at, left, to);
            if count <= 0 {
                return count;
            }
            match self.kernel.fdatasync(fd) {
                0 => count,
                errno => errno,
            }
        })
    }

    /// End of the run of writes that starts at `first` and can go out in one call.
    fn merged_end(&self, entries: &[Entry], first: usize) -> usize {
        let head = &entries[first];
        let mergeable =
            |entry: &Entry| entry.length > 0 && !entry.has(FLAG_DURABLE) && self.place(entry).is_ok();
        if head.code != code::PWRITE || !mergeable(head) {
            return first + 1;
        }
        let mut bytes = head.length as usize;
        let mut end = first + 1;
        while end < entries.len() && end - first < PARTS_MAX {
            let entry = &entries[end];
            bytes += entry.length as usize;
            let touches = entry.code == code::PWRITE
                && entry.fd == head.fd
                && entry.offset == entries[end - 1].offset + f64::from(entries[end - 1].length);
            if !touches || bytes > MERGED_BYTES_MAX || !mergeable(entry) {
                break;
            }
            end += 1;
        }
        end
    }

    /// Writes a run that `merged_end` found. Returns how many entries have results now: all, or up to and with the one
    /// that failed (those after it are tried on their own).
    fn write_merged(&self, entries: &mut [Entry]) -> usize {
        let mut parts = [iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; PARTS_MAX];
        for (part, entry) in parts.iter_mut().zip(entries.iter()) {
            let (from, _) = self.place(entry).expect("merged_end placed it");
            part.iov_base = from.cast();
            part.iov_len = entry.length as usize;
        }
        let fd = entries[0].fd;
        let mut offset = entries[0].offset as i64;
        let mut next = 0;
        while next < entries.len() {
            let count = self.kernel.pwritev(fd, &parts[next..entries.len()], offset);
            if count <= 0 {
                entries[next].result = if count == 0 { -libc::EIO } else { count as i32 };
                return next + 1;
            }
            offset += count as i64;
            let mut left = count as usize;
            while left > 0 {
                let part = &mut parts[next];
                let taken = left.min(part.iov_len);
                // SAFETY: `taken` bytes of the part remain.
                part.iov_base = unsafe { part.iov_base.cast::<u8>().add(taken) }.cast();
                part.iov_len -= taken;
                left -= taken;
                if part.iov_len == 0 {
                    entries[next].result = entries[next].length as i32;
                    next += 1;
                }
            }
        }
        entries.len()
    }
}

/// Writes all bytes, or answers what stopped it (a write of nothing: -EIO).
pub fn write_all<K: Kernel>(kernel: &K, fd: i32, from: *const u8, length: usize, offset: i64) -> i32 {
    write_parts(from, length, offset, |at, left, to| {
        kernel.pwrite(fd, at, left, to)
    })
}

/// Calls `write` with what is left and its place until nothing is, or answers what stopped it.
fn write_parts(
    from: *const u8,
    length: usize,
    offset: i64,
    mut write: impl FnMut(*const u8, usize, i64) -> isize,
) -> i32 {
    let mut done = 0;
    while done < length {
        // SAFETY: `done < length`, for which the caller vouches.
        let at = unsafe { from.add(done) };
        match write(at, length - done, offset + done as i64) {
            0 => return -libc::EIO,
            count @ 1.. => done += count as usize,
            errno => return errno as i32,
        }
    }
    done as i32
}

/// A read that found the cache cold or the end of the file has not failed.
fn has_failed(entry: &Entry) -> bool {
    match entry.code {
        code::PREAD => entry.result < 0 && entry.result != -libc::EAGAIN,
        code::PWRITE => entry.result < 0 || entry.result as u32 != entry.length,
        _ => entry.result < 0,
    }
}

fn is_unsupported(negated: isize) -> bool {
    let errno = -(negated as i32);
    errno == libc::EOPNOTSUPP || errno == libc::ENOSYS
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
