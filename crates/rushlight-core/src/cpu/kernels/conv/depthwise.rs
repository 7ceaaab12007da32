//! Convolutions in which each channel is a group of its own: a matrix product would be mostly empty, so each position
//! is a sum over taps with the channels in the lanes.

use super::geometry::{Gather, Geometry, OUTSIDE};
use super::in_parts;
use crate::cpu::isa::Isa;
use crate::cpu::kernels::gemm::Target;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, Vector, VectorKernel};
use std::ops::Range;

/// Positions that make a task.
const TASK_POSITIONS: usize = 64;

/// `target[position, c] = Σ over taps of source[place, c] · kernel[tap, c]`: the convolution or its input gradient.
pub(super) fn apply<T: Real>(
    isa: Isa,
    gather: &Gather,
    geometry: &Geometry,
    source: &[T],
    kernel: &[T],
    target: &mut [T],
    channels: usize,
) {
    let positions = gather.positions();
    let tasks = positions.div_ceil(TASK_POSITIONS);
    let (source_image, target_image) = (source.len() / geometry.batch, target.len() / geometry.batch);
    let taps = gather.tap_numbers(geometry.kernel());
    let target = Target(target.as_mut_ptr());
    parallel_for(geometry.batch * tasks, |task| {
        let (image, part) = (task / tasks, task % tasks);
        let forward = Apply {
            gather,
            positions: part * TASK_POSITIONS..positions.min((part + 1) * TASK_POSITIONS),
            taps: &taps,
            source: &source[image * source_image..][..source_image],
            kernel,
            target: target.at(image * target_image),
            channels,
        };
        // SAFETY: the isa is one of this machine; tasks write to disjoint positions.
        unsafe { T::dispatch(isa, forward) };
    });
}

struct Apply<'a, T> {
    gather: &'a Gather,
    positions: Range<usize>,
    taps: &'a [usize],
    source: &'a [T],
    kernel: &'a [T],
    target: *mut T,
    channels: usize,
}

impl<T: Real> VectorKernel<T> for Apply<'_, T> {
    #[inline(always)]
    fn run<V: Vector<Item = T>>(self) {
        let channels = self.channels;
        for position in self.positions.clone() {
            let target = self.target.wrapping_add(self.gather.target(position) * channels);
            // SAFETY: the target, and each place and tap, have all channels.
            unsafe {
                for c in (0..channels).step_by(V::LANES) {
                    let count = V::LANES.min(channels - c);
                    V::splat(T::default()).store_first(target.add(c), count);
                }
                let mut number = 0;
                self.gather.each_place(position, |place| {
                    let tap = self.taps[number];
                    number += 1;
                    if place == OUTSIDE {
                        return;
                    }
                    let source = self.source.as_ptr().add(place * channels);
                    add_products::<V>(target, source, self.kernel.as_ptr().add(tap * channels), channels);
                });
            }
        }
    }
}

/// `sums[c] += left[c] · right[c]`.
///
/// # Safety
/// All three must have `count` items; called from [`Real::dispatch`].
#[inline(always)]
unsafe fn add_products<V: Vector>(
    sums: *mut V::Item,
    left: *const V::Item,
    right: *const V::Item,
    count: usize,
) {
    // SAFETY: the last vector is cut to what is there.
    unsafe {
        let mut c = 0;
        while c + V::LANES <= count {
            let sum = V::load(sums.add(c)).multiply_add(V::load(left.add(c)), V::load(right.add(c)));
            sum.store(sums.add(c));
            c += V::LANES;
        }
        if c < count {
            let rest = count - c;
            let (left, right) = (V::load_first(left.add(c), rest), V::load_first(right.add(c), rest));
            V::load_first(sums.add(c), rest).multiply_add(left, right).store_first(sums.add(c), rest);
        }
    }
}

/// `kernel[tap, c] = Σ over positions of input[place, c] · gradient[position, c]`.
pub(super) fn kernel_gradient<T: Real>(
    isa: Isa,
    geometry: &Geometry,
    input: &[T],
    gradient: &[T],
    result: &mut [T],
) {
    let gather = geometry.forward();
    let channels = geometry.groups;
    let positions = gather.positions();
    let image = input.len() / geometry.batch.max(1);
    let rows = positions.div_ceil(TASK_POSITIONS);
    in_parts(geometry.batch * rows, result, |tiles, sums| {
        let size = gather.taps() * channels;
        // SAFETY: the sums have the shape of the kernel.
        unsafe { std::slice::from_raw_parts_mut(sums, size) }.fill(T::default());
        for tile in tiles {
            let (number, row) = (tile / rows, tile % rows);
            let gradient = AddTile {
                gather: &gather,
                positions: row * TASK_POSITIONS..positions.min((row + 1) * TASK_POSITIONS),
                input: &input[number * image..][..image],
                gradient: &gradient[number * positions * channels..][..positions * channels],
                sums,
                channels,
            };
            // SAFETY: the isa is one of this machine.
            unsafe { T::dispatch(isa, gradient) };
        }
    });
}

struct AddTile<'a, T> {
    gather: &'a Gather,
    positions: Range<usize>,
    input: &'a [T],
    gradient: &'a [T],
    sums: *mut T,
    channels: usize,
}

impl<T: Real> VectorKernel<T> for AddTile<'_, T> {
    #[inline(always)]
    fn run<V: Vector<Item = T>>(self) {
        let channels = self.channels;
        for position in self.positions.clone() {
            let mut sums = self.sums;
            self.gather.each_place(position, |place| {
                if place != OUTSIDE {
                    // SAFETY: each place, position and tap has all channels.
                    unsafe {
                        let input = self.input.as_ptr().add(place * channels);
                        let gradient = self.gradient.as_ptr().add(position * channels);
                        add_products::<V>(sums, input, gradient, channels);
                    }
                }
                sums = sums.wrapping_add(channels);
            });
        }
    }
}
