//! Normalization layers.

mod batch;
mod group;
mod layer;
mod spectral;

pub use batch::BatchNormalization;
pub use group::GroupNormalization;
pub use layer::{LayerNormalization, RMSNormalization, UnitNormalization};
pub use spectral::SpectralNormalization;
