//! Convolutions and their gradients in the layout of the ops, `[batch, spatial…, channels]`, for all float dtypes.
//!
//! All three are products of matrices with one operand gathered ("im2col") in tiles that fit the cache. The gradient
//! with respect to the input gathers too, from the outputs that have read each input, so tasks never write to the
//! same place.

mod depthwise;
mod geometry;

use super::gemm::{Matrix, TASK_WORK, Target, gemm};
use super::widen::{dense, narrow, widen};
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::Real;
use crate::ops::convolution::Convolution;
use crate::tensor::DType;
use geometry::{Gather, Geometry, OUTSIDE};
use std::ops::Range;

/// Items of gathered source that a tile holds: a part of the second-level cache.
const TILE_ITEMS: usize = 1 << 16;
/// Kernels of more items than this are not summed in parts by several tasks: the parts would take too much memory.
const MOST_PARTIAL_ITEMS: usize = 1 << 18;
/// The most parts that a kernel gradient is summed in.
const MOST_PARTS: usize = 16;

/// Which of the three products is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Product {
    Forward,
    InputGradient,
    KernelGradient,
}

/// Computes the convolution of `inputs: [input, kernel]`; shapes have been checked.
pub(crate) fn run(conv: &Convolution, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), Product::Forward, conv, inputs, outputs);
}

/// Computes the gradient with respect to the input from `inputs: [output gradient, kernel]`.
pub(crate) fn run_input_gradient(conv: &Convolution, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), Product::InputGradient, conv, inputs, outputs);
}

/// Computes the gradient with respect to the kernel from `inputs: [input, output gradient]`.
pub(crate) fn run_kernel_gradient(conv: &Convolution, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), Product::KernelGradient, conv, inputs, outputs);
}

fn run_with(isa: Isa, product: Product, conv: &Convolution, inputs: &[View], outputs: &mut [ViewMut]) {
    let ([left, right], [result]) = (inputs, outputs) else { unreachable!("a convolution of two tensors") };
    if result.count() == 0 {
        return;
    }
    let geometry = match product {
        Product::Forward => Geometry::new(conv, &left.dims, &right.dims, &result.dims),
        Product::InputGradient => Geometry::new(conv, &result.dims, &right.dims, &left.dims),
        Product::KernelGradient => Geometry::new(conv, &left.dims, &result.dims, &right.dims),
    };
    match result.dtype {
        DType::F32 => {
            compute(isa, product, &geometry, &dense::<f32>(left), &dense::<f32>(right), result.slice());
        }
        DType::F64 => {
            compute(isa, product, &geometry, &dense::<f64>(left), &dense::<f64>(right), result.slice());
        }
        DType::F16 | DType::BF16 => {
            let mut values = vec![0f32; result.count()];
            compute(isa, product, &geometry, &widen(left), &widen(right), &mut values);
            narrow(&values, result);
        }
        other => unreachable!("a convolution of {other}"),
    }
}

fn compute<T: Real>(
    isa: Isa,
    product: Product,
    geometry: &Geometry,
    left: &[T],
    right: &[T],
    result: &mut [T],
) {
    let depthwise = geometry.group_inputs == 1 && geometry.group_outputs == 1 && geometry.groups > 1;
    let channels = geometry.groups;
    match product {
        Product::Forward if depthwise => {
            depthwise::apply(isa, &geometry.forward(), geometry, left, right, result, channels);
        }
        Product::Forward => Spread::forward(isa, geometry).run(&geometry.forward(), left, right, result),
        Product::InputGradient => {
            for gather in geometry.backward() {
                if depthwise {
                    depthwise::apply(isa, &gather, geometry, left, right, result, channels);
                } else {
                    let kernel = flipped(geometry, &gather, right);
                    Spread::backward(isa, geometry).run(&gather, left, &kernel, result);
                }
            }
        }
        Product::KernelGradient if depthwise => {
            depthwise::kernel_gradient(isa, geometry, left, right, result)
        }
        Product::KernelGradient => kernel_gradient(isa, geometry, left, right, result),
    }
}

/// The kernel as the input gradient multiplies with it: for each group a matrix `[taps, outputs, inputs]`.
fn flipped<T: Real>(geometry: &Geometry, gather: &Gather, kernel: &[T]) -> Vec<T> {
    let (inputs, outputs, filters) = (geometry.group_inputs, geometry.group_outputs, geometry.filters());
    let taps = gather.tap_numbers(geometry.kernel());
    let mut result = Vec::with_capacity(geometry.groups * taps.len() * outputs * inputs);
    for group in 0..geometry.groups {
        for &tap in &taps {
            for output in group * outputs..(group + 1) * outputs {
                result.extend((0..inputs).map(|input| kernel[(tap * inputs + input) * filters + output]));
            }
        }
    }
    result
}

/// A product whose rows are spatial positions: gathered rows of the source times a kernel matrix.
struct Spread {
    isa: Isa,
    batch: usize,
    groups: usize,
    /// Channels of source and result in a group.
    source_channels: usize,
    target_channels: usize,
    /// Where the kernel matrix of the next group begins, and its row stride.
    kernel_group_stride: KernelStride,
    kernel_row_stride: usize,
}

/// How the kernel matrices of the groups lie in memory.
enum KernelStride {
    /// Side by side in the same rows.
    Columns(usize),
    /// One after the other.
    Whole,
}

impl Spread {
    fn forward(isa: Isa, geometry: &Geometry) -> Spread {
        Spread {
            isa,
            batch: geometry.batch,
            groups: geometry.groups,
            source_channels: geometry.group_inputs,
            target_channels: geometry.group_outputs,
            kernel_group_stride: KernelStride::Columns(geometry.group_outputs),
            kernel_row_stride: geometry.filters(),
        }
    }

    fn backward(isa: Isa, geometry: &Geometry) -> Spread {
        Spread {
            isa,
            batch: geometry.batch,
            groups: geometry.groups,
            source_channels: geometry.group_outputs,
            target_channels: geometry.group_inputs,
            kernel_group_stride: KernelStride::Whole,
            kernel_row_stride: geometry.group_inputs,
        }
    }

    fn run<T: Real>(&self, gather: &Gather, source: &[T], kernel: &[T], target: &mut [T]) {
        let depth = gather.taps() * self.source_channels;
        let positions = gather.positions();
        let source_row = self.groups * self.source_channels;
        let target_row = self.groups * self.target_channels;
        let [source_pixels, target_pixels] = gather.pixels();
        let target = Target(target.as_mut_ptr());
        let kernel = |group: usize| {
            let start = match self.kernel_group_stride {
                KernelStride::Columns(columns) => group * columns,
                KernelStride::Whole => group * depth * self.target_channels,
            };
            Matrix::row_major(kernel.as_ptr().wrapping_add(start), self.kernel_row_stride)
        };
        let size = |rows: usize| [rows, self.target_channels, depth];
        if gather.is_identity() {
            for group in 0..self.groups {
                let source = source.as_ptr().wrapping_add(group * self.source_channels);
                let a = Matrix::row_major(source, source_row);
                let c = target.at(group * self.target_channels);
                // SAFETY: source and target hold a row for each pixel.
                unsafe {
                    gemm(self.isa, size(self.batch * positions), a, kernel(group), c, target_row, false)
                };
            }
            return;
        }
        let in_order = gather.writes_in_order();
        let rows = self.tile_rows(depth, positions);
        let tiles = positions.div_ceil(rows);
        parallel_for(self.batch * self.groups * tiles, |task| {
            let (image, group, tile) = (task / tiles / self.groups, task / tiles % self.groups, task % tiles);
            let positions = tile * rows..positions.min((tile + 1) * rows);
            let source = &source[image * source_pixels * source_row..][..source_pixels * source_row];
            let target_start = image * target_pixels * target_row + group * self.target_channels;
            with_scratch::<T, _>(rows * (depth + self.target_channels), |gathered| {
                let channels = group * self.source_channels..(group + 1) * self.source_channels;
                // SAFETY: the scratch memory holds a row for each position; tasks write to disjoint rows.
                unsafe {
                    gather_rows(gather, positions.clone(), source, source_row, channels, gathered);
                    let a = Matrix::row_major(gathered, depth);
                    let size = size(positions.len());
                    if in_order {
                        let c = target.at(target_start + positions.start * target_row);
                        gemm(self.isa, size, a, kernel(group), c, target_row, false);
                        return;
                    }
                    let c = gathered.add(rows * depth);
                    gemm(self.isa, size, a, kernel(group), c, self.target_channels, false);
                    for (row, position) in positions.enumerate() {
                        let to = target.at(target_start + gather.target(position) * target_row);
                        let from = c.add(row * self.target_channels);
                        std::ptr::copy_nonoverlapping(from, to, self.target_channels);
                    }
                }
            });
        });
    }

    /// Positions in a tile: as many as fit the cache, but fewer if that leaves too few tasks.
    fn tile_rows(&self, depth: usize, positions: usize) -> usize {
        let fitting = (TILE_ITEMS / depth.max(1)).max(16);
        let worthwhile = (TASK_WORK / (depth * self.target_channels).max(1)).max(16);
        let images = self.batch * self.groups;
        let shared = positions.div_ceil(MOST_PARTS.div_ceil(images));
        fitting.min(shared.max(worthwhile)).min(positions).max(1)
    }
}

/// Writes a row for each position: for each tap the channels of the place it reads, or zeros.
///
/// # Safety
/// `rows` must have room for all rows.
unsafe fn gather_rows<T: Real>(
    gather: &Gather,
    positions: Range<usize>,
    source: &[T],
    source_row: usize,
    channels: Range<usize>,
    rows: *mut T,
) {
    let mut to = rows;
    for position in positions {
        gather.each_place(position, |place| {
            // SAFETY: places lie within the image, and each tap fills its own part of the row.
            unsafe {
                if place == OUTSIDE {
                    std::ptr::write_bytes(to, 0, channels.len());
                } else {
                    let from = source.as_ptr().add(place * source_row + channels.start);
                    copy_short(from, to, channels.len());
                }
            }
            to = to.wrapping_add(channels.len());
        });
    }
}

/// A copy that does not go through the library for the few channels of a pixel.
///
/// # Safety
/// As [`std::ptr::copy_nonoverlapping`].
#[inline(always)]
unsafe fn copy_short<T: Copy>(from: *const T, to: *mut T, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= 32 {
            std::ptr::copy_nonoverlapping(from, to, count);
        } else {
            for i in 0..count {
                *to.add(i) = *from.add(i);
            }
        }
    }
}

/// `kernel[taps, inputs, outputs] = Σ over positions of gathered input × output gradient`.
fn kernel_gradient<T: Real>(isa: Isa, geometry: &Geometry, input: &[T], gradient: &[T], result: &mut [T]) {
    let gather = geometry.forward();
    let (inputs, outputs) = (geometry.group_inputs, geometry.group_outputs);
    let (channels, filters) = (geometry.channels(), geometry.filters());
    let depth = gather.taps() * inputs;
    let positions = gather.positions();
    let rows = (TILE_ITEMS / depth).clamp(16, positions.max(16));
    let tiles = positions.div_ceil(rows);
    let all_tiles = geometry.batch * tiles;
    let image_pixels = input.len() / channels / geometry.batch.max(1);
    let identity = gather.is_identity();
    // Adds the products of some tiles to `sums`, which has the shape of the kernel.
    let add = |tiles_of_part: Range<usize>, sums: *mut T| {
        for (number, tile) in tiles_of_part.enumerate() {
            let (image, positions) =
                (tile / tiles, tile % tiles * rows..positions.min((tile % tiles + 1) * rows));
            let pixels = &input[image * image_pixels * channels..][..image_pixels * channels];
            for group in 0..geometry.groups {
                let group_channels = group * inputs..(group + 1) * inputs;
                let start = (image * gather.positions() + positions.start) * filters + group * outputs;
                let b = Matrix::row_major(gradient.as_ptr().wrapping_add(start), filters);
                let c = sums.wrapping_add(group * outputs);
                let product = |a: Matrix<T>| {
                    let size = [depth, outputs, positions.len()];
                    // SAFETY: both matrices have a row for each position, and the sums the shape of the kernel.
                    unsafe { gemm(isa, size, a.transposed(), b, c, filters, number > 0) };
                };
                if identity {
                    let start = positions.start * channels + group_channels.start;
                    product(Matrix::row_major(pixels.as_ptr().wrapping_add(start), channels));
                } else {
                    with_scratch::<T, _>(positions.len() * depth, |gathered| {
                        // SAFETY: the scratch memory holds a row for each position.
                        unsafe {
                            gather_rows(
                                &gather,
                                positions.clone(),
                                pixels,
                                channels,
                                group_channels,
                                gathered,
                            );
                        }
                        product(Matrix::row_major(gathered, depth));
                    });
                }
            }
        }
    };
    in_parts(all_tiles, result, add);
}

/// Sums over `count` tiles in at most [`MOST_PARTS`] parts that several threads can work on; `add` writes the sum over
/// a range of tiles. The parts depend on shapes alone, and are added in order.
fn in_parts<T: Real>(count: usize, result: &mut [T], add: impl Fn(Range<usize>, *mut T) + Sync) {
    let parts = if result.len() > MOST_PARTIAL_ITEMS { 1 } else { count.min(MOST_PARTS) };
    if parts == 0 {
        result.fill(T::default());
        return;
    }
    let size = result.len();
    let mut others = vec![T::default(); (parts - 1) * size];
    let (first, rest) = (Target(result.as_mut_ptr()), Target(others.as_mut_ptr()));
    parallel_for(parts, |part| {
        let sums = if part == 0 { first.at(0) } else { rest.at((part - 1) * size) };
        add(count * part / parts..count * (part + 1) / parts, sums);
    });
    for part in others.chunks_exact(size) {
        for (sum, &value) in result.iter_mut().zip(part) {
            *sum = *sum + value;
        }
    }
}

#[cfg(test)]
mod tests;
