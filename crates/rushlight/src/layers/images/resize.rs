//! Images in another size.

use crate::layers::define::{basics, layer};
use crate::layers::sizes::{ChannelsLast, attempt, bad_setting, image_axes};
use crate::layers::{Layer, words};
use rushlight_core::{DType, Error, Result, Tensor, einsum};

/// How values between places are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The value of the place next to it.
    Nearest,
    /// On straight lines between two places.
    Bilinear,
    /// By the cubic that two places on each side give (Keys, 1981, with a slope of -1/2).
    Bicubic,
    /// By a windowed sine over three places on each side.
    Lanczos3,
    /// By a windowed sine over five places on each side.
    Lanczos5,
}

words!(Interpolation:
    "nearest" => Interpolation::Nearest,
    "bilinear" => Interpolation::Bilinear,
    "bicubic" => Interpolation::Bicubic,
    "lanczos3" => Interpolation::Lanczos3,
    "lanczos5" => Interpolation::Lanczos5,
);

impl Interpolation {
    /// How far the weights reach, and the weight at a distance.
    fn kernel(self) -> (f64, fn(f64) -> f64) {
        fn lanczos(x: f64, radius: f64) -> f64 {
            let sinc = |x: f64| {
                if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
            };
            if x.abs() < radius { sinc(x) * sinc(x / radius) } else { 0.0 }
        }
        match self {
            Interpolation::Nearest | Interpolation::Bilinear => (1.0, |x| (1.0 - x.abs()).max(0.0)),
            Interpolation::Bicubic => (2.0, |x| {
                let x = x.abs();
                match x {
                    _ if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
                    _ if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
                    _ => 0.0,
                }
            }),
            Interpolation::Lanczos3 => (3.0, |x| lanczos(x, 3.0)),
            Interpolation::Lanczos5 => (5.0, |x| lanczos(x, 5.0)),
        }
    }

    /// The matrix `[to, from]` that takes an axis to another size: places are the middles of pixels, and weights that
    /// would fall outside of the image are left out.
    fn matrix(self, from: usize, to: usize, dtype: DType) -> Tensor {
        let (reach, weight) = self.kernel();
        let scale = from as f64 / to as f64;
        let mut rows = vec![0.0; to * from];
        for (place, row) in rows.chunks_exact_mut(from.max(1)).enumerate() {
            let center = (place as f64 + 0.5) * scale;
            if self == Interpolation::Nearest {
                row[(center as usize).min(from - 1)] = 1.0;
                continue;
            }
            let center = center - 0.5;
            let first = (center - reach).floor() as isize;
            for source in first..=first + 2 * reach as isize + 1 {
                let inside = match self {
                    // Beyond the edge the edge goes on.
                    Interpolation::Bilinear => Some(source.clamp(0, from as isize - 1) as usize),
                    _ => usize::try_from(source).ok().filter(|&source| source < from),
                };
                if let Some(inside) = inside {
                    row[inside] += weight(center - source as f64);
                }
            }
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
        Tensor::new(&rows, [to, from]).cast(dtype)
    }
}

/// Images `[batch, height, width, channels]` in another size.
#[track_caller]
pub(super) fn resized(
    x: &Tensor,
    [height, width]: [usize; 2],
    interpolation: Interpolation,
) -> Result<Tensor> {
    let ([from_height, from_width], _) = image_axes::<2>("Resizing", x.spec()?)?;
    let dtype = x.dtype()?;
    if [height, width, from_height, from_width].contains(&0) {
        return Err(bad_setting("Resizing", "no height or width may be zero"));
    }
    let mut y = x.clone();
    if height != from_height {
        y = einsum("oh,bhwc->bowc", &[&interpolation.matrix(from_height, height, dtype), &y]);
    }
    if width != from_width {
        y = einsum("ow,bhwc->bhoc", &[&interpolation.matrix(from_width, width, dtype), &y]);
    }
    Ok(y)
}

/// The largest part, in the middle, with the proportions of the wanted size.
#[track_caller]
pub(super) fn cropped_to_ratio(x: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let ([from_height, from_width], _) = image_axes::<2>("Resizing", x.spec()?)?;
    if height == 0 || width == 0 {
        return Err(bad_setting("Resizing", "no height or width may be zero"));
    }
    let crop_height = (from_width * height / width).min(from_height).max(1);
    let crop_width = (from_height * width / height).min(from_width).max(1);
    let (top, left) = ((from_height - crop_height) / 2, (from_width - crop_width) / 2);
    Ok(x.slice_axis(1, top, top + crop_height).slice_axis(2, left, left + crop_width))
}

layer! {
    /// Images in another size.
    ///
    /// # Shapes
    /// `[batch, …, …, channels] → [batch, height, width, channels]`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = Resizing::new(4, 6).call(&Tensor::ones([1, 9, 5, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 4, 6, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Resizing = "Resizing";
    /// To this size, bilinear, whatever that does to the proportions.
    new(height: usize, width: usize);
    settings {
        /// How values between places are found; bilinear by default.
        interpolation: Interpolation = Interpolation::Bilinear;
        /// Whether what does not fit the new proportions is cut off at the edges first.
        crop_to_aspect_ratio: bool = false;
        /// Whether the image is filled up at its edges to the new proportions first.
        pad_to_aspect_ratio: bool = false;
        /// The value that images are filled up with.
        fill_value: f64 = 0.0;
    }
    fixed {
        "data_format": ChannelsLast;
        "fill_mode": Constant;
    }
}

/// The only way in which images are filled up.
#[derive(Default)]
struct Constant;

impl crate::layers::Setting for Constant {
    fn to_value(&self) -> Result<serde_json::Value, String> {
        Ok("constant".into())
    }

    fn from_value(value: &serde_json::Value) -> Result<Constant, String> {
        if value.as_str() == Some("constant") { Ok(Constant) } else { Err("`constant`".to_string()) }
    }
}

impl Resizing {
    /// The image in the middle of one with the proportions of the wanted size.
    #[track_caller]
    fn padded_to_ratio(&self, x: &Tensor) -> Result<Tensor> {
        let ([height, width], _) = image_axes::<2>("Resizing", x.spec()?)?;
        if self.height == 0 || self.width == 0 {
            return Err(bad_setting("Resizing", "no height or width may be zero"));
        }
        let rows = (width * self.height / self.width).max(height) - height;
        let columns = (height * self.width / self.height).max(width) - width;
        // As many on both sides, as in Keras.
        let margins = [(0, 0), (rows / 2, rows / 2), (columns / 2, columns / 2), (0, 0)];
        Ok(x.pad_with(&margins, self.fill_value))
    }

    #[track_caller]
    fn output(&self, x: &Tensor) -> Result<Tensor> {
        let size = [self.height, self.width];
        let dtype = x.dtype()?;
        let x = if dtype.is_float() { x.clone() } else { x.cast(DType::F32) };
        let x = match (self.crop_to_aspect_ratio, self.pad_to_aspect_ratio) {
            (false, false) => x,
            (true, false) => cropped_to_ratio(&x, size)?,
            (false, true) => self.padded_to_ratio(&x)?,
            (true, true) => return Err(both_ratios()),
        };
        let y = resized(&x, size, self.interpolation)?;
        Ok(if dtype.is_float() { y } else { y.round().cast(dtype) })
    }
}

fn both_ratios() -> Error {
    bad_setting("Resizing", "images are cut or filled up to the new proportions, not both")
}

impl Layer for Resizing {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        attempt!(self.output(x))
    }
}
