//! Images read at places between their pixels.

use crate::layers::images::resize::Interpolation;
use crate::layers::sizes::{bad_setting, image_axes};
use crate::layers::words;
use rushlight_core::{DType, Result, Tensor, where_};

/// What lies beyond the edges of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillMode {
    /// One value.
    Constant,
    /// The edge goes on.
    Nearest,
    /// The image, mirrored: `d c b a | a b c d | d c b a`.
    Reflect,
    /// The image again: `a b c d | a b c d | a b c d`.
    Wrap,
}

words!(FillMode:
    "constant" => FillMode::Constant,
    "nearest" => FillMode::Nearest,
    "reflect" => FillMode::Reflect,
    "wrap" => FillMode::Wrap,
);

/// How a random transformation reads images.
pub(super) struct Sampling {
    pub(super) interpolation: Interpolation,
    pub(super) fill_mode: FillMode,
    pub(super) fill_value: f64,
}

/// `x - ⌊x / period⌋ · period`
#[track_caller]
fn modulo(x: &Tensor, period: f64) -> Tensor {
    x - (x / period).floor() * period
}

impl Sampling {
    /// Places along an axis of this size, moved inside by the fill mode.
    #[track_caller]
    fn inside(&self, place: &Tensor, size: usize) -> Tensor {
        let (size, last) = (size as f64, size as f64 - 1.0);
        match self.fill_mode {
            FillMode::Constant => place.clone(),
            FillMode::Nearest => place.clip(0.0, last),
            FillMode::Wrap => modulo(place, size),
            FillMode::Reflect => {
                let around = modulo(&(place + 0.5), 2.0 * size);
                (around.minimum(-&around + 2.0 * size) - 0.5).clip(0.0, last)
            }
        }
    }

    /// Images `[batch, height, width, channels]` read at rows and columns `[batch, height', width']`.
    #[track_caller]
    pub(super) fn read(&self, x: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
        let spec = x.spec()?;
        let ([height, width], channels) = image_axes::<2>("RandomTransform", spec)?;
        if height == 0 || width == 0 {
            return Err(bad_setting("RandomTransform", "no height or width may be zero"));
        }
        let [batch, new_height, new_width] = rows.dims::<3>()?;
        let (y, x_place) = (self.inside(rows, height), self.inside(columns, width));
        let pixels = x.reshape_to(&[batch * height * width, channels]);
        let first_pixel = Tensor::iota([batch, 1, 1], 0, DType::I64) * (height * width) as i64;
        let pixel = |row: &Tensor, column: &Tensor| -> Tensor {
            let last = |size: usize| size as f64 - 1.0;
            let (near_row, near_column) = (row.clip(0.0, last(height)), column.clip(0.0, last(width)));
            let index =
                near_row.cast(DType::I64) * width as i64 + near_column.cast(DType::I64) + &first_pixel;
            let flat = index.reshape_to(&[batch * new_height * new_width]);
            let values = pixels.take(&flat, 0).reshape_to(&[batch, new_height, new_width, channels]);
            if self.fill_mode != FillMode::Constant {
                return values;
            }
            let is_inside = row.equal(&near_row).logical_and(column.equal(&near_column)).expand_dims(-1);
            where_(&is_inside, &values, &(values.zeros_like() + self.fill_value))
        };
        match self.interpolation {
            Interpolation::Nearest => Ok(pixel(&y.round(), &x_place.round())),
            Interpolation::Bilinear => {
                let (top, left) = (y.floor(), x_place.floor());
                let (bottom, right) = (&top + 1.0, &left + 1.0);
                let down = (y - &top).cast(spec.dtype).expand_dims(-1);
                let across = (x_place - &left).cast(spec.dtype).expand_dims(-1);
                let line = |row: &Tensor| pixel(row, &left) * (1.0 - &across) + pixel(row, &right) * &across;
                Ok(line(&top) * (1.0 - &down) + line(&bottom) * down)
            }
            other => {
                let rule =
                    format!("images are transformed by nearest or bilinear interpolation, not {other:?}");
                Err(bad_setting("RandomTransform", rule))
            }
        }
    }
}
