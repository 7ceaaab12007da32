//! Pictures as inputs of models.

use super::read;
use crate::failure::Failure;
use crate::text::shown;
use rushlight::data::Pixels;
use rushlight::prelude::*;
use std::path::{Path, PathBuf};

/// A picture that is not decoded yet.
pub(crate) struct Encoded {
    pub(crate) path: PathBuf,
    bytes: Vec<u8>,
}

/// How pixels from 0 to 255 become numbers: `(x · scale - mean) / deviation`.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    pub(crate) scale: f32,
    /// One for each channel, or one for all.
    pub(crate) mean: Vec<f32>,
    pub(crate) deviation: Vec<f32>,
}

pub(crate) fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    matches!(ending.as_str(), "png" | "jpg" | "jpeg")
}

/// Whether this is the content of a picture.
pub(crate) fn is_encoded(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG") || bytes.starts_with(&[0xff, 0xd8])
}

/// The picture itself, from a file or `-`.
pub(crate) fn one(path: &Path, bytes: Vec<u8>) -> Encoded {
    Encoded { path: path.to_path_buf(), bytes }
}

/// All pictures of a directory in the order of their names.
pub(crate) fn files_in(path: &Path) -> Result<Vec<Encoded>, Failure> {
    let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let entries =
        entries.map_err(|error| Failure::Other(format!("{} cannot be read: {error}", shown(path))))?;
    let mut files: Vec<PathBuf> =
        entries.iter().map(|entry| entry.path()).filter(|path| is_image(path)).collect();
    files.sort();
    match files.is_empty() {
        true => Err(Failure::Other(format!("{}: there is no .png or .jpg file in it", shown(path)))),
        false => files.into_iter().map(|file| Ok(one(&file, read(&file)?))).collect(),
    }
}

/// Pictures as `f32 [pictures, height, width, channels]`, resized to that size.
pub(crate) fn load(
    files: &[Encoded],
    [height, width, channels]: [usize; 3],
    scaling: &Scaling,
) -> Result<Tensor, Failure> {
    if ![1, 3].contains(&channels) {
        let rule = format!("pictures have 1 or 3 channels, and the model's input {channels}");
        return Err(Failure::Other(rule));
    }
    let mut all = Vec::new();
    for file in files {
        let pixels = Pixels::decode(&file.path, &file.bytes)?;
        if pixels.height * pixels.width == 0 {
            return Err(Failure::Other(format!("{}: the picture has no pixels", shown(&file.path))));
        }
        all.extend(pixels.with_channels(channels).resized(height, width));
    }
    for values in [&scaling.mean, &scaling.deviation] {
        if values.len() != 1 && values.len() != channels {
            let rule = format!("--mean and --std take one number, or one for each of {channels} channels");
            return Err(Failure::Usage(rule));
        }
    }
    let of = |values: &[f32], channel: usize| values[if values.len() == 1 { 0 } else { channel }];
    for (index, value) in all.iter_mut().enumerate() {
        let channel = index % channels;
        *value = (*value * scaling.scale - of(&scaling.mean, channel)) / of(&scaling.deviation, channel);
    }
    Ok(Tensor::new(&all, [files.len(), height, width, channels]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_follows_keras() {
        // keras.ops.image.resize(x, (3, 2), "bilinear") of [[0, 10, 20], [30, 40, 50]].
        let pixels = Pixels { height: 2, width: 3, channels: 1, bytes: vec![0, 10, 20, 30, 40, 50] };
        let got = pixels.resized(3, 2);
        let wanted = [2.5, 17.5, 17.5, 32.5, 32.5, 47.5];
        assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-4), "{got:?}");
        let same: Vec<f32> = pixels.bytes.iter().map(|&value| f32::from(value)).collect();
        assert_eq!(pixels.resized(2, 3), same);
    }
}
