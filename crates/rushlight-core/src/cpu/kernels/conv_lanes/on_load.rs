//! Pixels that are computed while they are loaded, so that what they make needs no memory of its own.

use crate::cpu::vector::Vector;

/// `max(x · scale + shift, floor)`, with a scale and a shift for each channel: a normalization and its activation.
#[derive(Clone, Copy)]
pub(crate) struct OnLoad {
    pub(crate) scale: *const f32,
    pub(crate) shift: *const f32,
    /// Minus infinity where nothing is cut off.
    pub(crate) floor: f32,
}

impl OnLoad {
    /// The numbers of a channel.
    ///
    /// # Safety
    /// There must be such a channel; called from [`crate::cpu::vector::Real::dispatch`].
    #[inline(always)]
    pub(crate) unsafe fn channel<V: Vector<Item = f32>>(&self, channel: usize) -> Affine<V> {
        // SAFETY: the caller's promise.
        unsafe {
            Affine {
                scale: V::splat(*self.scale.add(channel)),
                shift: V::splat(*self.shift.add(channel)),
                floor: V::splat(self.floor),
            }
        }
    }
}

/// What is done to the pixels of one channel.
#[derive(Clone, Copy)]
pub(crate) struct Affine<V> {
    pub(crate) scale: V,
    pub(crate) shift: V,
    pub(crate) floor: V,
}

impl<V: Vector<Item = f32>> Affine<V> {
    /// `x · scale + shift`
    ///
    /// # Safety
    /// Called from [`crate::cpu::vector::Real::dispatch`].
    #[inline(always)]
    pub(crate) unsafe fn straight(&self, x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { self.shift.multiply_add(x, self.scale) }
    }

    /// `max(x · scale + shift, floor)`; NaN stays NaN.
    ///
    /// # Safety
    /// As [`Affine::straight`].
    #[inline(always)]
    pub(crate) unsafe fn apply(&self, x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { self.straight(x).at_least(self.floor) }
    }
}
