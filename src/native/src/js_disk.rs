//! The JavaScript class `DiskIo`.

use crate::clock::monotonic_ns;
use crate::disk::{Completion, Disk, Work};
use crate::doorbell::Doorbell;
use crate::entry::{Entry, Region, ENTRY_BYTES};
use crate::fault::DEVICES;
use crate::js_view::{keep, type_error, View, I32, U8};
use napi::bindgen_prelude::{Env, JsObjectValue, Object, ObjectFinalize};
use napi::{sys, Result};
use napi_derive::napi;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

const COMPLETION_BYTES: usize = 64;
const THREADS_MAX: u32 = 64;
/// How long the end of an environment waits for operations under way: beyond it their thread is left alone.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(2);

/// One disk's I/O, owned by the thread that created it.
#[napi(custom_finalize)]
pub struct DiskIo {
    disk: Arc<Disk>,
    table: *mut Entry,
    table_entries: usize,
    completions: *mut u8,
    completions_max: usize,
    /// They hold the memory under all pointers for as long as threads may use it.
    references: Vec<sys::napi_ref>,
    closed: Cell<bool>,
}

impl ObjectFinalize for DiskIo {
    /// The object was collected or its environment ends: the threads must let go of the memory before it goes.
    fn finalize(self, env: Env) -> Result<()> {
        if self.disk.abandon(ABANDON_TIMEOUT) {
            for reference in self.references {
                // SAFETY: created in this environment, deleted once.
                unsafe { sys::napi_delete_reference(env.raw(), reference) };
            }
        }
        Ok(())
    }
}

/// Creates the I/O of one disk (`DiskIoOptions`).
#[napi(catch_unwind)]
pub fn create_disk_io(env: Env, options: Object) -> Result<DiskIo> {
    let invalid = |message: &str| Err(type_error(env.raw(), message));
    let device: u32 = options.get_named_property("device")?;
    let threads: u32 = options.get_named_property("threads")?;
    let regions: Vec<View<U8>> = options.get_named_property("regions")?;
    let table: View<U8> = options.get_named_property("opTable")?;
    let completions: View<U8> = options.get_named_property("completions")?;
    let doorbell: View<I32> = options.get_named_property("doorbell")?;
    if device as usize >= DEVICES {
        return invalid("device: 0..255");
    }
    if !(1..=THREADS_MAX).contains(&threads) {
        return invalid("threads: 1..64");
    }
    if table.length == 0
        || !table.length.is_multiple_of(ENTRY_BYTES)
        || !table.start.cast::<Entry>().is_aligned()
    {
        return invalid("opTable: a multiple of 64 bytes, aligned to 8");
    }
    let completions_max = completions.length / COMPLETION_BYTES;
    if !completions_max.is_power_of_two() || !completions.length.is_multiple_of(COMPLETION_BYTES) {
        return invalid("completions: a power of two times 64 bytes");
    }
    if doorbell.length < 2 {
        return invalid("doorbell: two words");
    }
    let mut references = Vec::new();
    let views = [table.value, completions.value, doorbell.value];
    for value in regions.iter().map(|view| view.value).chain(views) {
        references.push(keep(env.raw(), value)?);
    }
    let regions = regions.iter().map(|view| Region {
        start: view.start,
        bytes: view.length,
    });
    // SAFETY: the references hold the memory; `finalize` gives them up after the threads have ended or been abandoned.
    let disk = unsafe {
        let doorbell = Doorbell::new(doorbell.start.cast());
        Disk::start(device, regions.collect(), doorbell, threads as usize)?
    };
    Ok(DiskIo {
        disk,
        table: table.start.cast(),
        table_entries: table.length / ENTRY_BYTES,
        completions: completions.start,
        completions_max,
        references,
        closed: Cell::new(false),
    })
}

#[napi]
impl DiskIo {
    fn check_open(&self, env: Env) -> Result<()> {
        if self.closed.get() {
            return Err(type_error(env.raw(), "the disk is closed"));
        }
        Ok(())
    }

    /// Entries `[first, first + count)` of the table, which only the owner's thread touches.
    #[allow(clippy::mut_from_ref)]
    fn entries(&self, env: Env, first: u32, count: u32) -> Result<&mut [Entry]> {
        self.check_open(env)?;
        if first as usize + count as usize > self.table_entries {
            return Err(type_error(env.raw(), "entries outside the operation table"));
        }
        // SAFETY: within the table; no other slice of it lives, since calls on one thread do not nest.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.table.add(first as usize), count as usize) })
    }

    fn submit_work(&self, work: Work, token: f64) -> i32 {
        if self.disk.submit(work, token) {
            0
        } else {
            -libc::EAGAIN
        }
    }

    #[napi(catch_unwind)]
    pub fn run_batch(&self, env: Env, first: u32, count: u32) -> Result<f64> {
        let start = monotonic_ns();
        self.disk.run_batch(self.entries(env, first, count)?);
        Ok((monotonic_ns() - start) as f64)
    }

    #[napi(catch_unwind)]
    pub fn submit_batch(&self, env: Env, first: u32, count: u32, token: f64) -> Result<()> {
        let entries = self.entries(env, first, count)?.to_vec();
        let first = first as usize;
        self.submit_work(Work::Batch { first, entries }, token);
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn submit(&self, env: Env, index: u32, token: f64) -> Result<i32> {
        let entry = self.entries(env, index, 1)?[0];
        Ok(self.submit_work(Work::Entry(entry), token))
    }

    #[napi(catch_unwind)]
    pub fn submit_fd(&self, env: Env, code: u32, fd: i32, a: f64, b: f64, token: f64) -> Result<i32> {
        self.check_open(env)?;
        Ok(self.submit_work(Work::Fd { code, fd, a, b }, token))
    }

    #[napi(catch_unwind)]
    #[allow(clippy::too_many_arguments)]
    pub fn submit_path(
        &self,
        env: Env,
        code: u32,
        path: String,
        path2: String,
        a: f64,
        b: f64,
        token: f64,
    ) -> Result<i32> {
        self.check_open(env)?;
        let work = Work::Path {
            code,
            path,
            path2,
            a,
            b,
        };
        Ok(self.submit_work(work, token))
    }

    #[napi(catch_unwind)]
    pub fn take_completions(&self, max: u32) -> u32 {
        let max = self.completions_max.min(max as usize);
        let count = self.disk.take(max, |index, completion| {
            self.put_completion(index, completion);
        });
        count as u32
    }

    /// Copies a completion to its place, and a batch's results to the table.
    fn put_completion(&self, index: usize, completion: Completion) {
        // SAFETY: `index < completions_max`; the bytes need not be aligned.
        unsafe {
            let at = self.completions.add(index * COMPLETION_BYTES);
            at.cast::<f64>().write_unaligned(completion.token);
            at.add(8).cast::<i32>().write_unaligned(completion.result);
            at.add(12).cast::<u32>().write_unaligned(completion.crc);
            let values = at.add(16).cast::<f64>();
            for (slot, value) in completion.values.into_iter().enumerate() {
                values.add(slot).write_unaligned(value);
            }
            values.add(3).write_unaligned(completion.spent_ns as f64);
        }
        let Some((first, entries)) = completion.batch else {
            return;
        };
        for (slot, entry) in entries.iter().enumerate() {
            // SAFETY: `submit_batch` checked the range; only this thread touches the table.
            let in_table = unsafe { &mut *self.table.add(first + slot) };
            in_table.result = entry.result;
            in_table.crc = entry.crc;
            in_table.value = entry.value;
        }
    }

    #[napi(catch_unwind)]
    pub fn pending(&self) -> u32 {
        self.disk.pending() as u32
    }

    #[napi(catch_unwind)]
    pub fn close(&self, timeout_ms: f64) -> bool {
        self.closed.set(true);
        self.disk
            .close(Duration::from_secs_f64(timeout_ms.clamp(0.0, 1e9) / 1000.0))
    }
}
