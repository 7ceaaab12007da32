//! The right side of an op: a tensor or a number.

use crate::tensor::{Element, Fault, Tensor};
use crate::trace::apply::fail;
use crate::trace::recorder;
use crate::with_dtype;

/// The right side of an op: a tensor, or a number that takes on the dtype of the tensor it meets.
pub trait Operand {
    /// The operand as a tensor; a number becomes a scalar of `like`'s dtype, or an error of `op` if that dtype
    /// cannot hold it.
    fn operand(&self, op: &str, like: &Tensor) -> Tensor;

    /// The operand itself, if it is a tensor.
    fn as_tensor(&self) -> Option<&Tensor> {
        None
    }
}

impl Operand for Tensor {
    fn operand(&self, _op: &str, _like: &Tensor) -> Tensor {
        self.clone()
    }

    fn as_tensor(&self) -> Option<&Tensor> {
        Some(self)
    }
}

impl Operand for &Tensor {
    fn operand(&self, _op: &str, _like: &Tensor) -> Tensor {
        (*self).clone()
    }

    fn as_tensor(&self) -> Option<&Tensor> {
        Some(self)
    }
}

macro_rules! number_operands {
    ($($type:ty),*) => {$(
        impl Operand for $type {
            #[track_caller]
            fn operand(&self, op: &str, like: &Tensor) -> Tensor {
                number_operand(*self, op, like)
            }
        }
    )*};
}

number_operands!(f32, f64, i32, i64, usize, bool);

/// Whether a number is so large or so close to zero that it must come from the mark of an open dimension.
fn is_made_of_open_size(number: f64) -> bool {
    let size = number.abs();
    size.is_finite() && size != 0.0 && !(2f64.powi(-60)..2f64.powi(60)).contains(&size)
}

/// A scalar of the dtype that `like` has.
#[track_caller]
fn number_operand<N: Number>(number: N, op: &str, like: &Tensor) -> Tensor {
    let Some(spec) = like.known_spec() else { return like.clone() };
    if like.is_symbolic() && recorder::has_open_batch() && is_made_of_open_size(number.real()) {
        let rule = format!(
            "the number {:e} was computed from the size of an open batch axis, which has no value while the function \
             is recorded: use mean(..), or the tensor that axis_size gives",
            number.real()
        );
        return fail(op, Fault::value(rule), &[like]);
    }
    if spec.dtype.is_float() {
        return Tensor::scalar_of(number.real(), spec.dtype);
    }
    let scalar = with_dtype!(spec.dtype, T => number.whole().and_then(|whole| {
        let element = T::from_i64(whole);
        (element.to_i64() == whole).then(|| Tensor::scalar(element))
    }));
    match scalar {
        Some(scalar) => scalar,
        None => {
            let rule = format!(
                "the number {} cannot be of dtype {} (cast the tensor first)",
                number.real(),
                spec.dtype
            );
            fail(op, Fault::dtype(rule), &[like])
        }
    }
}

/// A Rust number, and the integer that it is exactly, if it is one.
trait Number: Copy {
    fn whole(self) -> Option<i64>;
    fn real(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty: $number:ident => $whole:expr;)*) => {$(
        impl Number for $type {
            fn whole(self) -> Option<i64> {
                let $number = self;
                $whole
            }
            fn real(self) -> f64 {
                let $number = self;
                $number as f64
            }
        }
    )*};
}

numbers! {
    i32: number => Some(i64::from(number));
    i64: number => Some(number);
    usize: number => i64::try_from(number).ok();
    f32: number => whole_of(f64::from(number));
    f64: number => whole_of(number);
}

impl Number for bool {
    fn whole(self) -> Option<i64> {
        Some(i64::from(self))
    }

    fn real(self) -> f64 {
        f64::from(u8::from(self))
    }
}

/// The integer that a float is, if it is one that `f64` counts exactly to.
fn whole_of(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 9.0e15).then_some(number as i64)
}
