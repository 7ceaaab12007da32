//! Layers that only rearrange elements.

use crate::layers::Layer;
use crate::layers::Setting;
use crate::layers::activations::Function;
use crate::layers::config::items;
use crate::layers::define::{basics, layer};
use crate::layers::sizes::{ChannelsLast, attempt, bad_setting, unfit};
use rushlight_core::{Result, Spec, Tensor};
use serde_json::Value;

layer! {
    /// Passes its input on; a place to name, or to keep free.
    Identity = "Identity";
    /// The same for every input.
    new();
}

impl Layer for Identity {
    basics!(passes_mask);

    fn forward(&self, x: &Tensor) -> Tensor {
        x.clone()
    }
}

layer! {
    /// A closure as a layer. Its config cannot be written down: a layer of your own can.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let square = Lambda::new(|x: &Tensor| x.square());
    /// assert_eq!(square.call(&Tensor::from([3.0f32])).to_vec::<f32>()?, [9.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Lambda = "Lambda";
    /// A layer that computes this function.
    new(function => Closure);
}

/// What a [`Lambda`] computes.
#[derive(Clone, Debug)]
pub struct Closure(Function);

impl<F: Fn(&Tensor) -> Tensor + Send + Sync + 'static> From<F> for Closure {
    fn from(function: F) -> Closure {
        Closure(Function::custom(function))
    }
}

impl Setting for Closure {
    fn to_value(&self) -> Result<Value, String> {
        Err("a closure is not data: write a layer of your own to save it".to_string())
    }

    fn from_value(_: &Value) -> Result<Closure, String> {
        Err("made by the program: a Lambda's code is not read from files".to_string())
    }
}

impl Layer for Lambda {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.function.0.apply(x)
    }
}

layer! {
    /// All axes behind the batch axis become one: `[batch, a, b, …] → [batch, a·b·…]`.
    Flatten = "Flatten";
    /// For inputs with any number of axes; `[batch]` becomes `[batch, 1]`.
    new();
    fixed {
        "data_format": ChannelsLast;
    }
}

impl Layer for Flatten {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        match spec.dims.as_slice() {
            [batch, features @ ..] => x.reshape_to(&[*batch, features.iter().product()]),
            [] => Tensor::carry(unfit("Flatten", "the input must have a batch axis", &[spec])),
        }
    }
}

layer! {
    /// The same elements of each example in another shape: `[batch, …] → [batch, dims…]`; one size may be -1.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = Reshape::new([2, -1]).call(&Tensor::ones([5, 6], DType::F32));
    /// assert_eq!(y.shape()?, [5, 2, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Reshape = "Reshape";
    /// The new shape without the batch axis.
    new(target_shape => TargetShape);
}

/// The sizes that a [`Reshape`] gives; -1 for the one that follows from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetShape(Vec<isize>);

impl<const N: usize> From<[isize; N]> for TargetShape {
    fn from(dims: [isize; N]) -> TargetShape {
        TargetShape(dims.to_vec())
    }
}

impl From<Vec<isize>> for TargetShape {
    fn from(dims: Vec<isize>) -> TargetShape {
        TargetShape(dims)
    }
}

impl From<&[isize]> for TargetShape {
    fn from(dims: &[isize]) -> TargetShape {
        TargetShape(dims.to_vec())
    }
}

impl Setting for TargetShape {
    fn to_value(&self) -> Result<Value, String> {
        self.0.to_value()
    }

    fn from_value(value: &Value) -> Result<TargetShape, String> {
        let sizes = items(value).ok_or("a list of sizes")?;
        let size = |size: &Value| if size.is_null() { Ok(-1) } else { isize::from_value(size) };
        sizes.iter().map(size).collect::<Result<_, String>>().map(TargetShape)
    }
}

impl Layer for Reshape {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        let dims = &self.target_shape.0;
        let [batch, features @ ..] = spec.dims.as_slice() else {
            return Tensor::carry(unfit("Reshape", "the input must have a batch axis", &[spec]));
        };
        let available: usize = features.iter().product();
        let known: usize = dims.iter().filter(|&&dim| dim >= 0).map(|&dim| dim as usize).product();
        let free = dims.iter().filter(|&&dim| dim < 0).count();
        let rest = available.checked_div(known).unwrap_or(0);
        if free > 1 || (free == 0 && known != available) || (free == 1 && known * rest != available) {
            let rule = format!("the {available} elements of each example must fit into {dims:?}");
            return Tensor::carry(unfit("Reshape", rule, &[spec]));
        }
        let sizes = dims.iter().map(|&dim| if dim < 0 { rest } else { dim as usize });
        x.reshape_to(&std::iter::once(*batch).chain(sizes).collect::<Vec<usize>>())
    }
}

layer! {
    /// The axes of each example in another order: `Permute::new([2, 1])` takes `[batch, a, b]` to `[batch, b, a]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = Permute::new([2, 3, 1]).call(&Tensor::ones([1, 4, 5, 6], DType::F32));
    /// assert_eq!(y.shape()?, [1, 5, 6, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Permute = "Permute";
    /// The axes in their new order, counted from 1 behind the batch axis.
    new(dims => Vec<isize>);
}

impl Layer for Permute {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(1..=self.dims.len() as isize) {
            let rule = format!("the axes {:?} must be the numbers from 1 on, each once", self.dims);
            return Err(bad_setting("Permute", rule));
        }
        if input.rank() != self.dims.len() + 1 {
            let rule = format!("the input must have {} axes and that of the batch", self.dims.len());
            return Err(unfit("Permute", rule, &[input]));
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let axes: Vec<isize> = std::iter::once(0).chain(self.dims.iter().copied()).collect();
        x.transpose(axes)
    }
}

layer! {
    /// Each example `n` times, as steps: `[batch, features] → [batch, n, features]`.
    RepeatVector = "RepeatVector";
    /// This many times.
    new(n: usize);
}

impl Layer for RepeatVector {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        match *spec.dims.as_slice() {
            [batch, features] => x.expand_dims(1).broadcast_to(&[batch, self.n, features]),
            _ => Tensor::carry(unfit("RepeatVector", "the input must be [batch, features]", &[spec])),
        }
    }
}
