//! Running totals of reductions.

use super::Total;
use crate::cpu::isa::multiversion;
use crate::ops::reduce::Reduction;
use crate::tensor::DType;

/// What a reduction starts from.
pub(super) fn start_of(kind: Reduction) -> f64 {
    match kind {
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
        _ => 0.0,
    }
}

/// Two partial results as one; NaN stays.
pub(super) fn combine(kind: Reduction, a: f64, b: f64) -> f64 {
    f64::combine(kind, a, b)
}

/// The dtypes that fused reductions work in.
pub(super) trait Real:
    Copy + Into<f64> + PartialOrd + std::ops::Add<Output = Self> + Default + 'static
{
    /// The whole run as one.
    fn reduce_run(kind: Reduction, run: &[Self]) -> f64;
    /// Each element of the run into its row.
    fn accumulate_rows(kind: Reduction, rows: &mut [Self], run: &[Self]);

    #[inline(always)]
    fn combine(kind: Reduction, a: Self, b: Self) -> Self {
        match kind {
            Reduction::Max => larger(a, b),
            Reduction::Min => smaller(a, b),
            _ => a + b,
        }
    }
}

#[inline(always)]
#[allow(clippy::eq_op)]
fn larger<T: PartialOrd + Copy>(a: T, b: T) -> T {
    // A NaN is not equal to itself, and wins.
    if a > b || a != a { a } else { b }
}

#[inline(always)]
#[allow(clippy::eq_op)]
fn smaller<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if a < b || a != a { a } else { b }
}

/// Running results side by side, so that the loop over a run is done in vectors.
const LANES: usize = 64;

macro_rules! real {
    ($type:ty, $sum:ident, $rows:ident) => {
        multiversion! {
            fn $sum(run: &[$type]) -> f64 {
                let mut lanes = [0.0; LANES];
                let chunks = run.chunks_exact(LANES);
                let rest = chunks.remainder();
                for chunk in chunks {
                    for lane in 0..LANES {
                        lanes[lane] += chunk[lane];
                    }
                }
                let mut total: f64 = rest.iter().map(|&x| f64::from(x)).sum();
                for lane in lanes {
                    total += f64::from(lane);
                }
                total
            }
        }

        multiversion! {
            fn $rows(rows: &mut [$type], run: &[$type]) {
                for (row, &x) in rows.iter_mut().zip(run) {
                    *row += x;
                }
            }
        }

        impl Real for $type {
            fn reduce_run(kind: Reduction, run: &[$type]) -> f64 {
                match kind {
                    Reduction::Max | Reduction::Min => {
                        let start = start_of(kind) as $type;
                        f64::from(run.iter().fold(start, |best, &x| <$type>::combine(kind, best, x)))
                    }
                    _ => $sum(run),
                }
            }

            fn accumulate_rows(kind: Reduction, rows: &mut [$type], run: &[$type]) {
                match kind {
                    Reduction::Max | Reduction::Min => {
                        rows.iter_mut().zip(run).for_each(|(row, &x)| *row = <$type>::combine(kind, *row, x));
                    }
                    _ => $rows(rows, run),
                }
            }
        }
    };
}

real!(f32, sum_f32, add_rows_f32);
real!(f64, sum_f64, add_rows_f64);

/// Totals of the current unit, in `f64`; where the innermost axis is kept, rows are added up before that.
pub(super) struct Accumulator {
    pub(super) totals: *mut f64,
    pub(super) rows: Option<*mut u8>,
    /// Elements of each reduction.
    pub(super) count: usize,
    /// Runs in the rows since they were added to the totals.
    pub(super) pending: usize,
}

impl Accumulator {
    /// The rows of a reduction, if there are any.
    pub(super) fn row<T>(&self, number: usize) -> Option<*mut T> {
        self.rows.map(|rows| rows.wrapping_add(number * self.count * 8).cast())
    }

    /// # Safety
    /// The memory must be as large as totals and rows of all reductions.
    pub(super) unsafe fn clear(&mut self, reductions: &[Total]) {
        for (number, total) in reductions.iter().enumerate() {
            for element in 0..self.count {
                // SAFETY: the caller's promise.
                unsafe { *self.totals.add(number * self.count + element) = start_of(total.kind) };
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.clear_rows(reductions) };
    }

    /// # Safety
    /// As for [`Accumulator::clear`].
    unsafe fn clear_rows(&mut self, reductions: &[Total]) {
        self.pending = 0;
        for (number, total) in reductions.iter().enumerate() {
            let start = start_of(total.kind);
            for element in 0..self.count {
                // SAFETY: the caller's promise.
                unsafe {
                    match total.to.dtype {
                        DType::F32 => {
                            if let Some(row) = self.row::<f32>(number) {
                                *row.add(element) = start as f32;
                            }
                        }
                        _ => {
                            if let Some(row) = self.row::<f64>(number) {
                                *row.add(element) = start;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Adds the rows to the totals.
    ///
    /// # Safety
    /// As for [`Accumulator::clear`].
    pub(super) unsafe fn flush(&mut self, reductions: &[Total]) {
        if self.rows.is_none() || self.pending == 0 {
            return;
        }
        for (number, total) in reductions.iter().enumerate() {
            for element in 0..self.count {
                // SAFETY: the caller's promise.
                unsafe {
                    let row = match total.to.dtype {
                        DType::F32 => self.row::<f32>(number).map(|row| f64::from(*row.add(element))),
                        _ => self.row::<f64>(number).map(|row| *row.add(element)),
                    };
                    let place = self.totals.add(number * self.count + element);
                    *place = combine(total.kind, *place, row.unwrap_or(start_of(total.kind)));
                }
            }
        }
        // SAFETY: passed on.
        unsafe { self.clear_rows(reductions) };
    }
}
