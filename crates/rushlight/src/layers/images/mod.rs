//! Images: other sizes, other scales, and random changes that make more examples of few.

mod crop;
mod flip;
mod normalization;
mod random;
mod rescaling;
mod resize;
mod sample;
mod transform;
mod upsampling;

pub use crop::{CenterCrop, RandomCrop};
pub use flip::{FlipMode, RandomFlip};
pub use normalization::Normalization;
pub use random::{RandomBrightness, RandomContrast, Range, ValueRange};
pub use rescaling::{Numbers, Rescaling};
pub use resize::{Interpolation, Resizing};
pub use sample::FillMode;
pub use transform::{RandomRotation, RandomTranslation, RandomZoom};
pub use upsampling::{UpSampling1d, UpSampling2d, UpSampling3d};
