//! 3×3 convolutions with stride 1 by Winograd's algorithm: tiles of 2×2 or 4×4 output pixels take 16 or 36
//! multiplications a channel instead of 36 or 144.
//!
//! A task transforms some tiles of the input, all channels of them, multiplies them place by place with the transformed
//! kernel, and transforms the sums back. The channels lie in the lanes throughout, so the transforms are sums of vectors.
//! Largest errors relative to the largest result are about 1e-6 for 2×2 and 1e-5 for 4×4 (see the tests).

use super::tile::{self, DEPTH, ROW, Tile};
use super::{Along, ChannelsConv, Images, ImagesMut, Panel, load, panels, store};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::{parallel_for, thread_count};
use crate::cpu::vector::{Real, Vector, VectorKernel};

/// Places along a side of the largest tile of the input.
pub(super) const MOST_PLACES: usize = 6;
/// The least channels for which transforms are worth their time.
const LEAST_CHANNELS: usize = 16;
/// Reading a transformed kernel takes as long as multiplying it with so many tiles.
const TILES_PER_READ: usize = 26;

/// The side of the tiles that suit a convolution best, if any do.
pub(super) fn best_side(conv: &ChannelsConv) -> Option<usize> {
    let fits = conv.kernel == [3, 3] && conv.strides == [1, 1] && conv.dilations == [1, 1];
    if !fits || conv.in_channels < LEAST_CHANNELS || conv.out_channels < LEAST_CHANNELS / 2 {
        return None;
    }
    let cost = |side: usize, places: usize| {
        let tiles = conv.batch * conv.out_height.div_ceil(side) * conv.out_width.div_ceil(side);
        (tiles + TILES_PER_READ) * places
    };
    let (small, large) = (cost(2, 16), cost(4, 36));
    let best = if large < small { 4 } else { 2 };
    // Transforms take about a tenth of the time.
    (small.min(large) * 11 / 10 < cost(1, 9)).then_some(best)
}

/// The matrix that transforms a side of a kernel.
pub(super) fn kernel_matrix(side: usize) -> &'static [[f32; 3]] {
    const SMALL: [[f32; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    const LARGE: [[f32; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    if side == 2 { &SMALL } else { &LARGE }
}

/// # Safety
/// As [`super::forward`].
pub(super) unsafe fn run(
    isa: Isa,
    side: usize,
    conv: &ChannelsConv,
    input: Images,
    packed: *const f32,
    along: &Along,
    output: ImagesMut,
) {
    let [rows, columns] = [conv.out_height.div_ceil(side), conv.out_width.div_ceil(side)];
    let tiles = conv.batch * rows * columns;
    let panels = panels(isa, conv.out_channels);
    let blocks = tiles.div_ceil(tile::most_rows(isa));
    let groups = (2 * thread_count() / blocks).clamp(1, panels.len().max(1));
    let job = Winograd { isa, side, conv, input, packed, along, output, rows, columns };
    parallel_for(blocks * groups, |task| {
        let (block, group) = (task / groups, task % groups);
        let panels = &panels[panels.len() * group / groups..panels.len() * (group + 1) / groups];
        let numbers: Vec<usize> = (tiles * block / blocks..tiles * (block + 1) / blocks).collect();
        // SAFETY: the caller's promise; tasks write to different pixels or channels.
        unsafe { job.block(&numbers, panels) };
    });
}

struct Winograd<'a> {
    isa: Isa,
    side: usize,
    conv: &'a ChannelsConv,
    input: Images,
    packed: *const f32,
    along: &'a Along,
    output: ImagesMut,
    /// Tiles of an image.
    rows: usize,
    columns: usize,
}

// SAFETY: what is behind its pointers is read only, but for the output, of which each task writes its own part.
unsafe impl Sync for Winograd<'_> {}

impl Winograd<'_> {
    /// Computes some panels of these tiles.
    ///
    /// # Safety
    /// As [`super::forward`].
    unsafe fn block(&self, tiles: &[usize], panels: &[Panel]) {
        let (places, lanes) = ((self.side + 2) * (self.side + 2), f32::lanes(self.isa));
        let channels = self.conv.in_channels;
        let pieces = channels.div_ceil(DEPTH);
        // `[piece of the channels][place][tile][ROW]`
        let transformed_len = pieces * places * tiles.len() * ROW;
        let sums_len = places * tiles.len() * 2 * lanes;
        with_scratch::<f32, _>(transformed_len + sums_len, |transformed| {
            let sums = transformed.wrapping_add(transformed_len);
            for (number, &tile) in tiles.iter().enumerate() {
                let to = transformed.wrapping_add(number * ROW);
                let input = TransformInput { job: self, tile: self.place(tile), tiles: tiles.len(), to };
                // SAFETY: the scratch memory has a row for each place of each tile.
                unsafe { f32::dispatch(self.isa, input) };
            }
            for panel in panels {
                let vectors = panel.padded / lanes;
                for place in 0..places {
                    for piece in 0..pieces {
                        let start = piece * DEPTH;
                        let b = panel.start * places * channels + (place * channels + start) * panel.padded;
                        let tile = Tile {
                            depth: DEPTH.min(channels - start),
                            a: transformed.wrapping_add((piece * places + place) * tiles.len() * ROW),
                            b: self.packed.wrapping_add(b),
                            c: sums.wrapping_add(place * tiles.len() * panel.padded),
                            c_stride: panel.padded,
                            accumulate: piece > 0,
                            is_first: true,
                            ahead: &[],
                        };
                        // SAFETY: the caller's promise; there is a row of sums for each tile and place.
                        unsafe { tile::run(self.isa, &tile, tiles.len(), vectors) };
                    }
                }
                for (number, &tile) in tiles.iter().enumerate() {
                    let output = TransformSums {
                        job: self,
                        panel,
                        tile: self.place(tile),
                        sums,
                        number,
                        tiles: tiles.len(),
                    };
                    // SAFETY: the caller's promise.
                    unsafe { f32::dispatch(self.isa, output) };
                }
            }
        });
    }

    /// Image, row and column of the first output pixel of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        let (row, column) = (tile / self.columns % self.rows, tile % self.columns);
        [tile / self.columns / self.rows, row * self.side, column * self.side]
    }
}

struct TransformInput<'a> {
    job: &'a Winograd<'a>,
    tile: [usize; 3],
    tiles: usize,
    to: *mut f32,
}

impl VectorKernel<f32> for TransformInput<'_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        match self.job.side {
            2 => self.transform::<V, Small, 4, 2>(),
            _ => self.transform::<V, Large, 6, 4>(),
        }
    }
}

impl TransformInput<'_> {
    #[inline(always)]
    fn transform<V, S, const PLACES: usize, const SIDE: usize>(&self)
    where
        V: Vector<Item = f32>,
        S: Sides<PLACES, SIDE>,
    {
        let (conv, before) = (self.job.conv, &self.job.along.before);
        let [image, top, left] = self.tile;
        let mut pixels = [[std::ptr::null::<f32>(); PLACES]; PLACES];
        for (y, row) in pixels.iter_mut().enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (y, x) =
                    ((top + y).wrapping_sub(conv.padding[0]), (left + x).wrapping_sub(conv.padding[1]));
                if y < conv.height && x < conv.width {
                    *pixel = self.job.input.pixel(image, y, x);
                }
            }
        }
        for channel in (0..conv.in_channels).step_by(V::LANES) {
            let count = conv.in_channels - channel;
            let start = channel / DEPTH * PLACES * PLACES * self.tiles * ROW + channel % DEPTH;
            // SAFETY: pixels have all channels, and rows room for a last whole vector.
            unsafe {
                let mut half = [[V::splat(0.0); PLACES]; PLACES];
                for (y, row) in pixels.iter().enumerate() {
                    let mut items = [V::splat(0.0); PLACES];
                    for (item, &pixel) in items.iter_mut().zip(row) {
                        if !pixel.is_null() {
                            *item = before.apply(load::<V>(pixel.add(channel), count), channel, count, None);
                        }
                    }
                    half[y] = S::input(items);
                }
                for x in 0..PLACES {
                    let mut column = [V::splat(0.0); PLACES];
                    for (item, row) in column.iter_mut().zip(&half) {
                        *item = row[x];
                    }
                    for (y, item) in S::input(column).into_iter().enumerate() {
                        item.store(self.to.add(start + (y * PLACES + x) * self.tiles * ROW));
                    }
                }
            }
        }
    }
}

struct TransformSums<'a> {
    job: &'a Winograd<'a>,
    panel: &'a Panel,
    tile: [usize; 3],
    sums: *const f32,
    number: usize,
    tiles: usize,
}

impl VectorKernel<f32> for TransformSums<'_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        match self.job.side {
            2 => self.transform::<V, Small, 4, 2>(),
            _ => self.transform::<V, Large, 6, 4>(),
        }
    }
}

impl TransformSums<'_> {
    #[inline(always)]
    fn transform<V, S, const PLACES: usize, const SIDE: usize>(&self)
    where
        V: Vector<Item = f32>,
        S: Sides<PLACES, SIDE>,
    {
        let (job, panel, [image, top, left]) = (self.job, self.panel, self.tile);
        let [height, width] = [SIDE.min(job.conv.out_height - top), SIDE.min(job.conv.out_width - left)];
        for column in (0..panel.padded).step_by(V::LANES) {
            let (channel, count) = (panel.start + column, panel.count - column);
            // SAFETY: each place of each tile has a row of sums; pixels within the image have all channels.
            unsafe {
                let mut half = [[V::splat(0.0); SIDE]; PLACES];
                for (y, half) in half.iter_mut().enumerate() {
                    let mut row = [V::splat(0.0); PLACES];
                    for (x, item) in row.iter_mut().enumerate() {
                        let at = ((y * PLACES + x) * self.tiles + self.number) * panel.padded;
                        *item = V::load(self.sums.add(at + column));
                    }
                    *half = S::output(row);
                }
                for x in 0..width {
                    let mut items = [V::splat(0.0); PLACES];
                    for (item, row) in items.iter_mut().zip(&half) {
                        *item = row[x];
                    }
                    for (y, item) in S::output(items).into_iter().enumerate().take(height) {
                        let added = job.along.added.as_ref().map(|images| {
                            load::<V>(images.pixel(image, top + y, left + x).add(channel), count)
                        });
                        let item = job.along.after.apply(item, channel, count, added);
                        store(item, job.output.pixel(image, top + y, left + x).add(channel), count);
                    }
                }
            }
        }
    }
}

/// The transforms of a side of a tile.
trait Sides<const PLACES: usize, const SIDE: usize> {
    /// Of the input.
    ///
    /// # Safety
    /// As all of [`Vector`].
    unsafe fn input<V: Vector<Item = f32>>(items: [V; PLACES]) -> [V; PLACES];

    /// Output pixels from sums.
    ///
    /// # Safety
    /// As all of [`Vector`].
    unsafe fn output<V: Vector<Item = f32>>(sums: [V; PLACES]) -> [V; SIDE];
}

/// Tiles of 2×2 pixels.
struct Small;

impl Sides<4, 2> for Small {
    #[inline(always)]
    unsafe fn input<V: Vector<Item = f32>>([a, b, c, d]: [V; 4]) -> [V; 4] {
        // SAFETY: the caller's promise.
        unsafe { [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)] }
    }

    #[inline(always)]
    unsafe fn output<V: Vector<Item = f32>>([a, b, c, d]: [V; 4]) -> [V; 2] {
        // SAFETY: the caller's promise.
        unsafe { [a.add(b).add(c), b.subtract(c).subtract(d)] }
    }
}

/// Tiles of 4×4 pixels.
struct Large;

impl Sides<6, 4> for Large {
    #[inline(always)]
    unsafe fn input<V: Vector<Item = f32>>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        // SAFETY: the caller's promise.
        unsafe {
            let (four, minus_four, minus_five) = (V::splat(4.0), V::splat(-4.0), V::splat(-5.0));
            let (even, odd) = (e.multiply_add(c, minus_four), d.multiply_add(b, minus_four));
            let (near, far) = (e.subtract(c), d.subtract(b));
            let far = far.add(far);
            [
                e.multiply_add(c, minus_five).multiply_add(a, four),
                even.add(odd),
                even.subtract(odd),
                near.add(far),
                near.subtract(far),
                f.multiply_add(d, minus_five).multiply_add(b, four),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector<Item = f32>>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let (near, far) = ((b.add(c), b.subtract(c)), (d.add(e), d.subtract(e)));
            [
                a.add(near.0).add(far.0),
                near.1.multiply_add(far.1, V::splat(2.0)),
                near.0.multiply_add(far.0, V::splat(4.0)),
                near.1.multiply_add(far.1, V::splat(8.0)).add(f),
            ]
        }
    }
}
