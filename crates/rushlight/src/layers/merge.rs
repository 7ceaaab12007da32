//! Layers that make one tensor of several.

use crate::layers::Layer;
use crate::layers::activation::AxisList;
use crate::layers::define::{basics, layer};
use crate::layers::masks::{mask_of, set_mask};
use crate::layers::sizes::{bad_setting, unfit};
use rushlight_core::tensor::normalize_axis;
use rushlight_core::{DType, Spec, Tensor, concat};

/// All inputs with as many axes as the one that has most: new ones come behind the batch axis.
#[track_caller]
fn aligned(inputs: &[&Tensor]) -> Vec<Tensor> {
    let rank = inputs.iter().map(|input| input.rank().unwrap_or(0)).max().unwrap_or(0);
    let align = |input: &Tensor| {
        let missing = rank.saturating_sub(input.rank().unwrap_or(0));
        (0..missing).fold(input.clone(), |input, _| input.expand_dims(1))
    };
    inputs.iter().map(|input| align(input)).collect()
}

/// Where all inputs have masks, a step counts if it counts in any.
#[track_caller]
fn pass_joined_mask(inputs: &[&Tensor], output: &Tensor) {
    let masks: Option<Vec<Tensor>> = inputs.iter().map(|input| mask_of(input)).collect();
    if let Some(mask) = masks.and_then(|masks| masks.into_iter().reduce(|a, b| a.maximum(&b))) {
        set_mask(output, &mask);
    }
}

macro_rules! elementwise_merges {
    ($($(#[$doc:meta])* $Name:ident = $class:literal, $least:literal: |$inputs:ident| $value:expr;)*) => {$(
        layer! {
            $(#[$doc])*
            $Name = $class;
            /// Call it on several tensors: `layer.call([&a, &b])`.
            new();
        }

        impl Layer for $Name {
            basics!();

            #[track_caller]
            fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
                if inputs.len() < $least || ($class == "Subtract" && inputs.len() != 2) {
                    let count = if $class == "Subtract" { "two inputs" } else { "at least one input" };
                    return vec![Tensor::carry(bad_setting($class, format!("there must be {count}, not {}", inputs.len())))];
                }
                let $inputs = aligned(inputs);
                let y = $value;
                pass_joined_mask(inputs, &y);
                vec![y]
            }
        }
    )*};
}

/// Combines all inputs two at a time.
#[track_caller]
fn combine(inputs: &[Tensor], operation: fn(Tensor, &Tensor) -> Tensor) -> Tensor {
    let mut result = inputs[0].clone();
    for input in &inputs[1..] {
        result = operation(result, input);
    }
    result
}

elementwise_merges! {
    /// The sum of its inputs, which broadcast to each other.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let (a, b) = (Tensor::from([[1.0f32]]), Tensor::from([[2.0f32]]));
    /// assert_eq!(Add::new().call([&a, &b]).to_vec::<f32>()?, [3.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Add = "Add", 1: |inputs| combine(&inputs, |sum, x| sum + x);
    /// The first input less the second.
    Subtract = "Subtract", 2: |inputs| &inputs[0] - &inputs[1];
    /// The product of its inputs, which broadcast to each other.
    Multiply = "Multiply", 1: |inputs| combine(&inputs, |product, x| product * x);
    /// The mean of its inputs, which broadcast to each other.
    Average = "Average", 1: |inputs| combine(&inputs, |sum, x| sum + x) / inputs.len() as f64;
    /// The largest of its inputs, element by element.
    Maximum = "Maximum", 1: |inputs| combine(&inputs, |most, x| most.maximum(x));
    /// The smallest of its inputs, element by element.
    Minimum = "Minimum", 1: |inputs| combine(&inputs, |least, x| least.minimum(x));
}

layer! {
    /// Joins its inputs along an axis: `concat([a, b], axis)`; all other axes agree.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let (a, b) = (Tensor::ones([2, 3], DType::F32), Tensor::ones([2, 4], DType::F32));
    /// assert_eq!(Concatenate::new().call([&a, &b]).shape()?, [2, 7]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Concatenate = "Concatenate";
    /// Along the last axis.
    new();
    settings {
        /// Along another axis.
        axis: isize = -1;
    }
}

impl Concatenate {
    /// A step counts if it counts in any input; joined along the steps, masks are joined as well.
    #[track_caller]
    fn pass_mask(&self, inputs: &[&Tensor], y: &Tensor) {
        let masks: Vec<Option<Tensor>> = inputs.iter().map(|input| mask_of(input)).collect();
        let Ok(rank) = y.rank() else { return };
        if masks.iter().all(Option::is_none) || rank < 2 {
            return;
        }
        let full = inputs.iter().zip(masks).map(|(input, mask)| {
            let dims = input.shape().map(<[usize]>::to_vec).unwrap_or_default();
            let everywhere = Tensor::ones(&dims, DType::Bool);
            match mask {
                Some(mask) => {
                    let missing = dims.len().saturating_sub(mask.rank().unwrap_or(0));
                    (0..missing).fold(mask, |mask, _| mask.expand_dims(-1)).broadcast_to(&dims)
                }
                None => everywhere,
            }
        });
        let full: Vec<Tensor> = full.collect();
        set_mask(y, &concat(&full.iter().collect::<Vec<_>>(), self.axis).any(-1));
    }
}

impl Layer for Concatenate {
    basics!();

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let y = concat(inputs, self.axis);
        self.pass_mask(inputs, &y);
        vec![y]
    }
}

layer! {
    /// The products of two inputs summed over an axis of each, example by example; with `normalize` of unit vectors,
    /// which makes them cosines.
    ///
    /// # Shapes
    /// `[batch, a…, n, b…]` and `[batch, c…, n, d…]` `→ [batch, a…, b…, c…, d…]`, or `[batch, 1]` if nothing else is
    /// left.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let (a, b) = (Tensor::ones([2, 5, 3], DType::F32), Tensor::ones([2, 5, 4], DType::F32));
    /// assert_eq!(Dot::new([1, 1]).call([&a, &b]).shape()?, [2, 3, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Dot = "Dot";
    /// Over these axes: one number for both inputs, or one each.
    new(axes => AxisList);
    settings {
        /// Whether the vectors are made unit vectors first.
        normalize: bool = false;
    }
}

impl Dot {
    /// The summed axis of each input.
    fn axes_of(&self, a: &Spec, b: &Spec) -> Option<(usize, usize)> {
        let (first, second) = match *self.axes.axes.as_slice() {
            [both] => (both, both),
            [first, second] => (first, second),
            _ => return None,
        };
        let axes = (normalize_axis(first, a.rank())?, normalize_axis(second, b.rank())?);
        (axes.0 > 0 && axes.1 > 0 && a.dims[axes.0] == b.dims[axes.1]).then_some(axes)
    }
}

/// The summed axis last, all others but the batch in one.
#[track_caller]
fn rows(x: &Tensor, spec: &Spec, axis: usize) -> Tensor {
    let others = (1..spec.rank()).filter(|&other| other != axis).map(|other| spec.dims[other]).product();
    x.move_axis(axis as isize, -1).reshape_to(&[spec.dims[0], others, spec.dims[axis]])
}

impl Layer for Dot {
    basics!();

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let &[a, b] = inputs else {
            return vec![Tensor::carry(bad_setting(
                "Dot",
                format!("there must be two inputs, not {}", inputs.len()),
            ))];
        };
        let (of_a, of_b) = match (a.spec(), b.spec()) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(error), _) | (_, Err(error)) => return vec![Tensor::carry(error)],
        };
        let Some(axes) = self.axes_of(of_a, of_b) else {
            let rule =
                format!("the axes {:?} must exist, not be the batch's, and agree in size", self.axes.axes);
            return vec![Tensor::carry(unfit("Dot", rule, &[of_a, of_b]))];
        };
        let unit = |x: &Tensor, axis: usize| match self.normalize {
            true => unit_vectors(x, &[axis as isize], 1e-7),
            false => x.clone(),
        };
        let left = rows(&unit(a, axes.0), of_a, axes.0);
        let right = rows(&unit(b, axes.1), of_b, axes.1);
        let product = left.matmul(&right.swap_axes(1, 2));
        let mut dims = vec![of_a.dims[0]];
        let others = |spec: &Spec, axis: usize| -> Vec<usize> {
            (1..spec.rank()).filter(|&other| other != axis).map(|other| spec.dims[other]).collect()
        };
        dims.extend(others(of_a, axes.0));
        dims.extend(others(of_b, axes.1));
        if dims.len() == 1 {
            dims.push(1);
        }
        vec![product.reshape_to(&dims)]
    }
}

/// `x / max(‖x‖, ε)` over some axes.
#[track_caller]
pub(super) fn unit_vectors(x: &Tensor, axes: &[isize], epsilon: f64) -> Tensor {
    x * x.square().sum_keepdims(axes).maximum(epsilon * epsilon).rsqrt()
}
