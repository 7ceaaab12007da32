//! Convolutions of `f32` in lanes layout: `[batch / 16][channel][height][width][16]`, sixteen images side by side.
//!
//! A vector register holds one pixel of sixteen images, so a direct convolution needs no shuffles and no copies, and
//! padding is taps left out. Input and output may be some of the channels of larger buffers. Results do not depend on
//! the number of threads. Where [`winograd`] suits a convolution, it and its input gradient are computed that way.
//!
//! Planes of a power of two bytes compete for the same places of the caches: a buffer whose channels lie some odd number
//! of pixels further apart (`channel_stride = height * width * 16 + 48`) is read up to a third faster.

mod kernel_gradient;
mod masked;
mod on_load;
mod pass;
mod tile;
mod winograd;

use crate::cpu::direct_convolutions;
use crate::cpu::isa::Isa;
use crate::ops::convolution::Convolution;
pub(crate) use masked::Masked;
pub(crate) use on_load::OnLoad;
use std::fmt;
use winograd::Winograd;

/// Images side by side.
pub(crate) const LANES: usize = 16;

/// The sizes of a convolution in lanes layout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LanesConv {
    /// Sixteenths of the batch.
    pub(crate) blocks: usize,
    pub(crate) in_channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) out_channels: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    /// Height and width of the kernel; it is stored `[height, width, in_channels, out_channels]`.
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Rows of zeros above and columns of zeros to the left (those below and to the right follow from the sizes).
    pub(crate) padding: [usize; 2],
    /// Whether Winograd's algorithm is left alone.
    pub(crate) direct: bool,
}

impl LanesConv {
    /// Whether a convolution has a lowering here: two spatial axes and one group.
    pub(crate) fn supports(conv: &Convolution) -> bool {
        conv.strides.len() == 2 && conv.groups == 1
    }

    /// The sizes of a supported convolution of `input [batch, height, width, channels]`, the batch a multiple of
    /// [`LANES`], with `kernel [height, width, channels, filters]`.
    pub(crate) fn new(conv: &Convolution, input: &[usize], kernel: &[usize]) -> Option<LanesConv> {
        if !LanesConv::supports(conv) || !input[0].is_multiple_of(LANES) {
            return None;
        }
        Some(LanesConv {
            blocks: input[0] / LANES,
            in_channels: input[3],
            height: input[1],
            width: input[2],
            out_channels: kernel[3],
            out_height: conv.output_size(0, input[1], kernel[0])?,
            out_width: conv.output_size(1, input[2], kernel[1])?,
            kernel: [kernel[0], kernel[1]],
            strides: [conv.strides[0], conv.strides[1]],
            dilations: [conv.dilations[0], conv.dilations[1]],
            padding: [conv.padding[0].0, conv.padding[1].0],
            direct: direct_convolutions(),
        })
    }

    /// Whether the forward pass can compute its pixels as it loads them. The kernel gradient always can.
    pub(crate) fn computes_on_load(&self) -> bool {
        winograd::suits(self) || (self.kernel == [1, 1] && self.padding == [0, 0])
    }

    /// Whether [`masked_input_gradient`] is there for this convolution.
    pub(crate) fn takes_masks(&self) -> bool {
        let pointwise = self.kernel == [1, 1] && self.padding == [0, 0] && self.strides == [1, 1];
        let full = self.blocks * self.in_channels * self.out_channels * self.height * self.width > 0;
        full && (winograd::suits(self) || pointwise)
    }

    /// Multiplications and additions of the direct computation, padding included.
    pub(crate) fn flops(&self) -> u64 {
        let points = self.blocks * LANES * self.out_height * self.out_width * self.out_channels;
        2 * (points * self.in_channels * self.kernel[0] * self.kernel[1]) as u64
    }

    fn input_size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    fn output_size(&self) -> [usize; 2] {
        [self.out_height, self.out_width]
    }
}

impl fmt::Display for LanesConv {
    /// The size of the kernel, and how it is computed if not directly.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if winograd::suits(self) { " winograd" } else { "" };
        write!(formatter, "{}×{}{method}", self.kernel[0], self.kernel[1])
    }
}

/// Planes of pixels that are only read: `[block][channel][height][width][16]`, strides in floats.
#[derive(Clone, Copy)]
pub(crate) struct Planes {
    /// The first channel that takes part.
    pub(crate) data: *const f32,
    pub(crate) block_stride: usize,
    pub(crate) channel_stride: usize,
    /// What is computed with the pixels first.
    pub(crate) on_load: Option<OnLoad>,
}

// SAFETY: kernels only read through it.
unsafe impl Sync for Planes {}

impl Planes {
    pub(super) fn block(&self, block: usize) -> *const f32 {
        self.data.wrapping_add(block * self.block_stride)
    }
}

/// Planes of pixels that are written.
#[derive(Clone, Copy)]
pub(crate) struct PlanesMut {
    /// The first channel that takes part.
    pub(crate) data: *mut f32,
    pub(crate) block_stride: usize,
    pub(crate) channel_stride: usize,
}

// SAFETY: tasks write to disjoint parts.
unsafe impl Sync for PlanesMut {}

impl PlanesMut {
    pub(super) fn block(&self, block: usize) -> *mut f32 {
        self.data.wrapping_add(block * self.block_stride)
    }
}

/// `output = input ⋆ kernel`.
///
/// # Safety
/// Input, kernel and output must be good for the sizes of the convolution and not overlap, and the machine have `isa`.
pub(crate) unsafe fn forward(
    isa: Isa,
    conv: &LanesConv,
    input: Planes,
    kernel: *const f32,
    output: PlanesMut,
) {
    if conv.blocks * conv.out_channels * conv.out_height * conv.out_width > 0 {
        // SAFETY: the caller's promise.
        unsafe {
            if winograd::suits(conv) {
                let (source, target) = (input, output);
                let masked = None;
                Winograd { isa, conv, source, kernel, target, backward: false, accumulate: false, masked }
                    .run();
            } else {
                pass::forward(isa, conv, input, kernel, output);
            }
        }
    }
}

/// The gradient with respect to the input, written to `result` or, if `accumulate`, added to what it holds.
///
/// # Safety
/// As [`forward`], with the gradient in the place of the output and the result in that of the input.
pub(crate) unsafe fn input_gradient(
    isa: Isa,
    conv: &LanesConv,
    gradient: Planes,
    kernel: *const f32,
    result: PlanesMut,
    accumulate: bool,
) {
    if conv.blocks * conv.in_channels * conv.height * conv.width > 0 {
        // SAFETY: the caller's promise.
        unsafe {
            if winograd::suits(conv) {
                let (source, target) = (gradient, result);
                let masked = None;
                Winograd { isa, conv, source, kernel, target, backward: true, accumulate, masked }.run();
            } else {
                pass::input_gradient(isa, conv, gradient, kernel, result, accumulate, None);
            }
        }
    }
}

/// The gradient with respect to what the input was made of: see [`Masked`].
///
/// # Safety
/// As [`input_gradient`]; [`LanesConv::takes_masks`] must hold, and all of `masked` be good for the sizes of the input.
pub(crate) unsafe fn masked_input_gradient(
    isa: Isa,
    conv: &LanesConv,
    gradient: Planes,
    kernel: *const f32,
    masked: &Masked,
    result: PlanesMut,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if winograd::suits(conv) {
            let (source, target, masked) = (gradient, result, Some(masked));
            Winograd { isa, conv, source, kernel, target, backward: true, accumulate: false, masked }.run();
        } else {
            pass::input_gradient(isa, conv, gradient, kernel, result, false, Some(masked));
        }
    }
}

/// The gradient with respect to the kernel, written to `result: [height, width, in_channels, out_channels]`.
///
/// # Safety
/// As [`forward`], with the gradient in the place of the output and the result in that of the kernel.
pub(crate) unsafe fn kernel_gradient(
    isa: Isa,
    conv: &LanesConv,
    input: Planes,
    gradient: Planes,
    result: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe { kernel_gradient::run(isa, conv, input, gradient, result) };
}

#[cfg(test)]
mod tests;
