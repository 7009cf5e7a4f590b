//! Operation codes and the layout of the operation table, as `addon.ts` documents them.

#[cfg(target_endian = "big")]
compile_error!("the operation table is little endian and read in place");

pub mod code {
    pub const PREAD: u32 = 1;
    pub const PWRITE: u32 = 2;
    pub const FDATASYNC: u32 = 3;
    pub const FSYNC: u32 = 4;
    pub const FTRUNCATE: u32 = 5;
    pub const FALLOCATE_KEEP_SIZE: u32 = 6;
    pub const PUNCH_HOLE: u32 = 7;
    pub const SEEK_DATA: u32 = 8;
    pub const SEEK_HOLE: u32 = 9;
    pub const CLOSE: u32 = 10;
    pub const FSTAT: u32 = 11;
    pub const OPEN: u32 = 20;
    pub const UNLINK: u32 = 21;
    pub const RENAME: u32 = 22;
    pub const MKDIR: u32 = 23;
    pub const REMOVE_TREE: u32 = 24;
    pub const FSYNC_FOLDER: u32 = 25;
    pub const STATFS: u32 = 26;
}

pub const FLAG_NO_WAIT: u32 = 1;
pub const FLAG_CRC: u32 = 2;
pub const FLAG_LINKED: u32 = 4;
pub const FLAG_DIRECT: u32 = 8;
pub const FLAG_GUARD: u32 = 16;
pub const FLAG_DURABLE: u32 = 32;

/// The word for a code in the I/O record.
pub fn code_name(code: u32) -> &'static str {
    match code {
        code::PREAD => "pread",
        code::PWRITE => "pwrite",
        code::FDATASYNC => "fdatasync",
        code::FSYNC => "fsync",
        code::FTRUNCATE => "ftruncate",
        code::FALLOCATE_KEEP_SIZE => "fallocateKeepSize",
        code::PUNCH_HOLE => "punchHole",
        code::SEEK_DATA => "seekData",
        code::SEEK_HOLE => "seekHole",
        code::CLOSE => "close",
        code::FSTAT => "fstat",
        code::OPEN => "open",
        code::UNLINK => "unlink",
        code::RENAME => "rename",
        code::MKDIR => "mkdir",
        code::REMOVE_TREE => "removeTree",
        code::FSYNC_FOLDER => "fsyncFolder",
        code::STATFS => "statfs",
        _ => "unknown",
    }
}

/// One entry of the operation table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    pub code: u32,
    pub flags: u32,
    pub fd: i32,
    pub length: u32,
    pub offset: f64,
    pub buffer_offset: f64,
    pub region: u32,
    pub result: i32,
    pub crc: u32,
    pub reserved: u32,
    pub value: f64,
    pub reserved2: f64,
}

pub const ENTRY_BYTES: usize = 64;
const _: () = assert!(std::mem::size_of::<Entry>() == ENTRY_BYTES);

impl Entry {
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// A byte count or file offset that came as a JavaScript number: a safe integer, not negative.
pub fn whole(number: f64) -> Option<i64> {
    let is_whole = (0.0..=9_007_199_254_740_991.0).contains(&number) && number.fract() == 0.0;
    is_whole.then_some(number as i64)
}

/// Memory that entries read into and write from. Lives as long as the disk's threads (see `disk.rs`).
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub start: *mut u8,
    pub bytes: usize,
}

// SAFETY: shared memory; who may touch which part when is the slab's protocol, and only plain bytes lie in it.
unsafe impl Send for Region {}
unsafe impl Sync for Region {}

impl Region {
    /// Address of `[offset, offset + length)`, or None when it does not lie inside.
    pub fn at(&self, offset: f64, length: usize) -> Option<*mut u8> {
        let offset = usize::try_from(whole(offset)?).ok()?;
        let end = offset.checked_add(length)?;
        if end > self.bytes {
            return None;
        }
        // SAFETY: within the region.
        Some(unsafe { self.start.add(offset) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_outside_its_region_has_no_address() {
        let mut bytes = [0u8; 16];
        let region = Region {
            start: bytes.as_mut_ptr(),
            bytes: bytes.len(),
        };
        assert!(region.at(0.0, 16).is_some());
        assert!(region.at(16.0, 0).is_some());
        assert!(region.at(0.0, 17).is_none());
        assert!(region.at(16.0, 1).is_none());
        assert!(region.at(-1.0, 1).is_none());
        assert!(region.at(0.5, 1).is_none());
        assert!(region.at(f64::NAN, 1).is_none());
        assert!(region.at(9.0e15, usize::MAX).is_none());
    }
}
