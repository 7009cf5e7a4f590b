//! Reads past the page cache in a batch, against the same fake kernel.

use super::*;

/// A file of 1000 bytes on a disk that wants 64-byte blocks.
fn direct_kernel(script: &[isize]) -> Fake {
    let kernel = Fake::scripted(script);
    kernel
        .file
        .borrow_mut()
        .extend((0..1000u32).map(|i| (i % 241) as u8));
    kernel.alignment.set((4, 64));
    kernel
}

fn direct_read(offset: u32, length: u32, flags: u32) -> Entry {
    transfer(code::PREAD, 5, offset, length, FLAG_DIRECT | FLAG_CRC | flags)
}

#[test]
fn a_direct_read_takes_the_blocks_around_its_range_and_closes_what_it_opened() {
    let (kernel, mut bench) = (direct_kernel(&[]), Bench::new());
    let mut entries = [
        direct_read(100, 100, 0),
        direct_read(128, 64, 0),
        direct_read(0, 1, 0),
    ];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [100, 64, 1]);
    let file = kernel.file.borrow();
    assert_eq!(bench.memory[100..200], file[100..200]);
    assert_eq!(bench.memory[200], 200, "nothing behind the range is touched");
    assert_eq!(entries[0].crc, crc::ieee(0, &file[100..200]));
    let expected = [
        "direct 64+192",
        "close 1005",
        "direct 128+64",
        "close 1005",
        "direct 0+64",
        "close 1005",
    ];
    assert_eq!(calls(&kernel), expected);
}

#[test]
fn a_direct_read_goes_on_after_a_short_count_and_ends_with_the_file() {
    let (kernel, mut bench) = (direct_kernel(&[64, 192]), Bench::new());
    let mut entries = [
        direct_read(10, 200, 0),
        direct_read(900, 100, 0),
        direct_read(950, 50, 0),
    ];
    entries[1].length = 500;
    entries[1].buffer_offset = 0.0;
    entries[2].offset = 2000.0;
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [200, 100, 0]);
    let file = kernel.file.borrow();
    assert_eq!(bench.memory[..100], file[900..]);
    assert_eq!(entries[1].crc, crc::ieee(0, &file[900..]));
    assert_eq!(calls(&kernel)[..2], ["direct 0+256", "direct 64+192"]);
}

#[test]
fn a_direct_read_that_is_refused_is_a_plain_one_and_says_why() {
    let refused = |kernel: &Fake| {
        let mut bench = Bench::new();
        let mut entries = [direct_read(100, 100, 0)];
        entries[0].value = 99.0;
        bench.run(kernel, &mut entries);
        assert_eq!(results(&entries), [100]);
        assert_eq!(bench.memory[100..200], kernel.file.borrow()[100..200]);
        assert!(calls(kernel).contains(&"pread 100+100".to_string()));
        entries[0].value as i32
    };
    let kernel = direct_kernel(&[]);
    kernel.direct_refusal.set(-libc::EINVAL as isize);
    assert_eq!(refused(&kernel), libc::EINVAL);
    kernel.direct_refusal.set(-libc::EMFILE as isize);
    assert_eq!(
        refused(&kernel),
        0,
        "no descriptor at the moment is no property of the disk"
    );
    assert_eq!(refused(&direct_kernel(&[-libc::EINVAL as isize])), libc::EINVAL);
    for alignment in [(4, 0), (4, 96), (4, 1 << 20), (8192, 512)] {
        let kernel = direct_kernel(&[]);
        kernel.alignment.set(alignment);
        assert_eq!(refused(&kernel), libc::EINVAL);
    }
}

#[test]
fn a_failed_direct_read_is_not_tried_in_another_way() {
    let (kernel, mut bench) = (direct_kernel(&[-libc::EIO as isize]), Bench::new());
    let mut entries = [direct_read(100, 100, 0)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [-libc::EIO]);
    assert_eq!(calls(&kernel), ["direct 64+192", "close 1005"]);
}

#[test]
fn a_look_before_a_direct_read_reads_only_what_is_cached() {
    let (kernel, mut bench) = (direct_kernel(&[]), Bench::new());
    let mut entries = [direct_read(100, 100, FLAG_NO_WAIT)];
    bench.run(&kernel, &mut entries);
    assert_eq!(
        (results(&entries), calls(&kernel).len()),
        (vec![-libc::EAGAIN], 0)
    );
    kernel.cached.set(1);
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [100]);
    assert_eq!(calls(&kernel), ["noWait 100+100"]);
}

#[test]
fn nothing_is_read_past_the_cache_where_nobody_can_look_into_it() {
    let (kernel, mut bench) = (direct_kernel(&[]), Bench::new());
    kernel.cached.set(-libc::ENOSYS as isize);
    let mut entries = [direct_read(100, 100, FLAG_NO_WAIT), direct_read(100, 100, 0)];
    bench.run(&kernel, &mut entries);
    assert_eq!(results(&entries), [100, 100]);
    assert_eq!(calls(&kernel), ["noWait 100+100", "pread 100+100"]);
    assert_eq!(entries[1].value as i32, libc::ENOSYS);
}
