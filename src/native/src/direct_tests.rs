//! Direct reads of real files, where the file system of the temp folder offers them.

use super::*;
use crate::kernel::Linux;
use std::os::fd::AsRawFd;

fn temporary(name: &str, bytes: &[u8]) -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("extentd-direct-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    (path, file)
}

/// What a direct read finds; None where it is refused.
fn read_at(file: &std::fs::File, offset: i64, length: usize) -> Option<Vec<u8>> {
    let mut into = vec![0u8; length];
    let support = Support::default();
    // SAFETY: the vector has `length` bytes.
    let result = unsafe {
        read(
            &Linux,
            &support,
            file.as_raw_fd(),
            into.as_mut_ptr(),
            length,
            offset,
        )
    };
    let count = result.ok()?;
    assert!(count >= 0, "{count}");
    into.truncate(count as usize);
    Some(into)
}

#[test]
fn what_is_not_on_disk_yet_is_read_too() {
    let bytes: Vec<u8> = (0..300_001u32).map(|i| (i % 253) as u8).collect();
    let (path, file) = temporary("fresh", &bytes);
    for (offset, length) in [
        (0, 1),
        (4096, 4096),
        (5, 300_000),
        (299_999, 10),
        (300_001, 5),
        (900_000, 5),
    ] {
        let Some(found) = read_at(&file, offset as i64, length) else {
            break;
        };
        let end = (offset + length).min(bytes.len());
        assert_eq!(found, bytes[offset.min(end)..end], "{offset}+{length}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_removed_file_that_is_open_is_still_read() {
    let (path, file) = temporary("removed", &[9; 5000]);
    let before = read_at(&file, 4000, 2000);
    std::fs::remove_file(path).unwrap();
    assert_eq!(read_at(&file, 4000, 2000), before);
}
