//! Making layers whose weights will come from a file.

use crate::initializers::Initializer;
use rushlight_core::tensor::is_open;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor};
use std::cell::Cell;

thread_local! {
    /// How many numbers the weights of layers that are being made may still have; nothing outside of loading.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Runs `body`, in which layers make weights of zeros, so many numbers at most.
///
/// Drawing first values would be for nothing, and a description that asks for more than its file has is refused
/// before the memory is taken.
pub(crate) fn with_zero_weights<R>(most_elements: usize, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<usize>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _restore = Restore(LEFT.replace(Some(most_elements)));
    body()
}

/// The first value of a weight.
#[track_caller]
pub(crate) fn first_value(initializer: &Initializer, dims: &[usize], dtype: DType) -> Result<Tensor> {
    let Some(left) = LEFT.get() else { return Ok(initializer.tensor(dims, dtype)) };
    let count = dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    match count.and_then(|count| left.checked_sub(count)) {
        Some(left) if !dims.iter().any(|&dim| is_open(dim)) => {
            LEFT.set(Some(left));
            Ok(Tensor::zeros(dims, dtype))
        }
        _ => {
            let rule = format!("a weight of sizes {dims:?} is more than the file has numbers for");
            Err(Error::new(ErrorKind::Value, "load", rule))
        }
    }
}
