//! The JavaScript functions: arguments in, plain modules called, numbers out. `addon.ts` documents them.

use crate::batch::write_all;
use crate::entry::{code, whole};
use crate::fault::{self, Kind, DEVICES};
use crate::js_view::{type_error, Raw, View, F64, I32, U32, U8};
use crate::kernel::{Kernel, Linux};
use crate::{clock, crc, doorbell, errno, files, loops, process, record};
use napi::bindgen_prelude::{Env, Float64Array};
use napi::{Error, Result};
use napi_derive::napi;
use std::ffi::CString;
use std::sync::atomic::AtomicI32;

#[napi(catch_unwind)]
pub fn crc32(data: View<U8>, seed: u32) -> u32 {
    // SAFETY: used in this call only.
    crc::ieee(seed, unsafe { data.bytes() })
}

#[napi(js_name = "crc32c", catch_unwind)]
pub fn crc32c(data: View<U8>, seed: u32) -> u32 {
    // SAFETY: used in this call only.
    crc::castagnoli(seed, unsafe { data.bytes() })
}

#[napi(catch_unwind)]
pub fn crc32_many(env: Env, region: View<U8>, ranges: View<F64>, out: View<U32>, count: u32) -> Result<()> {
    let count = count as usize;
    if count * 2 > ranges.length || count > out.length {
        return Err(type_error(env.raw(), "count: more than ranges or out hold"));
    }
    // SAFETY: used in this call only.
    let bytes = unsafe { region.bytes() };
    for index in 0..count {
        // SAFETY: `count` was checked above; typed arrays are aligned to their elements.
        let range = unsafe {
            let pair = ranges.start.cast::<f64>().add(index * 2);
            whole(*pair).zip(whole(*pair.add(1)))
        };
        let part = range.and_then(|(offset, length)| {
            let end = offset.checked_add(length)?;
            bytes.get(offset as usize..end as usize)
        });
        let Some(part) = part else {
            return Err(type_error(env.raw(), "a range outside the region"));
        };
        // SAFETY: as above.
        unsafe { *out.start.cast::<u32>().add(index) = crc::ieee(0, part) };
    }
    Ok(())
}

#[napi(catch_unwind)]
pub fn copy_many(env: Env, from: View<U8>, to: View<U8>, moves: View<F64>, count: u32) -> Result<()> {
    let count = count as usize;
    if count * 3 > moves.length {
        return Err(type_error(env.raw(), "count: more than moves hold"));
    }
    for index in 0..count {
        // SAFETY: `count` was checked above; typed arrays are aligned to their elements.
        let [source, target, length] = unsafe {
            let triple = moves.start.cast::<f64>().add(index * 3);
            [*triple, *triple.add(1), *triple.add(2)]
        };
        let (Some(source), Some(target), Some(length)) = (whole(source), whole(target), whole(length)) else {
            return Err(type_error(env.raw(), "a move must be of whole numbers"));
        };
        let fits =
            |offset: i64, limit: usize| offset.checked_add(length).is_some_and(|end| end <= limit as i64);
        if !fits(source, from.length) || !fits(target, to.length) {
            return Err(type_error(env.raw(), "a move outside its buffers"));
        }
        // SAFETY: both ranges lie inside their arrays; `copy` allows them to overlap.
        unsafe {
            std::ptr::copy(
                from.start.add(source as usize),
                to.start.add(target as usize),
                length as usize,
            );
        }
    }
    Ok(())
}

#[napi(catch_unwind)]
pub fn crc_implementation() -> String {
    crc::implementation()
}

#[napi(catch_unwind)]
pub fn errno_text(errno: i32) -> String {
    errno::text(errno.saturating_abs())
}

#[napi(catch_unwind)]
pub fn errno_name(errno: i32) -> String {
    errno::name(errno.saturating_abs())
}

#[napi(catch_unwind)]
pub fn open_sync(path: String, flags: i32, mode: u32) -> i32 {
    let result = match CString::new(path.as_str()) {
        Ok(path) => files::open(&path, flags, mode) as i32,
        Err(_) => -libc::EINVAL,
    };
    record::path(code::OPEN, &path, "", f64::from(result));
    result
}

fn on_fd(code: u32, fd: i32, a: f64, b: f64) -> i32 {
    let result = files::on_fd(code, fd, a, b).result;
    record::fd(code, fd, a, b, f64::from(result));
    result
}

fn on_path(code: u32, path: &str, path2: &str, mode: u32) -> i32 {
    let result = files::on_path(code, path, path2, 0.0, f64::from(mode)).result;
    record::path(code, path, path2, f64::from(result));
    result
}

#[napi(catch_unwind)]
pub fn close_sync(fd: i32) -> i32 {
    on_fd(code::CLOSE, fd, 0.0, 0.0)
}

#[napi(catch_unwind)]
pub fn pread_sync(fd: i32, into: View<U8>, offset: f64) -> f64 {
    let result = read_all(fd, &into, offset);
    record::fd(code::PREAD, fd, offset, into.length as f64, result);
    result
}

fn read_all(fd: i32, into: &View<U8>, offset: f64) -> f64 {
    let Some(offset) = whole(offset) else {
        return f64::from(-libc::EINVAL);
    };
    let mut done = 0;
    while done < into.length {
        // SAFETY: `done < length`.
        let at = unsafe { into.start.add(done) };
        match Linux.pread(fd, at, into.length - done, offset + done as i64) {
            0 => break,
            count @ 1.. => done += count as usize,
            errno => return errno as f64,
        }
    }
    done as f64
}

#[napi(catch_unwind)]
pub fn pwrite_sync(fd: i32, from: View<U8>, offset: f64) -> i32 {
    let result = match whole(offset) {
        Some(at) if from.length <= i32::MAX as usize => write_all(&Linux, fd, from.start, from.length, at),
        _ => -libc::EINVAL,
    };
    record::fd(code::PWRITE, fd, offset, from.length as f64, f64::from(result));
    result
}

#[napi(catch_unwind)]
pub fn fdatasync_sync(fd: i32) -> i32 {
    on_fd(code::FDATASYNC, fd, 0.0, 0.0)
}

#[napi(catch_unwind)]
pub fn fsync_sync(fd: i32) -> i32 {
    on_fd(code::FSYNC, fd, 0.0, 0.0)
}

#[napi(catch_unwind)]
pub fn ftruncate_sync(fd: i32, size: f64) -> i32 {
    on_fd(code::FTRUNCATE, fd, size, 0.0)
}

#[napi(catch_unwind)]
pub fn fallocate_sync(fd: i32, mode: i32, offset: f64, length: f64) -> i32 {
    let result = files::allocate(fd, mode, offset, length) as i32;
    let op = if mode & libc::FALLOC_FL_PUNCH_HOLE != 0 {
        code::PUNCH_HOLE
    } else {
        code::FALLOCATE_KEEP_SIZE
    };
    record::fd(op, fd, offset, length, f64::from(result));
    result
}

#[napi(catch_unwind)]
pub fn advise_sync(fd: i32, advice: i32) -> i32 {
    files::advise(fd, advice)
}

#[napi(catch_unwind)]
pub fn seek_data_sync(fd: i32, offset: f64) -> f64 {
    let result = files::seek(fd, offset, libc::SEEK_DATA) as f64;
    record::fd(code::SEEK_DATA, fd, offset, 0.0, result);
    result
}

#[napi(catch_unwind)]
pub fn seek_hole_sync(fd: i32, offset: f64) -> f64 {
    let result = files::seek(fd, offset, libc::SEEK_HOLE) as f64;
    record::fd(code::SEEK_HOLE, fd, offset, 0.0, result);
    result
}

#[napi(catch_unwind)]
pub fn rename_sync(from: String, to: String) -> i32 {
    on_path(code::RENAME, &from, &to, 0)
}

#[napi(catch_unwind)]
pub fn unlink_sync(path: String) -> i32 {
    on_path(code::UNLINK, &path, "", 0)
}

#[napi(catch_unwind)]
pub fn mkdir_sync(path: String, mode: u32) -> i32 {
    on_path(code::MKDIR, &path, "", mode)
}

#[napi(catch_unwind)]
pub fn fsync_folder_sync(path: String) -> i32 {
    on_path(code::FSYNC_FOLDER, &path, "", 0)
}

#[napi(catch_unwind)]
pub fn remove_tree_sync(path: String) -> i32 {
    on_path(code::REMOVE_TREE, &path, "", 0)
}

#[napi(catch_unwind)]
pub fn statfs_sync(path: String) -> Float64Array {
    let outcome = files::on_path(code::STATFS, &path, "", 0.0, 0.0);
    record::path(code::STATFS, &path, "", f64::from(outcome.result));
    if outcome.result < 0 {
        Float64Array::new(vec![f64::from(outcome.result)])
    } else {
        Float64Array::new(outcome.values.to_vec())
    }
}

#[napi(catch_unwind)]
pub fn flock_sync(fd: i32) -> i32 {
    files::lock(fd) as i32
}

/// Answer of `scanFolder` and of `FolderScanner.next`.
#[napi(object)]
pub struct FolderScan {
    pub names: String,
    pub stats: Float64Array,
    pub result: i32,
}

impl From<files::Scan> for FolderScan {
    fn from(scan: files::Scan) -> Self {
        FolderScan {
            names: scan.names,
            stats: Float64Array::new(scan.stats),
            result: scan.result,
        }
    }
}

#[napi(catch_unwind)]
pub fn scan_folder(path: String) -> FolderScan {
    files::scan(&path).into()
}

fn doorbell_of(env: Env, words: &View<I32>) -> Result<doorbell::Doorbell> {
    if words.length < 2 {
        return Err(type_error(env.raw(), "doorbell: two words"));
    }
    // SAFETY: two aligned words, used in this call only.
    Ok(unsafe { doorbell::Doorbell::new(words.start.cast()) })
}

#[napi(catch_unwind)]
pub fn wait_doorbell(env: Env, doorbell: View<I32>, seen: i32, spin_ns: f64, timeout_ms: f64) -> Result<u32> {
    let waited = doorbell_of(env, &doorbell)?.wait(seen, spin_ns as u64, timeout_ms);
    Ok(waited as u32)
}

#[napi(catch_unwind)]
pub fn ring_doorbell(env: Env, doorbell: View<I32>) -> Result<bool> {
    Ok(doorbell_of(env, &doorbell)?.ring())
}

#[napi(catch_unwind)]
pub fn spin_while_equal(env: Env, view: View<I32>, index: u32, expected: i32, max_ns: f64) -> Result<bool> {
    if index as usize >= view.length {
        return Err(type_error(env.raw(), "index outside the view"));
    }
    // SAFETY: an aligned word inside the view, touched atomically and in this call only.
    let word = unsafe { &*view.start.cast::<AtomicI32>().add(index as usize) };
    Ok(doorbell::spin_while_equal(word, expected, max_ns as u64))
}

#[napi(catch_unwind)]
pub fn register_loop(env: Env, callback: Raw) -> Result<u32> {
    // SAFETY: both are this call's; that the callback is a function is checked by the call below.
    unsafe { loops::register(env.raw(), callback.0) }
        .map_err(|_| type_error(env.raw(), "a function is wanted"))
}

#[napi(catch_unwind)]
pub fn notify_loop(id: u32) {
    loops::notify(id);
}

#[napi(catch_unwind)]
pub fn unregister_loop(id: u32) {
    loops::unregister(id);
}

#[napi(catch_unwind)]
pub fn raise_file_limit(wanted: f64) -> f64 {
    process::raise_file_limit(wanted as u64) as f64
}

#[napi(catch_unwind)]
pub fn replace_descriptor(target: i32, fd: i32) -> i32 {
    process::replace_descriptor(target, fd)
}

#[napi(catch_unwind)]
pub fn monotonic_ns() -> f64 {
    clock::monotonic_ns() as f64
}

#[napi(catch_unwind)]
pub fn exit_process(code: i32) {
    // SAFETY: ends the process without looking back; that is the point.
    unsafe { libc::_exit(code) }
}

#[napi(catch_unwind)]
pub fn set_fault(env: Env, device: u32, codes: Vec<u32>, kind: String, value: f64, count: u32) -> Result<()> {
    check_device(env, device)?;
    let kind = match kind.as_str() {
        "delay" => Kind::Delay(value as u64),
        "hang" => Kind::Hang,
        "errno" => Kind::Errno(value as i32),
        "short" => Kind::Short(value as usize),
        _ => return Err(type_error(env.raw(), "kind: delay, hang, errno or short")),
    };
    fault::set(device, codes, kind, count);
    Ok(())
}

#[napi(catch_unwind)]
pub fn clear_faults(env: Env, device: u32) -> Result<()> {
    check_device(env, device)?;
    fault::clear(device);
    Ok(())
}

fn check_device(env: Env, device: u32) -> std::result::Result<(), Error> {
    if device as usize >= DEVICES {
        return Err(type_error(env.raw(), "device: 0..255"));
    }
    Ok(())
}

#[napi(catch_unwind)]
pub fn record_io(on: bool) {
    record::switch(on);
}

#[napi(catch_unwind)]
pub fn record_mark(text: String) {
    record::mark(&text);
}

#[napi(catch_unwind)]
pub fn take_io_record() -> Vec<String> {
    record::take()
}
