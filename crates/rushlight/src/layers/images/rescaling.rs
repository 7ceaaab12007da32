//! Other scales.

use crate::layers::config::items;
use crate::layers::define::{basics, layer};
use crate::layers::sizes::attempt;
use crate::layers::{Layer, Setting};
use rushlight_core::{DType, Tensor};
use serde_json::Value;

/// One number, or a tensor of numbers that broadcasts to the input.
#[derive(Clone, Debug)]
pub struct Numbers(Value);

impl Numbers {
    /// The numbers as a tensor.
    #[track_caller]
    pub(super) fn tensor(&self, dtype: DType) -> Tensor {
        let (mut numbers, mut dims) = (Vec::new(), Vec::new());
        flatten(&self.0, 0, &mut numbers, &mut dims);
        Tensor::new(&numbers, dims).cast(dtype)
    }
}

/// The numbers of nested lists in order, and the sizes of the lists.
fn flatten(value: &Value, depth: usize, numbers: &mut Vec<f64>, dims: &mut Vec<usize>) {
    match items(value) {
        Some(items) => {
            if dims.len() == depth {
                dims.push(items.len());
            }
            items.iter().for_each(|item| flatten(item, depth + 1, numbers, dims));
        }
        None => numbers.extend(value.as_f64()),
    }
}

impl From<f64> for Numbers {
    fn from(number: f64) -> Numbers {
        Numbers(number.into())
    }
}

impl<const N: usize> From<[f64; N]> for Numbers {
    fn from(numbers: [f64; N]) -> Numbers {
        Numbers(numbers.to_vec().into())
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(numbers: Vec<f64>) -> Numbers {
        Numbers(numbers.into())
    }
}

impl Setting for Numbers {
    fn to_value(&self) -> Result<Value, String> {
        Ok(self.0.clone())
    }

    fn from_value(value: &Value) -> Result<Numbers, String> {
        // A NumPy array comes as an object that holds it as lists.
        let value = value.get("config").and_then(|config| config.get("value")).unwrap_or(value);
        let (mut numbers, mut dims) = (Vec::new(), Vec::new());
        flatten(value, 0, &mut numbers, &mut dims);
        match numbers.len() == dims.iter().product::<usize>() && !numbers.is_empty() {
            true => Ok(Numbers(value.clone())),
            false => Err("a number, or lists of numbers".to_string()),
        }
    }
}

layer! {
    /// `y = x · scale + offset`: `Rescaling::new(1.0 / 255.0)` takes bytes to `[0, 1]`.
    ///
    /// # Shapes
    /// Any; scale and offset may be numbers for each channel. Whole numbers become `f32`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = Rescaling::new(2.0).offset(-1.0).call(&Tensor::from([0.0f32, 0.5, 1.0]));
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 0.0, 1.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Rescaling = "Rescaling";
    /// By this factor.
    new(scale => Numbers);
    settings {
        /// What is added; 0 by default.
        offset => Numbers = Numbers::from(0.0);
    }
}

impl Layer for Rescaling {
    basics!(passes_mask);

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let dtype = attempt!(x.dtype());
        let x = if dtype.is_float() { x.clone() } else { x.cast(DType::F32) };
        let dtype = attempt!(x.dtype());
        x * self.scale.tensor(dtype) + self.offset.tensor(dtype)
    }
}
