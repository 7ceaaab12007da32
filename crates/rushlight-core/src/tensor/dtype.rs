//! Element types: the run-time [`DType`] and the compile-time [`Element`].

use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit IEEE 754 floating point, the default.
    F32,
    /// 64-bit IEEE 754 floating point.
    F64,
    /// 16-bit IEEE 754 floating point.
    F16,
    /// 16-bit "brain" floating point: the upper half of an `f32`.
    BF16,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// Boolean, stored as one byte.
    Bool,
}

impl DType {
    /// Every dtype.
    pub const ALL: [DType; 8] =
        [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8, DType::Bool];

    /// Size of one element in bytes.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// Whether this is one of the four floating-point types.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
    }

    /// Whether this is one of the three integer types (`bool` is not).
    pub const fn is_integer(self) -> bool {
        matches!(self, DType::I32 | DType::I64 | DType::U8)
    }

    /// The name as Keras and NumPy write it: `float32`, `int64`, `bool`, …
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::U8 => "uint8",
            DType::Bool => "bool",
        }
    }

    /// The dtype of that name (`float32`, `f32`, …), if there is one.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name || dtype.short_name() == name)
    }

    /// The name as Rust writes it: `f32`, `i64`, `bool`, …
    pub const fn short_name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Debug for DType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.short_name())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.short_name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that can be an element of a tensor. Sealed: its implementors are the eight dtypes.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + PartialOrd + Send + Sync + fmt::Debug + 'static
{
    /// The run-time name of this type.
    const DTYPE: DType;
    /// The value as `f64`; `bool` becomes 0 or 1.
    fn to_f64(self) -> f64;
    /// The nearest value of this type; integers truncate towards zero and saturate, `bool` is "not zero".
    fn from_f64(value: f64) -> Self;
    /// The value as `i64`; floats truncate towards zero and saturate.
    fn to_i64(self) -> i64;
    /// The value of this type; integers wrap as in Rust's `as`, `bool` is "not zero".
    fn from_i64(value: i64) -> Self;
}

macro_rules! element {
    ($type:ty, $dtype:ident, $to_f64:expr, $from_f64:expr, $to_i64:expr, $from_i64:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to_f64(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $from_f64(value)
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                $to_i64(self)
            }
            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                $from_i64(value)
            }
        }
    };
}

element!(f32, F32, |v| v as f64, |v| v as f32, |v| v as i64, |v| v as f32);
element!(f64, F64, |v| v, |v| v, |v| v as i64, |v| v as f64);
element!(f16, F16, f16::to_f64, f16::from_f64, |v: f16| v.to_f32() as i64, |v| f16::from_f32(v as f32));
element!(bf16, BF16, bf16::to_f64, bf16::from_f64, |v: bf16| v.to_f32() as i64, |v| bf16::from_f32(v as f32));
element!(i32, I32, |v| v as f64, |v| v as i32, |v| v as i64, |v| v as i32);
element!(i64, I64, |v| v as f64, |v| v as i64, |v| v, |v| v);
element!(u8, U8, |v| v as f64, |v| v as u8, |v| v as i64, |v| v as u8);
element!(bool, Bool, |v| v as u8 as f64, |v| v != 0.0, |v| v as i64, |v| v != 0);

/// Runs an expression with `$t` bound to the Rust type of a [`DType`].
#[macro_export]
#[doc(hidden)]
macro_rules! with_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::F16 => {
                type $t = ::half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = ::half::bf16;
                $body
            }
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::DType::U8 => {
                type $t = u8;
                $body
            }
            $crate::DType::Bool => {
                type $t = bool;
                $body
            }
        }
    };
}
