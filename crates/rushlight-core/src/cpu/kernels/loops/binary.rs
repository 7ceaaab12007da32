//! Loops of functions of two elements, and comparisons.

use super::{
    Function2, InnerLoop, Loop2, LoopBody, SCALAR, VECTOR, Width, compile, read, through_f32, write,
};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::math::half_bits::Half;
use crate::cpu::kernels::math::{Machine, wide};
use crate::ops::elementwise::{Binary, Compare};
use crate::tensor::DType;
use half::{bf16, f16};
use std::marker::PhantomData;

/// The loop of a function of two elements of a dtype, if the function is defined there.
///
/// `scalars` says which operands are scalars; at most one is.
pub(crate) fn binary_kernel(isa: Isa, op: Binary, dtype: DType, scalars: [bool; 2]) -> Option<InnerLoop> {
    match dtype {
        DType::F32 => of_f32::loop_of(isa, op, scalars),
        DType::F64 => of_f64::loop_of(isa, op, scalars),
        DType::F16 => half_loop::<f16>(op, scalars),
        DType::BF16 => half_loop::<bf16>(op, scalars),
        DType::I32 => of_i32::loop_of(isa, op, scalars),
        DType::I64 => of_i64::loop_of(isa, op, scalars),
        DType::U8 => of_u8::loop_of(isa, op, scalars),
        DType::Bool => of_bool::loop_of(isa, op, scalars),
    }
}

/// The loop of a comparison of elements of a dtype; its result is `bool`.
///
/// `scalars` says which operands are scalars; at most one is.
pub(crate) fn compare_kernel(isa: Isa, op: Compare, dtype: DType, scalars: [bool; 2]) -> InnerLoop {
    match dtype {
        DType::F32 => compare_loop::<f32>(isa, op, scalars),
        DType::F64 => compare_loop::<f64>(isa, op, scalars),
        DType::F16 => half_compare_loop::<f16>(op, scalars),
        DType::BF16 => half_compare_loop::<bf16>(op, scalars),
        DType::I32 => compare_loop::<i32>(isa, op, scalars),
        DType::I64 => compare_loop::<i64>(isa, op, scalars),
        DType::U8 | DType::Bool => compare_loop::<u8>(isa, op, scalars),
    }
}

/// Picks the form of a generic loop by which operands are scalars.
macro_rules! by_scalars {
    ($scalars:expr, $a:ident, $b:ident => $loop:expr) => {
        match $scalars {
            [false, false] => {
                const $a: bool = VECTOR;
                const $b: bool = VECTOR;
                $loop
            }
            [false, true] => {
                const $a: bool = VECTOR;
                const $b: bool = SCALAR;
                $loop
            }
            _ => {
                const $a: bool = SCALAR;
                const $b: bool = VECTOR;
                $loop
            }
        }
    };
}

/// Defines a module with a type for each function and the choice of the loop over it.
macro_rules! functions {
    ($module:ident: $type:ty; $($name:ident |$x:ident, $y:ident| $body:expr,)*) => {
        mod $module {
            use super::*;

            $(pub(super) struct $name;

            impl Function2 for $name {
                type In = $type;
                type Out = $type;
                #[inline(always)]
                fn map<M: Machine>($x: $type, $y: $type) -> $type {
                    $body
                }
            })*

            pub(super) fn loop_of(isa: Isa, op: Binary, scalars: [bool; 2]) -> Option<InnerLoop> {
                match op {
                    $(Binary::$name => {
                        Some(by_scalars!(scalars, A, B => compile::<Loop2<$name, A, B>>(isa)))
                    })*
                    _ => None,
                }
            }
        }
    };
}

macro_rules! float_functions {
    ($module:ident: $type:ty; $($more:tt)*) => {
        functions! { $module: $type;
            Add |x, y| x + y,
            Sub |x, y| x - y,
            Mul |x, y| x * y,
            Div |x, y| x / y,
            // exact, unlike x - y ⌊x / y⌋
            Rem |x, y| {
                let rest = x % y;
                let moved = if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest };
                if moved == 0.0 { moved.copysign(y) } else { moved }
            },
            Max |x, y| if x >= y || x.is_nan() { x } else { y },
            Min |x, y| if x <= y || x.is_nan() { x } else { y },
            $($more)*
        }
    };
}

float_functions! { of_f32: f32;
    Pow |x, y| wide::pow::<M>(x, y),
    Atan2 |x, y| wide::atan2::<M>(x, y),
}

float_functions! { of_f64: f64;
    Pow |x, y| x.powf(y),
    Atan2 |x, y| x.atan2(y),
}

/// Integer arithmetic wraps around on overflow.
macro_rules! integer_functions {
    ($module:ident: $type:ty) => {
        functions! { $module: $type;
            Add |x, y| x.wrapping_add(y),
            Sub |x, y| x.wrapping_sub(y),
            Mul |x, y| x.wrapping_mul(y),
            Div |x, y| x.divided_by(y),
            Pow |x, y| x.to_the_power(y),
            Rem |x, y| x.remainder_of(y),
            Max |x, y| if x >= y { x } else { y },
            Min |x, y| if x <= y { x } else { y },
            And |x, y| x & y,
            Or |x, y| x | y,
            Xor |x, y| x ^ y,
        }
    };
}

integer_functions! { of_i32: i32 }
integer_functions! { of_i64: i64 }
integer_functions! { of_u8: u8 }

functions! { of_bool: bool;
    Max |x, y| x | y,
    Min |x, y| x & y,
    And |x, y| x & y,
    Or |x, y| x | y,
    Xor |x, y| x ^ y,
}

/// Division, remainder and powers as Python defines them, made total.
trait Integer: Copy {
    /// `⌊self / divisor⌋`, or 0 if the divisor is 0.
    fn divided_by(self, divisor: Self) -> Self;
    /// `self - divisor ⌊self / divisor⌋`, or 0 if the divisor is 0.
    fn remainder_of(self, divisor: Self) -> Self;
    /// The low bits of the power; a negative one is 0 unless the base is ±1.
    fn to_the_power(self, power: Self) -> Self;
}

macro_rules! signed_integer {
    ($type:ty) => {
        impl Integer for $type {
            #[inline(always)]
            fn divided_by(self, divisor: $type) -> $type {
                if divisor == 0 {
                    return 0;
                }
                let quotient = self.wrapping_div(divisor);
                let rest = self.wrapping_rem(divisor);
                quotient - (rest != 0 && (rest < 0) != (divisor < 0)) as $type
            }

            #[inline(always)]
            fn remainder_of(self, divisor: $type) -> $type {
                if divisor == 0 {
                    return 0;
                }
                let rest = self.wrapping_rem(divisor);
                if rest != 0 && (rest < 0) != (divisor < 0) { rest + divisor } else { rest }
            }

            #[inline(always)]
            fn to_the_power(self, power: $type) -> $type {
                match (self, power < 0) {
                    (1, true) => 1,
                    (-1, true) => 1 - 2 * (power & 1),
                    (_, true) => 0,
                    _ => wrapping_power!(self, power),
                }
            }
        }
    };
}

macro_rules! wrapping_power {
    ($base:expr, $power:expr) => {{
        let (mut base, mut power, mut product) = ($base, $power, 1);
        while power != 0 {
            if power & 1 == 1 {
                product = base.wrapping_mul(product);
            }
            base = base.wrapping_mul(base);
            power >>= 1;
        }
        product
    }};
}

signed_integer!(i32);
signed_integer!(i64);

impl Integer for u8 {
    #[inline(always)]
    fn divided_by(self, divisor: u8) -> u8 {
        self.checked_div(divisor).unwrap_or(0)
    }

    #[inline(always)]
    fn remainder_of(self, divisor: u8) -> u8 {
        self.checked_rem(divisor).unwrap_or(0)
    }

    #[inline(always)]
    fn to_the_power(self, power: u8) -> u8 {
        wrapping_power!(self, power)
    }
}

/// The loop of a 16-bit float: that of `f32`, with conversions before and behind.
fn half_loop<H: Half + Width>(op: Binary, scalars: [bool; 2]) -> Option<InnerLoop> {
    macro_rules! pick {
        ($($name:ident)*) => {
            match op {
                $(Binary::$name => Some(by_scalars!(scalars, A, B => {
                    through_f32::<H, Loop2<of_f32::$name, A, B>, 2, A, B, true>
                })),)*
                Binary::And | Binary::Or | Binary::Xor => None,
            }
        };
    }
    pick! { Add Sub Mul Div Pow Rem Max Min Atan2 }
}

struct Equal<T>(PhantomData<T>);
struct NotEqual<T>(PhantomData<T>);
struct Less<T>(PhantomData<T>);
struct LessEqual<T>(PhantomData<T>);

macro_rules! comparison {
    ($($name:ident $operator:tt)*) => {
        $(impl<T: Width + PartialOrd + Copy + 'static> Function2 for $name<T> {
            type In = T;
            type Out = bool;
            #[inline(always)]
            fn map<M: Machine>(x: T, y: T) -> bool {
                x $operator y
            }
        })*
    };
}

comparison! { Equal == NotEqual != Less < LessEqual <= }

/// A loop with its two operands exchanged.
struct Exchanged<L>(PhantomData<L>);

impl<L: LoopBody> LoopBody for Exchanged<L> {
    const WIDEST: bool = L::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
        // SAFETY: passed on to the caller.
        unsafe { L::run::<M>(n, out, b, a, c) }
    }
}

fn compare_loop<T: Width + PartialOrd + Copy + 'static>(
    isa: Isa,
    op: Compare,
    scalars: [bool; 2],
) -> InnerLoop {
    by_scalars!(scalars, A, B => match op {
        Compare::Equal => compile::<Loop2<Equal<T>, A, B>>(isa),
        Compare::NotEqual => compile::<Loop2<NotEqual<T>, A, B>>(isa),
        Compare::Less => compile::<Loop2<Less<T>, A, B>>(isa),
        Compare::LessEqual => compile::<Loop2<LessEqual<T>, A, B>>(isa),
        Compare::Greater => compile::<Exchanged<Loop2<Less<T>, B, A>>>(isa),
        Compare::GreaterEqual => compile::<Exchanged<Loop2<LessEqual<T>, B, A>>>(isa),
    })
}

fn half_compare_loop<H: Half + Width>(op: Compare, scalars: [bool; 2]) -> InnerLoop {
    by_scalars!(scalars, A, B => match op {
        Compare::Equal => through_f32::<H, Loop2<Equal<f32>, A, B>, 2, A, B, false>,
        Compare::NotEqual => through_f32::<H, Loop2<NotEqual<f32>, A, B>, 2, A, B, false>,
        Compare::Less => through_f32::<H, Loop2<Less<f32>, A, B>, 2, A, B, false>,
        Compare::LessEqual => through_f32::<H, Loop2<LessEqual<f32>, A, B>, 2, A, B, false>,
        Compare::Greater => through_f32::<H, Exchanged<Loop2<Less<f32>, B, A>>, 2, A, B, false>,
        Compare::GreaterEqual => through_f32::<H, Exchanged<Loop2<LessEqual<f32>, B, A>>, 2, A, B, false>,
    })
}

/// How a product `a * b` and a term `c` are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// `a * b + c`
    Sum,
    /// `a * b - c`
    LessTerm,
    /// `c - a * b`
    LessProduct,
}

const SUM: u8 = Joined::Sum as u8;
const LESS_TERM: u8 = Joined::LessTerm as u8;
const LESS_PRODUCT: u8 = Joined::LessProduct as u8;

/// A product and a term, rounded after each of the two steps like the separate loops: what fused loops use for a
/// product that only a sum or a difference reads.
struct MultiplyAdd<const JOINED: u8, const B: bool, const C: bool>;

impl<const JOINED: u8, const B: bool, const C: bool> LoopBody for MultiplyAdd<JOINED, B, C> {
    const WIDEST: bool = true;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
        if n == 0 {
            return;
        }
        // SAFETY: the caller vouches for `n` elements of each vector and one of each scalar.
        let (out, a, b, c) = unsafe {
            (
                write::<f32>(out, n),
                read::<f32>(a, n),
                read::<f32>(b, if B { 1 } else { n }),
                read::<f32>(c, if C { 1 } else { n }),
            )
        };
        let (second, third) = (b[0], c[0]);
        for i in 0..n {
            let product = a[i] * if B { second } else { b[i] };
            let term = if C { third } else { c[i] };
            out[i] = match JOINED {
                LESS_TERM => product - term,
                LESS_PRODUCT => term - product,
                _ => product + term,
            };
        }
    }
}

/// The loop of a product and a term on `f32`; `scalars` tells of `b` and `c`.
pub(crate) fn multiply_add_kernel(isa: Isa, joined: Joined, scalars: [bool; 2]) -> InnerLoop {
    macro_rules! of {
        ($b:ident, $c:ident) => {
            match joined {
                Joined::Sum => compile::<MultiplyAdd<SUM, $b, $c>>(isa),
                Joined::LessTerm => compile::<MultiplyAdd<LESS_TERM, $b, $c>>(isa),
                Joined::LessProduct => compile::<MultiplyAdd<LESS_PRODUCT, $b, $c>>(isa),
            }
        };
    }
    match scalars {
        [false, false] => of!(VECTOR, VECTOR),
        [false, true] => of!(VECTOR, SCALAR),
        [true, false] => of!(SCALAR, VECTOR),
        [true, true] => of!(SCALAR, SCALAR),
    }
}
