//! Convolutions of `f32` images in the layout of the ops, `[batch, height, width, channels]`: for batches too small to lie
//! in lanes.
//!
//! A vector register holds neighbouring output channels of one pixel. Kernels are packed once, in the order in which the
//! innermost loop reads them ([`pack`]), and may be kept from call to call. On the way in each item can pass
//! `max(x · scale + shift, floor)` of its channel, on the way out the same and a sum with another image: normalization,
//! bias, activation and shortcuts cost no pass of their own. Input and output may be some of the channels of wider images.
//!
//! Small kernels with stride 1 go by [`winograd`], the others by [`rows`]. Results do not depend on the number of threads.

mod pack;
mod rows;
mod tile;
mod winograd;

use crate::cpu::direct_convolutions;
use crate::cpu::isa::Isa;
use crate::cpu::vector::{Real, Vector};
use crate::ops::convolution::Convolution;
use std::fmt;

/// The sizes of a convolution of images with channels innermost.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChannelsConv {
    pub(crate) batch: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    pub(crate) out_channels: usize,
    /// Height and width of the kernel; it is stored `[height, width, in_channels, out_channels]`.
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Rows of zeros above and columns of zeros to the left.
    pub(crate) padding: [usize; 2],
    method: Method,
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    /// As a product of matrices whose left rows are gathered pixels.
    Rows,
    /// By Winograd's algorithm, in tiles of that many pixels a side.
    Winograd(usize),
}

impl ChannelsConv {
    /// The sizes of a convolution over two spatial axes in one group, if there is anything to compute.
    pub(crate) fn new(conv: &Convolution, input: &[usize], kernel: &[usize]) -> Option<ChannelsConv> {
        if conv.strides.len() != 2 || conv.groups != 1 || kernel.contains(&0) {
            return None;
        }
        let mut sizes = ChannelsConv {
            batch: input[0],
            height: input[1],
            width: input[2],
            in_channels: input[3],
            out_height: conv.output_size(0, input[1], kernel[0])?,
            out_width: conv.output_size(1, input[2], kernel[1])?,
            out_channels: kernel[3],
            kernel: [kernel[0], kernel[1]],
            strides: [conv.strides[0], conv.strides[1]],
            dilations: [conv.dilations[0], conv.dilations[1]],
            padding: [conv.padding[0].0, conv.padding[1].0],
            method: Method::Rows,
        };
        if !direct_convolutions() {
            sizes.method = winograd::best_side(&sizes).map_or(Method::Rows, Method::Winograd);
        }
        (input[0] * input[1] * input[2] > 0).then_some(sizes)
    }

    /// Multiplications and additions of the direct computation, padding included.
    pub(crate) fn flops(&self) -> u64 {
        (2 * self.positions() * self.depth() * self.out_channels) as u64
    }

    /// Floats that the packed kernel takes up.
    pub(crate) fn packed_len(&self, isa: Isa) -> usize {
        let columns = panels(isa, self.out_channels).last().map_or(0, |panel| panel.start + panel.padded);
        match self.method {
            Method::Rows => self.depth() * columns,
            Method::Winograd(side) => (side + 2) * (side + 2) * self.in_channels * columns,
        }
    }

    /// Pixels of the output.
    fn positions(&self) -> usize {
        self.batch * self.out_height * self.out_width
    }

    /// Items of the kernel that each output meets.
    fn depth(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.in_channels
    }
}

impl fmt::Display for ChannelsConv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}×{}", self.kernel[0], self.kernel[1])?;
        match self.method {
            Method::Rows => Ok(()),
            Method::Winograd(side) => write!(formatter, " winograd {side}×{side}"),
        }
    }
}

/// Images that are only read, channels next to each other; strides in floats.
#[derive(Clone, Copy)]
pub(crate) struct Images {
    pub(crate) data: *const f32,
    /// From image to image, row to row, pixel to pixel.
    pub(crate) strides: [usize; 3],
}

/// Images that are written.
#[derive(Clone, Copy)]
pub(crate) struct ImagesMut {
    pub(crate) data: *mut f32,
    pub(crate) strides: [usize; 3],
}

// SAFETY: kernels only read through it.
unsafe impl Sync for Images {}
// SAFETY: tasks write to disjoint parts.
unsafe impl Sync for ImagesMut {}

fn offset(strides: &[usize; 3], image: usize, y: usize, x: usize) -> usize {
    image * strides[0] + y * strides[1] + x * strides[2]
}

impl Images {
    fn pixel(&self, image: usize, y: usize, x: usize) -> *const f32 {
        self.data.wrapping_add(offset(&self.strides, image, y, x))
    }
}

impl ImagesMut {
    fn pixel(&self, image: usize, y: usize, x: usize) -> *mut f32 {
        self.data.wrapping_add(offset(&self.strides, image, y, x))
    }
}

/// `max(x · scale + shift, floor)` with a scale and a shift for each channel.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    pub(crate) scale: Option<*const f32>,
    pub(crate) shift: Option<*const f32>,
    pub(crate) floor: Option<f32>,
}

// SAFETY: kernels only read through it.
unsafe impl Sync for Affine {}

impl Affine {
    /// Of the first `count` items from `channel` on, plus what is `added` before the floor.
    ///
    /// # Safety
    /// As all of [`Vector`]; scale and shift must be good for these channels.
    #[inline(always)]
    unsafe fn apply<V: Vector<Item = f32>>(
        &self,
        mut x: V,
        channel: usize,
        count: usize,
        added: Option<V>,
    ) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            match (self.scale, self.shift) {
                (Some(scale), Some(shift)) => {
                    let shift = load::<V>(shift.add(channel), count);
                    x = shift.multiply_add(x, load::<V>(scale.add(channel), count));
                }
                (Some(scale), None) => {
                    x = V::splat(0.0).multiply_add(x, load::<V>(scale.add(channel), count))
                }
                (None, Some(shift)) => x = x.add(load::<V>(shift.add(channel), count)),
                (None, None) => {}
            }
            if let Some(added) = added {
                x = x.add(added);
            }
            match self.floor {
                Some(floor) => x.at_least(V::splat(floor)),
                None => x,
            }
        }
    }
}

/// Loads a vector of which `count` items are there; `count` may be more than a vector holds.
///
/// # Safety
/// As [`Vector::load_first`].
#[inline(always)]
unsafe fn load<V: Vector<Item = f32>>(from: *const f32, count: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if count >= V::LANES { V::load(from) } else { V::load_first(from, count) } }
}

/// Stores those items of a vector that are there.
///
/// # Safety
/// As [`Vector::store_first`].
#[inline(always)]
unsafe fn store<V: Vector<Item = f32>>(vector: V, to: *mut f32, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { if count >= V::LANES { vector.store(to) } else { vector.store_first(to, count) } }
}

/// What happens to items on their way through a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Along {
    pub(crate) before: Affine,
    pub(crate) after: Affine,
    /// Added to the results, after their scale and shift.
    pub(crate) added: Option<Images>,
}

/// `output = after(before(input) ⋆ kernel)`; outside of the input there are zeros.
///
/// # Safety
/// All images must be good for the sizes of the convolution, the kernel be packed for it and the output overlap no other;
/// the machine must have `isa`.
pub(crate) unsafe fn forward(
    isa: Isa,
    conv: &ChannelsConv,
    input: Images,
    packed: *const f32,
    along: &Along,
    output: ImagesMut,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match conv.method {
            Method::Rows => rows::run(&rows::Rows { isa, conv, input, packed, along, output }),
            Method::Winograd(side) => winograd::run(isa, side, conv, input, packed, along, output),
        }
    }
}

/// Writes the kernel as [`forward`] wants it, [`ChannelsConv::packed_len`] floats.
///
/// # Safety
/// Both pointers must be good for the sizes of the convolution, the machine have `isa`.
pub(crate) unsafe fn pack(isa: Isa, conv: &ChannelsConv, kernel: *const f32, packed: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe { pack::run(isa, conv, kernel, packed) };
}

/// Output channels that are multiplied at once.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Panel {
    start: usize,
    count: usize,
    /// `count`, rounded up to whole vectors.
    padded: usize,
}

/// All output channels, two vectors at a time.
fn panels(isa: Isa, channels: usize) -> Vec<Panel> {
    let lanes = f32::lanes(isa);
    (0..channels)
        .step_by(2 * lanes)
        .map(|start| {
            let count = (channels - start).min(2 * lanes);
            Panel { start, count, padded: count.next_multiple_of(lanes) }
        })
        .collect()
}

#[cfg(test)]
mod tests;
