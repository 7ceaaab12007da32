//! Convolutions 3×3 of stride 1 in lanes layout with fewer multiplications: Winograd's F(2×2, 3×3).
//!
//! A square of 2×2 outputs needs 36 products of input and kernel for each pair of channels; after linear transforms of
//! 4×4 inputs, of the kernel and of the sums, 16 are enough (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2015). In lanes layout the transforms are sums of whole vectors. Rounding differs from the direct sum: the
//! error relative to the largest output is about 1e-6.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use super::masked::{self, Masked};
use super::tile::{self, Ahead, Tile};
use super::{LANES, LanesConv, Planes, PlanesMut};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::gemm::Target;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::{parallel_for, thread_count};
use crate::cpu::vector::{Real, Vector, VectorKernel};

/// Items of a transformed square.
const POINTS: usize = 16;
/// Squares side by side that are transformed and multiplied at once.
const SQUARES: usize = 2;
/// The most source channels whose transformed squares wait at once: they stay in the second-level cache.
const MOST_CHANNELS: usize = 512;
/// Source channels whose kernels a task transforms: one cache line of them where they lie side by side.
const KERNEL_TASK: usize = 16;

/// Channels from which on the transforms cost less than they save.
const LEAST_CHANNELS: usize = 6;

/// Whether a convolution can, and had better, be computed this way: 3×3, no stride or dilation, an output as large as the
/// input and made of whole pairs of squares, and not just a few channels.
pub(super) fn suits(conv: &LanesConv) -> bool {
    !conv.direct
        && conv.kernel == [3, 3]
        && conv.in_channels.min(conv.out_channels) >= LEAST_CHANNELS
        && conv.strides == [1, 1]
        && conv.dilations == [1, 1]
        && conv.padding == [1, 1]
        && conv.output_size() == conv.input_size()
        && conv.height.is_multiple_of(2)
        && conv.width.is_multiple_of(2 * SQUARES)
}

/// The convolution, or with `backward` its input gradient: then source and target are gradients of output and input.
pub(super) struct Winograd<'a> {
    pub(super) isa: Isa,
    pub(super) conv: &'a LanesConv,
    pub(super) source: Planes,
    pub(super) kernel: *const f32,
    pub(super) target: PlanesMut,
    pub(super) backward: bool,
    pub(super) accumulate: bool,
    /// What becomes of an input gradient instead.
    pub(super) masked: Option<&'a Masked>,
}

// SAFETY: what it points to is read, or written by tasks in disjoint parts.
unsafe impl Sync for Winograd<'_> {}

impl Winograd<'_> {
    fn source_channels(&self) -> usize {
        if self.backward { self.conv.out_channels } else { self.conv.in_channels }
    }

    fn target_channels(&self) -> usize {
        if self.backward { self.conv.in_channels } else { self.conv.out_channels }
    }

    /// # Safety
    /// See [`super::forward`] and [`super::input_gradient`]; [`suits`] must hold.
    pub(super) unsafe fn run(&self) {
        let (sources, targets) = (self.source_channels(), self.target_channels());
        let tiles = tile::channel_tiles(self.isa, targets);
        with_scratch::<f32, _>(POINTS * sources * targets, |kernel| {
            let kernel = Target(kernel);
            parallel_for(sources.div_ceil(KERNEL_TASK), |task| {
                let sources = task * KERNEL_TASK..sources.min((task + 1) * KERNEL_TASK);
                for &(first, count) in &tiles {
                    let to = kernel.at(POINTS * self.source_channels() * first);
                    let transform = TransformKernel { of: self, sources: sources.clone(), first, count, to };
                    // SAFETY: the scratch memory has a place for each pair of channels; tasks write disjoint ones.
                    unsafe { f32::dispatch(self.isa, transform) };
                }
            });
            // Neighbouring rows share half of their input, so a task takes several of them.
            let rows = self.conv.height / 2;
            let wanted = if self.masked.is_some() { masked::TASKS } else { 8 * thread_count() };
            let strips = rows.min(wanted.div_ceil(self.conv.blocks));
            masked::with_sums(self.isa, self.masked, self.conv.blocks * strips, targets, |task, sums| {
                let (block, strip) = (task / strips, task % strips);
                for row in rows * strip / strips..rows * (strip + 1) / strips {
                    // SAFETY: the caller's promise; tasks write to disjoint rows.
                    unsafe { self.row(block, 2 * row, &tiles, kernel.at(0), sums) };
                }
            });
        });
    }

    /// Where the pixel above and to the left of one lies in its plane.
    fn corner(&self, y: usize, x: usize) -> isize {
        ((y as isize - 1) * self.conv.width as isize + x as isize - 1) * LANES as isize
    }

    /// What the mask of the next tile of channels needs, of which each point fetches one pixel: those of the squares at
    /// hand, or behind the last tile those of the next squares.
    fn mask_ahead(
        &self,
        block: usize,
        y: usize,
        x: usize,
        tiles: &[(usize, usize)],
        tile: usize,
        point: usize,
    ) -> Ahead {
        let Some(masked) = self.masked else { return Ahead::NOTHING };
        let pixels = 2 * 2 * SQUARES;
        let Some(planes) = masked.read_planes(point / pixels) else { return Ahead::NOTHING };
        let (x, (first, count)) = match tiles.get(tile + 1) {
            Some(&next) => (x, next),
            None => (x + 2 * SQUARES, tiles[0]),
        };
        let (row, column) = (point % pixels / (2 * SQUARES), point % (2 * SQUARES));
        let place = ((y + row) * self.conv.width + x + column) * LANES;
        Ahead {
            from: planes.block(block).wrapping_add(first * planes.channel_stride + place),
            channels: count,
            vectors: 1,
            channel_stride: planes.channel_stride,
            vector_stride: 0,
        }
    }

    /// Computes two rows of a block.
    ///
    /// # Safety
    /// As [`Winograd::run`].
    unsafe fn row(
        &self,
        block: usize,
        y: usize,
        tiles: &[(usize, usize)],
        kernel: *const f32,
        channel_sums: *mut f32,
    ) {
        let sources = self.source_channels();
        let chunks = sources.div_ceil(MOST_CHANNELS);
        let chunk = sources.div_ceil(chunks.max(1));
        // Points lie an odd number of vectors apart, so that they do not compete for the same places of the cache.
        let point_stride = (chunk * SQUARES + 1) * LANES;
        let sums_size = POINTS * tile::MOST_CHANNELS * SQUARES * LANES;
        let channel_stride = self.source.channel_stride as isize;
        let ahead = |channel: usize, y: usize, x: usize| {
            let place = channel as isize * channel_stride + self.corner(y, x + 1);
            self.source.block(block).wrapping_offset(place)
        };
        let waiting = if chunks > 1 { tiles.len() } else { 1 };
        with_scratch::<f32, _>(POINTS * point_stride + waiting * sums_size, |squares| {
            let sums = squares.wrapping_add(POINTS * point_stride);
            for x in (0..self.conv.width).step_by(2 * SQUARES) {
                // The first new column of the next pair, or of the first pair of the rows below.
                let last = x + 2 * SQUARES == self.conv.width;
                let (next_y, next_x) = if last { (y + 2, 0) } else { (y, x + 2 * SQUARES + 1) };
                for number in 0..chunks.max(1) {
                    let channels = number * chunk..sources.min((number + 1) * chunk);
                    let transform = Transform {
                        of: self,
                        block,
                        y,
                        x,
                        channels: channels.clone(),
                        squares,
                        point_stride,
                    };
                    // SAFETY: the caller's promise; the scratch memory has room for the squares.
                    unsafe { f32::dispatch(self.isa, transform) };
                    for (tile_number, &(first, count)) in tiles.iter().enumerate() {
                        let sums = sums.wrapping_add(if chunks > 1 { tile_number * sums_size } else { 0 });
                        for point in 0..POINTS {
                            let weights =
                                POINTS * sources * first + (point * sources + channels.start) * count;
                            let tile = Tile {
                                source: squares.wrapping_add(point * point_stride),
                                counts: [channels.len(), 1, 1],
                                source_strides: [(SQUARES * LANES) as isize, 0, 0],
                                source_pixel_stride: LANES as isize,
                                gather: None,
                                ahead: [
                                    Ahead {
                                        from: ahead(channels.start, next_y + point / 4, next_x + point % 4),
                                        channels: channels.len(),
                                        vectors: 1,
                                        channel_stride: self.source.channel_stride,
                                        vector_stride: 0,
                                    },
                                    self.mask_ahead(block, y, x, tiles, tile_number, point),
                                ],
                                weights: kernel.wrapping_add(weights),
                                weight_strides: [count, 0, 0],
                                target: sums.wrapping_add(point * count * SQUARES * LANES),
                                target_channel_stride: SQUARES * LANES,
                                target_pixel_stride: LANES,
                                target_is_far: false,
                                accumulate: number > 0,
                            };
                            // SAFETY: squares, kernel and sums have these channels.
                            unsafe { tile::run(self.isa, &tile, count, SQUARES) };
                        }
                        if number + 1 >= chunks {
                            // SAFETY: the sums are complete; the target has these pixels.
                            unsafe {
                                let finish =
                                    Finish { of: self, block, y, x, first, count, sums, channel_sums };
                                f32::dispatch(self.isa, finish);
                            };
                        }
                    }
                }
            }
        });
    }
}

/// Writes the kernel between some source channels and the target channels of a tile, transformed, to
/// `[point][source][channel of the tile]`.
struct TransformKernel<'a, 'b> {
    of: &'a Winograd<'b>,
    sources: std::ops::Range<usize>,
    first: usize,
    count: usize,
    to: *mut f32,
}

impl VectorKernel<f32> for TransformKernel<'_, '_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        for source in self.sources.clone() {
            for channel in (0..self.count).step_by(V::LANES) {
                // SAFETY: made in `Winograd::run` with good pointers, for an isa of this machine.
                unsafe { self.channels::<V>(source, channel, V::LANES.min(self.count - channel)) };
            }
        }
    }
}

impl TransformKernel<'_, '_> {
    /// Transforms what lies between a source channel and neighbouring channels of the tile.
    ///
    /// # Safety
    /// As [`Winograd::run`], called from [`Real::dispatch`].
    #[inline(always)]
    unsafe fn channels<V: Vector<Item = f32>>(&self, source: usize, channel: usize, count: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let half = V::splat(0.5);
            let mut columns = [[V::splat(0.0); 3]; 4];
            for x in 0..3 {
                let [a, b, c] = [
                    self.tap::<V>(source, channel, count, 0, x),
                    self.tap::<V>(source, channel, count, 1, x),
                    self.tap::<V>(source, channel, count, 2, x),
                ];
                for (column, value) in columns.iter_mut().zip(transformed(half, a, b, c)) {
                    column[x] = value;
                }
            }
            let to = self.to.add(source * self.count + channel);
            for (y, [a, b, c]) in columns.into_iter().enumerate() {
                for (x, value) in transformed(half, a, b, c).into_iter().enumerate() {
                    let point = (y * 4 + x) * self.of.source_channels() * self.count;
                    value.store_first(to.add(point), count);
                }
            }
        }
    }

    /// One tap of the kernel for neighbouring channels of the tile. Going backward the kernel is mirrored, and the roles of
    /// the channels are swapped.
    ///
    /// # Safety
    /// As [`TransformKernel::channels`].
    #[inline(always)]
    unsafe fn tap<V: Vector<Item = f32>>(
        &self,
        source: usize,
        channel: usize,
        count: usize,
        y: usize,
        x: usize,
    ) -> V {
        let Winograd { conv, kernel, backward, .. } = self.of;
        let channel = self.first + channel;
        let tap = y * 3 + x;
        // SAFETY: the kernel has nine taps of all channels.
        unsafe {
            if *backward {
                let mut values = [0f32; LANES];
                let from = kernel.add(((8 - tap) * conv.in_channels + channel) * conv.out_channels + source);
                for (number, value) in values[..count].iter_mut().enumerate() {
                    *value = *from.add(number * conv.out_channels);
                }
                V::load(values.as_ptr())
            } else {
                let from = kernel.add((tap * conv.in_channels + source) * conv.out_channels + channel);
                V::load_first(from, count)
            }
        }
    }
}

/// Three taps in a row as four points.
///
/// # Safety
/// Called from [`Real::dispatch`].
#[inline(always)]
unsafe fn transformed<V: Vector<Item = f32>>(half: V, a: V, b: V, c: V) -> [V; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(0.0);
        let plus = zero.multiply_add(half, a.add(b).add(c));
        let minus = zero.multiply_add(half, a.subtract(b).add(c));
        [a, plus, minus, c]
    }
}

/// Transforms the inputs of neighbouring squares: `squares[point][channel][square]`.
struct Transform<'a, 'b> {
    of: &'a Winograd<'b>,
    block: usize,
    y: usize,
    x: usize,
    channels: std::ops::Range<usize>,
    squares: *mut f32,
    point_stride: usize,
}

impl VectorKernel<f32> for Transform<'_, '_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        for first_lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: made in `Winograd::row` with good pointers, for an isa of this machine.
            unsafe {
                match (self.of.source.on_load.is_some(), self.is_at_edge()) {
                    (false, _) => self.lanes::<V, false, true>(first_lane),
                    (true, true) => self.lanes::<V, true, true>(first_lane),
                    (true, false) => self.lanes::<V, true, false>(first_lane),
                }
            };
        }
    }
}

/// Rows and columns of input that neighbouring squares cover.
const INPUT_ROWS: usize = 4;
const INPUT_COLUMNS: usize = 2 * SQUARES + 2;

/// A row of pixels of zeros.
#[repr(align(64))]
struct Zeros([f32; INPUT_COLUMNS * LANES]);

static ZEROS: Zeros = Zeros([0.0; INPUT_COLUMNS * LANES]);

impl Transform<'_, '_> {
    /// Whether some of the input lies outside of the planes.
    fn is_at_edge(&self) -> bool {
        let (height, width) = (self.of.conv.height, self.of.conv.width);
        self.y == 0 || self.y + 2 == height || self.x == 0 || self.x + 2 * SQUARES == width
    }

    /// Pixels outside of the planes are zeros: read as such, or if pixels are computed as they are loaded, put in.
    ///
    /// # Safety
    /// As [`Winograd::row`], called from [`Real::dispatch`].
    #[inline(always)]
    unsafe fn lanes<V: Vector<Item = f32>, const ON_LOAD: bool, const EDGE: bool>(&self, first_lane: usize) {
        let (height, width) = (self.of.conv.height, self.of.conv.width);
        let (top, bottom) = (self.y == 0, self.y + 2 == height);
        let (left, right) = (self.x == 0, self.x + 2 * SQUARES == width);
        let row = width * LANES;
        let corner = self.of.corner(self.y, self.x);
        let block = self.of.source.block(self.block).wrapping_add(first_lane);
        for (number, channel) in self.channels.clone().enumerate() {
            let source = block.wrapping_add(channel * self.of.source.channel_stride).wrapping_offset(corner);
            // Rows and columns of pixels outside the plane are read from zeros.
            let zeros = ZEROS.0.as_ptr();
            let is_outside = |y: usize| EDGE && ((y == 0 && top) || (y == 3 && bottom));
            let lines =
                [0, 1, 2, 3].map(|y| if is_outside(y) { zeros } else { source.wrapping_add(y * row) });
            // SAFETY: pixels outside the planes are not read.
            unsafe {
                let mut rows = [[V::splat(0.0); INPUT_COLUMNS]; INPUT_ROWS];
                let made = self.of.source.on_load.as_ref().map(|on_load| on_load.channel::<V>(channel));
                for x in 0..INPUT_COLUMNS {
                    let outside = EDGE && ((x == 0 && left) || (x == INPUT_COLUMNS - 1 && right));
                    let load = |y: usize| match &made {
                        Some(_) if ON_LOAD && (outside || is_outside(y)) => V::splat(0.0),
                        Some(made) if ON_LOAD => made.apply(V::load(lines[y].wrapping_add(x * LANES))),
                        _ => V::load(if outside { zeros } else { lines[y].wrapping_add(x * LANES) }),
                    };
                    let (first, second, third, last) = (load(0), load(1), load(2), load(3));
                    rows[0][x] = first.subtract(third);
                    rows[1][x] = second.add(third);
                    rows[2][x] = third.subtract(second);
                    rows[3][x] = second.subtract(last);
                }
                let to = self.squares.add(number * SQUARES * LANES + first_lane);
                for (y, row) in rows.iter().enumerate() {
                    for square in 0..SQUARES {
                        let [a, b, c, d] =
                            [row[2 * square], row[2 * square + 1], row[2 * square + 2], row[2 * square + 3]];
                        let points = [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)];
                        for (x, value) in points.into_iter().enumerate() {
                            value.store(to.add((y * 4 + x) * self.point_stride + square * LANES));
                        }
                    }
                }
            }
        }
    }
}

/// Turns the sums `[point][channel][square]` into 2×2 outputs for each square.
struct Finish<'a, 'b> {
    of: &'a Winograd<'b>,
    block: usize,
    y: usize,
    x: usize,
    first: usize,
    count: usize,
    sums: *const f32,
    /// The sums of the task, where outputs are masked.
    channel_sums: *mut f32,
}

impl VectorKernel<f32> for Finish<'_, '_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        match self.of.masked {
            Some(masked) => self.masked::<V>(masked),
            None => self.store::<V>(),
        }
    }
}

impl Finish<'_, '_> {
    /// The outputs of a square: `[y][x]`.
    ///
    /// # Safety
    /// As [`Winograd::row`], called from [`Real::dispatch`].
    #[inline(always)]
    unsafe fn square<V: Vector<Item = f32>>(
        &self,
        channel: usize,
        square: usize,
        lane: usize,
    ) -> [[V; 2]; 2] {
        let sums = self.sums.wrapping_add((channel * SQUARES + square) * LANES + lane);
        // SAFETY: the caller's promise.
        unsafe {
            let at = |point: usize| V::load(sums.add(point * self.count * SQUARES * LANES));
            let mut rows = [[V::splat(0.0); 4]; 2];
            for x in 0..4 {
                let (a, b, c, d) = (at(x), at(4 + x), at(8 + x), at(12 + x));
                rows[0][x] = a.add(b).add(c);
                rows[1][x] = b.subtract(c).subtract(d);
            }
            rows.map(|[a, b, c, d]| [a.add(b).add(c), b.subtract(c).subtract(d)])
        }
    }

    #[inline(always)]
    fn masked<V: Vector<Item = f32>>(&self, masked: &Masked) {
        let row = self.of.conv.width * LANES;
        let place = self.y * row + self.x * LANES;
        let block = self.of.target.block(self.block).wrapping_add(place);
        for number in 0..self.count {
            let channel = self.first + number;
            let target = block.wrapping_add(channel * self.of.target.channel_stride);
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: made in `Winograd::row` with good pointers, for an isa of this machine.
                unsafe {
                    let mut at = masked.channel::<V>(self.block, channel, place, target);
                    for square in 0..SQUARES {
                        for (y, values) in self.square::<V>(number, square, lane).into_iter().enumerate() {
                            for (x, value) in values.into_iter().enumerate() {
                                at.store(y * row + (2 * square + x) * LANES + lane, value);
                            }
                        }
                    }
                    at.add_to(self.channel_sums.add(channel * masked::SUMS), lane);
                }
            }
        }
    }

    #[inline(always)]
    fn store<V: Vector<Item = f32>>(&self) {
        let row = self.of.conv.width * LANES;
        let block = self.of.target.block(self.block);
        for channel in 0..self.count {
            for square in 0..SQUARES {
                let place = self.y * row + (self.x + 2 * square) * LANES;
                let target =
                    block.wrapping_add((self.first + channel) * self.of.target.channel_stride + place);
                for lane in (0..LANES).step_by(V::LANES) {
                    // SAFETY: made in `Winograd::row` with good pointers, for an isa of this machine.
                    unsafe {
                        for (y, values) in self.square::<V>(channel, square, lane).into_iter().enumerate() {
                            for (x, value) in values.into_iter().enumerate() {
                                let to = target.add(y * row + x * LANES + lane);
                                if self.of.accumulate {
                                    V::load(to).add(value).store(to)
                                } else {
                                    value.store(to)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
