//! Input gradients that are not stored, but go on through the activation and the normalization that made the input.

use super::{LANES, OnLoad, Planes};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::gemm::Target;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, Vector, VectorKernel};

/// Where the gradient `d` of a convolution's input goes that was `max(x · scale + shift, floor)`.
///
/// With `g` = `d` where `x · scale + shift > floor`, else zero, the result is `base + g · factor`, and for each channel
/// the sums of `g` and of `g · x` over all pixels are taken along the way.
pub(crate) struct Masked {
    pub(crate) x: Planes,
    pub(crate) made: OnLoad,
    pub(crate) factor: *const f32,
    /// What the result is added to; it may lie where the result does.
    pub(crate) base: Option<Planes>,
    pub(crate) sums: *mut f32,
    pub(crate) products: *mut f32,
}

// SAFETY: it is only read; the sums are written when all tasks are done.
unsafe impl Sync for Masked {}

/// Floats that the sums of one channel take in a task: the lanes of both.
pub(super) const SUMS: usize = 2 * LANES;

impl Masked {
    /// The planes that are read along the way: of `x` and of what results are added to.
    pub(super) fn read_planes(&self, number: usize) -> Option<&Planes> {
        if number == 0 { Some(&self.x) } else { self.base.as_ref() }
    }

    /// Adds the lanes of a task's sums `[channel][2][lane]`, and writes them to `partial: [channel][2]`.
    ///
    /// # Safety
    /// Both must have room for these channels, and the machine have `isa`.
    pub(super) unsafe fn add_lanes(isa: Isa, channels: usize, sums: *const f32, partial: *mut f64) {
        struct AddLanes(usize, *const f32, *mut f64);
        impl VectorKernel<f32> for AddLanes {
            #[inline(always)]
            fn run<V: Vector<Item = f32>>(self) {
                let AddLanes(count, from, to) = self;
                for number in 0..count {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let mut sum = V::load(from.add(number * LANES));
                        for lane in (V::LANES..LANES).step_by(V::LANES) {
                            sum = sum.add(V::load(from.add(number * LANES + lane)));
                        }
                        *to.add(number) = sum.sum() as f64;
                    }
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { f32::dispatch(isa, AddLanes(2 * channels, sums, partial)) };
    }

    /// Adds up the `[task][channel][2]` sums of all tasks, in their order.
    ///
    /// # Safety
    /// The partial sums must be those of that many tasks and channels.
    pub(super) unsafe fn finish(&self, tasks: usize, channels: usize, partials: *const f64) {
        for channel in 0..channels {
            for (number, to) in [self.sums, self.products].into_iter().enumerate() {
                let at = |task: usize| partials.wrapping_add((task * channels + channel) * 2 + number);
                // SAFETY: the caller's promise; the results have an item for each channel.
                unsafe { *to.add(channel) = (0..tasks).map(|task| *at(task)).sum::<f64>() as f32 };
            }
        }
    }

    /// What one channel of a block needs: `place` is where its first pixel lies in its plane, in floats.
    ///
    /// # Safety
    /// There must be such a channel and place; called from [`Real::dispatch`].
    #[inline(always)]
    pub(super) unsafe fn channel<V: Vector<Item = f32>>(
        &self,
        block: usize,
        channel: usize,
        place: usize,
        target: *mut f32,
    ) -> MaskedChannel<V> {
        let at = |planes: &Planes| planes.block(block).wrapping_add(channel * planes.channel_stride + place);
        // SAFETY: the caller's promise.
        unsafe {
            MaskedChannel {
                made: self.made.channel(channel),
                factor: V::splat(*self.factor.add(channel)),
                x: at(&self.x),
                base: self.base.as_ref().map(at),
                target,
                sum: V::splat(0.0),
                product: V::splat(0.0),
            }
        }
    }
}

/// One channel on its way, with its sums so far.
pub(super) struct MaskedChannel<V> {
    made: super::on_load::Affine<V>,
    factor: V,
    x: *const f32,
    base: Option<*const f32>,
    target: *mut f32,
    sum: V,
    product: V,
}

impl<V: Vector<Item = f32>> MaskedChannel<V> {
    /// Lets one vector of gradients go on; `offset` counts floats from the first pixel.
    ///
    /// # Safety
    /// The pixel must be one of the channel; called from [`Real::dispatch`].
    #[inline(always)]
    pub(super) unsafe fn store(&mut self, offset: usize, gradient: V) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = V::load(self.x.add(offset));
            let gradient = gradient.where_above(self.made.straight(x), self.made.floor);
            self.sum = self.sum.add(gradient);
            self.product = self.product.multiply_add(gradient, x);
            let base = match self.base {
                Some(base) => V::load(base.add(offset)),
                None => V::splat(0.0),
            };
            base.multiply_add(gradient, self.factor).store(self.target.add(offset));
        }
    }

    /// Adds the sums to those of the task, `[2][lane]`, of which `lane` is the first of these.
    ///
    /// # Safety
    /// They must be those of this channel; called from [`Real::dispatch`].
    #[inline(always)]
    pub(super) unsafe fn add_to(self, sums: *mut f32, lane: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let (sum, product) = (sums.add(lane), sums.add(LANES + lane));
            V::load(sum).add(self.sum).store(sum);
            V::load(product).add(self.product).store(product);
        }
    }
}

/// Into how many tasks the work is split, about, if sums are taken: the same for any number of threads.
pub(super) const TASKS: usize = 16;

/// Runs the tasks, each with memory for the sums of its channels, and gives the sums of all where they are wanted.
pub(super) fn with_sums(
    isa: Isa,
    masked: Option<&Masked>,
    tasks: usize,
    channels: usize,
    run: impl Fn(usize, *mut f32) + Sync,
) {
    let Some(masked) = masked else {
        return parallel_for(tasks, |task| run(task, std::ptr::null_mut()));
    };
    with_scratch::<f64, _>(tasks * channels * 2, |partials| {
        let partials = Target(partials);
        parallel_for(tasks, |task| {
            with_scratch::<f32, _>(channels * SUMS, |sums| {
                // SAFETY: the scratch memory is that large.
                unsafe { std::slice::from_raw_parts_mut(sums, channels * SUMS) }.fill(0.0);
                run(task, sums);
                // SAFETY: each task has a part of its own.
                unsafe { Masked::add_lanes(isa, channels, sums, partials.at(task * channels * 2)) };
            });
        });
        // SAFETY: all tasks are done.
        unsafe { masked.finish(tasks, channels, partials.at(0)) };
    });
}
