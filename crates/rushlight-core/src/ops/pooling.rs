//! Maxima, sums and averages over sliding windows.

use crate::ops::Op;
use crate::ops::gradient::{Context, InputGradients, one};
use crate::tensor::{DType, Dims, Fault, Spec, Tensor, display_dims};
use crate::trace::apply::apply;
use smallvec::{SmallVec, smallvec};

/// What is taken of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    Max,
    /// Padding counts as zero.
    Sum,
}

/// Windows over the spatial axes of `[batch, spatial…, channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub kind: Pooling,
    pub size: SmallVec<[usize; 3]>,
    pub strides: SmallVec<[usize; 3]>,
    /// Places before and after each spatial axis that belong to windows but hold nothing.
    pub padding: SmallVec<[(usize, usize); 3]>,
}

impl Pooling {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Pooling::Max => "max_pool",
            Pooling::Sum => "sum_pool",
        }
    }
}

impl Window {
    pub(crate) fn infer(&self, x: &Spec) -> Result<Spec, Fault> {
        let spatial = self.size.len();
        let attributes_fit = (1..=3).contains(&spatial)
            && self.strides.len() == spatial
            && self.padding.len() == spatial
            && self.size.iter().chain(&self.strides).all(|&size| size > 0)
            && self.padding.iter().zip(&self.size).all(|(pad, &size)| pad.0 < size && pad.1 < size);
        if !attributes_fit {
            return Err(Fault::value(
                "sizes and strides must be positive, and the padding smaller than the window",
            ));
        }
        if x.rank() != spatial + 2 {
            return Err(Fault::shape(format!("the input must be [batch, {spatial} spatial axes, channels]")));
        }
        if x.dtype == DType::Bool {
            return Err(Fault::dtype("the input must be a number, not bool (cast it first)"));
        }
        let mut dims = Dims::from_slice(&[x.dims[0]]);
        for axis in 0..spatial {
            let padded = x.dims[axis + 1] + self.padding[axis].0 + self.padding[axis].1;
            match padded.checked_sub(self.size[axis]) {
                Some(room) => dims.push(room / self.strides[axis] + 1),
                None => return Err(Fault::shape("the window must fit into the padded input")),
            }
        }
        dims.push(x.dims[spatial + 1]);
        Ok(Spec { dims, dtype: x.dtype })
    }

    pub(crate) fn infer_sum_gradient(&self, dims: &Dims, g: &Spec) -> Result<Spec, Fault> {
        let input = Spec { dims: dims.clone(), dtype: g.dtype };
        match self.infer(&input)? == *g {
            true => Ok(input),
            false => {
                Err(Fault::shape(format!("the input must be what pooling makes of {}", display_dims(dims))))
            }
        }
    }

    pub(crate) fn infer_max_gradient(&self, x: &Spec, g: &Spec) -> Result<Spec, Fault> {
        match self.infer(x)? == *g {
            true => Ok(x.clone()),
            false => Err(Fault::shape("the second input must be what pooling makes of the first")),
        }
    }

    pub(crate) fn infer_max_select(&self, x: &Spec, g: &Spec) -> Result<Spec, Fault> {
        match x == g {
            true => self.infer(x),
            false => Err(Fault::shape("both inputs must have the same shape and dtype")),
        }
    }
}

#[track_caller]
pub(crate) fn gradient(window: &Window, context: &Context, g: &Tensor) -> InputGradients {
    let x = &context.inputs[0];
    one(match window.kind {
        Pooling::Max => apply(Op::WindowMaxGradient(window.clone()), &[x, g]),
        Pooling::Sum => {
            let dims = x.known_spec().map(|spec| spec.dims.clone()).unwrap_or_default();
            apply(Op::WindowSumGradient(window.clone(), dims), &[g])
        }
    })
}

#[track_caller]
pub(crate) fn gradient_of_sum_gradient(window: &Window, g: &Tensor) -> InputGradients {
    one(apply(Op::Window(window.clone()), &[g]))
}

#[track_caller]
pub(crate) fn gradient_of_max_gradient(window: &Window, context: &Context, g: &Tensor) -> InputGradients {
    let x = &context.inputs[0];
    smallvec![None, Some(apply(Op::WindowMaxSelect(window.clone()), &[x, g]))]
}

#[track_caller]
pub(crate) fn gradient_of_max_select(window: &Window, context: &Context, g: &Tensor) -> InputGradients {
    let x = &context.inputs[0];
    smallvec![None, Some(apply(Op::WindowMaxGradient(window.clone()), &[x, g]))]
}
