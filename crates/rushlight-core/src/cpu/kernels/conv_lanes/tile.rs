//! The innermost loops of convolutions in lanes layout: some output channels × some pixels held in registers.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use super::{LANES, OnLoad};
use crate::cpu::isa::Isa;
use crate::cpu::vector::{Real, Vector, VectorKernel, prefetch, prefetch_far};

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
    /// What is done with the source as it is read, by a tile with a single tap.
    pub(super) gather: Option<Gather>,
    pub(super) ahead: [Ahead; 2],
    pub(super) weights: *const f32,
    pub(super) weight_strides: [usize; 3],
    pub(super) target: *mut f32,
    pub(super) target_channel_stride: usize,
    pub(super) target_pixel_stride: usize,
    /// Whether the target lies in planes, far from the cache: then it is fetched while the sums are made.
    pub(super) target_is_far: bool,
    pub(super) accumulate: bool,
}

/// Pixels are computed if they are to be, and copied to where other tiles find them side by side: `[channel][pixel]`.
#[derive(Clone, Copy)]
pub(super) struct Gather {
    pub(super) on_load: Option<OnLoad>,
    pub(super) copy: *mut f32,
    pub(super) channel_stride: usize,
}

/// What is read later, brought nearer meanwhile, evenly: in a burst the machine would wait for it. It is some vectors of
/// each of some channels, strides in floats.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub(super) from: *const f32,
    pub(super) channels: usize,
    pub(super) vectors: usize,
    pub(super) channel_stride: usize,
    pub(super) vector_stride: usize,
}

impl Ahead {
    pub(super) const NOTHING: Ahead =
        Ahead { from: std::ptr::null(), channels: 0, vectors: 0, channel_stride: 0, vector_stride: 0 };

    fn count(&self) -> usize {
        self.channels * self.vectors
    }

    /// Fetches the next `count` vectors, `vector` being the number within its channel of the first of them.
    #[inline(always)]
    fn fetch(&mut self, vector: &mut usize, count: usize) {
        for _ in 0..count {
            prefetch_far(self.from.wrapping_add(*vector * self.vector_stride));
            *vector += 1;
            if *vector == self.vectors {
                *vector = 0;
                self.from = self.from.wrapping_add(self.channel_stride);
            }
        }
    }
}

/// Source channels between which something is fetched.
const FETCH_EVERY: usize = 4;

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
                    ($channels, $pixels) => unsafe {
                        match (&tile.gather, tile.counts) {
                            (Some(_), _) => f32::dispatch(isa, Shaped::<$channels, $pixels, GATHERING>(tile)),
                            (_, [_, 1, 1]) => f32::dispatch(isa, Shaped::<$channels, $pixels, SINGLE>(tile)),
                            _ => f32::dispatch(isa, Shaped::<$channels, $pixels, TAPS>(tile)),
                        }
                    },
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

/// Kinds of tiles: with several taps, with a single one, and with a single one whose source is gathered.
const TAPS: u8 = 0;
const SINGLE: u8 = 1;
const GATHERING: u8 = 2;

/// A tile whose size and kind the compiler knows.
struct Shaped<'a, const CHANNELS: usize, const PIXELS: usize, const KIND: u8>(&'a Tile);

impl<const CHANNELS: usize, const PIXELS: usize, const KIND: u8> VectorKernel<f32>
    for Shaped<'_, CHANNELS, PIXELS, KIND>
{
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        for first_lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: `run` asked for good pointers and the right machine.
            unsafe { sum::<V, CHANNELS, PIXELS, KIND>(self.0, first_lane) };
        }
    }
}

/// Sums the lanes of one register.
///
/// # Safety
/// As [`run`], called from [`Real::dispatch`].
#[inline(always)]
unsafe fn sum<V: Vector<Item = f32>, const CHANNELS: usize, const PIXELS: usize, const KIND: u8>(
    tile: &Tile,
    first_lane: usize,
) {
    let Tile { counts, source_strides, weight_strides, source_pixel_stride, .. } = *tile;
    // SAFETY: the caller's promise; offsets follow the strides of the tile.
    unsafe {
        let target = tile.target.add(first_lane);
        if tile.target_is_far {
            for channel in 0..CHANNELS {
                for pixel in 0..PIXELS {
                    let place = channel * tile.target_channel_stride + pixel * tile.target_pixel_stride;
                    prefetch(target.add(place).cast_const());
                }
            }
        }
        let mut sums = [[V::splat(0.0); PIXELS]; CHANNELS];
        let mut channel_source = tile.source.add(first_lane);
        let mut ahead = tile.ahead;
        let mut fetched = [0; 2];
        let steps = counts[0].div_ceil(FETCH_EVERY);
        let shares = ahead.map(|ahead| ahead.count().div_ceil(steps.max(1)));
        let mut channel_weights = tile.weights;
        for step in 0..steps {
            for number in 0..ahead.len() {
                ahead[number].fetch(&mut fetched[number], shares[number]);
            }
            for source_channel in step * FETCH_EVERY..counts[0].min((step + 1) * FETCH_EVERY) {
                let (mut row_source, mut row_weights) = (channel_source, channel_weights);
                let (rows, taps) = if KIND == TAPS { (counts[1], counts[2]) } else { (1, 1) };
                for _ in 0..rows {
                    let (mut source, mut weights) = (row_source, row_weights);
                    for _ in 0..taps {
                        let mut pixels = [V::splat(0.0); PIXELS];
                        for pixel in 0..PIXELS {
                            pixels[pixel] = V::load(source.offset(pixel as isize * source_pixel_stride));
                        }
                        if let (GATHERING, Some(gather)) = (KIND, &tile.gather) {
                            if let Some(on_load) = &gather.on_load {
                                let made = on_load.channel::<V>(source_channel);
                                pixels = pixels.map(
                                    #[inline(always)]
                                    |pixel| made.apply(pixel),
                                );
                            }
                            let copy = gather.copy.add(source_channel * gather.channel_stride + first_lane);
                            for pixel in 0..PIXELS {
                                pixels[pixel].store(copy.add(pixel * LANES));
                            }
                        }
                        for channel in 0..CHANNELS {
                            let weight = V::splat(*weights.add(channel));
                            for pixel in 0..PIXELS {
                                sums[channel][pixel] =
                                    sums[channel][pixel].multiply_add(weight, pixels[pixel]);
                            }
                        }
                        if KIND == TAPS {
                            source = source.wrapping_offset(source_strides[2]);
                            weights = weights.wrapping_add(weight_strides[2]);
                        }
                    }
                    if KIND == TAPS {
                        row_source = row_source.wrapping_offset(source_strides[1]);
                        row_weights = row_weights.wrapping_add(weight_strides[1]);
                    }
                }
                channel_source = channel_source.wrapping_offset(source_strides[0]);
                channel_weights = channel_weights.wrapping_add(weight_strides[0]);
            }
        }
        for channel in 0..CHANNELS {
            for pixel in 0..PIXELS {
                let to = target.add(channel * tile.target_channel_stride + pixel * tile.target_pixel_stride);
                let sum = sums[channel][pixel];
                if tile.accumulate { V::load(to).add(sum).store(to) } else { sum.store(to) }
            }
        }
    }
}
