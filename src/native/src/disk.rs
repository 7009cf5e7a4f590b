//! One disk's I/O threads: a queue of work, a queue of completions, a doorbell.
//!
//! Thread 0 alone runs submitted batches, in order. Other work is first in, first out: the other threads take it, and thread 0
//! helps when they are all busy and no batch waits. A thread copies nothing from or to the operation table (the owner
//! does, when it submits and when it takes completions), so a stuck thread can only ever touch the regions.

use crate::batch;
use crate::clock::monotonic_ns;
use crate::direct;
use crate::doorbell::Doorbell;
use crate::entry::{code, Entry, Region};
use crate::fault::{self, Verdict};
use crate::files::{self, Outcome};
use crate::kernel::Linux;
use crate::record;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Work that may wait for a thread, batches aside.
pub const QUEUE_MAX: usize = 4096;
/// Stack of an I/O thread: system calls, one batch's part list, and the recursion of a removed tree.
const STACK_BYTES: usize = 512 * 1024;

/// What a thread can be asked to do.
pub enum Work {
    /// Entries copied from the table at index `first`.
    Batch {
        first: usize,
        entries: Vec<Entry>,
    },
    Entry(Entry),
    Fd {
        code: u32,
        fd: i32,
        a: f64,
        b: f64,
    },
    Path {
        code: u32,
        path: String,
        path2: String,
        a: f64,
        b: f64,
    },
}

/// Work that has ended.
#[derive(Default)]
pub struct Completion {
    pub token: f64,
    pub result: i32,
    pub crc: u32,
    pub values: [f64; 3],
    pub spent_ns: u64,
    /// A batch's entries with their results, to be copied back to the table at the index.
    pub batch: Option<(usize, Vec<Entry>)>,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<(f64, Work)>,
    others: VecDeque<(f64, Work)>,
    /// Threads other than 0 that wait for work.
    idle: usize,
    running: usize,
    stopping: bool,
}

#[derive(Default)]
struct Finished {
    list: VecDeque<Completion>,
    /// The owner is gone, and the doorbell perhaps with it.
    abandoned: bool,
}

/// The disk, shared between its owner and its threads.
pub struct Disk {
    device: u32,
    regions: Vec<Region>,
    doorbell: Doorbell,
    no_wait_refused: AtomicBool,
    durable_refused: AtomicBool,
    direct: direct::Support,
    abandoned: AtomicBool,
    queue: Mutex<Queue>,
    work_for_first: Condvar,
    work_for_others: Condvar,
    thread_ended: Condvar,
    finished: Mutex<Finished>,
    /// Length of `finished.list`, so that an empty look takes no lock.
    finished_count: AtomicUsize,
    /// Submitted and not yet taken.
    pending: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Starts the threads.
    ///
    /// # Safety
    /// `regions` must stay valid until all threads have ended, the doorbell until then or until `abandon` returned.
    pub unsafe fn start(
        device: u32,
        regions: Vec<Region>,
        doorbell: Doorbell,
        threads: usize,
    ) -> std::io::Result<Arc<Disk>> {
        let disk = Arc::new(Disk {
            device,
            regions,
            doorbell,
            no_wait_refused: AtomicBool::new(false),
            durable_refused: AtomicBool::new(false),
            direct: direct::Support::default(),
            abandoned: AtomicBool::new(false),
            queue: Mutex::default(),
            work_for_first: Condvar::new(),
            work_for_others: Condvar::new(),
            thread_ended: Condvar::new(),
            finished: Mutex::default(),
            finished_count: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
        });
        for number in 0..threads {
            let of_thread = Arc::clone(&disk);
            locked(&disk.queue).running += 1;
            let spawned = std::thread::Builder::new()
                .name(format!("disk{device}-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || of_thread.work_loop(number));
            if let Err(error) = spawned {
                let mut queue = locked(&disk.queue);
                queue.running -= 1;
                queue.stopping = true;
                disk.wake_all();
                return Err(error);
            }
        }
        Ok(disk)
    }

    /// Runs entries on the calling thread.
    pub fn run_batch(&self, entries: &mut [Entry]) {
        batch::Disk {
            kernel: &Linux,
            device: self.device,
            regions: &self.regions,
            no_wait_refused: &self.no_wait_refused,
            durable_refused: &self.durable_refused,
            direct: &self.direct,
            abandoned: &self.abandoned,
        }
        .run(entries);
    }

    /// Queues work; false when there is too much already. Batches are always taken: the table bounds them.
    pub fn submit(&self, work: Work, token: f64) -> bool {
        let mut queue = locked(&self.queue);
        if matches!(work, Work::Batch { .. }) {
            queue.batches.push_back((token, work));
            self.work_for_first.notify_one();
        } else {
            if queue.others.len() >= QUEUE_MAX {
                return false;
            }
            queue.others.push_back((token, work));
            if queue.idle > 0 {
                self.work_for_others.notify_one();
            }
            if queue.others.len() > queue.idle {
                self.work_for_first.notify_one();
            }
        }
        self.pending.fetch_add(1, Relaxed);
        true
    }

    /// Takes up to `max` completions, oldest first, giving each to `each`; returns how many.
    pub fn take(&self, max: usize, mut each: impl FnMut(usize, Completion)) -> usize {
        if self.finished_count.load(SeqCst) == 0 {
            return 0;
        }
        let mut finished = locked(&self.finished);
        let count = finished.list.len().min(max);
        for (index, completion) in finished.list.drain(..count).enumerate() {
            each(index, completion);
        }
        self.finished_count.store(finished.list.len(), SeqCst);
        self.pending.fetch_sub(count, Relaxed);
        count
    }

    /// Operations submitted and not yet taken.
    pub fn pending(&self) -> usize {
        self.pending.load(Relaxed)
    }

    /// Lets the threads end after what is queued; true when they have within `timeout`.
    pub fn close(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut queue = locked(&self.queue);
        queue.stopping = true;
        self.wake_all();
        while queue.running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self
                .thread_ended
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// The owner is gone: drops what is queued, ends hanging operations, rings no more; true when the threads have ended
    /// within `timeout`.
    pub fn abandon(&self, timeout: Duration) -> bool {
        self.abandoned.store(true, Relaxed);
        locked(&self.finished).abandoned = true;
        {
            let mut queue = locked(&self.queue);
            queue.batches.clear();
            queue.others.clear();
        }
        self.close(timeout)
    }

    fn wake_all(&self) {
        self.work_for_first.notify_all();
        self.work_for_others.notify_all();
    }

    fn work_loop(&self, number: usize) {
        block_signals();
        while let Some((token, work)) = self.next_work(number) {
            let completion = self.perform(work, token);
            self.finish(completion);
        }
        let mut queue = locked(&self.queue);
        queue.running -= 1;
        self.thread_ended.notify_all();
    }

    /// Waits for work; None when the thread shall end.
    fn next_work(&self, number: usize) -> Option<(f64, Work)> {
        let mut queue = locked(&self.queue);
        loop {
            let found = if number == 0 {
                Self::next_of_first(&mut queue)
            } else {
                queue.others.pop_front()
            };
            if found.is_some() {
                return found;
            }
            if queue.stopping {
                return None;
            }
            queue.idle += usize::from(number != 0);
            let condition = if number == 0 {
                &self.work_for_first
            } else {
                &self.work_for_others
            };
            queue = condition.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= usize::from(number != 0);
        }
    }

    /// Thread 0 prefers batches, and leaves other work to threads that wait for it.
    fn next_of_first(queue: &mut Queue) -> Option<(f64, Work)> {
        let helps = queue.others.len() > queue.idle;
        let batch = queue.batches.pop_front();
        if batch.is_none() && helps {
            return queue.others.pop_front();
        }
        batch
    }

    fn finish(&self, completion: Completion) {
        let mut finished = locked(&self.finished);
        if finished.abandoned {
            return;
        }
        finished.list.push_back(completion);
        self.finished_count.store(finished.list.len(), SeqCst);
        self.doorbell.ring();
    }

    /// Does the work. A panic is the failure of this operation alone.
    fn perform(&self, work: Work, token: f64) -> Completion {
        let start = monotonic_ns();
        let mut completion = match work {
            Work::Batch { first, mut entries } => {
                for entry in &mut entries {
                    entry.result = -libc::EIO;
                }
                let _ = catch_unwind(AssertUnwindSafe(|| self.run_batch(&mut entries)));
                Completion {
                    values: [entries.len() as f64, 0.0, 0.0],
                    batch: Some((first, entries)),
                    ..Completion::default()
                }
            }
            other => {
                catch_unwind(AssertUnwindSafe(|| self.perform_single(other))).unwrap_or_else(|_| Completion {
                    result: -libc::EIO,
                    ..Completion::default()
                })
            }
        };
        completion.token = token;
        completion.spent_ns = monotonic_ns() - start;
        completion
    }

    fn perform_single(&self, work: Work) -> Completion {
        match work {
            Work::Batch { .. } => unreachable!("perform runs batches"),
            Work::Entry(entry) if [code::PREAD, code::PWRITE].contains(&entry.code) => {
                let mut entries = [entry];
                entries[0].value = 0.0;
                self.run_batch(&mut entries);
                Completion {
                    result: entries[0].result,
                    crc: entries[0].crc,
                    values: [entries[0].value, 0.0, 0.0],
                    ..Completion::default()
                }
            }
            Work::Entry(entry) if entry.code == code::FTRUNCATE => {
                self.on_fd(entry.code, entry.fd, entry.value, 0.0)
            }
            Work::Entry(entry) => self.on_fd(entry.code, entry.fd, entry.offset, entry.value),
            Work::Fd { code, fd, a, b } => self.on_fd(code, fd, a, b),
            Work::Path {
                code,
                path,
                path2,
                a,
                b,
            } => {
                let outcome = self.with_faults(code, || files::on_path(code, &path, &path2, a, b));
                record::path(code, &path, &path2, f64::from(outcome.result));
                completion_of(outcome)
            }
        }
    }

    fn on_fd(&self, code: u32, fd: i32, a: f64, b: f64) -> Completion {
        let outcome = self.with_faults(code, || files::on_fd(code, fd, a, b));
        record::fd(code, fd, a, b, f64::from(outcome.result));
        completion_of(outcome)
    }

    fn with_faults(&self, code: u32, run: impl FnOnce() -> Outcome) -> Outcome {
        match fault::consult(self.device, code, &self.abandoned) {
            Verdict::Run(_) => run(),
            Verdict::Fail(result) => Outcome {
                result,
                ..Outcome::default()
            },
        }
    }
}

fn completion_of(outcome: Outcome) -> Completion {
    Completion {
        result: outcome.result,
        values: outcome.values,
        ..Completion::default()
    }
}

/// Signals are for Node's threads; here they would only interrupt system calls.
fn block_signals() {
    // SAFETY: plain calls on a local set.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
