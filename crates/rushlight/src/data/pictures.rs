//! Pictures in files: PNG and JPEG, decoded and brought to a size.

use crate::data::DataError;
use std::io::Cursor;
use std::path::Path;

/// Pixels of a picture, row by row: `[height, width, channels]`.
pub struct Pixels {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub bytes: Vec<u8>,
}

/// Larger pictures are taken for damaged.
const MOST_PIXELS: usize = 1 << 28;

/// The pixels of a PNG picture, `[height, width, channels]`: 1 channel for grey, 3 for colours, and one more for
/// opacity if the file has it. Palettes and depths other than 8 bits become 8 bits a channel.
///
/// # Errors
/// If this is no whole PNG file.
pub fn decode_png(bytes: &[u8]) -> Result<([usize; 3], Vec<u8>), String> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    // Nothing is packed more than about a thousand times.
    let most = bytes.len().saturating_mul(1100).min(4 * MOST_PIXELS);
    let size = reader.output_buffer_size().filter(|size| *size <= most);
    let mut pixels = vec![0; size.ok_or("the picture is larger than its file can hold")?];
    let info = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
    pixels.truncate(info.buffer_size());
    let channels = info.color_type.samples();
    Ok(([info.height as usize, info.width as usize, channels], pixels))
}

/// The pixels of a JPEG picture, `[height, width, channels]`: 1 channel for grey, 3 for colours.
///
/// # Errors
/// If this is no whole JPEG file.
pub fn decode_jpeg(bytes: &[u8]) -> Result<([usize; 3], Vec<u8>), String> {
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    let mut decoder = zune_jpeg::JpegDecoder::new(Cursor::new(bytes));
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = zune_jpeg::zune_core::options::DecoderOptions::default().jpeg_set_out_colorspace(wanted);
    let mut decoder =
        zune_jpeg::JpegDecoder::new_with_options(Cursor::new(bytes), options.set_strict_mode(true));
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("the picture has no header")?;
    let dims = [usize::from(info.height), usize::from(info.width), if is_grey { 1 } else { 3 }];
    match pixels.len() == dims.iter().product::<usize>() {
        true => Ok((dims, pixels)),
        false => Err(format!("{} bytes of pixels for a picture of {dims:?}", pixels.len())),
    }
}

/// The pixels of a PNG or JPEG file, told apart by how they begin.
///
/// # Errors
/// If the file cannot be read, or is neither; the message names it.
pub fn read_picture(path: impl AsRef<Path>) -> Result<([usize; 3], Vec<u8>), DataError> {
    let path = path.as_ref();
    let pixels = Pixels::read(path)?;
    Ok(([pixels.height, pixels.width, pixels.channels], pixels.bytes))
}

impl Pixels {
    /// Those of a PNG or JPEG file.
    ///
    /// # Errors
    /// As [`read_picture`].
    pub fn read(path: &Path) -> Result<Pixels, DataError> {
        let bytes = std::fs::read(path).map_err(|error| DataError::io("read", path, error))?;
        Pixels::decode(path, &bytes)
    }

    /// Those of the content of a PNG or JPEG file; the path is for messages.
    ///
    /// # Errors
    /// If it is neither.
    pub fn decode(path: &Path, bytes: &[u8]) -> Result<Pixels, DataError> {
        let (kind, decoded) = if bytes.starts_with(b"\x89PNG") {
            ("a PNG picture", decode_png(bytes))
        } else if bytes.starts_with(&[0xff, 0xd8]) {
            ("a JPEG picture", decode_jpeg(bytes))
        } else {
            ("a PNG or JPEG picture", Err("another kind of file".to_string()))
        };
        let ([height, width, channels], bytes) =
            decoded.map_err(|found| DataError::malformed(path, kind, found))?;
        Ok(Pixels { height, width, channels, bytes })
    }

    /// With 1 or 3 channels: colours become grey by their brightness (ITU-R BT.601), opacity is left out.
    pub fn with_channels(self, channels: usize) -> Pixels {
        let own = self.channels;
        if own == channels {
            return self;
        }
        let mut bytes = Vec::with_capacity(self.height * self.width * channels);
        for pixel in self.bytes.chunks_exact(own) {
            let colours = if own >= 3 { [pixel[0], pixel[1], pixel[2]] } else { [pixel[0]; 3] };
            match channels {
                1 if own >= 3 => {
                    let [red, green, blue] = colours.map(f32::from);
                    bytes.push((0.299 * red + 0.587 * green + 0.114 * blue).round() as u8);
                }
                _ => bytes.extend(&colours[..channels.min(3)]),
            }
        }
        Pixels { channels, bytes, ..self }
    }

    /// Brought to another size: each new pixel lies between four old ones (bilinear, centres of pixels at halves, no
    /// smoothing), as TensorFlow's `resize` and Keras's `Resizing` do by default. The picture must have pixels.
    ///
    /// ```
    /// use rushlight::data::Pixels;
    /// let picture = Pixels { height: 2, width: 3, channels: 1, bytes: vec![0, 10, 20, 30, 40, 50] };
    /// assert_eq!(picture.resized(1, 3), [15.0, 25.0, 35.0]);
    /// ```
    pub fn resized(&self, height: usize, width: usize) -> Vec<f32> {
        let channels = self.channels;
        let rows = between(self.height, height);
        let columns = between(self.width, width);
        let mut resized = Vec::with_capacity(height * width * channels);
        for &(top, bottom, down) in &rows {
            for &(left, right, across) in &columns {
                for channel in 0..channels {
                    let at = |row: usize, column: usize| {
                        f32::from(self.bytes[(row * self.width + column) * channels + channel])
                    };
                    let above = at(top, left) + (at(top, right) - at(top, left)) * across;
                    let below = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across;
                    resized.push(above + (below - above) * down);
                }
            }
        }
        resized
    }
}

/// For each new position the two old ones around it, and how far it is from the first.
fn between(old: usize, new: usize) -> Vec<(usize, usize, f32)> {
    let scale = old as f32 / new as f32;
    let position = |index: usize| {
        let place = (index as f32 + 0.5) * scale - 0.5;
        let first = place.floor();
        let limit = |place: f32| (place.max(0.0) as usize).min(old - 1);
        (limit(first), limit(first + 1.0), place - first)
    };
    (0..new).map(position).collect()
}
