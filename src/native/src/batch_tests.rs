//! Batches against a fake kernel that cuts, refuses and counts on demand.

use super::*;
use std::cell::{Cell, RefCell};

/// What the fake adds to a descriptor that is opened for reads past the page cache.
const DIRECT_FD: i32 = 1000;

/// Answers calls from a script: a positive number cuts the transfer there, 0 and below is the result.
#[derive(Default)]
struct Fake {
    script: RefCell<Vec<isize>>,
    calls: RefCell<Vec<String>>,
    file: RefCell<Vec<u8>>,
    /// What the look at the page cache answers, and the opening for direct reads (0: it opens).
    cached: Cell<isize>,
    direct_refusal: Cell<isize>,
    alignment: Cell<(usize, usize)>,
}

impl Fake {
    fn scripted(script: &[isize]) -> Self {
        let fake = Fake::default();
        fake.script.borrow_mut().extend(script.iter().rev());
        fake
    }

    fn next(&self, wanted: usize) -> isize {
        match self.script.borrow_mut().pop() {
            None => wanted as isize,
            Some(limit) => limit.min(wanted as isize),
        }
    }

    fn read(&self, name: &str, into: *mut u8, length: usize, offset: i64) -> isize {
        self.calls.borrow_mut().push(format!("{name} {offset}+{length}"));
        let file = self.file.borrow();
        let left = file.len().saturating_sub(offset as usize);
        let count = self.next(length.min(left));
        if count > 0 {
            unsafe { std::ptr::copy(file[offset as usize..].as_ptr(), into, count as usize) };
        }
        count
    }

    fn write(&self, name: &str, fd: i32, from: *const u8, length: usize, offset: i64) -> isize {
        self.calls
            .borrow_mut()
            .push(format!("{name} {fd} {offset}+{length}"));
        let count = self.next(length);
        if count > 0 {
            self.put(from, count as usize, offset);
        }
        count
    }

    fn put(&self, from: *const u8, count: usize, offset: i64) {
        let mut file = self.file.borrow_mut();
        let end = offset as usize + count;
        if file.len() < end {
            file.resize(end, 0);
        }
        let bytes = unsafe { std::slice::from_raw_parts(from, count) };
        file[offset as usize..end].copy_from_slice(bytes);
    }
}

impl Kernel for Fake {
    fn pread(&self, fd: i32, into: *mut u8, length: usize, offset: i64) -> isize {
        let name = if fd >= DIRECT_FD { "direct" } else { "pread" };
        self.read(name, into, length, offset)
    }

    fn is_cached(&self, _fd: i32, _offset: i64, _length: usize) -> isize {
        self.cached.get()
    }

    fn open_direct(&self, fd: i32) -> isize {
        match self.direct_refusal.get() {
            0 => (fd + DIRECT_FD) as isize,
            errno => errno,
        }
    }

    fn direct_alignment(&self, _fd: i32) -> (usize, usize) {
        self.alignment.get()
    }

    fn close(&self, fd: i32) {
        self.calls.borrow_mut().push(format!("close {fd}"));
    }

    fn pread_no_wait(&self, _fd: i32, into: *mut u8, length: usize, offset: i64) -> isize {
        self.read("noWait", into, length, offset)
    }

    fn pwrite(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize {
        self.write("pwrite", fd, from, length, offset)
    }

    fn pwrite_durable(&self, fd: i32, from: *const u8, length: usize, offset: i64) -> isize {
        self.write("durable", fd, from, length, offset)
    }

    fn fdatasync(&self, fd: i32) -> isize {
        self.calls.borrow_mut().push(format!("fdatasync {fd}"));
        self.next(0)
    }

    fn pwritev(&self, fd: i32, parts: &[iovec], mut offset: i64) -> isize {
        let total: usize = parts.iter().map(|part| part.iov_len).sum();
        let line = format!("pwritev {fd} {offset}+{total} in {}", parts.len());
        self.calls.borrow_mut().push(line);
        let count = self.next(total);
        let mut left = count.max(0) as usize;
        for part in parts {
            let taken = left.min(part.iov_len);
            self.put(part.iov_base.cast(), taken, offset);
            offset += taken as i64;
            left -= taken;
        }
        count
    }
}

struct Bench {
    memory: Vec<u8>,
    no_wait_refused: AtomicBool,
    durable_refused: AtomicBool,
    direct: direct::Support,
    abandoned: AtomicBool,
}

impl Bench {
    fn new() -> Self {
        Bench {
            memory: (0..1000u32).map(|i| (i % 251) as u8).collect(),
            no_wait_refused: AtomicBool::new(false),
            durable_refused: AtomicBool::new(false),
            direct: direct::Support::default(),
            abandoned: AtomicBool::new(false),
        }
    }

    fn run(&mut self, kernel: &Fake, entries: &mut [Entry]) {
        let region = Region {
            start: self.memory.as_mut_ptr(),
            bytes: self.memory.len(),
        };
        Disk {
            kernel,
            device: 199,
            regions: &[region],
            no_wait_refused: &self.no_wait_refused,
            durable_refused: &self.durable_refused,
            direct: &self.direct,
            abandoned: &self.abandoned,
        }
        .run(entries);
    }
}

fn transfer(code: u32, fd: i32, offset: u32, length: u32, flags: u32) -> Entry {
    Entry {
        code,
        fd,
        flags,
        length,
        offset: f64::from(offset),
        buffer_offset: f64::from(offset),
        ..Entry::default()
    }
}

fn write(fd: i32, offset: u32, length: u32) -> Entry {
    transfer(code::PWRITE, fd, offset, length, 0)
}

fn linked(fd: i32, offset: u32, length: u32) -> Entry {
    transfer(code::PWRITE, fd, offset, length, FLAG_LINKED)
}

fn results(entries: &[Entry]) -> Vec<i32> {
    entries.iter().map(|entry| entry.result).collect()
}

fn calls(kernel: &Fake) -> Vec<String> {
    kernel.calls.borrow().clone()
}

#[test]
fn writes_that_touch_go_out_as_one() {
    let (kernel, mut bench) = (Fake::default(), Bench::new());
    let mut entries = [
        write(5, 0, 100),
        write(5, 100, 50),
        write(5, 150, 50),
        write(6, 200, 10),
        write(5, 300, 10),
    ];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [100, 50, 50, 10, 10]);
    let expected = ["pwritev 5 0+200 in 3", "pwrite 6 200+10", "pwrite 5 300+10"];
    assert_eq!(calls(&kernel), expected);
    assert_eq!(kernel.file.borrow()[..200], bench.memory[..200]);
}

#[test]
fn short_merged_writes_are_continued_inside_an_entry() {
    let (kernel, mut bench) = (Fake::scripted(&[130, 1, 5]), Bench::new());
    let mut entries = [write(5, 0, 100), write(5, 100, 50), write(5, 150, 50)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [100, 50, 50]);
    let expected = [
        "pwritev 5 0+200 in 3",
        "pwritev 5 130+70 in 2",
        "pwritev 5 131+69 in 2",
        "pwritev 5 136+64 in 2",
    ];
    assert_eq!(calls(&kernel), expected);
    assert_eq!(kernel.file.borrow()[..], bench.memory[..200]);
}

#[test]
fn a_failure_inside_a_merged_write_is_the_entrys_own_and_cancels_linked_ones() {
    let enospc = -libc::ENOSPC as isize;
    let (kernel, mut bench) = (Fake::scripted(&[130, enospc]), Bench::new());
    let mut entries = [
        linked(5, 0, 100),
        linked(5, 100, 50),
        linked(5, 150, 50),
        linked(6, 200, 10),
        write(5, 400, 10),
    ];
    bench.run(&kernel, &mut entries);
    let expected = [100, -libc::ENOSPC, -libc::ECANCELED, 10, 10];
    assert_eq!(results(&entries), expected);
}

#[test]
fn a_write_of_nothing_is_an_input_output_error() {
    let (kernel, mut bench) = (Fake::scripted(&[0, 10, 0]), Bench::new());
    let mut entries = [write(5, 0, 10), write(5, 10, 10), write(5, 500, 20)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [-libc::EIO, 10, -libc::EIO]);
}

#[test]
fn a_long_run_is_split_at_the_part_limit() {
    let (kernel, mut bench) = (Fake::default(), Bench::new());
    let mut entries: Vec<Entry> = (0..70).map(|i| write(5, i * 10, 10)).collect();
    bench.run(&kernel, &mut entries);
    assert_eq!(calls(&kernel), ["pwritev 5 0+640 in 64", "pwritev 5 640+60 in 6"]);
    assert!(entries.iter().all(|entry| entry.result == 10));
}

#[test]
fn out_of_bounds_entries_fail_alone() {
    let (kernel, mut bench) = (Fake::default(), Bench::new());
    let mut no_region = write(5, 0, 10);
    no_region.region = 1;
    let mut negative = write(5, 0, 10);
    negative.offset = -4.0;
    let mut entries = [write(5, 0, 10), write(5, 10, 991), no_region, negative];
    bench.run(&kernel, &mut entries);
    let expected = [10, -libc::EFAULT, -libc::EFAULT, -libc::EINVAL];
    assert_eq!(results(&entries), expected);
}

#[test]
fn a_no_wait_read_is_short_only_at_the_end_of_the_file() {
    let eagain = -libc::EAGAIN as isize;
    let read = |offset, length| transfer(code::PREAD, 5, offset, length, FLAG_NO_WAIT | FLAG_CRC);
    let (kernel, mut bench) = (Fake::scripted(&[40, eagain]), Bench::new());
    kernel.file.borrow_mut().resize(100, 7);
    let mut entries = [read(0, 80), read(60, 80)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [-libc::EAGAIN, 40]);
    assert_eq!(entries[1].crc, crc::ieee(0, &[7; 40]));
    let expected = ["noWait 0+80", "noWait 40+40", "noWait 60+80", "noWait 100+40"];
    assert_eq!(calls(&kernel), expected);
}

#[test]
fn a_refused_no_wait_is_remembered() {
    let refused = -libc::EOPNOTSUPP as isize;
    let (kernel, mut bench) = (Fake::scripted(&[refused]), Bench::new());
    kernel.file.borrow_mut().resize(100, 7);
    let read = transfer(code::PREAD, 5, 0, 50, FLAG_NO_WAIT);
    let mut entries = [read, read];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [50, 50]);
    assert_eq!(calls(&kernel), ["noWait 0+50", "pread 0+50", "pread 0+50"]);
}

#[test]
fn a_guard_that_fails_keeps_the_next_entry_from_running_and_what_is_linked_to_it() {
    let entries = || {
        let guard = transfer(code::PWRITE, 9, 0, 8, FLAG_GUARD);
        [guard, linked(5, 8, 10), linked(5, 18, 10), linked(6, 28, 10)]
    };
    let enospc = -libc::ENOSPC as isize;
    // Refused at once, and cut short.
    for (script, result) in [(vec![enospc], -libc::ENOSPC), (vec![4, enospc], -libc::ENOSPC)] {
        let (kernel, mut bench, mut entries) = (Fake::scripted(&script), Bench::new(), entries());
        bench.run(&kernel, &mut entries);
        assert_eq!(
            results(&entries),
            [result, -libc::ECANCELED, -libc::ECANCELED, 10]
        );
    }
    let (kernel, mut bench, mut entries) = (Fake::default(), Bench::new(), entries());
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [8, 10, 10, 10]);
}

#[test]
fn a_cold_read_does_not_cancel_a_linked_write() {
    let eagain = -libc::EAGAIN as isize;
    let (kernel, mut bench) = (Fake::scripted(&[eagain]), Bench::new());
    kernel.file.borrow_mut().resize(100, 7);
    let mut entries = [transfer(code::PREAD, 5, 0, 50, FLAG_NO_WAIT), linked(5, 100, 10)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [-libc::EAGAIN, 10]);
}

fn durable(fd: i32, offset: u32, length: u32) -> Entry {
    transfer(code::PWRITE, fd, offset, length, FLAG_DURABLE)
}

#[test]
fn a_durable_write_goes_on_until_all_of_it_is_durable_and_is_never_merged() {
    let (kernel, mut bench) = (Fake::scripted(&[100, 30, 20]), Bench::new());
    let mut entries = [write(5, 0, 100), durable(5, 100, 50), write(5, 150, 50)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [100, 50, 50]);
    let expected = [
        "pwrite 5 0+100",
        "durable 5 100+50",
        "durable 5 130+20",
        "pwrite 5 150+50",
    ];
    assert_eq!(calls(&kernel), expected);
    assert_eq!(kernel.file.borrow()[..], bench.memory[..200]);
}

#[test]
fn where_the_kernel_refuses_durable_writes_each_is_a_write_and_an_fdatasync() {
    let refused = -libc::EOPNOTSUPP as isize;
    let (kernel, mut bench) = (Fake::scripted(&[refused, 30, 0]), Bench::new());
    let mut entries = [durable(5, 0, 50), durable(5, 50, 10)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [50, 10]);
    let expected = [
        "durable 5 0+50",
        "pwrite 5 0+50",
        "fdatasync 5",
        "pwrite 5 30+20",
        "fdatasync 5",
        "pwrite 5 50+10",
        "fdatasync 5",
    ];
    assert_eq!(calls(&kernel), expected);
}

#[test]
fn a_durable_write_fails_with_its_fdatasync_whatever_was_written() {
    let (refused, eio) = (-libc::EOPNOTSUPP as isize, -libc::EIO as isize);
    let (kernel, mut bench) = (Fake::scripted(&[refused, 50, eio]), Bench::new());
    let mut entries = [durable(5, 0, 50)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [-libc::EIO]);
    let (kernel, mut bench) = (Fake::scripted(&[20, eio]), Bench::new());
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [-libc::EIO]);
}

#[path = "batch_direct_tests.rs"]
mod direct_reads;
