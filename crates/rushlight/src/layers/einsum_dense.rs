//! The fully connected layer over axes of one's choice.

use crate::layers::activations::{Function, Linear};
use crate::layers::config::items;
use crate::layers::define::{basics, layer};
use crate::layers::sizes::{bad_setting, unfit};
use crate::layers::{Layer, Setting};
use rushlight_core::{Result, Spec, Tensor, einsum};
use serde_json::Value;

layer! {
    /// `y = activation(einsum(equation, x, kernel) + bias)`.
    ///
    /// The equation is `ab,bc->ac`, or with an ellipsis for axes that stay: `...ab,bc->...ac` or `ab...,bc->ac...`.
    ///
    /// # Shapes
    /// The output has the batch axis, `output_shape`, and the ellipsis' axes; variables `kernel` with a size for each
    /// of its letters, and `bias` over the `bias_axes`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// // Five heads of four features for each step.
    /// let heads = EinsumDense::new("abc,cde->abde", [7, 5, 4]).bias_axes("de");
    /// assert_eq!(heads.call(&Tensor::ones([2, 7, 3], DType::F32)).shape()?, [2, 7, 5, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    EinsumDense = "EinsumDense";
    /// A layer by this equation; the output's shape leaves the batch axis (and the ellipsis) out, and may leave open
    /// (`None`) what follows from the input.
    new(equation => String, output_shape => OutputShape);
    settings {
        /// What is applied to the sums.
        activation => Function = Linear;
        /// The output's axes, by their letters, along which there is a bias; no bias by default.
        bias_axes ? String = None;
    }
    parameters {
        kernel = GlorotUniform, kernel_initializer kernel_regularizer kernel_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
}

/// The sizes of an [`EinsumDense`]'s output.
#[derive(Clone, Debug)]
pub struct OutputShape(Vec<Option<usize>>);

impl OutputShape {
    pub(crate) fn sizes(&self) -> &[Option<usize>] {
        &self.0
    }
}

impl From<usize> for OutputShape {
    fn from(size: usize) -> OutputShape {
        OutputShape(vec![Some(size)])
    }
}

impl<const N: usize> From<[usize; N]> for OutputShape {
    fn from(sizes: [usize; N]) -> OutputShape {
        OutputShape(sizes.into_iter().map(Some).collect())
    }
}

impl<const N: usize> From<[Option<usize>; N]> for OutputShape {
    fn from(sizes: [Option<usize>; N]) -> OutputShape {
        OutputShape(sizes.to_vec())
    }
}

impl From<Vec<Option<usize>>> for OutputShape {
    fn from(sizes: Vec<Option<usize>>) -> OutputShape {
        OutputShape(sizes)
    }
}

impl Setting for OutputShape {
    fn to_value(&self) -> Result<Value, String> {
        self.0.to_value()
    }

    fn from_value(value: &Value) -> Result<OutputShape, String> {
        match items(value) {
            Some(_) => Vec::from_value(value).map(OutputShape),
            None => usize::from_value(value).map(OutputShape::from),
        }
    }
}

/// The shapes that an equation means for an input.
struct Shapes {
    kernel: Vec<usize>,
    bias: Vec<usize>,
}

/// The letters of the equation's three terms, and where its ellipsis is.
fn terms(equation: &str) -> Option<([Vec<char>; 3], bool)> {
    let (left, output) = equation.split_once("->")?;
    let (input, kernel) = left.split_once(',')?;
    let front = input.starts_with("...");
    let is_same = match (input.contains("..."), output.contains("...")) {
        (false, false) => true,
        (true, true) if front => output.starts_with("..."),
        (true, true) => input.ends_with("...") && output.ends_with("..."),
        _ => false,
    };
    let letters = |term: &str| -> Option<Vec<char>> {
        let letters: Vec<char> = term.trim().replace("...", "").chars().collect();
        letters.iter().all(char::is_ascii_alphabetic).then_some(letters)
    };
    is_same.then_some(([letters(input)?, letters(kernel)?, letters(output)?], front))
}

impl EinsumDense {
    fn shapes(&self, input: &Spec) -> Result<Shapes> {
        let Some(([of_input, of_kernel, of_output], front)) = terms(&self.equation) else {
            let rule = format!(
                "the equation `{}` must be like `ab,bc->ac`, `...ab,bc->...ac` or `ab...,bc->ac...`",
                self.equation
            );
            return Err(bad_setting("EinsumDense", rule));
        };
        let unfit = |rule: String| Err(unfit("EinsumDense", rule, &[input]));
        let elided = match input.rank().checked_sub(of_input.len()) {
            Some(elided) if elided == 0 || self.equation.contains("...") => elided,
            _ => return unfit(format!("the input must have the axes of `{}`", self.equation)),
        };
        // With the ellipsis in front the batch axis is one of its axes.
        let skipped = if front { elided } else { 0 };
        let given = if front && elided > 0 { 0 } else { 1 };
        let size_of = |letter: char| -> Option<usize> {
            if let Some(place) = of_input.iter().position(|&own| own == letter) {
                return Some(input.dims[skipped + place]);
            }
            let place = of_output.iter().position(|&own| own == letter)?;
            *self.output_shape.0.get(place.checked_sub(given)?)?
        };
        if self.output_shape.0.len() + given != of_output.len() {
            let (have, need) = (self.output_shape.0.len(), of_output.len() - given.min(of_output.len()));
            return unfit(format!("the output shape must have {need} sizes, not {have}"));
        }
        for (place, size) in self.output_shape.0.iter().enumerate() {
            let letter = of_output[place + given];
            if let Some(size) = size
                && size_of(letter) != Some(*size)
            {
                return unfit(format!(
                    "axis `{letter}` of the output must have the input's size, not {size}"
                ));
            }
        }
        let sizes = |letters: &[char]| -> Result<Vec<usize>> {
            letters
                .iter()
                .map(|&letter| {
                    size_of(letter).ok_or_else(|| {
                        let rule =
                            format!("the size of axis `{letter}` must follow from input or output shape");
                        bad_setting("EinsumDense", rule)
                    })
                })
                .collect()
        };
        let axes = self.bias_axes.as_deref().unwrap_or_default();
        if let Some(letter) = axes.chars().find(|letter| !of_output.contains(letter)) {
            return Err(bad_setting(
                "EinsumDense",
                format!("the bias axis `{letter}` is none of the output's"),
            ));
        }
        let bias = match of_output.iter().position(|&letter| axes.contains(letter)) {
            None => Vec::new(),
            Some(first) => {
                let mut bias = Vec::new();
                for &letter in &of_output[first..] {
                    bias.push(if axes.contains(letter) { sizes(&[letter])?[0] } else { 1 });
                }
                bias.extend(std::iter::repeat_n(1, if front { 0 } else { elided }));
                bias
            }
        };
        Ok(Shapes { kernel: sizes(&of_kernel)?, bias })
    }
}

impl Layer for EinsumDense {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let shapes = self.shapes(input)?;
        self.kernel.make("kernel", &shapes.kernel)?;
        if self.bias_axes.is_some() {
            self.bias.make("bias", &shapes.bias)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = einsum(&self.equation, &[x, &self.kernel.read()]);
        if self.bias_axes.is_some() {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
