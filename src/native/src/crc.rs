//! Checksums: CRC-32 IEEE (packets, block CRC) and CRC-32C (raft log), with carry-less multiply where the CPU has it.
//!
//! Measured with AVX-512 (GB/s at 4 KiB / 128 KiB): IEEE crc32fast 50/61, crc-fast 50/60; Castagnoli crc-fast 60/61,
//! crc32c 27/29. At 64 bytes crc32fast is twice as fast as crc-fast for IEEE.

/// CRC-32 IEEE of `data`, continued from `seed`.
pub fn ieee(seed: u32, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(data);
    hasher.finalize()
}

/// CRC-32C of `data`, continued from `seed`.
pub fn castagnoli(seed: u32, data: &[u8]) -> u32 {
    if seed == 0 {
        return crc_fast::crc32_iscsi(data);
    }
    let algorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;
    let mut digest = crc_fast::Digest::new_with_init_state(algorithm, u64::from(!seed));
    digest.update(data);
    digest.finalize() as u32
}

/// What the CPU offers to both, for the log.
pub fn implementation() -> String {
    crc_fast::get_calculator_target(crc_fast::CrcAlgorithm::Crc32Iscsi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(ieee(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(castagnoli(0, b"123456789"), 0xe306_9283);
        assert_eq!(ieee(0, b""), 0);
        assert_eq!(castagnoli(0, b""), 0);
    }

    #[test]
    fn continuing_at_any_split_equals_the_whole() {
        let data: Vec<u8> = (0..4096u32).map(|i| (i * 31 + i / 7) as u8).collect();
        for split in (0..data.len()).step_by(37) {
            let (head, tail) = data.split_at(split);
            assert_eq!(ieee(ieee(0, head), tail), ieee(0, &data));
            assert_eq!(castagnoli(castagnoli(0, head), tail), castagnoli(0, &data));
        }
    }
}
