//! Test hook: operations of a disk that act up on demand. Costs one relaxed load while no fault is set.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sleep this many ms first.
    Delay(u64),
    /// Sleep until the device's faults are cleared.
    Hang,
    /// Answer this negated errno without touching the disk.
    Errno(i32),
    /// Move at most this many bytes.
    Short(usize),
}

/// What the operation shall do after the fault had its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Run; move at most so many bytes if given.
    Run(Option<usize>),
    /// Do not run; this is the result.
    Fail(i32),
}

struct Fault {
    device: u32,
    codes: Vec<u32>,
    kind: Kind,
    /// Operations still to be affected; None is no end.
    left: Option<u32>,
}

struct Faults {
    list: Vec<Fault>,
    /// A number a device that grows when its faults are cleared: hanging operations wait for it.
    clearings: [u64; DEVICES],
}

/// Devices are numbered 0..255.
pub const DEVICES: usize = 256;
/// How often a hanging operation looks whether its disk was abandoned.
const HANG_LOOK: Duration = Duration::from_millis(20);

static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static CLEARED: Condvar = Condvar::new();
static FAULTS: Mutex<Faults> = Mutex::new(Faults {
    list: Vec::new(),
    clearings: [0; DEVICES],
});

fn lock() -> MutexGuard<'static, Faults> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True while any fault is set on any device.
#[inline]
fn any() -> bool {
    ACTIVE.load(Relaxed) != 0
}

/// True while a fault is set on `device`.
#[inline]
pub fn is_set(device: u32) -> bool {
    any() && lock().list.iter().any(|fault| fault.device == device)
}

/// Adds a fault. `count` 0: no end. An empty `codes` means all.
pub fn set(device: u32, codes: Vec<u32>, kind: Kind, count: u32) {
    let mut faults = lock();
    faults.list.push(Fault {
        device,
        codes,
        kind,
        left: (count > 0).then_some(count),
    });
    ACTIVE.store(faults.list.len(), Relaxed);
}

/// Removes the faults of `device` and wakes what hangs on it.
pub fn clear(device: u32) {
    let mut faults = lock();
    faults.list.retain(|fault| fault.device != device);
    faults.clearings[device as usize] += 1;
    ACTIVE.store(faults.list.len(), Relaxed);
    CLEARED.notify_all();
}

/// Lets the faults of `device` act on an operation with `code`, in the order in which they were set.
/// A hanging operation of an `abandoned` disk fails with -EIO.
#[inline]
pub fn consult(device: u32, code: u32, abandoned: &AtomicBool) -> Verdict {
    if any() {
        act(device, code, abandoned)
    } else {
        Verdict::Run(None)
    }
}

#[cold]
fn act(device: u32, code: u32, abandoned: &AtomicBool) -> Verdict {
    let mut limit = None;
    for kind in take_matching(device, code) {
        match kind {
            Kind::Delay(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Kind::Hang => {
                if !hang(device, abandoned) {
                    return Verdict::Fail(-libc::EIO);
                }
            }
            Kind::Errno(errno) => return Verdict::Fail(-errno),
            Kind::Short(bytes) => limit = Some(bytes),
        }
    }
    Verdict::Run(limit)
}

/// The kinds that apply now; each is counted down.
fn take_matching(device: u32, code: u32) -> Vec<Kind> {
    let mut faults = lock();
    let mut kinds = Vec::new();
    for fault in &mut faults.list {
        let matches = fault.codes.is_empty() || fault.codes.contains(&code);
        if fault.device != device || !matches {
            continue;
        }
        kinds.push(fault.kind);
        if let Some(left) = &mut fault.left {
            *left -= 1;
        }
    }
    faults.list.retain(|fault| fault.left != Some(0));
    ACTIVE.store(faults.list.len(), Relaxed);
    kinds
}

/// Sleeps until the device's faults are cleared (true) or its disk is abandoned (false).
fn hang(device: u32, abandoned: &AtomicBool) -> bool {
    let mut faults = lock();
    let before = faults.clearings[device as usize];
    while faults.clearings[device as usize] == before {
        if abandoned.load(Relaxed) {
            return false;
        }
        faults = CLEARED
            .wait_timeout(faults, HANG_LOOK)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::code;
    use std::sync::Arc;

    // Each test has a device of its own: the faults are global and tests run side by side.
    static LIVE: AtomicBool = AtomicBool::new(false);

    #[test]
    fn faults_act_on_their_codes_and_count_down() {
        set(201, vec![code::PWRITE], Kind::Errno(libc::ENOSPC), 2);
        let write = || consult(201, code::PWRITE, &LIVE);
        assert_eq!(consult(201, code::PREAD, &LIVE), Verdict::Run(None));
        assert_eq!(consult(202, code::PWRITE, &LIVE), Verdict::Run(None));
        assert_eq!(write(), Verdict::Fail(-libc::ENOSPC));
        assert_eq!(write(), Verdict::Fail(-libc::ENOSPC));
        assert_eq!(write(), Verdict::Run(None));
    }

    #[test]
    fn a_short_fault_limits_the_bytes_until_cleared() {
        set(203, vec![], Kind::Short(10), 0);
        assert_eq!(consult(203, code::PREAD, &LIVE), Verdict::Run(Some(10)));
        assert_eq!(consult(203, code::PREAD, &LIVE), Verdict::Run(Some(10)));
        clear(203);
        assert_eq!(consult(203, code::PREAD, &LIVE), Verdict::Run(None));
    }

    #[test]
    fn a_hanging_operation_ends_when_cleared_or_abandoned() {
        set(204, vec![code::FSYNC], Kind::Hang, 0);
        let cleared = std::thread::spawn(|| consult(204, code::FSYNC, &LIVE));
        std::thread::sleep(Duration::from_millis(30));
        assert!(!cleared.is_finished());
        clear(204);
        // If the thread had not reached the fault yet, it never hangs: both ends are `Run`.
        assert_eq!(cleared.join().unwrap(), Verdict::Run(None));

        set(204, vec![code::FSYNC], Kind::Hang, 0);
        let gone = Arc::new(AtomicBool::new(true));
        assert_eq!(consult(204, code::FSYNC, &gone), Verdict::Fail(-libc::EIO));
        clear(204);
    }
}
