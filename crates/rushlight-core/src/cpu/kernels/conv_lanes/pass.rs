//! The direct convolution in lanes layout, and its input gradient as one such convolution for each phase of the strides.

use super::masked::{self, Masked};
use super::tile::{self, Ahead, Gather, Tile};
use super::{LANES, LanesConv, Planes, PlanesMut};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::gemm::Target;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::thread_count;
use crate::cpu::vector::{Real, Vector, VectorKernel};
use std::ops::Range;

/// Vectors of source pixels that are gathered at a time: they share the first-level cache with the weights.
const GATHERED_VECTORS: usize = 480;

/// One spatial axis of a pass: position `i` of the result reads the source, for each tap `t`, at
/// `i * step + first + t * spacing` unless that lies outside.
#[derive(Clone)]
pub(super) struct Axis {
    /// Positions of the result; their distance and the first of them.
    pub(super) count: usize,
    target_step: usize,
    target_start: usize,
    /// Places of the source.
    size: usize,
    step: usize,
    first: isize,
    spacing: usize,
    /// The numbers of the taps in the kernel, in the order in which they read the source.
    taps: Vec<usize>,
}

impl Axis {
    pub(super) fn place(&self, position: usize, tap: usize) -> isize {
        (position * self.step + tap * self.spacing) as isize + self.first
    }

    /// The taps that read inside the source.
    pub(super) fn valid_taps(&self, position: usize) -> Range<usize> {
        let inside = |&tap: &usize| (0..self.size as isize).contains(&self.place(position, tap));
        let start = (0..self.taps.len()).find(inside).unwrap_or(0);
        start..start + (start..self.taps.len()).take_while(inside).count()
    }

    /// The positions for which a tap reads inside the source.
    pub(super) fn valid_positions(&self, tap: usize) -> Range<usize> {
        let inside = |&position: &usize| (0..self.size as isize).contains(&self.place(position, tap));
        let start = (0..self.count).find(inside).unwrap_or(0);
        start..start + (start..self.count).take_while(inside).count()
    }

    /// Runs of neighbouring positions that have the same valid taps.
    fn runs(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut runs: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for position in 0..self.count {
            let taps = self.valid_taps(position);
            match runs.last_mut() {
                Some((positions, same)) if *same == taps => positions.end += 1,
                _ => runs.push((position..position + 1, taps)),
            }
        }
        runs
    }
}

/// The axes of the forward pass.
pub(super) fn forward_axes(conv: &LanesConv) -> [Axis; 2] {
    [0, 1].map(|axis| Axis {
        count: conv.output_size()[axis],
        target_step: 1,
        target_start: 0,
        size: conv.input_size()[axis],
        step: conv.strides[axis],
        first: -(conv.padding[axis] as isize),
        spacing: conv.dilations[axis],
        taps: (0..conv.kernel[axis]).collect(),
    })
}

/// The axes of the input gradient: inputs a multiple of the stride apart meet the same taps.
fn backward_axes(conv: &LanesConv, axis: usize) -> Vec<Axis> {
    let (stride, dilation, size) = (conv.strides[axis], conv.dilations[axis], conv.input_size()[axis]);
    let phases = (0..stride.min(size)).map(|phase| {
        let padded = phase + conv.padding[axis];
        let meets = |&tap: &usize| padded % stride == tap * dilation % stride;
        // Later taps have met earlier outputs.
        let taps: Vec<usize> = (0..conv.kernel[axis]).rev().filter(meets).collect();
        let place = |tap: usize| (padded as isize - (tap * dilation) as isize).div_euclid(stride as isize);
        Axis {
            count: (size - phase).div_ceil(stride),
            target_step: stride,
            target_start: phase,
            size: conv.output_size()[axis],
            step: 1,
            first: taps.first().map_or(0, |&tap| place(tap)),
            spacing: if taps.len() > 1 { (place(taps[1]) - place(taps[0])) as usize } else { 1 },
            taps,
        }
    });
    phases.collect()
}

/// How the kernel, stored `[y, x, input, output]`, is read: strides of source and target channels.
struct Kernel {
    data: *const f32,
    width: usize,
    tap_stride: usize,
    source_stride: usize,
    target_stride: usize,
}

/// # Safety
/// See [`super::forward`].
pub(super) unsafe fn forward(
    isa: Isa,
    conv: &LanesConv,
    input: Planes,
    kernel: *const f32,
    output: PlanesMut,
) {
    let kernel = Kernel {
        data: kernel,
        width: conv.kernel[1],
        tap_stride: conv.in_channels * conv.out_channels,
        source_stride: conv.out_channels,
        target_stride: 1,
    };
    let pass = Pass {
        isa,
        blocks: conv.blocks,
        source_channels: conv.in_channels,
        target_channels: conv.out_channels,
        source_row: conv.width,
        target_row: conv.out_width,
        axes: forward_axes(conv),
        source: input,
        target: output,
        accumulate: false,
        masked: None,
    };
    // SAFETY: the caller's promise.
    unsafe { pass.run(&kernel) };
}

/// # Safety
/// See [`super::input_gradient`].
pub(super) unsafe fn input_gradient(
    isa: Isa,
    conv: &LanesConv,
    gradient: Planes,
    kernel: *const f32,
    result: PlanesMut,
    accumulate: bool,
    masked: Option<&Masked>,
) {
    let kernel = Kernel {
        data: kernel,
        width: conv.kernel[1],
        tap_stride: conv.in_channels * conv.out_channels,
        source_stride: 1,
        target_stride: conv.out_channels,
    };
    let (rows, columns) = (backward_axes(conv, 0), backward_axes(conv, 1));
    for y in &rows {
        for x in &columns {
            let pass = Pass {
                isa,
                blocks: conv.blocks,
                source_channels: conv.out_channels,
                target_channels: conv.in_channels,
                source_row: conv.out_width,
                target_row: conv.width,
                axes: [y.clone(), x.clone()],
                source: gradient,
                target: result,
                accumulate,
                masked,
            };
            // SAFETY: the caller's promise.
            unsafe { pass.run(&kernel) };
        }
    }
}

/// A direct convolution of planes.
struct Pass<'a> {
    isa: Isa,
    blocks: usize,
    source_channels: usize,
    target_channels: usize,
    /// Pixels in a row.
    source_row: usize,
    target_row: usize,
    axes: [Axis; 2],
    source: Planes,
    target: PlanesMut,
    accumulate: bool,
    /// What becomes of an input gradient instead; then there is one tap.
    masked: Option<&'a Masked>,
}

impl Pass<'_> {
    /// # Safety
    /// Source, target and kernel must be good for the sizes of the pass, and the machine have its isa.
    unsafe fn run(&self, kernel: &Kernel) {
        let [y_axis, x_axis] = &self.axes;
        let tiles = tile::channel_tiles(self.isa, self.target_channels);
        let taps = y_axis.taps.len() * x_axis.taps.len();
        // Each task takes some rows of a block, for some of the channel tiles if there are few rows.
        let wanted = if self.masked.is_some() { masked::TASKS } else { 4 * thread_count() };
        let strips = y_axis.count.min(wanted.div_ceil(self.blocks));
        let groups = tiles.len().min(wanted.div_ceil(self.blocks * strips));
        let runs = x_axis.runs();
        let computed = self.source.on_load.is_some() || self.masked.is_some();
        let gathered = taps == 1 && (computed || tiles.len() > groups);
        debug_assert!(gathered || !computed, "pixels are computed while they are gathered");
        with_scratch::<f32, _>(self.source_channels * taps * self.target_channels, |packed| {
            // SAFETY: the caller's promise; the packed kernel has the size of what is taken of the kernel.
            unsafe { self.pack(kernel, &tiles, packed) };
            let packed = Target(packed);
            let (tasks, channels) = (self.blocks * strips * groups, self.target_channels);
            masked::with_sums(self.isa, self.masked, tasks, channels, |task, sums| {
                let (block, strip, group) = (task / groups / strips, task / groups % strips, task % groups);
                let rows = y_axis.count * strip / strips..y_axis.count * (strip + 1) / strips;
                let tiles = &tiles[tiles.len() * group / groups..tiles.len() * (group + 1) / groups];
                let weights = |&(first, channels): &(usize, usize)| {
                    (first, channels, packed.at(first * self.source_channels * taps).cast_const())
                };
                let tiles: Vec<(usize, usize, *const f32)> = tiles.iter().map(weights).collect();
                for y in rows {
                    // SAFETY: the caller's promise; tasks write to disjoint rows or channels.
                    unsafe {
                        for (positions, taps) in &runs {
                            if gathered && !taps.is_empty() && !y_axis.valid_taps(y).is_empty() {
                                self.gathered_run(block, y, positions, &tiles, sums);
                            } else {
                                self.run_of_pixels(block, y, positions, taps, &tiles);
                            }
                        }
                    }
                }
            });
        });
    }

    /// Writes the kernel as the tiles read it: `[tile][source channel][y][x][channel of the tile]`.
    ///
    /// # Safety
    /// As [`Pass::run`], with room for the kernel's taps in `to`.
    unsafe fn pack(&self, kernel: &Kernel, tiles: &[(usize, usize)], mut to: *mut f32) {
        for &(first, channels) in tiles {
            for source in 0..self.source_channels {
                for &y in &self.axes[0].taps {
                    for &x in &self.axes[1].taps {
                        let tap = (y * kernel.width + x) * kernel.tap_stride + source * kernel.source_stride;
                        for channel in first..first + channels {
                            // SAFETY: the caller's promise.
                            unsafe {
                                *to = *kernel.data.add(tap + channel * kernel.target_stride);
                                to = to.add(1);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Where a pixel of a row of the result lies in its plane.
    fn target_offset(&self, y: usize, x: usize) -> usize {
        let [y_axis, x_axis] = &self.axes;
        let (y, x) =
            (y_axis.target_start + y * y_axis.target_step, x_axis.target_start + x * x_axis.target_step);
        (y * self.target_row + x) * LANES
    }

    /// Where a tap of a pixel of a row reads in the planes of the source.
    fn source_offset(&self, y: usize, y_tap: usize, x: usize, x_tap: usize) -> isize {
        let [y_axis, x_axis] = &self.axes;
        (y_axis.place(y, y_tap) * self.source_row as isize + x_axis.place(x, x_tap)) * LANES as isize
    }

    /// A tile without its source and sizes, which the caller fills in.
    fn tile(&self, block: usize, first_channel: usize, target: usize) -> Tile {
        let target = first_channel * self.target.channel_stride + target;
        Tile {
            source: std::ptr::null(),
            counts: [0; 3],
            source_strides: [0; 3],
            source_pixel_stride: 0,
            gather: None,
            ahead: [Ahead::NOTHING; 2],
            weights: std::ptr::null(),
            weight_strides: [0; 3],
            target: self.target.block(block).wrapping_add(target),
            target_channel_stride: self.target.channel_stride,
            target_pixel_stride: self.axes[1].target_step * LANES,
            target_is_far: true,
            accumulate: self.accumulate,
        }
    }

    /// Computes neighbouring pixels with the same valid taps, reading the source in place.
    ///
    /// # Safety
    /// As [`Pass::run`].
    unsafe fn run_of_pixels(
        &self,
        block: usize,
        y: usize,
        positions: &Range<usize>,
        taps: &Range<usize>,
        tiles: &[(usize, usize, *const f32)],
    ) {
        let [y_axis, x_axis] = &self.axes;
        let (y_taps, x_taps) = (y_axis.valid_taps(y), x_axis.taps.len());
        let channels = if y_taps.is_empty() || taps.is_empty() { 0 } else { self.source_channels };
        let source_strides = [
            self.source.channel_stride as isize,
            (y_axis.spacing * self.source_row * LANES) as isize,
            (x_axis.spacing * LANES) as isize,
        ];
        let pixel_stride = (x_axis.step * LANES) as isize;
        for &(first, count, weights) in tiles {
            let weight_strides = [y_axis.taps.len() * x_taps * count, x_taps * count, count];
            let mut x = positions.start;
            while x < positions.end {
                let pixels = tile::pixels(self.isa, count, positions.end - x);
                let source = self.source_offset(y, y_taps.start, x, taps.start);
                // The pixels to the right of this tile are new to the next one in the last row only.
                let ahead = self.source_offset(
                    y,
                    y_taps.end.saturating_sub(1),
                    x + pixels,
                    taps.end.saturating_sub(1),
                );
                let tile = Tile {
                    source: self.source.block(block).wrapping_offset(source),
                    counts: [channels, y_taps.len(), taps.len()],
                    source_strides,
                    source_pixel_stride: pixel_stride,
                    ahead: [
                        Ahead {
                            from: self.source.block(block).wrapping_offset(ahead),
                            channels,
                            vectors: pixels,
                            channel_stride: self.source.channel_stride,
                            vector_stride: pixel_stride as usize,
                        },
                        Ahead::NOTHING,
                    ],
                    weights: weights.wrapping_add(y_taps.start * weight_strides[1] + taps.start * count),
                    weight_strides,
                    ..self.tile(block, first, self.target_offset(y, x))
                };
                // SAFETY: valid taps of all pixels lie inside the source, and the pixels inside the target.
                unsafe { tile::run(self.isa, &tile, count, pixels) };
                x += pixels;
            }
        }
    }

    /// What the mask of the next tile of channels needs, of which each call of a tile fetches a share: the pixels at hand,
    /// or behind the last tile the next ones. In the first half of the calls it is `x`, then what results are added to.
    fn mask_ahead(
        &self,
        block: usize,
        y: usize,
        gathered: Range<usize>,
        at: Range<usize>,
        tiles: &[(usize, usize, *const f32)],
        tile: usize,
    ) -> Ahead {
        let Some(masked) = self.masked else { return Ahead::NOTHING };
        let (start, pixels) = (2 * (at.start - gathered.start), 2 * at.len());
        let Some(planes) = masked.read_planes(start / gathered.len()) else { return Ahead::NOTHING };
        let (x, (first, count, _)) = match tiles.get(tile + 1) {
            Some(&next) => (gathered.start, next),
            None => (gathered.end, tiles[0]),
        };
        let place = self.target_offset(y, x + start % gathered.len());
        Ahead {
            from: planes.block(block).wrapping_add(first * planes.channel_stride + place),
            channels: count,
            vectors: pixels.min(gathered.len() - start % gathered.len()),
            channel_stride: planes.channel_stride,
            vector_stride: LANES,
        }
    }

    /// Computes neighbouring pixels of a convolution with a single tap. Several tiles of channels read the same few
    /// pixels, which are copied to where they stay in the first-level cache; in place they lie whole planes apart.
    ///
    /// # Safety
    /// As [`Pass::run`].
    unsafe fn gathered_run(
        &self,
        block: usize,
        y: usize,
        positions: &Range<usize>,
        tiles: &[(usize, usize, *const f32)],
        channel_sums: *mut f32,
    ) {
        let most = (GATHERED_VECTORS / self.source_channels / 4 * 4).clamp(4, 16);
        let pixel_stride = self.axes[1].step * LANES;
        let masked_size = if self.masked.is_some() { tile::MOST_CHANNELS * most * LANES } else { 0 };
        with_scratch::<f32, _>(self.source_channels * most * LANES + masked_size, |copy| {
            let waiting = copy.wrapping_add(self.source_channels * most * LANES);
            let mut start = positions.start;
            while start < positions.end {
                let count = most.min(positions.end - start);
                // The pixels that come next are fetched while the products are made, an even share with each tile.
                let source = self.source.block(block).wrapping_offset(self.source_offset(y, 0, start, 0));
                let next = source.wrapping_add(count * pixel_stride);
                let (mut call, calls) = (0, tiles.len() * count.div_ceil(2));
                for (number, &(first, channels, weights)) in tiles.iter().enumerate() {
                    let mut x = start;
                    while x < start + count {
                        let pixels = tile::pixels(self.isa, channels, start + count - x);
                        let ahead = call * count / calls..(call + 1) * count / calls;
                        call += 1;
                        let copy = copy.wrapping_add((x - start) * LANES);
                        let mut tile = Tile {
                            source: copy,
                            counts: [self.source_channels, 1, 1],
                            source_strides: [(count * LANES) as isize, 0, 0],
                            source_pixel_stride: LANES as isize,
                            ahead: [
                                Ahead {
                                    from: next.wrapping_add(ahead.start * pixel_stride),
                                    channels: self.source_channels,
                                    vectors: ahead.len(),
                                    channel_stride: self.source.channel_stride,
                                    vector_stride: pixel_stride,
                                },
                                self.mask_ahead(block, y, start..start + count, x..x + pixels, tiles, number),
                            ],
                            weights,
                            weight_strides: [channels, 0, 0],
                            ..self.tile(block, first, self.target_offset(y, x))
                        };
                        if self.masked.is_some() {
                            tile.target = waiting.wrapping_add((x - start) * LANES);
                            tile.target_channel_stride = count * LANES;
                            tile.target_pixel_stride = LANES;
                            tile.target_is_far = false;
                        }
                        if number == 0 {
                            tile.source = source.wrapping_add((x - start) * pixel_stride);
                            tile.source_strides[0] = self.source.channel_stride as isize;
                            tile.source_pixel_stride = pixel_stride as isize;
                            tile.gather = Some(Gather {
                                on_load: self.source.on_load,
                                copy,
                                channel_stride: count * LANES,
                            });
                        }
                        // SAFETY: valid pixels lie inside the source; the copy has room for them, and holds them for all but
                        // the first tile; the target has them.
                        unsafe { tile::run(self.isa, &tile, channels, pixels) };
                        x += pixels;
                    }
                    if let Some(masked) = self.masked {
                        let place = self.target_offset(y, start);
                        let target = self.target;
                        let pixels = MaskPixels {
                            masked,
                            target,
                            block,
                            place,
                            first,
                            channels,
                            count,
                            waiting,
                            channel_sums,
                        };
                        // SAFETY: these are pixels of the target, and the sums those of all its channels.
                        unsafe { f32::dispatch(self.isa, pixels) };
                    }
                }
                start += count;
            }
        });
    }
}

/// Lets the pixels that wait as `[channel][pixel]` go on.
struct MaskPixels<'a> {
    masked: &'a Masked,
    target: PlanesMut,
    block: usize,
    place: usize,
    first: usize,
    channels: usize,
    count: usize,
    waiting: *const f32,
    channel_sums: *mut f32,
}

impl VectorKernel<f32> for MaskPixels<'_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        for number in 0..self.channels {
            let channel = self.first + number;
            let target = channel * self.target.channel_stride + self.place;
            let target = self.target.block(self.block).wrapping_add(target);
            let waiting = self.waiting.wrapping_add(number * self.count * LANES);
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: made in `Pass::gathered_run` with good pointers, for an isa of this machine.
                unsafe {
                    let mut at = self.masked.channel::<V>(self.block, channel, self.place, target);
                    for pixel in 0..self.count {
                        at.store(pixel * LANES + lane, V::load(waiting.add(pixel * LANES + lane)));
                    }
                    at.add_to(self.channel_sums.add(channel * masked::SUMS), lane);
                }
            }
        }
    }
}
