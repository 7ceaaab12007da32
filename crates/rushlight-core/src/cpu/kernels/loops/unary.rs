//! Loops of functions of one element.

use super::{Function1, InnerLoop, Loop1, Width, compile, through_f32};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::math::half_bits::Half;
use crate::cpu::kernels::math::{Machine, double, single, wide};
use crate::ops::elementwise::Unary;
use crate::tensor::DType;
use half::{bf16, f16};

/// The loop of a function on elements of a dtype, if the function is defined there.
pub(crate) fn unary_kernel(isa: Isa, op: Unary, dtype: DType) -> Option<InnerLoop> {
    match dtype {
        DType::F32 => of_f32::loop_of(isa, op),
        DType::F64 => of_f64::loop_of(isa, op),
        DType::F16 => half_loop::<f16>(op),
        DType::BF16 => half_loop::<bf16>(op),
        DType::I32 => of_i32::loop_of(isa, op),
        DType::I64 => of_i64::loop_of(isa, op),
        DType::U8 => of_u8::loop_of(isa, op),
        DType::Bool => of_bool::loop_of(isa, op),
    }
}

/// Defines a module with a type for each function and the choice of the loop over it.
macro_rules! functions {
    ($module:ident: $type:ty; $($name:ident |$x:ident| $out:ty = $body:expr $(; if large $exact:expr)?,)*) => {
        mod $module {
            use super::*;

            $(pub(super) struct $name;

            impl Function1 for $name {
                type In = $type;
                type Out = $out;
                #[inline(always)]
                fn map<M: Machine>($x: $type) -> $out {
                    $body
                }
                $(#[inline(always)]
                fn mend(out: &mut [$out], x: &[$type]) {
                    mend_large(out, x, $exact)
                })?
            })*

            pub(super) fn loop_of(isa: Isa, op: Unary) -> Option<InnerLoop> {
                match op {
                    $(Unary::$name => Some(compile::<Loop1<$name>>(isa)),)*
                    _ => None,
                }
            }
        }
    };
}

/// Arguments too large for the vectorized trigonometric functions go to the library ones.
#[inline(always)]
fn mend_large(out: &mut [f32], x: &[f32], exact: fn(f32) -> f32) {
    let largest = x.iter().fold(0u32, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
    if largest >= wide::TRIGONOMETRIC_LIMIT.to_bits() {
        for (out, &x) in out.iter_mut().zip(x).filter(|(_, x)| x.abs() >= wide::TRIGONOMETRIC_LIMIT) {
            *out = exact(x);
        }
    }
}

functions! { of_f32: f32;
    Neg |x| f32 = -x,
    Abs |x| f32 = x.abs(),
    Sign |x| f32 = if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x },
    Exp |x| f32 = single::exp::<M>(x),
    Expm1 |x| f32 = single::expm1::<M>(x),
    Log |x| f32 = single::log::<M>(x),
    Log1p |x| f32 = single::log1p::<M>(x),
    Sqrt |x| f32 = x.sqrt(),
    Rsqrt |x| f32 = 1.0 / x.sqrt(),
    Reciprocal |x| f32 = 1.0 / x,
    Square |x| f32 = x * x,
    Sin |x| f32 = wide::sin::<M>(x); if large f32::sin,
    Cos |x| f32 = wide::cos::<M>(x); if large f32::cos,
    Tan |x| f32 = wide::tan::<M>(x); if large f32::tan,
    Asin |x| f32 = wide::asin::<M>(x),
    Acos |x| f32 = wide::acos::<M>(x),
    Atan |x| f32 = wide::atan::<M>(x),
    Sinh |x| f32 = wide::sinh::<M>(x),
    Cosh |x| f32 = wide::cosh::<M>(x),
    Asinh |x| f32 = wide::asinh::<M>(x),
    Acosh |x| f32 = wide::acosh::<M>(x),
    Atanh |x| f32 = wide::atanh::<M>(x),
    Tanh |x| f32 = single::tanh::<M>(x),
    Sigmoid |x| f32 = single::sigmoid::<M>(x),
    Erf |x| f32 = single::erf::<M>(x),
    Erfinv |x| f32 = wide::erfinv::<M>(x),
    Floor |x| f32 = x.floor(),
    Ceil |x| f32 = x.ceil(),
    Round |x| f32 = x.round_ties_even(),
    Trunc |x| f32 = x.trunc(),
    IsNan |x| bool = x.is_nan(),
    IsInf |x| bool = x.abs() == f32::INFINITY,
    IsFinite |x| bool = x.abs() < f32::INFINITY,
}

functions! { of_f64: f64;
    Neg |x| f64 = -x,
    Abs |x| f64 = x.abs(),
    Sign |x| f64 = if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x },
    Exp |x| f64 = x.exp(),
    Expm1 |x| f64 = x.exp_m1(),
    Log |x| f64 = x.ln(),
    Log1p |x| f64 = x.ln_1p(),
    Sqrt |x| f64 = x.sqrt(),
    Rsqrt |x| f64 = 1.0 / x.sqrt(),
    Reciprocal |x| f64 = 1.0 / x,
    Square |x| f64 = x * x,
    Sin |x| f64 = x.sin(),
    Cos |x| f64 = x.cos(),
    Tan |x| f64 = x.tan(),
    Asin |x| f64 = x.asin(),
    Acos |x| f64 = x.acos(),
    Atan |x| f64 = x.atan(),
    Sinh |x| f64 = x.sinh(),
    Cosh |x| f64 = x.cosh(),
    Asinh |x| f64 = double::asinh(x),
    Acosh |x| f64 = double::acosh(x),
    Atanh |x| f64 = double::atanh(x),
    Tanh |x| f64 = x.tanh(),
    Sigmoid |x| f64 = double::sigmoid(x),
    Erf |x| f64 = double::erf(x),
    Erfinv |x| f64 = double::erfinv(x),
    Floor |x| f64 = x.floor(),
    Ceil |x| f64 = x.ceil(),
    Round |x| f64 = x.round_ties_even(),
    Trunc |x| f64 = x.trunc(),
    IsNan |x| bool = x.is_nan(),
    IsInf |x| bool = x.abs() == f64::INFINITY,
    IsFinite |x| bool = x.abs() < f64::INFINITY,
}

/// Integers wrap around on overflow; rounding leaves them as they are.
macro_rules! integer_functions {
    ($module:ident: $type:ty; $($more:tt)*) => {
        functions! { $module: $type;
            Neg |x| $type = x.wrapping_neg(),
            Square |x| $type = x.wrapping_mul(x),
            Floor |x| $type = x,
            Ceil |x| $type = x,
            Round |x| $type = x,
            Trunc |x| $type = x,
            Not |x| $type = !x,
            IsNan |_x| bool = false,
            IsInf |_x| bool = false,
            IsFinite |_x| bool = true,
            $($more)*
        }
    };
}

integer_functions! { of_i32: i32; Abs |x| i32 = x.wrapping_abs(), Sign |x| i32 = x.signum(), }
integer_functions! { of_i64: i64; Abs |x| i64 = x.wrapping_abs(), Sign |x| i64 = x.signum(), }
integer_functions! { of_u8: u8; Abs |x| u8 = x, Sign |x| u8 = x.min(1), }

functions! { of_bool: bool;
    Not |x| bool = !x,
}

/// The loop of a 16-bit float: that of `f32`, with conversions before and behind.
fn half_loop<H: Half + Width>(op: Unary) -> Option<InnerLoop> {
    macro_rules! pick {
        (floats: $($float:ident)*; bools: $($bool:ident)*) => {
            match op {
                $(Unary::$float => Some(through_f32::<H, Loop1<of_f32::$float>, 1, false, false, true>),)*
                $(Unary::$bool => Some(through_f32::<H, Loop1<of_f32::$bool>, 1, false, false, false>),)*
                Unary::Not => None,
            }
        };
    }
    pick! {
        floats: Neg Abs Sign Exp Expm1 Log Log1p Sqrt Rsqrt Reciprocal Square Sin Cos Tan Asin Acos Atan Sinh Cosh
            Asinh Acosh Atanh Tanh Sigmoid Erf Erfinv Floor Ceil Round Trunc;
        bools: IsNan IsInf IsFinite
    }
}
