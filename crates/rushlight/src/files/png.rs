//! Images as PNG (ISO/IEC 15948), without loss.

use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::{self, Write};

/// Encodes pixels as a PNG file.
///
/// `pixels` are bytes in the order [row, column, channel]; 1 channel is grey, 2 grey and opacity, 3 colours, 4
/// colours and opacity. Fails if their number does not fit or there is no pixel.
///
/// ```
/// let file = rushlight::files::encode_png(&[255, 0, 0, 0, 0, 255], [1, 2, 3]).unwrap();
/// assert_eq!(&file[1..4], b"PNG");
/// ```
pub fn encode_png(pixels: &[u8], [height, width, channels]: [usize; 3]) -> io::Result<Vec<u8>> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let colour_type = match channels {
        1 => 0,
        2 => 4,
        3 => 2,
        4 => 6,
        _ => return Err(invalid(format!("a PNG has 1 to 4 channels, got {channels}"))),
    };
    let side = |size: usize| i32::try_from(size).ok().filter(|&size| size > 0);
    let (Some(columns), Some(rows)) = (side(width), side(height)) else {
        return Err(invalid(format!("a PNG has sides of 1 to 2147483647 pixels, got {height}×{width}")));
    };
    let row_bytes = width * channels;
    if row_bytes.checked_mul(height) != Some(pixels.len()) {
        return Err(invalid(format!(
            "{height}×{width}×{channels} bytes of pixels expected, got {}",
            pixels.len()
        )));
    }

    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let bits_and_defaults = [8, colour_type, 0, 0, 0];
    chunk(
        &mut file,
        b"IHDR",
        &[&columns.to_be_bytes()[..], &rows.to_be_bytes(), &bits_and_defaults].concat(),
    )?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let mut above = vec![0; row_bytes];
    for row in pixels.chunks_exact(row_bytes) {
        encoder.write_all(&filtered(row, &above, channels))?;
        above.copy_from_slice(row);
    }
    chunk(&mut file, b"IDAT", &encoder.finish()?)?;
    chunk(&mut file, b"IEND", &[])?;
    Ok(file)
}

/// The row as differences to what stands above or to the left, whichever differences are least in sum, behind
/// the number of that filter.
fn filtered(row: &[u8], above: &[u8], channels: usize) -> Vec<u8> {
    let left = |index: usize| if index < channels { 0 } else { row[index - channels] };
    let filters: [&dyn Fn(usize) -> u8; 3] = [&|_| 0, &left, &|index| above[index]];
    let candidates = filters.iter().zip(0u8..).map(|(predicted, number)| {
        let differences = row.iter().enumerate().map(|(index, &value)| value.wrapping_sub(predicted(index)));
        std::iter::once(number).chain(differences).collect::<Vec<u8>>()
    });
    let weight =
        |line: &Vec<u8>| line[1..].iter().map(|&byte| u64::from((byte as i8).unsigned_abs())).sum::<u64>();
    candidates.min_by_key(weight).unwrap_or_default()
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(content);
    file.extend(length.to_be_bytes());
    file.extend(kind);
    file.extend(content);
    file.extend(checksum.sum().to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The pixels of a file made here, read back by the rules of the standard.
    fn decode(file: &[u8]) -> ([usize; 3], Vec<u8>) {
        assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (width, height) = (number(16), number(20));
        let channels = match file[25] {
            0 => 1,
            4 => 2,
            2 => 3,
            _ => 4,
        };
        let mut lines = Vec::new();
        flate2::read::ZlibDecoder::new(&file[41..][..number(33)]).read_to_end(&mut lines).unwrap();
        let mut rows: Vec<Vec<u8>> = vec![vec![0; width * channels]];
        for line in lines.chunks_exact(1 + width * channels) {
            let mut row = Vec::new();
            for (index, &value) in line[1..].iter().enumerate() {
                row.push(value.wrapping_add(match line[0] {
                    1 if index >= channels => row[index - channels],
                    2 => rows.last().unwrap()[index],
                    _ => 0,
                }));
            }
            rows.push(row);
        }
        ([height, width, channels], rows[1..].concat())
    }

    #[test]
    fn what_is_encoded_comes_back() {
        for size in [[1, 1, 1], [3, 5, 2], [16, 9, 3], [7, 8, 4]] {
            let count: usize = size.iter().product();
            let pixels: Vec<u8> = (0..count).map(|i| (i * i / 3 + i / 7) as u8).collect();
            assert_eq!(decode(&encode_png(&pixels, size).unwrap()), (size, pixels));
        }
    }

    #[test]
    fn the_end_is_the_known_one() {
        let file = encode_png(&[7], [1, 1, 1]).unwrap();
        assert!(file.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        for (count, size) in [(5, [1, 2, 3]), (0, [0, 2, 3]), (5, [1, 1, 5]), (0, [1 << 40, 1, 3])] {
            assert_eq!(
                encode_png(&vec![0; count], size).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{size:?}"
            );
        }
    }
}
