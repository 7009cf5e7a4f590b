//! Folders scanned ahead of the one who needs them, by threads of their own: a stat waits for the disk or takes a core, and the loader of a disk
//! has other work to do with each folder.
//!
//! The scans come out in the order of the paths. A few are kept ready at most, so that memory stays bounded. A folder that no thread has begun is
//! scanned by the one who asks for it, so nothing depends on threads being there.

use crate::files::{self, Scan};
use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Folders that are scanned or kept ready ahead of the next one to be taken, for each thread.
const AHEAD_PER_THREAD: usize = 4;
const STACK_BYTES: usize = 256 * 1024;

#[derive(Default)]
struct State {
    /// Next path to be scanned, next one to be taken.
    begun: usize,
    taken: usize,
    ready: HashMap<usize, Scan>,
    closed: bool,
}

struct Shared {
    paths: Vec<String>,
    ahead: usize,
    state: Mutex<State>,
    /// A scan is ready; one was taken, or all is over.
    scanned: Condvar,
    room: Condvar,
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's comment. Dropped early it leaves its threads to end by themselves.
pub struct ScanAhead {
    shared: Arc<Shared>,
}

impl ScanAhead {
    /// With as many of `threads` as can be had.
    pub fn start(paths: Vec<String>, threads: usize) -> ScanAhead {
        let threads = threads.min(paths.len());
        let shared = Arc::new(Shared {
            paths,
            ahead: threads * AHEAD_PER_THREAD,
            state: Mutex::default(),
            scanned: Condvar::new(),
            room: Condvar::new(),
        });
        for index in 0..threads {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("scan-{index}"));
            let spawned = thread.stack_size(STACK_BYTES).spawn(move || work(&shared));
            if spawned.is_err() {
                break;
            }
        }
        ScanAhead { shared }
    }

    /// The scan of the next path; waits for it. None behind the last one.
    pub fn next(&self) -> Option<Scan> {
        let mut state = self.shared.locked();
        let index = state.taken;
        if index == self.shared.paths.len() {
            return None;
        }
        state.taken += 1;
        if state.begun == index {
            state.begun += 1;
            drop(state);
            return Some(scan(&self.shared.paths[index]));
        }
        self.shared.room.notify_one();
        loop {
            if let Some(scan) = state.ready.remove(&index) {
                return Some(scan);
            }
            let waited = self.shared.scanned.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for ScanAhead {
    fn drop(&mut self) {
        self.shared.locked().closed = true;
        self.shared.room.notify_all();
    }
}

fn work(shared: &Shared) {
    loop {
        let mut state = shared.locked();
        while !state.closed && state.begun < shared.paths.len() && state.begun >= state.taken + shared.ahead {
            state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed || state.begun == shared.paths.len() {
            // Others may wait for room that nobody will make.
            shared.room.notify_all();
            return;
        }
        let index = state.begun;
        state.begun += 1;
        drop(state);
        let scan = scan(&shared.paths[index]);
        shared.locked().ready.insert(index, scan);
        shared.scanned.notify_one();
    }
}

/// Whoever waits for a scan must not wait for ever: one that panics is a failed one.
fn scan(path: &str) -> Scan {
    catch_unwind(|| files::scan(path)).unwrap_or_else(|_| Scan {
        result: -libc::EIO,
        ..Scan::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_come_in_the_order_of_the_paths() {
        let root = std::env::temp_dir().join(format!("extentd-ahead-{}", std::process::id()));
        let mut paths = Vec::new();
        for number in 0..100 {
            let folder = root.join(number.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join((1000 + number).to_string()), "x").unwrap();
            paths.push(folder.to_str().unwrap().to_string());
        }
        paths.insert(50, root.join("missing").to_str().unwrap().to_string());
        for threads in [0, 1, 3] {
            let ahead = ScanAhead::start(paths.clone(), threads);
            for number in 0..100 {
                if number == 50 {
                    assert_eq!(ahead.next().unwrap().result, -libc::ENOENT);
                }
                let scan = ahead.next().unwrap();
                assert_eq!((scan.names, scan.result), ((1000 + number).to_string(), 0));
            }
            assert!(ahead.next().is_none());
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn no_more_is_scanned_than_is_kept_ready_and_an_early_end_ends_the_threads() {
        let ahead = ScanAhead::start(vec!["/nowhere".into(); 1000], 2);
        for _ in 0..10 {
            ahead.next().unwrap();
            let state = ahead.shared.locked();
            assert!(state.begun <= state.taken + 2 * AHEAD_PER_THREAD);
        }
        let shared = ahead.shared.clone();
        drop(ahead);
        while Arc::strong_count(&shared) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn all_taken_ends_the_threads() {
        let ahead = ScanAhead::start(vec!["/nowhere".into(); 40], 3);
        while ahead.next().is_some() {}
        while Arc::strong_count(&ahead.shared) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn nothing_to_scan() {
        assert!(ScanAhead::start(Vec::new(), 4).next().is_none());
    }
}
