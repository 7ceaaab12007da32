//! Maxima and sums over sliding windows in the layout of the ops, `[batch, spatial…, channels]`, and their gradients.
//!
//! Images and ranges of channels are independent, so these are the tasks; within them windows are visited in order.
//! A window's maximum is its first one in row-major order, and NaN counts as greater than everything.

mod rows;

use super::gemm::Target;
use super::widen::{dense, narrow, widen};
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, Vector, VectorKernel};
use crate::ops::pooling::{Pooling, Window};
use crate::tensor::{DType, Element};
use rows::{add, add_at, greatest, pick, raise};
use std::ops::Range;

/// Channels that make a task, if there are more.
const TASK_CHANNELS: usize = 64;

/// Computes maxima or sums of windows; shapes have been checked.
pub(crate) fn run(window: &Window, inputs: &[View], outputs: &mut [ViewMut]) {
    let job = match window.kind {
        Pooling::Max => Job::Max,
        Pooling::Sum => Job::Sum,
    };
    run_with(Isa::current(), job, window, inputs, outputs);
}

/// Adds each value of the input to all places of its window.
pub(crate) fn run_sum_gradient(window: &Window, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), Job::SumGradient, window, inputs, outputs);
}

/// From `inputs: [x, dy]`: adds each `dy` to the place of the first maximum of its window of `x`.
pub(crate) fn run_max_gradient(window: &Window, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), Job::MaxGradient, window, inputs, outputs);
}

/// From `inputs: [x, g]`: takes `g` at the place of the first maximum of each window of `x`.
pub(crate) fn run_max_select(window: &Window, inputs: &[View], outputs: &mut [ViewMut]) {
    run_with(Isa::current(), Job::MaxSelect, window, inputs, outputs);
}

/// What is done with each window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Job {
    Max,
    Sum,
    SumGradient,
    MaxGradient,
    MaxSelect,
}

impl Job {
    /// Whether the result has the places of the input, not one for each window.
    fn spreads(self) -> bool {
        matches!(self, Job::SumGradient | Job::MaxGradient)
    }
}

fn run_with(isa: Isa, job: Job, window: &Window, inputs: &[View], outputs: &mut [ViewMut]) {
    let [output] = outputs else { unreachable!("windows have one result") };
    if output.count() == 0 {
        return;
    }
    // The tensors with a place for each input element, and with one for each window.
    let (places, windows) = match job {
        Job::SumGradient => (&output.dims, &inputs[0].dims),
        Job::MaxGradient => (&output.dims, &inputs[1].dims),
        Job::Max | Job::Sum | Job::MaxSelect => (&inputs[0].dims, &output.dims),
    };
    let plan = Plan::new(isa, job, window, places, windows);
    match output.dtype {
        DType::F32 => run_typed::<f32>(&plan, inputs, output),
        DType::F64 => run_typed::<f64>(&plan, inputs, output),
        DType::I32 => run_typed::<i32>(&plan, inputs, output),
        DType::I64 => run_typed::<i64>(&plan, inputs, output),
        DType::U8 => run_typed::<u8>(&plan, inputs, output),
        DType::F16 | DType::BF16 => {
            let wide: Vec<Vec<f32>> = inputs.iter().map(widen).collect();
            let mut result = vec![0f32; output.count()];
            plan.run(&wide[0], wide.get(1).map_or(&[], Vec::as_slice), &mut result);
            narrow(&result, output);
        }
        DType::Bool => unreachable!("windows of bool"),
    }
}

fn run_typed<T: Number>(plan: &Plan, inputs: &[View], output: &mut ViewMut) {
    let first = dense::<T>(&inputs[0]);
    let second = inputs.get(1).map(dense::<T>).unwrap_or_default();
    plan.run(&first, &second, output.slice());
}

/// A dtype that windows are taken of.
trait Number: Element {
    /// No value is less.
    const LEAST: Self;
    /// The sum, of integers modulo their range.
    fn plus(self, other: Self) -> Self;
    fn is_nan(self) -> bool;
}

macro_rules! number {
    ($($type:ty: $least:expr, $plus:expr, $is_nan:expr;)*) => {
        $(impl Number for $type {
            const LEAST: $type = $least;
            #[inline(always)]
            fn plus(self, other: $type) -> $type {
                $plus(self, other)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $is_nan(self)
            }
        })*
    };
}

number! {
    f32: f32::NEG_INFINITY, std::ops::Add::add, f32::is_nan;
    f64: f64::NEG_INFINITY, std::ops::Add::add, f64::is_nan;
    i32: i32::MIN, i32::wrapping_add, |_| false;
    i64: i64::MIN, i64::wrapping_add, |_| false;
    u8: u8::MIN, u8::wrapping_add, |_| false;
}

/// One spatial axis.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) places: usize,
    pub(super) windows: usize,
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Axis {
    /// The places of a window.
    #[inline(always)]
    pub(super) fn window(&self, number: usize) -> Range<usize> {
        let start = number * self.stride;
        let end = (start + self.size).saturating_sub(self.padding).min(self.places);
        start.saturating_sub(self.padding).min(end)..end
    }
}

/// The sizes of a job; axes that the op does not have are made up in front.
struct Plan {
    isa: Isa,
    job: Job,
    axes: [Axis; 3],
    batch: usize,
    channels: usize,
}

impl Plan {
    fn new(isa: Isa, job: Job, window: &Window, places: &[usize], windows: &[usize]) -> Plan {
        let spatial = window.size.len();
        let mut axes = [Axis { places: 1, windows: 1, size: 1, stride: 1, padding: 0 }; 3];
        for axis in 0..spatial {
            axes[3 - spatial + axis] = Axis {
                places: places[axis + 1],
                windows: windows[axis + 1],
                size: window.size[axis],
                stride: window.strides[axis],
                padding: window.padding[axis].0,
            };
        }
        Plan { isa, job, axes, batch: places[0], channels: places[spatial + 1] }
    }

    fn run<T: Number>(&self, first: &[T], second: &[T], output: &mut [T]) {
        let ranges = self.channels.div_ceil(TASK_CHANNELS);
        // Windows that only read can be shared by rows as well.
        let [depth, height] = [self.axes[0].windows, self.axes[1].windows];
        let rows = if self.job.spreads() { 1 } else { depth * height };
        let places = self.axes.iter().map(|axis| axis.places).product::<usize>() * self.channels;
        let windows = self.axes.iter().map(|axis| axis.windows).product::<usize>() * self.channels;
        let (first_image, second_image, output_image) = match self.job {
            Job::Max | Job::Sum => (places, 0, windows),
            Job::SumGradient => (windows, 0, places),
            Job::MaxGradient => (places, windows, places),
            Job::MaxSelect => (places, places, windows),
        };
        let output = Target(output.as_mut_ptr());
        parallel_for(self.batch * rows * ranges, |task| {
            let (image, row, range) = (task / ranges / rows, task / ranges % rows, task % ranges);
            let part = Part {
                plan: self,
                first: &first[image * first_image..][..first_image],
                second: &second[image * second_image..][..second_image],
                output: output.at(image * output_image),
                channels: range * TASK_CHANNELS..self.channels.min((range + 1) * TASK_CHANNELS),
                rows: if rows == 1 { 0..depth * height } else { row..row + 1 },
            };
            // SAFETY: the isa is one of this machine.
            unsafe { f32::dispatch(self.isa, part) };
        });
    }
}

/// Some channels of an image.
struct Part<'a, T> {
    plan: &'a Plan,
    first: &'a [T],
    second: &'a [T],
    output: *mut T,
    channels: Range<usize>,
    /// Rows of windows.
    rows: Range<usize>,
}

// The register type plays no role: plain loops are compiled for each instruction set.
impl<T: Number> VectorKernel<f32> for Part<'_, T> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        let count = self.channels.len();
        if self.plan.job.spreads() {
            let places: usize = self.plan.axes.iter().map(|axis| axis.places).product();
            for place in 0..places {
                // SAFETY: tasks write to disjoint channels of disjoint images.
                unsafe { &mut *self.output_row(place) }.fill(T::default());
            }
        }
        with_scratch::<T, _>(count, |best| {
            with_scratch::<u32, _>(count, |best_places| {
                // SAFETY: the scratch memory has that size, and is written below before it is read.
                let (best, best_places) = unsafe {
                    best.write_bytes(0, count);
                    best_places.write_bytes(0, count);
                    (
                        std::slice::from_raw_parts_mut(best, count),
                        std::slice::from_raw_parts_mut(best_places, count),
                    )
                };
                self.each_window(best, best_places);
            });
        });
    }
}

impl<T: Number> Part<'_, T> {
    #[inline(always)]
    fn row<'b>(&self, items: &'b [T], number: usize) -> &'b [T] {
        &items[number * self.plan.channels..][self.channels.clone()]
    }

    /// The channels of this part in a row of the output; no slice of it lives longer than the statement that makes it.
    #[inline(always)]
    fn output_row(&self, number: usize) -> *mut [T] {
        let start = number * self.plan.channels + self.channels.start;
        std::ptr::slice_from_raw_parts_mut(self.output.wrapping_add(start), self.channels.len())
    }

    #[inline(always)]
    fn each_window(&self, best: &mut [T], best_places: &mut [u32]) {
        let [z_axis, y_axis, x_axis] = &self.plan.axes;
        for row in self.rows.clone() {
            let (z, y) = (row / y_axis.windows, row % y_axis.windows);
            for x in 0..x_axis.windows {
                let ranges = [z_axis.window(z), y_axis.window(y), x_axis.window(x)];
                self.window(row * x_axis.windows + x, ranges, best, best_places);
            }
        }
    }

    #[inline(always)]
    fn window(&self, number: usize, [z, y, x]: [Range<usize>; 3], best: &mut [T], best_places: &mut [u32]) {
        let [_, y_axis, x_axis] = &self.plan.axes;
        let job = self.plan.job;
        match job {
            Job::Max => best.fill(T::LEAST),
            Job::Sum => best.fill(T::default()),
            _ => {}
        }
        let mut is_first = true;
        for z in z.clone() {
            for y in y.clone() {
                for x in x.clone() {
                    let place = (z * y_axis.places + y) * x_axis.places + x;
                    match job {
                        Job::Sum => add(best, self.row(self.first, place)),
                        Job::SumGradient => {
                            // SAFETY: the output has this row; tasks have disjoint channels.
                            let sums = unsafe { &mut *self.output_row(place) };
                            add(sums, self.row(self.first, number));
                        }
                        Job::Max | Job::MaxGradient | Job::MaxSelect if is_first => {
                            best.copy_from_slice(self.row(self.first, place));
                            best_places.fill(place as u32);
                        }
                        Job::Max => raise(best, self.row(self.first, place)),
                        Job::MaxGradient | Job::MaxSelect => {
                            greatest(best, best_places, self.row(self.first, place), place as u32);
                        }
                    }
                    is_first = false;
                }
            }
        }
        if job == Job::SumGradient || job == Job::MaxGradient && is_first {
            return;
        }
        if job == Job::MaxGradient {
            let output = self.output.wrapping_add(self.channels.start);
            // SAFETY: places lie within the image.
            unsafe { add_at(output, best_places, self.row(self.second, number), self.plan.channels) };
            return;
        }
        // SAFETY: the output has a row for each window; tasks have disjoint channels.
        let output = unsafe { &mut *self.output_row(number) };
        match job {
            Job::MaxSelect if is_first => output.fill(T::default()),
            Job::MaxSelect => {
                pick(output, best_places, &self.second[self.channels.start..], self.plan.channels);
            }
            _ => output.copy_from_slice(best),
        }
    }
}

#[cfg(test)]
mod tests;
