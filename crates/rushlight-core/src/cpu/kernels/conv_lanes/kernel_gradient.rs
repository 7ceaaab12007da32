//! The gradient with respect to the kernel in lanes layout.
//!
//! For each tap it is a product of input pixels and gradient pixels, summed over all images and positions. A tile of
//! output channels × input channels stays in registers over a strip of pixels; between strips its sums, still one a
//! lane, wait in memory. The strip of the gradient is copied so that it stays in the first-level cache while all input
//! channels and taps pass over it.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use super::pass::{Axis, forward_axes};
use super::{LANES, LanesConv, Planes};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::gemm::Target;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, Vector, VectorKernel, prefetch_far};
use std::ops::Range;

/// Vectors of gradient that a strip holds: half of a first-level cache.
const STRIP_VECTORS: usize = 384;
/// Vectors of computed input that several groups share: they stay in the second-level cache.
const COMPUTED_VECTORS: usize = 1024;
/// Vectors of waiting sums that a task holds: a part of the second-level cache.
const MOST_SUMS: usize = 6144;
/// Pixels (of sixteen images) that are worth a part of their own, and the most such parts.
const PART_PIXELS: usize = 512;
const MOST_PARTS: usize = 8;

/// Cuts `count` into sizes of at most `most` that tiles exist for: starts and sizes.
fn cut(count: usize, most: usize, sizes: &[usize]) -> Vec<(usize, usize)> {
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < count {
        let size = sizes.iter().copied().find(|&size| size <= most.min(count - start)).unwrap_or(1);
        cuts.push((start, size));
        start += size;
    }
    cuts
}

/// # Safety
/// See [`super::kernel_gradient`].
pub(super) unsafe fn run(isa: Isa, conv: &LanesConv, input: Planes, gradient: Planes, result: *mut f32) {
    let taps = conv.kernel[0] * conv.kernel[1];
    let size = taps * conv.in_channels * conv.out_channels;
    let pixels = conv.blocks * conv.out_height * conv.out_width;
    if size == 0 || pixels == 0 {
        // SAFETY: the result has the size of the kernel.
        unsafe { std::slice::from_raw_parts_mut(result, size) }.fill(0.0);
        return;
    }
    let group = conv.out_channels.min(12);
    let rows = (STRIP_VECTORS / group / conv.out_width).clamp(1, conv.out_height);
    let strips = conv.out_height.div_ceil(rows);
    // All of this depends on shapes alone, and so does the result.
    let parts = (pixels / PART_PIXELS).clamp(1, MOST_PARTS.min(conv.blocks * strips));
    // A task reads its channels of input and gradient once, so it is best to have about as many of both.
    let square = (MOST_SUMS / taps).isqrt();
    let outputs = (square / group).max(1).min(conv.out_channels.div_ceil(group)) * group;
    let output_ranges = conv.out_channels.div_ceil(outputs);
    let shared = conv.in_channels.div_ceil(MOST_PARTS.div_ceil(parts * output_ranges)).next_multiple_of(4);
    let inputs = (MOST_SUMS / (taps * outputs)).max(1).min(shared).min(conv.in_channels);
    let input_ranges = conv.in_channels.div_ceil(inputs);
    let axes = forward_axes(conv);
    let valid =
        [0, 1].map(|axis| (0..conv.kernel[axis]).map(|tap| axes[axis].valid_positions(tap)).collect());
    let plan = Plan { isa, conv, axes, valid, input, gradient, group, rows, strips };
    with_scratch::<f32, _>((parts - 1) * size, |others| {
        let (first, rest) = (Target(result), Target(others));
        parallel_for(parts * output_ranges * input_ranges, |task| {
            let (part, range) =
                (task / (output_ranges * input_ranges), task % (output_ranges * input_ranges));
            let (output_range, input_range) = (range / input_ranges, range % input_ranges);
            let units = conv.blocks * strips;
            let target = if part == 0 { first.at(0) } else { rest.at((part - 1) * size) };
            // SAFETY: the caller's promise; tasks write to disjoint parts or channels.
            unsafe {
                plan.part(
                    units * part / parts..units * (part + 1) / parts,
                    output_range * outputs..conv.out_channels.min((output_range + 1) * outputs),
                    input_range * inputs..conv.in_channels.min((input_range + 1) * inputs),
                    target,
                );
            }
        });
        // SAFETY: the result and each part have the size of the kernel.
        let (sums, parts) = unsafe {
            (
                std::slice::from_raw_parts_mut(result, size),
                std::slice::from_raw_parts(others, (parts - 1) * size),
            )
        };
        for part in parts.chunks_exact(size) {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += value;
            }
        }
    });
}

/// Output channels that share a strip, the tiles they are cut into, and the strip and sums of a task.
struct Group {
    outputs: Range<usize>,
    tiles: Vec<(usize, usize)>,
    strip: *mut f32,
    sums: *mut f32,
}

/// Rows of the gradient that are added at a time.
#[derive(Clone, Copy)]
struct Unit {
    block: usize,
    first_row: usize,
    rows: usize,
}

/// What comes next, brought near while products are made. The tiles of all groups take turns: of as many as there are
/// groups, the first fetches channels of the input, the second channels of the next unit's gradient.
struct Ahead<'a> {
    unit: Unit,
    channel: usize,
    next: Unit,
    outputs: &'a mut Range<usize>,
    groups: usize,
    turn: usize,
}

impl Ahead<'_> {
    /// Planes of which this tile fetches `channels`: where their rows begin, and how far apart they are.
    fn turn(&mut self, plan: &Plan, channels: usize) -> Option<(*const f32, usize)> {
        let turn = self.turn % self.groups;
        self.turn += 1;
        let (planes, unit, channel) = match turn {
            0 => (&plan.input, self.unit, &mut self.channel),
            1 if self.outputs.start < self.outputs.end => {
                (&plan.gradient, self.next, &mut self.outputs.start)
            }
            _ => return None,
        };
        let from = planes.block(unit.block).wrapping_add(*channel * planes.channel_stride);
        *channel += channels;
        Some((from.wrapping_offset(plan.first_place(unit)), planes.channel_stride))
    }
}

/// What all tasks share.
struct Plan<'a> {
    isa: Isa,
    conv: &'a LanesConv,
    axes: [Axis; 2],
    /// For each axis and tap the positions that read inside the input.
    valid: [Vec<Range<usize>>; 2],
    input: Planes,
    gradient: Planes,
    /// Output channels that share a strip.
    group: usize,
    /// Rows of a strip, and strips of a block.
    rows: usize,
    strips: usize,
}

// SAFETY: its planes are only read.
unsafe impl Sync for Plan<'_> {}

impl Plan<'_> {
    /// Writes the sums over some strips to the items of these channels in `target`, which has the shape of the kernel.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn part(
        &self,
        units: Range<usize>,
        outputs: Range<usize>,
        inputs: Range<usize>,
        target: *mut f32,
    ) {
        let conv = self.conv;
        let taps = conv.kernel[0] * conv.kernel[1];
        let most = if f32::registers(self.isa) == 32 { 12 } else { 6 };
        let group_count = outputs.len().div_ceil(self.group);
        let sums_size = taps * inputs.len() * outputs.len() * LANES;
        let strip_size = self.group * self.rows * conv.out_width * LANES;
        // Inputs that are computed on load are computed once for all groups.
        let computed_rows = self.input_rows() * conv.width;
        let chunk = match group_count {
            1 => most,
            _ => (COMPUTED_VECTORS / computed_rows / 4 * 4).clamp(4, inputs.len().next_multiple_of(4)),
        };
        let computed_size = if self.input.on_load.is_some() { chunk * computed_rows * LANES } else { 0 };
        with_scratch::<f32, _>(sums_size + group_count * strip_size + computed_size, |sums| {
            // SAFETY: the scratch memory is that large.
            unsafe { std::slice::from_raw_parts_mut(sums, sums_size) }.fill(0.0);
            let strips = sums.wrapping_add(sums_size);
            let computed = strips.wrapping_add(group_count * strip_size);
            let group = |(number, start): (usize, usize)| {
                let these = start..outputs.end.min(start + self.group);
                Group {
                    tiles: cut(these.len(), most, &[12, 8, 6, 4, 3, 2, 1]),
                    strip: strips.wrapping_add(number * strip_size),
                    sums: sums.wrapping_add(taps * inputs.len() * (start - outputs.start) * LANES),
                    outputs: these,
                }
            };
            let groups: Vec<Group> = outputs.clone().step_by(self.group).enumerate().map(group).collect();
            let unit = |number: usize| {
                let (block, first_row) = (number / self.strips, number % self.strips * self.rows);
                Unit { block, first_row, rows: self.rows.min(conv.out_height - first_row) }
            };
            for number in units.clone() {
                let this = unit(number);
                let next = unit((number + 1).min(units.end - 1));
                for group in &groups {
                    // SAFETY: the caller's promise; the strip has room for these rows of these channels.
                    unsafe { self.copy_strip(this, group) };
                }
                let mut gradients = outputs.clone();
                for start in inputs.clone().step_by(chunk) {
                    let these = start..inputs.end.min(start + chunk);
                    let (unit, channel) =
                        if these.end < inputs.end { (this, these.end) } else { (next, inputs.start) };
                    let outputs = &mut gradients;
                    let mut ahead = Ahead { unit, channel, next, outputs, groups: groups.len(), turn: 0 };
                    // SAFETY: the caller's promise; there is room for the rows of as many channels.
                    unsafe {
                        let source = self.source(this, &these, computed);
                        for group in &groups {
                            let sums = taps * group.outputs.len() * (start - inputs.start) * LANES;
                            let sums = group.sums.wrapping_add(sums);
                            self.add_strip(this, these.len(), group, source, sums, &mut ahead);
                        }
                    }
                }
            }
            for group in &groups {
                // SAFETY: the sums lie as `add_strip` has left them, and the target has the shape of the kernel.
                unsafe { self.write(&inputs, group, target) };
            }
        });
    }

    /// Rows of input that a strip may meet.
    fn input_rows(&self) -> usize {
        let conv = self.conv;
        (self.rows - 1) * conv.strides[0] + (conv.kernel[0] - 1) * conv.dilations[0] + 1
    }

    /// The rows of input that rows of the gradient meet.
    fn met_rows(&self, unit: Unit) -> Range<usize> {
        let (axis, last_tap) = (&self.axes[0], self.conv.kernel[0] - 1);
        let first = axis.place(unit.first_row, 0).max(0) as usize;
        let last = axis.place(unit.first_row + unit.rows - 1, last_tap).min(self.conv.height as isize - 1);
        first..((last + 1).max(0) as usize).max(first)
    }

    /// # Safety
    /// As [`Plan::part`].
    unsafe fn copy_strip(&self, unit: Unit, group: &Group) {
        let row = self.conv.out_width * LANES;
        for (number, output) in group.outputs.clone().enumerate() {
            let place = output * self.gradient.channel_stride + unit.first_row * row;
            let from = self.gradient.block(unit.block).wrapping_add(place);
            // SAFETY: the caller's promise.
            unsafe {
                let to = group.strip.add(number * self.rows * row);
                std::ptr::copy_nonoverlapping(from, to, unit.rows * row)
            };
        }
    }

    /// Where the planes of some inputs begin, and how far apart they are: in place, or the rows that a strip meets computed
    /// for all taps and groups.
    ///
    /// # Safety
    /// As [`Plan::part`], with room for the rows of these channels in `computed`.
    unsafe fn source(&self, unit: Unit, inputs: &Range<usize>, computed: *mut f32) -> (*const f32, usize) {
        let stride = self.input.channel_stride;
        let from = self.input.block(unit.block).wrapping_add(inputs.start * stride);
        if self.input.on_load.is_none() {
            return (from, stride);
        }
        let met = self.met_rows(unit);
        let row = self.conv.width * LANES;
        let compute = Compute {
            of: self,
            from,
            first: inputs.start,
            count: inputs.len(),
            rows: met.clone(),
            to: computed,
        };
        // SAFETY: the caller's promise.
        unsafe { f32::dispatch(self.isa, compute) };
        (computed.wrapping_sub(met.start * row), met.len() * row)
    }

    /// Adds the products of a strip and some inputs to the sums `[input][tile][tap][output of the tile][input of the tile]`.
    ///
    /// # Safety
    /// As [`Plan::part`].
    unsafe fn add_strip(
        &self,
        unit: Unit,
        inputs: usize,
        group: &Group,
        (source, source_stride): (*const f32, usize),
        sums: *mut f32,
        ahead: &mut Ahead,
    ) {
        let conv = self.conv;
        let [y_axis, x_axis] = &self.axes;
        let rows = unit.first_row..unit.first_row + unit.rows;
        let mut tile_sums = sums;
        for (first_input, input_count) in input_tiles(self.isa, inputs, group.tiles[0].1) {
            let channel = source.wrapping_add(first_input * source_stride);
            // From these rows to those that come next; without a turn, what is there anyway.
            let (next, next_stride) = match ahead.turn(self, input_count) {
                Some((next, stride)) => (next.wrapping_offset(-self.first_place(unit)), stride),
                None => (channel, source_stride),
            };
            for &(first_output, output_count) in &group.tiles {
                for y_tap in 0..conv.kernel[0] {
                    let valid = &self.valid[0][y_tap];
                    let y = rows.start.max(valid.start)..rows.end.min(valid.end);
                    for x_tap in 0..conv.kernel[1] {
                        let x = self.valid[1][x_tap].clone();
                        if !y.is_empty() && !x.is_empty() {
                            let row = conv.out_width * LANES;
                            let gradient = first_output * self.rows * row + (y.start - rows.start) * row;
                            let place = y_axis.place(y.start, y_tap) * conv.width as isize
                                + x_axis.place(x.start, x_tap);
                            let place = place * LANES as isize;
                            let tile = Tile {
                                gradient: group.strip.wrapping_add(gradient + x.start * LANES),
                                gradient_channel_stride: self.rows * row,
                                gradient_row_stride: row,
                                input: channel.wrapping_offset(place),
                                input_channel_stride: source_stride,
                                input_row_stride: conv.strides[0] * conv.width * LANES,
                                input_pixel_stride: conv.strides[1] * LANES,
                                rows: y.len(),
                                pixels: x.len(),
                                sums: tile_sums,
                                ahead: next.wrapping_offset(place),
                                ahead_channel_stride: next_stride,
                            };
                            // SAFETY: valid positions read inside the input.
                            unsafe { run_tile(self.isa, &tile, output_count, input_count) };
                        }
                        tile_sums = tile_sums.wrapping_add(output_count * input_count * LANES);
                    }
                }
            }
        }
    }

    /// Where the first row of a unit reads its input without padding, in its plane.
    fn first_place(&self, unit: Unit) -> isize {
        (unit.first_row * self.conv.strides[0] * self.conv.width * LANES) as isize
    }

    /// Adds up the lanes of all sums.
    ///
    /// # Safety
    /// As [`Plan::part`].
    unsafe fn write(&self, inputs: &Range<usize>, group: &Group, target: *mut f32) {
        let Group { outputs, tiles: output_tiles, .. } = group;
        let conv = self.conv;
        let taps = conv.kernel[0] * conv.kernel[1];
        let mut sums = group.sums.cast_const();
        for (first_input, input_count) in input_tiles(self.isa, inputs.len(), output_tiles[0].1) {
            for &(first_output, output_count) in output_tiles {
                for tap in 0..taps {
                    for output in first_output..first_output + output_count {
                        for input in first_input..first_input + input_count {
                            let row = tap * conv.in_channels + inputs.start + input;
                            let to = row * conv.out_channels + outputs.start + output;
                            // SAFETY: the caller's promise.
                            unsafe {
                                f32::dispatch(self.isa, SumLanes { from: sums, to: target.add(to) });
                                sums = sums.add(LANES);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Computes rows of some input channels, to `[channel][row]`.
struct Compute<'a, 'b> {
    of: &'a Plan<'b>,
    /// The first of the channels, and its number.
    from: *const f32,
    first: usize,
    count: usize,
    rows: Range<usize>,
    to: *mut f32,
}

impl VectorKernel<f32> for Compute<'_, '_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        let Some(on_load) = &self.of.input.on_load else { return };
        let row = self.of.conv.width * LANES;
        let size = self.rows.len() * row;
        for number in 0..self.count {
            let plane = self.from.wrapping_add(number * self.of.input.channel_stride);
            let (from, to) = (plane.wrapping_add(self.rows.start * row), self.to.wrapping_add(number * size));
            // SAFETY: made in `Plan::add_strip` with good pointers, for an isa of this machine.
            unsafe {
                let made = on_load.channel::<V>(self.first + number);
                for place in (0..size).step_by(V::LANES) {
                    made.apply(V::load(from.add(place))).store(to.add(place));
                }
            }
        }
    }
}

/// Cuts input channels into tiles that go with output tiles of up to `outputs` channels.
fn input_tiles(isa: Isa, inputs: usize, outputs: usize) -> Vec<(usize, usize)> {
    let most = if f32::registers(isa) == 32 { 24 } else { 12 };
    cut(inputs, most / outputs, &[4, 2, 1])
}

/// Writes the sum of [`LANES`] floats.
struct SumLanes {
    from: *const f32,
    to: *mut f32,
}

impl VectorKernel<f32> for SumLanes {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        // SAFETY: made in `Plan::write` with good pointers, for an isa of this machine.
        unsafe {
            let mut sum = V::load(self.from);
            for lane in (V::LANES..LANES).step_by(V::LANES) {
                sum = sum.add(V::load(self.from.add(lane)));
            }
            *self.to = sum.sum();
        }
    }
}

/// `sums[output][input] += Σ over rows and pixels of gradient[output] · input[input]`, lane by lane.
struct Tile {
    gradient: *const f32,
    gradient_channel_stride: usize,
    gradient_row_stride: usize,
    input: *const f32,
    input_channel_stride: usize,
    input_row_stride: usize,
    input_pixel_stride: usize,
    rows: usize,
    pixels: usize,
    sums: *mut f32,
    /// What lies in the planes where the next tile's inputs come from, brought near meanwhile.
    ahead: *const f32,
    ahead_channel_stride: usize,
}

/// # Safety
/// All pointers must be good for the tile, and the machine have `isa`.
#[inline]
unsafe fn run_tile(isa: Isa, tile: &Tile, outputs: usize, inputs: usize) {
    macro_rules! choose {
        ($($outputs:literal: $($inputs:literal)*;)*) => {
            match (outputs, inputs) {
                $($(
                    // SAFETY: the caller's promise.
                    ($outputs, $inputs) => unsafe { f32::dispatch(isa, Shaped::<$outputs, $inputs>(tile)) },
                )*)*
                _ => unreachable!("a tile of {outputs} outputs and {inputs} inputs"),
            }
        };
    }
    choose! {
        12: 2 1;
        8: 2 1;
        6: 4 2 1;
        4: 4 2 1;
        3: 4 2 1;
        2: 4 2 1;
        1: 4 2 1;
    }
}

/// A tile whose size the compiler knows.
struct Shaped<'a, const OUTPUTS: usize, const INPUTS: usize>(&'a Tile);

impl<const OUTPUTS: usize, const INPUTS: usize> VectorKernel<f32> for Shaped<'_, OUTPUTS, INPUTS> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        let tile = self.0;
        // SAFETY: `run_tile` asked for good pointers and the right machine.
        unsafe {
            // Narrow registers add all lanes of a pixel into the same sums, which are added up in the end anyway.
            let mut sums = [[V::splat(0.0); INPUTS]; OUTPUTS];
            for output in 0..OUTPUTS {
                for input in 0..INPUTS {
                    sums[output][input] = V::load(tile.sums.add((output * INPUTS + input) * LANES));
                }
            }
            for first_lane in (0..LANES).step_by(V::LANES) {
                let mut gradient_row = tile.gradient.add(first_lane);
                let mut input_row = tile.input.add(first_lane);
                let mut ahead_row = tile.ahead.wrapping_add(first_lane);
                for _ in 0..tile.rows {
                    let (mut gradient, mut input, mut ahead) = (gradient_row, input_row, ahead_row);
                    for _ in 0..tile.pixels {
                        let mut values = [V::splat(0.0); INPUTS];
                        for (number, value) in values.iter_mut().enumerate() {
                            *value = V::load(input.add(number * tile.input_channel_stride));
                            prefetch_far(ahead.wrapping_add(number * tile.ahead_channel_stride));
                        }
                        for output in 0..OUTPUTS {
                            let factor = V::load(gradient.add(output * tile.gradient_channel_stride));
                            for number in 0..INPUTS {
                                sums[output][number] =
                                    sums[output][number].multiply_add(factor, values[number]);
                            }
                        }
                        gradient = gradient.wrapping_add(LANES);
                        input = input.wrapping_add(tile.input_pixel_stride);
                        ahead = ahead.wrapping_add(tile.input_pixel_stride);
                    }
                    gradient_row = gradient_row.wrapping_add(tile.gradient_row_stride);
                    input_row = input_row.wrapping_add(tile.input_row_stride);
                    ahead_row = ahead_row.wrapping_add(tile.input_row_stride);
                }
            }
            for output in 0..OUTPUTS {
                for input in 0..INPUTS {
                    sums[output][input].store(tile.sums.add((output * INPUTS + input) * LANES));
                }
            }
        }
    }
}
