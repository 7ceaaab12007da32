//! The framing of event files: each record between its length and its checksums (TFRecord).

/// The record that holds `data`: length, checksum of the length, data, checksum of the data.
pub(super) fn frame(data: &[u8], output: &mut Vec<u8>) {
    let length = (data.len() as u64).to_le_bytes();
    output.extend(length);
    output.extend(checksum(&length).to_le_bytes());
    output.extend(data);
    output.extend(checksum(data).to_le_bytes());
}

/// The checksum of data as it stands in records.
pub(crate) fn checksum(data: &[u8]) -> u32 {
    masked(crc32c(data))
}

/// Checksums are stored like this because the checksum of something that holds its own checksum is of little
/// use.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The Castagnoli checksum, of the reflected polynomial 0x82f63b78.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |sum, &byte| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8))
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(b""), 0);
    }
}
