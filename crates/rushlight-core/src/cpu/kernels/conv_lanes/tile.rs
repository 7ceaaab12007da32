//! The innermost loops of convolutions in lanes layout: some output channels × some pixels held in registers.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use super::LANES;
use crate::cpu::isa::Isa;
use crate::cpu::vector::{Real, Vector, VectorKernel, prefetch_far};

/// Numbers of channels that a tile can have, the largest first.
const CHANNELS: [usize; 7] = [12, 8, 6, 4, 3, 2, 1];
/// The largest of them.
pub(super) const MOST_CHANNELS: usize = CHANNELS[0];
/// Numbers of pixels that a tile can have, the largest first.
const PIXELS: [usize; 4] = [8, 4, 2, 1];

/// Accumulators that a tile may have: the rest of the registers holds pixels and a weight.
fn most_sums(isa: Isa) -> usize {
    if f32::registers(isa) == 32 { 24 } else { 12 }
}

/// Cuts `count` channels into tiles: the first channel and the number of channels of each.
pub(super) fn channel_tiles(isa: Isa, count: usize) -> Vec<(usize, usize)> {
    // Tiles of one pixel make poor use of few registers.
    let most = most_sums(isa) / 2;
    let mut tiles = Vec::new();
    let mut start = 0;
    while start < count {
        let size = CHANNELS.into_iter().find(|&size| size <= most.min(count - start)).unwrap_or(1);
        tiles.push((start, size));
        start += size;
    }
    tiles
}

/// The number of pixels of the next tile, with `left` pixels to go.
pub(super) fn pixels(isa: Isa, channels: usize, left: usize) -> usize {
    let most = most_sums(isa) / channels;
    PIXELS.into_iter().find(|&pixels| pixels <= most.min(left)).unwrap_or(1)
}

/// `target[channel][pixel] (+)= Σ over c, y, x of source[c][y][x + pixel] · weights[c][y][x][channel]`,
/// each item a vector of [`LANES`] images. Strides are in floats.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) source: *const f32,
    /// Terms of the sum over source channels, rows of taps and taps in a row, and how far apart each of them lies.
    pub(super) counts: [usize; 3],
    pub(super) source_strides: [isize; 3],
    pub(super) source_pixel_stride: isize,
    /// What a later tile will read, brought nearer meanwhile: for each source channel and pixel one vector.
    pub(super) ahead: *const f32,
    pub(super) ahead_strides: [isize; 2],
    pub(super) weights: *const f32,
    pub(super) weight_strides: [usize; 3],
    pub(super) target: *mut f32,
    pub(super) target_channel_stride: usize,
    pub(super) target_pixel_stride: usize,
    pub(super) accumulate: bool,
}

/// Runs a tile of `channels` and `pixels` as [`channel_tiles`] and [`pixels`] give them.
///
/// # Safety
/// All pointers must be good for the tile, and the machine have `isa`.
#[inline]
pub(super) unsafe fn run(isa: Isa, tile: &Tile, channels: usize, pixels: usize) {
    macro_rules! choose {
        ($($channels:literal: $($pixels:literal)*;)*) => {
            match (channels, pixels) {
                $($(
                    // SAFETY: the caller's promise.
                    ($channels, $pixels) => unsafe { f32::dispatch(isa, Shaped::<$channels, $pixels>(tile)) },
                )*)*
                _ => unreachable!("a tile of {channels} channels and {pixels} pixels"),
            }
        };
    }
    choose! {
        12: 2 1;
        8: 2 1;
        6: 4 2 1;
        4: 4 2 1;
        3: 8 4 2 1;
        2: 8 4 2 1;
        1: 8 4 2 1;
    }
}

/// A tile whose size the compiler knows.
struct Shaped<'a, const CHANNELS: usize, const PIXELS: usize>(&'a Tile);

impl<const CHANNELS: usize, const PIXELS: usize> VectorKernel<f32> for Shaped<'_, CHANNELS, PIXELS> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        for first_lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: `run` asked for good pointers and the right machine.
            unsafe { sum::<V, CHANNELS, PIXELS>(self.0, first_lane) };
        }
    }
}

/// Sums the lanes of one register.
///
/// # Safety
/// As [`run`], called from [`Real::dispatch`].
#[inline(always)]
unsafe fn sum<V: Vector<Item = f32>, const CHANNELS: usize, const PIXELS: usize>(
    tile: &Tile,
    first_lane: usize,
) {
    let Tile { counts, source_strides, weight_strides, source_pixel_stride, .. } = *tile;
    // SAFETY: the caller's promise; offsets follow the strides of the tile.
    unsafe {
        let mut sums = [[V::splat(0.0); PIXELS]; CHANNELS];
        let mut channel_source = tile.source.add(first_lane);
        let mut ahead = tile.ahead.wrapping_add(first_lane);
        let mut channel_weights = tile.weights;
        for _ in 0..counts[0] {
            let (mut row_source, mut row_weights) = (channel_source, channel_weights);
            for pixel in 0..PIXELS {
                prefetch_far(ahead.wrapping_offset(pixel as isize * tile.ahead_strides[1]));
            }
            for _ in 0..counts[1] {
                let (mut source, mut weights) = (row_source, row_weights);
                for _ in 0..counts[2] {
                    let mut pixels = [V::splat(0.0); PIXELS];
                    for pixel in 0..PIXELS {
                        pixels[pixel] = V::load(source.offset(pixel as isize * source_pixel_stride));
                    }
                    for channel in 0..CHANNELS {
                        let weight = V::splat(*weights.add(channel));
                        for pixel in 0..PIXELS {
                            sums[channel][pixel] = sums[channel][pixel].multiply_add(weight, pixels[pixel]);
                        }
                    }
                    source = source.wrapping_offset(source_strides[2]);
                    weights = weights.wrapping_add(weight_strides[2]);
                }
                row_source = row_source.wrapping_offset(source_strides[1]);
                row_weights = row_weights.wrapping_add(weight_strides[1]);
            }
            channel_source = channel_source.wrapping_offset(source_strides[0]);
            channel_weights = channel_weights.wrapping_add(weight_strides[0]);
            ahead = ahead.wrapping_offset(tile.ahead_strides[0]);
        }
        let target = tile.target.add(first_lane);
        for channel in 0..CHANNELS {
            for pixel in 0..PIXELS {
                let to = target.add(channel * tile.target_channel_stride + pixel * tile.target_pixel_stride);
                let sum = sums[channel][pixel];
                if tile.accumulate { V::load(to).add(sum).store(to) } else { sum.store(to) }
            }
        }
    }
}
