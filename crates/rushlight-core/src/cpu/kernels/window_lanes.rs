//! Maxima and sums over windows of `f32` in lanes layout, `[batch / 16][channel][height][width][16]`, and their
//! gradients. The meaning is that of [`super::window`]; each plane of pixels is a task.

use super::conv_lanes::{LANES, OnLoad, Planes, PlanesMut};
use super::window::Axis;
use crate::cpu::isa::Isa;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, Vector, VectorKernel};
use crate::ops::pooling::{Pooling, Window};

/// The sizes of windows in lanes layout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LanesWindow {
    /// Sixteenths of the batch.
    pub(crate) blocks: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    pub(crate) size: [usize; 2],
    pub(crate) strides: [usize; 2],
    /// Places above and to the left that hold nothing.
    pub(crate) padding: [usize; 2],
}

impl LanesWindow {
    /// The sizes of windows over `input [batch, height, width, channels]` that make `output`, if there are two spatial
    /// axes and the batch is a multiple of [`LANES`].
    pub(crate) fn new(window: &Window, input: &[usize], output: &[usize]) -> Option<LanesWindow> {
        if window.size.len() != 2 || !input[0].is_multiple_of(LANES) {
            return None;
        }
        Some(LanesWindow {
            blocks: input[0] / LANES,
            channels: input[3],
            height: input[1],
            width: input[2],
            out_height: output[1],
            out_width: output[2],
            size: [window.size[0], window.size[1]],
            strides: [window.strides[0], window.strides[1]],
            padding: [window.padding[0].0, window.padding[1].0],
        })
    }

    fn axes(&self) -> [Axis; 2] {
        let (places, windows) = ([self.height, self.width], [self.out_height, self.out_width]);
        [0, 1].map(|axis| Axis {
            places: places[axis],
            windows: windows[axis],
            size: self.size[axis],
            stride: self.strides[axis],
            padding: self.padding[axis],
        })
    }
}

/// Writes the maximum or the sum of each window.
///
/// # Safety
/// Input and output must be good for these sizes and not overlap, and the machine have `isa`.
pub(crate) unsafe fn forward(
    isa: Isa,
    window: &LanesWindow,
    kind: Pooling,
    input: Planes,
    output: PlanesMut,
) {
    let job = match kind {
        Pooling::Max => Job::Max,
        Pooling::Sum => Job::Sum,
    };
    // SAFETY: the caller's promise.
    unsafe { run(isa, window, job, [input, input], output) };
}

/// Adds each value of `gradient` to all places of its window, in a result of zeros or, if `accumulate`, to what it holds.
///
/// # Safety
/// As [`forward`]; the gradient has a value for each window, the result one for each place.
pub(crate) unsafe fn sum_gradient(
    isa: Isa,
    window: &LanesWindow,
    gradient: Planes,
    result: PlanesMut,
    accumulate: bool,
) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, window, Job::SumGradient { accumulate }, [gradient, gradient], result) };
}

/// Adds each value of `gradient` to the place of the first maximum of its window of `input`, in a result of zeros or, if
/// `accumulate`, to what it holds.
///
/// # Safety
/// As [`sum_gradient`]; the input has a value for each place.
pub(crate) unsafe fn max_gradient(
    isa: Isa,
    window: &LanesWindow,
    input: Planes,
    gradient: Planes,
    result: PlanesMut,
    accumulate: bool,
) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, window, Job::MaxGradient { accumulate }, [input, gradient], result) };
}

/// Takes the value of `values` at the place of the first maximum of each window of `input`.
///
/// # Safety
/// As [`forward`]; input and values have a value for each place.
pub(crate) unsafe fn max_select(
    isa: Isa,
    window: &LanesWindow,
    input: Planes,
    values: Planes,
    output: PlanesMut,
) {
    // SAFETY: the caller's promise.
    unsafe { run(isa, window, Job::MaxSelect, [input, values], output) };
}

/// What is done with each window.
#[derive(Clone, Copy)]
enum Job {
    Max,
    Sum,
    SumGradient { accumulate: bool },
    MaxGradient { accumulate: bool },
    MaxSelect,
}

/// # Safety
/// As the public functions.
unsafe fn run(isa: Isa, window: &LanesWindow, job: Job, inputs: [Planes; 2], output: PlanesMut) {
    let axes = window.axes();
    parallel_for(window.blocks * window.channels, |task| {
        let (block, channel) = (task / window.channels, task % window.channels);
        let plane = |planes: Planes| planes.block(block).wrapping_add(channel * planes.channel_stride).cast();
        let plane = Plane {
            job,
            axes,
            channel,
            on_load: inputs[0].on_load,
            first: plane(inputs[0]),
            second: plane(inputs[1]),
            output: output.block(block).wrapping_add(channel * output.channel_stride).cast(),
        };
        // SAFETY: the caller's promise; tasks write to different planes.
        unsafe { f32::dispatch(isa, plane) };
    });
}

/// A pixel of sixteen images.
type Pixel = [f32; LANES];

/// One channel of a block.
struct Plane {
    job: Job,
    axes: [Axis; 2],
    channel: usize,
    /// What is computed with the pixels of the first input, for sums.
    on_load: Option<OnLoad>,
    first: *const Pixel,
    second: *const Pixel,
    output: *mut Pixel,
}

// For maxima the register type plays no role: plain loops over the lanes are compiled for each instruction set.
impl VectorKernel<f32> for Plane {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        let [y_axis, x_axis] = &self.axes;
        match self.job {
            // SAFETY: windows lie within the planes.
            Job::Sum => return unsafe { self.sums::<V>() },
            Job::SumGradient { accumulate: false } if self.axes.iter().all(is_tiled) => {
                // SAFETY: as above.
                return unsafe { self.spread::<V>() };
            }
            _ => {}
        }
        if let Job::SumGradient { accumulate: false } | Job::MaxGradient { accumulate: false } = self.job {
            // SAFETY: the result has a pixel for each place.
            unsafe { self.output.write_bytes(0, y_axis.places * x_axis.places) };
        }
        for y in 0..y_axis.windows {
            for x in 0..x_axis.windows {
                // SAFETY: places and windows lie within the planes.
                unsafe { self.window(y, x) };
            }
        }
    }
}

/// Whether each place belongs to exactly one window.
fn is_tiled(axis: &Axis) -> bool {
    axis.padding == 0 && axis.stride == axis.size && axis.windows * axis.size == axis.places
}

impl Plane {
    /// The sums of all windows.
    ///
    /// # Safety
    /// As the public functions; called from [`Real::dispatch`].
    #[inline(always)]
    unsafe fn sums<V: Vector<Item = f32>>(&self) {
        let [y_axis, x_axis] = &self.axes;
        let row_of = |row: usize| self.first.wrapping_add(row * x_axis.places).cast::<f32>();
        // SAFETY: windows only hold places of the plane.
        unsafe {
            let made = self.on_load.as_ref().map(|on_load| on_load.channel::<V>(self.channel));
            for y in 0..y_axis.windows {
                let rows = y_axis.window(y);
                for x in 0..x_axis.windows {
                    let columns = x_axis.window(x);
                    let target = self.output.add(y * x_axis.windows + x).cast::<f32>();
                    for lane in (0..LANES).step_by(V::LANES) {
                        let mut sum = V::splat(0.0);
                        for row in rows.clone() {
                            let mut from = row_of(row).add(columns.start * LANES + lane);
                            for _ in columns.clone() {
                                let value = V::load(from);
                                sum = sum.add(if let Some(made) = &made { made.apply(value) } else { value });
                                from = from.wrapping_add(LANES);
                            }
                        }
                        sum.store(target.add(lane));
                    }
                }
            }
        }
    }

    /// The gradient of each sum goes to all places of its window, of which none belongs to two.
    ///
    /// # Safety
    /// As [`Plane::sums`]; the axes must be tiled.
    #[inline(always)]
    unsafe fn spread<V: Vector<Item = f32>>(&self) {
        let [y_axis, x_axis] = &self.axes;
        // SAFETY: windows only hold places of the plane.
        unsafe {
            for y in 0..y_axis.windows {
                for row in y_axis.window(y) {
                    let mut target = self.output.add(row * x_axis.places).cast::<f32>();
                    for x in 0..x_axis.windows {
                        let from = self.first.add(y * x_axis.windows + x).cast::<f32>();
                        for lane in (0..LANES).step_by(V::LANES) {
                            let value = V::load(from.add(lane));
                            for place in 0..x_axis.size {
                                value.store(target.add(place * LANES + lane));
                            }
                        }
                        target = target.wrapping_add(x_axis.size * LANES);
                    }
                }
            }
        }
    }

    /// # Safety
    /// There must be such a window.
    #[inline(always)]
    unsafe fn window(&self, y: usize, x: usize) {
        let [y_axis, x_axis] = &self.axes;
        let number = y * x_axis.windows + x;
        let (rows, columns) = (y_axis.window(y), x_axis.window(x));
        let places = rows.flat_map(|row| columns.clone().map(move |column| row * x_axis.places + column));
        // SAFETY: the caller's promise.
        unsafe {
            match self.job {
                Job::Sum => unreachable!("sums are taken for the whole plane"),
                Job::SumGradient { .. } => {
                    let gradient = *self.first.add(number);
                    places.for_each(|place| add(&mut *self.output.add(place), &gradient));
                }
                Job::Max => *self.output.add(number) = self.maximum(places).0,
                Job::MaxSelect => {
                    let best_places = self.maximum(places.clone()).1;
                    let mut result = [0.0; LANES];
                    for place in places {
                        let values = &*self.second.add(place);
                        for lane in 0..LANES {
                            let is_best = best_places[lane] == place as u32;
                            result[lane] = if is_best { values[lane] } else { result[lane] };
                        }
                    }
                    *self.output.add(number) = result;
                }
                Job::MaxGradient { .. } => {
                    let best_places = self.maximum(places.clone()).1;
                    let gradient = *self.second.add(number);
                    for place in places {
                        let mut here = [0.0; LANES];
                        for lane in 0..LANES {
                            here[lane] = if best_places[lane] == place as u32 { gradient[lane] } else { 0.0 };
                        }
                        add(&mut *self.output.add(place), &here);
                    }
                }
            }
        }
    }

    /// The greatest value of each lane and the first place where it is. NaN is greater than everything.
    ///
    /// # Safety
    /// These must be places of the plane.
    #[inline(always)]
    unsafe fn maximum(&self, places: impl Iterator<Item = usize>) -> (Pixel, [u32; LANES]) {
        let (mut best, mut best_places) = ([f32::NEG_INFINITY; LANES], [u32::MAX; LANES]);
        for place in places {
            // SAFETY: the caller's promise.
            let values = unsafe { &*self.first.add(place) };
            for lane in 0..LANES {
                let (value, old) = (values[lane], best[lane]);
                // Anything takes the place of "none yet", even negative infinity.
                let is_greater =
                    (value > old) | (value.is_nan() & !old.is_nan()) | (best_places[lane] == u32::MAX);
                best[lane] = if is_greater { value } else { old };
                best_places[lane] = if is_greater { place as u32 } else { best_places[lane] };
            }
        }
        (best, best_places)
    }
}

#[inline(always)]
fn add(sum: &mut Pixel, values: &Pixel) {
    for lane in 0..LANES {
        sum[lane] += values[lane];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::buffer::{View, ViewMut};
    use crate::cpu::kernels::testing::{Lanes, Numbers, Sample};
    use crate::cpu::kernels::window;

    type Kernel = fn(&Window, &[View], &mut [ViewMut]);

    /// What the kernel for the layout of the ops makes of these.
    fn reference(kernel: Kernel, window: &Window, inputs: &[&Sample<f32>], dims: &[usize]) -> Vec<f32> {
        let mut result = Sample::from_values(dims, vec![0.0; dims.iter().product()]);
        let views: Vec<View> = inputs.iter().map(|input| input.view()).collect();
        kernel(window, &views, &mut [result.view_mut()]);
        result.values()
    }

    #[test]
    fn agree_with_the_other_layout() {
        let mut numbers = Numbers::new(10);
        for isa in Isa::available() {
            for _ in 0..60 {
                let mut pair =
                    |least: usize, limit: usize| [least + numbers.below(limit), least + numbers.below(limit)];
                let (size, strides, room, low, high) =
                    (pair(1, 4), pair(1, 3), pair(0, 6), pair(0, 4), pair(0, 4));
                let padding =
                    [0, 1].map(|axis| (low[axis].min(size[axis] - 1), high[axis].min(size[axis] - 1)));
                let input =
                    [numbers.below(4) * LANES, size[0] + room[0], size[1] + room[1], 1 + numbers.below(5)];
                let windows = [0, 1].map(|axis| {
                    (input[axis + 1] + padding[axis].0 + padding[axis].1 - size[axis]) / strides[axis] + 1
                });
                let output = [input[0], windows[0], windows[1], input[3]];
                let window = |kind: Pooling| Window {
                    kind,
                    size: size.as_slice().into(),
                    strides: strides.as_slice().into(),
                    padding: padding.as_slice().into(),
                };
                let (max, sum) = (window(Pooling::Max), window(Pooling::Sum));
                let sizes = LanesWindow::new(&max, &input, &output).unwrap();
                let what = format!("{isa:?} {sizes:?}");
                // Few distinct values, so that windows have several maxima.
                let mut x = Lanes::new(&mut numbers, input);
                x.memory.iter_mut().for_each(|value| *value = (*value * 4.0).round() / 4.0);
                let (g, values) = (Lanes::new(&mut numbers, output), Lanes::new(&mut numbers, input));
                let mut check =
                    |dims: [usize; 4], wanted: Vec<f32>, accumulate: bool, run: &dyn Fn(PlanesMut)| {
                        let before = Lanes::new(&mut numbers, dims);
                        let mut after = before.clone();
                        run(after.planes_mut());
                        let old = before.sample().values();
                        let wanted: Vec<f32> = wanted
                            .into_iter()
                            .zip(old)
                            .map(|(w, old)| if accumulate { w + old } else { w })
                            .collect();
                        after.assert_close(&wanted, &before, 2e-6, &what);
                    };
                let (xs, gs, vs) = (x.sample(), g.sample(), values.sample());
                for (window, kind) in [(&max, Pooling::Max), (&sum, Pooling::Sum)] {
                    let wanted = reference(window::run, window, &[&xs], &output);
                    // SAFETY: the buffers were made for these sizes.
                    let run = |to: PlanesMut| unsafe { forward(isa, &sizes, kind, x.planes(), to) };
                    check(output, wanted, false, &run);
                }
                let wanted = reference(window::run_max_select, &max, &[&xs, &vs], &output);
                // SAFETY: the buffers were made for these sizes.
                let run = |to: PlanesMut| unsafe { max_select(isa, &sizes, x.planes(), values.planes(), to) };
                check(output, wanted, false, &run);
                for accumulate in [false, true] {
                    let wanted = reference(window::run_sum_gradient, &sum, &[&gs], &input);
                    // SAFETY: the buffers were made for these sizes.
                    let run =
                        |to: PlanesMut| unsafe { sum_gradient(isa, &sizes, g.planes(), to, accumulate) };
                    check(input, wanted, accumulate, &run);
                    let wanted = reference(window::run_max_gradient, &max, &[&xs, &gs], &input);
                    // SAFETY: the buffers were made for these sizes.
                    let run = |to: PlanesMut| unsafe {
                        max_gradient(isa, &sizes, x.planes(), g.planes(), to, accumulate)
                    };
                    check(input, wanted, accumulate, &run);
                }
            }
        }
    }
}
