//! Kernels in the order in which the innermost loop reads them: `[panel][item of the depth][two vectors of channels]`, for
//! Winograd's algorithm transformed and `[panel][place of the tile][input channel][two vectors of channels]`.

use super::winograd::{MOST_PLACES, kernel_matrix};
use super::{ChannelsConv, Method, Panel, load, panels};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::shared::Shared;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, Vector, VectorKernel};
use std::ops::Range;

/// Rows of a kernel that make a task.
const TASK_ROWS: usize = 64;

/// # Safety
/// As [`super::pack`].
pub(super) unsafe fn run(isa: Isa, conv: &ChannelsConv, kernel: *const f32, packed: *mut f32) {
    let panels = panels(isa, conv.out_channels);
    let depth = match conv.method {
        Method::Rows => conv.depth(),
        Method::Winograd(_) => conv.in_channels,
    };
    let tasks = depth.div_ceil(TASK_ROWS);
    let (kernel, packed) = (Shared::new(kernel.cast_mut()), Shared::new(packed));
    parallel_for(panels.len() * tasks, |task| {
        let (panel, part) = (&panels[task / tasks], task % tasks);
        let rows = part * TASK_ROWS..depth.min((part + 1) * TASK_ROWS);
        // SAFETY: the caller's promise; tasks write different rows of different panels.
        unsafe {
            let part = Part { conv, panel, rows, kernel: kernel.at(0), packed: packed.at(0) };
            f32::dispatch(isa, part);
        }
    });
}

struct Part<'a> {
    conv: &'a ChannelsConv,
    panel: &'a Panel,
    rows: Range<usize>,
    kernel: *const f32,
    packed: *mut f32,
}

impl VectorKernel<f32> for Part<'_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        for row in self.rows.clone() {
            for column in (0..self.panel.padded).step_by(V::LANES) {
                // SAFETY: `run` asked for good pointers.
                unsafe {
                    match self.conv.method {
                        Method::Rows => self.copy::<V>(row, column),
                        Method::Winograd(side) => self.transform::<V>(side, row, column),
                    }
                }
            }
        }
    }
}

impl Part<'_> {
    /// Some channels of a row of the kernel.
    ///
    /// # Safety
    /// The row and the column must be there.
    #[inline(always)]
    unsafe fn load<V: Vector<Item = f32>>(&self, row: usize, column: usize) -> V {
        let from = self.kernel.wrapping_add(row * self.conv.out_channels + self.panel.start + column);
        // SAFETY: the caller's promise; what is not there is not read.
        unsafe { load(from, self.panel.count - column) }
    }

    /// # Safety
    /// As [`Part::load`].
    #[inline(always)]
    unsafe fn copy<V: Vector<Item = f32>>(&self, row: usize, column: usize) {
        let to = self.panel.start * self.conv.depth() + row * self.panel.padded + column;
        // SAFETY: the packed kernel has a place for each padded row.
        unsafe { self.load::<V>(row, column).store(self.packed.add(to)) };
    }

    /// `G · kernel · Gᵀ`, with the matrix of that side.
    ///
    /// # Safety
    /// As [`Part::load`].
    #[inline(always)]
    unsafe fn transform<V: Vector<Item = f32>>(&self, side: usize, channel: usize, column: usize) {
        let (matrix, places, channels) = (kernel_matrix(side), side + 2, self.conv.in_channels);
        // SAFETY: a kernel has nine taps, and the packed one as many places as a tile has.
        unsafe {
            let mut half = [[V::splat(0.0); 3]; MOST_PLACES];
            for tap in 0..3 {
                for (sums, factors) in half.iter_mut().zip(matrix).take(places) {
                    for (y, &factor) in factors.iter().enumerate() {
                        let item = self.load::<V>((y * 3 + tap) * channels + channel, column);
                        sums[tap] = sums[tap].multiply_add(item, V::splat(factor));
                    }
                }
            }
            for (y, half) in half.iter().enumerate().take(places) {
                for (x, factors) in matrix.iter().enumerate().take(places) {
                    let mut sum = V::splat(0.0);
                    for (&item, &factor) in half.iter().zip(factors) {
                        sum = sum.multiply_add(item, V::splat(factor));
                    }
                    let start = self.panel.start * places * places * channels;
                    let row = (y * places + x) * channels + channel;
                    sum.store(self.packed.add(start + row * self.panel.padded + column));
                }
            }
        }
    }
}
