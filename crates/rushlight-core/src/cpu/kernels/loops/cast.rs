//! Loops that convert between dtypes.

use super::{Function1, InnerLoop, Loop1, Width, compile};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::math::Machine;
use crate::cpu::kernels::math::half_bits::Half;
use crate::tensor::DType;
use crate::with_dtype;
use half::{bf16, f16};
use std::marker::PhantomData;

/// A conversion as Rust's `as` makes it: floats become integers by truncation and saturate, NaN becomes 0,
/// integers wrap; to `bool` it is "not zero". A 16-bit float is reached from an `f32`.
struct Cast<From, To>(PhantomData<(From, To)>);

/// What every dtype converts to and from on the way.
trait Convert<To>: Copy + 'static {
    fn convert(self) -> To;
}

macro_rules! numbers {
    ($($from:ty => $($to:ty)*;)*) => {
        $($(impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                self as $to
            }
        })*
        impl Convert<bool> for $from {
            #[inline(always)]
            fn convert(self) -> bool {
                self != 0 as $from
            }
        }
        impl Convert<$from> for bool {
            #[inline(always)]
            fn convert(self) -> $from {
                self as u8 as $from
            }
        })*
    };
}

numbers! {
    f32 => f32 f64 i32 i64 u8;
    f64 => f32 f64 i32 i64 u8;
    i32 => f32 f64 i32 i64 u8;
    i64 => f32 f64 i32 i64 u8;
    u8 => f32 f64 i32 i64 u8;
}

impl Convert<bool> for bool {
    #[inline(always)]
    fn convert(self) -> bool {
        self
    }
}

macro_rules! halves {
    ($half:ty => $($other:ty)*) => {
        $(impl Convert<$other> for $half {
            #[inline(always)]
            fn convert(self) -> $other {
                Convert::<$other>::convert(self.widen())
            }
        }
        impl Convert<$half> for $other {
            #[inline(always)]
            fn convert(self) -> $half {
                <$half>::narrow(Convert::<f32>::convert(self))
            }
        })*
    };
}

halves! { f16 => f32 f64 i32 i64 u8 bool }
halves! { bf16 => f32 f64 i32 i64 u8 bool }

macro_rules! between_halves {
    ($($from:ty => $to:ty;)*) => {
        $(impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                <$to>::narrow(self.widen())
            }
        })*
    };
}

between_halves! { f16 => bf16; bf16 => f16; f16 => f16; bf16 => bf16; }

impl<From: Width + Convert<To>, To: Width + Copy + 'static> Function1 for Cast<From, To> {
    type In = From;
    type Out = To;
    #[inline(always)]
    fn map<M: Machine>(x: From) -> To {
        x.convert()
    }
}

/// The loop that converts elements of one dtype to another.
pub(crate) fn cast_kernel(isa: Isa, from: DType, to: DType) -> InnerLoop {
    with_dtype!(from, From => with_dtype!(to, To => compile::<Loop1<Cast<From, To>>>(isa)))
}
