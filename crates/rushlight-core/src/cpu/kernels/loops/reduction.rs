//! Loops that reduce: a run of elements to one, or run after run into a run of accumulators.

use super::{InnerLoop, LoopBody, Width, compile, read, write};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::math::Machine;
use crate::ops::reduce::Reduction;
use crate::tensor::{DType, Element};
use crate::with_dtype;
use half::{bf16, f16};
use std::marker::PhantomData;

/// Lanes that a fold keeps apart: enough for four vectors of 16 `f32` in flight.
const LANES: usize = 64;

/// Short runs that are folded side by side.
const ABREAST: usize = 16;

/// How two partial results combine.
trait Combine {
    type Element: Width + Copy + 'static;
    const IDENTITY: Self::Element;
    fn combine(a: Self::Element, b: Self::Element) -> Self::Element;
}

struct Sum<T>(PhantomData<T>);
struct Product<T>(PhantomData<T>);
struct Largest<T>(PhantomData<T>);
struct Smallest<T>(PhantomData<T>);
struct Either;
struct Both;

macro_rules! float {
    ($($type:ty)*) => {
        $(impl Combine for Sum<$type> {
            type Element = $type;
            const IDENTITY: $type = 0.0;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                a + b
            }
        }
        impl Combine for Product<$type> {
            type Element = $type;
            const IDENTITY: $type = 1.0;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                a * b
            }
        }
        impl Combine for Largest<$type> {
            type Element = $type;
            const IDENTITY: $type = <$type>::NEG_INFINITY;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                if a >= b || a.is_nan() { a } else { b }
            }
        }
        impl Combine for Smallest<$type> {
            type Element = $type;
            const IDENTITY: $type = <$type>::INFINITY;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                if a <= b || a.is_nan() { a } else { b }
            }
        })*
    };
}

macro_rules! integer {
    ($($type:ty)*) => {
        $(impl Combine for Sum<$type> {
            type Element = $type;
            const IDENTITY: $type = 0;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                a.wrapping_add(b)
            }
        }
        impl Combine for Product<$type> {
            type Element = $type;
            const IDENTITY: $type = 1;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                a.wrapping_mul(b)
            }
        }
        impl Combine for Largest<$type> {
            type Element = $type;
            const IDENTITY: $type = <$type>::MIN;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                if a >= b { a } else { b }
            }
        }
        impl Combine for Smallest<$type> {
            type Element = $type;
            const IDENTITY: $type = <$type>::MAX;
            #[inline(always)]
            fn combine(a: $type, b: $type) -> $type {
                if a <= b { a } else { b }
            }
        })*
    };
}

float! { f32 f64 }
integer! { i32 i64 u8 }

impl Combine for Either {
    type Element = u8;
    const IDENTITY: u8 = 0;
    #[inline(always)]
    fn combine(a: u8, b: u8) -> u8 {
        a | b
    }
}

impl Combine for Both {
    type Element = u8;
    const IDENTITY: u8 = 1;
    #[inline(always)]
    fn combine(a: u8, b: u8) -> u8 {
        a & b
    }
}

/// One accumulator takes in a run: `out[0] = out[0] ∘ a[0] ∘ a[1] ∘ …`, in a fixed order of lanes.
struct Fold<C>(PhantomData<C>);

impl<C: Combine> LoopBody for Fold<C> {
    const WIDEST: bool = C::Element::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) {
        // SAFETY: the caller vouches for `n` elements and one accumulator.
        let (out, a) = unsafe { (&mut write::<C::Element>(out, 1)[0], read::<C::Element>(a, n)) };
        *out = C::combine(*out, fold_run::<C>(a));
    }
}

/// As [`Fold`], with an accumulator in `f64` for sums of `f32`, where the runs are many.
struct WideSum;

impl LoopBody for WideSum {
    const WIDEST: bool = true;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) {
        // SAFETY: the caller vouches for `n` elements and one accumulator.
        let (out, a) = unsafe { (&mut write::<f64>(out, 1)[0], read::<f32>(a, n)) };
        *out += fold_run::<Sum<f32>>(a) as f64;
    }
}

#[inline(always)]
fn fold_run<C: Combine>(values: &[C::Element]) -> C::Element {
    if values.len() < 2 * LANES {
        return fold_short::<C>(values);
    }
    let mut lanes = [C::IDENTITY; LANES];
    let mut blocks = values.chunks_exact(LANES);
    for block in &mut blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = C::combine(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane = C::combine(*lane, value);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = C::combine(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

#[inline(always)]
fn fold_short<C: Combine>(values: &[C::Element]) -> C::Element {
    let mut lanes = [C::IDENTITY; 4];
    let mut blocks = values.chunks_exact(4);
    for block in &mut blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = C::combine(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane = C::combine(*lane, value);
    }
    C::combine(C::combine(lanes[0], lanes[1]), C::combine(lanes[2], lanes[3]))
}

/// A run of accumulators takes in a run: `out[i] = out[i] ∘ a[i]`.
struct Accumulate<C>(PhantomData<C>);

impl<C: Combine> LoopBody for Accumulate<C> {
    const WIDEST: bool = C::Element::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) {
        // SAFETY: the caller vouches for `n` elements and accumulators.
        let (out, a) = unsafe { (write::<C::Element>(out, n), read::<C::Element>(a, n)) };
        for (out, &value) in out.iter_mut().zip(a) {
            *out = C::combine(*out, value);
        }
    }
}

/// Short runs behind one another, each to an accumulator of its own: `(rows, out, a, run)`, with the length of a
/// run where other loops have their second operand.
struct FoldRows<C, A>(PhantomData<(C, A)>);

impl<C: Combine, A: Accumulator<C::Element>> LoopBody for FoldRows<C, A> {
    const WIDEST: bool = C::Element::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, run: *const u8, _: *const u8) {
        let run = run.addr();
        // SAFETY: the caller vouches for `n` accumulators and `n` runs.
        let (out, a) = unsafe { (write::<A>(out, n), read::<C::Element>(a, n * run)) };
        // Runs side by side, an element of each at a time: their totals need not wait for each other.
        let mut groups = out.chunks_exact_mut(ABREAST);
        for (group, runs) in (&mut groups).zip(a.chunks_exact(ABREAST * run)) {
            let mut totals = [C::IDENTITY; ABREAST];
            for i in 0..run {
                for (k, total) in totals.iter_mut().enumerate() {
                    *total = C::combine(*total, runs[k * run + i]);
                }
            }
            group.iter_mut().zip(totals).for_each(|(out, total)| out.take_in::<C>(total));
        }
        let done = n - groups.into_remainder().len();
        for (out, row) in out[done..].iter_mut().zip(a[done * run..].chunks_exact(run)) {
            out.take_in::<C>(row.iter().fold(C::IDENTITY, |total, &value| C::combine(total, value)));
        }
    }
}

/// What runs of some type are accumulated in.
trait Accumulator<T>: Copy + 'static {
    fn take_in<C: Combine<Element = T>>(&mut self, run: T);
}

impl<T: Copy + 'static> Accumulator<T> for T {
    #[inline(always)]
    fn take_in<C: Combine<Element = T>>(&mut self, run: T) {
        *self = C::combine(*self, run);
    }
}

/// A sum in `f64`.
#[derive(Clone, Copy)]
struct Wide(f64);

impl Accumulator<f32> for Wide {
    #[inline(always)]
    fn take_in<C: Combine<Element = f32>>(&mut self, run: f32) {
        self.0 += run as f64;
    }
}

/// The loops of a reduction, and the element to start from.
#[derive(Clone, Copy)]
pub(crate) struct Reducer {
    /// `(n, accumulator, values)`: one accumulator, of dtype `folded`, takes in a run.
    pub(crate) fold: InnerLoop,
    pub(crate) folded: DType,
    /// `(rows, accumulators, values, run)`: as [`Reducer::fold`] for each of many short runs; the length of a run
    /// takes the place of a pointer.
    pub(crate) fold_rows: InnerLoop,
    /// `(n, accumulators, values)`: as many accumulators, of the dtype of the values, take in one each.
    pub(crate) accumulate: InnerLoop,
}

fn reducer<C: Combine>(isa: Isa, dtype: DType) -> Reducer {
    Reducer {
        fold: compile::<Fold<C>>(isa),
        folded: dtype,
        fold_rows: compile::<FoldRows<C, C::Element>>(isa),
        accumulate: compile::<Accumulate<C>>(isa),
    }
}

/// The loops of a reduction of elements of a dtype; 16-bit floats must be widened first.
///
/// `Mean` has those of `Sum`: whoever knows the number of elements divides.
pub(crate) fn reducer_of(isa: Isa, kind: Reduction, dtype: DType) -> Option<Reducer> {
    macro_rules! pick {
        ($combine:ident: $($dtype:ident $type:ty),*) => {
            match dtype {
                $(DType::$dtype => Some(reducer::<$combine<$type>>(isa, dtype)),)*
                _ => None,
            }
        };
    }
    match kind {
        Reduction::Sum | Reduction::Mean if dtype == DType::F32 => Some(Reducer {
            fold: compile::<WideSum>(isa),
            folded: DType::F64,
            fold_rows: compile::<FoldRows<Sum<f32>, Wide>>(isa),
            accumulate: compile::<Accumulate<Sum<f32>>>(isa),
        }),
        Reduction::Mean if dtype != DType::F64 => None,
        Reduction::Sum | Reduction::Mean => pick!(Sum: F64 f64, I32 i32, I64 i64, U8 u8),
        Reduction::Prod => pick!(Product: F32 f32, F64 f64, I32 i32, I64 i64, U8 u8),
        Reduction::Max if dtype == DType::Bool => Some(reducer::<Either>(isa, dtype)),
        Reduction::Min if dtype == DType::Bool => Some(reducer::<Both>(isa, dtype)),
        Reduction::Max => pick!(Largest: F32 f32, F64 f64, I32 i32, I64 i64, U8 u8),
        Reduction::Min => pick!(Smallest: F32 f32, F64 f64, I32 i32, I64 i64, U8 u8),
        Reduction::Any if dtype == DType::Bool => Some(reducer::<Either>(isa, dtype)),
        Reduction::All if dtype == DType::Bool => Some(reducer::<Both>(isa, dtype)),
        Reduction::Any | Reduction::All => None,
    }
}

/// Writes `count` accumulators of a dtype that have taken in nothing yet.
///
/// # Safety
/// `out` must be aligned and have room for them.
pub(crate) unsafe fn fill_identity(kind: Reduction, dtype: DType, out: *mut u8, count: usize) {
    macro_rules! fill {
        ($($dtype:ident $type:ty),*) => {
            match dtype {
                $(DType::$dtype => {
                    let value = match kind {
                        Reduction::Sum | Reduction::Mean => Sum::<$type>::IDENTITY,
                        Reduction::Prod => Product::<$type>::IDENTITY,
                        Reduction::Max | Reduction::Any => Largest::<$type>::IDENTITY,
                        Reduction::Min | Reduction::All => Smallest::<$type>::IDENTITY,
                    };
                    // SAFETY: passed on to the caller.
                    unsafe { write::<$type>(out, count) }.fill(value)
                })*
                // SAFETY: passed on to the caller.
                _ => unsafe { write::<u8>(out, count) }.fill(match kind {
                    Reduction::Min | Reduction::All => Both::IDENTITY,
                    _ => Either::IDENTITY,
                }),
            }
        };
    }
    fill!(F32 f32, F64 f64, I32 i32, I64 i64, U8 u8)
}

/// Accumulators that have taken in everything, and where their results go.
pub(crate) struct Results {
    pub(crate) kind: Reduction,
    pub(crate) accumulator: DType,
    pub(crate) output: DType,
    /// Elements that each accumulator has taken in: a mean is divided by it.
    pub(crate) elements: usize,
}

impl Results {
    /// Writes `count` results, from one step in elements to another.
    ///
    /// # Safety
    /// There must be so many accumulators and places.
    pub(crate) unsafe fn write(
        &self,
        count: usize,
        from: *const u8,
        step: isize,
        to: *mut u8,
        to_step: isize,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            match (self.accumulator, self.output) {
                (DType::F64, DType::F32) => self.convert::<f64, f32>(count, from, step, to, to_step),
                (DType::F64, DType::F64) => self.convert::<f64, f64>(count, from, step, to, to_step),
                (DType::F64, DType::F16) => self.convert::<f64, f16>(count, from, step, to, to_step),
                (DType::F64, DType::BF16) => self.convert::<f64, bf16>(count, from, step, to, to_step),
                (DType::F32, DType::F32) => self.convert::<f32, f32>(count, from, step, to, to_step),
                (DType::F32, DType::F16) => self.convert::<f32, f16>(count, from, step, to, to_step),
                (DType::F32, DType::BF16) => self.convert::<f32, bf16>(count, from, step, to, to_step),
                (same, _) => with_dtype!(same, T => self.convert::<T, T>(count, from, step, to, to_step)),
            }
        }
    }

    /// # Safety
    /// As for [`Results::write`].
    unsafe fn convert<A: Element, T: Element>(
        &self,
        count: usize,
        from: *const u8,
        step: isize,
        to: *mut u8,
        to_step: isize,
    ) {
        let (from, to) = (from.cast::<A>(), to.cast::<T>());
        let share = if self.kind == Reduction::Mean { 1.0 / self.elements as f64 } else { 1.0 };
        for i in 0..count as isize {
            // SAFETY: passed on to the caller.
            unsafe {
                let total = *from.offset(i * step);
                *to.offset(i * to_step) = if A::DTYPE.is_float() {
                    T::from_f64(total.to_f64() * share)
                } else {
                    T::from_i64(total.to_i64())
                };
            }
        }
    }
}
