//! Convolutions over one to three spatial axes, and the two products that are their gradients.

use smallvec::SmallVec;

/// `input [batch, spatial…, channels] ⋆ kernel [spatial…, channels / groups, filters] → [batch, spatial…, filters]`.
///
/// A cross-correlation, as everywhere in deep learning: output position `o` and kernel tap `t` meet the input
/// at `o * stride + t * dilation - low padding`; what lies outside counts as zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    pub strides: SmallVec<[usize; 3]>,
    pub dilations: SmallVec<[usize; 3]>,
    /// Rows of zeros before and after each spatial axis.
    pub padding: SmallVec<[(usize, usize); 3]>,
    pub groups: usize,
}
