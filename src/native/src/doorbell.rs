//! Waiting and waking between threads over two words of shared memory: `[sequence, sleeping]`.
//!
//! The ringer adds to `sequence`, then looks at `sleeping`. The waiter sets `sleeping`, then looks at `sequence`. Both in
//! sequentially consistent order, so at least one sees the other: no wake-up is lost. JavaScript rings in the same way
//! with `Atomics`, and comes here only when somebody sleeps.

use crate::clock::monotonic_ns;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// Spins between two looks at the clock (which costs 20-40 ns).
const SPINS_PER_CLOCK: u32 = 32;
/// Longest sleep in one call; the kernel does not take every u64.
const SLEEP_MS_MAX: f64 = 1e9;

/// How a wait ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Waited {
    TimedOut = 0,
    Spinning = 1,
    Slept = 2,
}

/// Two words that outlive it: whoever constructs it vouches for that.
#[derive(Clone, Copy)]
pub struct Doorbell {
    words: *const AtomicI32,
}

// SAFETY: the words are only touched atomically.
unsafe impl Send for Doorbell {}
unsafe impl Sync for Doorbell {}

impl Doorbell {
    /// # Safety
    /// `words` must point to two aligned i32 that live as long as the doorbell is used.
    pub unsafe fn new(words: *mut i32) -> Self {
        Doorbell { words: words.cast() }
    }

    fn sequence(&self) -> &AtomicI32 {
        // SAFETY: see `new`.
        unsafe { &*self.words }
    }

    fn sleeping(&self) -> &AtomicI32 {
        // SAFETY: see `new`.
        unsafe { &*self.words.add(1) }
    }

    /// Adds 1 and wakes the sleeper if there is one; true when that took a system call.
    pub fn ring(&self) -> bool {
        self.sequence().fetch_add(1, SeqCst);
        if self.sleeping().load(SeqCst) == 0 {
            return false;
        }
        // SAFETY: futex on a live, aligned word.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.words,
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                i32::MAX,
            )
        };
        true
    }

    /// Waits until the sequence differs from `seen`: spins up to `spin_ns`, then sleeps up to `timeout_ms`.
    pub fn wait(&self, seen: i32, spin_ns: u64, timeout_ms: f64) -> Waited {
        if spin_while_equal(self.sequence(), seen, spin_ns) {
            return Waited::Spinning;
        }
        let timeout_ns = (timeout_ms.clamp(0.0, SLEEP_MS_MAX) * 1e6) as u64;
        if timeout_ns == 0 {
            return Waited::TimedOut;
        }
        let deadline = monotonic_ns() + timeout_ns;
        self.sleeping().store(1, SeqCst);
        let waited = self.sleep_until(seen, deadline);
        self.sleeping().store(0, SeqCst);
        waited
    }

    fn sleep_until(&self, seen: i32, deadline: u64) -> Waited {
        let mut waited = Waited::Spinning;
        loop {
            if self.sequence().load(SeqCst) != seen {
                return waited;
            }
            let left = deadline.saturating_sub(monotonic_ns());
            if left == 0 {
                return Waited::TimedOut;
            }
            let timeout = libc::timespec {
                tv_sec: (left / 1_000_000_000) as libc::time_t,
                tv_nsec: (left % 1_000_000_000) as libc::c_long,
            };
            // SAFETY: futex on a live, aligned word; the kernel compares it with `seen` before it sleeps.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.words,
                    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                    seen,
                    &timeout,
                )
            };
            waited = Waited::Slept;
        }
    }
}

/// Spins until `word` differs from `expected` (true) or `max_ns` passed (false). Looks once even for 0 ns.
pub fn spin_while_equal(word: &AtomicI32, expected: i32, max_ns: u64) -> bool {
    if word.load(SeqCst) != expected {
        return true;
    }
    if max_ns == 0 {
        return false;
    }
    let deadline = monotonic_ns() + max_ns;
    loop {
        for _ in 0..SPINS_PER_CLOCK {
            std::hint::spin_loop();
            if word.load(SeqCst) != expected {
                return true;
            }
        }
        if monotonic_ns() >= deadline {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn pair() -> &'static mut [i32; 2] {
        Box::leak(Box::new([0, 0]))
    }

    #[test]
    fn a_time_out_ends_a_wait_that_nobody_rings() {
        let words = pair();
        let bell = unsafe { Doorbell::new(words.as_mut_ptr()) };
        assert_eq!(bell.wait(0, 1000, 5.0), Waited::TimedOut);
        assert_eq!(bell.wait(0, 0, 0.0), Waited::TimedOut);
        assert_eq!(bell.wait(7, 0, 5.0), Waited::Spinning);
        assert!(!bell.ring(), "nobody sleeps: no system call");
    }

    #[test]
    fn two_threads_ping_pong_without_a_lost_wake_up() {
        const ROUNDS: i32 = 20_000;
        let there = unsafe { Doorbell::new(pair().as_mut_ptr()) };
        let back = unsafe { Doorbell::new(pair().as_mut_ptr()) };
        let echo = thread::spawn(move || {
            for round in 0..ROUNDS {
                let spin = if round % 3 == 0 { 2_000 } else { 0 };
                assert_ne!(there.wait(round, spin, 10_000.0), Waited::TimedOut);
                back.ring();
            }
        });
        for round in 0..ROUNDS {
            there.ring();
            let spin = if round % 5 == 0 { 2_000 } else { 0 };
            assert_ne!(back.wait(round, spin, 10_000.0), Waited::TimedOut);
        }
        echo.join().unwrap();
    }
}
