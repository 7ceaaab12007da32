//! Maxima, sums and averages over sliding windows.

use crate::ops::gradient::{Context, InputGradients, one};
use crate::ops::reduce::Reduction;
use crate::ops::spatial::{Padding, PerAxis, axes_in_words};
use crate::ops::{Op, apply_as, infer_as, require_floats};
use crate::tensor::{Axes, DType, Dims, Element, Fault, Spec, Tensor, display_dims};
use crate::trace::apply::{apply, fail};
use crate::with_dtype;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// What is taken of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    Max,
    /// Padding counts as zero.
    Sum,
}

/// Windows over the spatial axes of `[batch, spatial…, channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
            return Err(Fault::shape(format!(
                "the input must be [batch, {}, channels]",
                axes_in_words(spatial)
            )));
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

/// The windows of a pooling: size, strides, padding.
///
/// ```
/// use rushlight_core::{Padding, PoolOptions};
/// let options = PoolOptions::new(3).strides(2).padding(Padding::Same);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolOptions {
    size: PerAxis,
    strides: Option<PerAxis>,
    padding: Padding,
}

impl PoolOptions {
    /// Windows of this size (one number, or one for each spatial axis) side by side, no padding.
    pub fn new(size: impl Into<PerAxis>) -> PoolOptions {
        PoolOptions { size: size.into(), strides: None, padding: Padding::Valid }
    }

    /// The steps from one window to the next; the window's size if not given.
    pub fn strides(mut self, strides: impl Into<PerAxis>) -> PoolOptions {
        self.strides = Some(strides.into());
        self
    }

    /// What lies beyond the edges. It belongs to windows but never counts.
    pub fn padding(mut self, padding: Padding) -> PoolOptions {
        self.padding = padding;
        self
    }
}

/// The primitive that the options mean for this shape.
fn window(kind: Pooling, options: &PoolOptions, x: &Spec, axes: usize) -> Result<Window, Fault> {
    let size = options.size.positive("the window's size", axes)?;
    let strides = options.strides.as_ref().unwrap_or(&options.size).positive("the strides", axes)?;
    if x.rank() != axes + 2 {
        return Err(Fault::shape(format!("the input must be [batch, {}, channels]", axes_in_words(axes))));
    }
    let padding = options.padding.margins(&x.dims[1..=axes], &size, &strides)?;
    Ok(Window { kind, size, strides, padding })
}

macro_rules! pools {
    ($($axes:literal: $shape:literal, $max:ident, $average:ident, $global_max:ident, $global_average:ident;)*) => {
        impl Tensor {
            $(
                /// The largest element of each window.
                ///
                /// # Shapes
                #[doc = $shape]
                /// Sizes change as [`Padding`] says.
                ///
                /// # Errors
                /// The result carries one if the input has another number of axes, is `bool`, or an option makes
                /// no sense.
                #[track_caller]
                pub fn $max(&self, options: &PoolOptions) -> Tensor {
                    self.max_pool(stringify!($max), options, $axes)
                }

                /// The mean over each window; what lies beyond the edges does not count.
                ///
                /// # Shapes
                #[doc = $shape]
                /// Sizes change as [`Padding`] says.
                ///
                /// # Errors
                /// The result carries one if the input has another number of axes, is not of a floating-point
                /// dtype, or an option makes no sense.
                #[track_caller]
                pub fn $average(&self, options: &PoolOptions) -> Tensor {
                    self.average_pool(stringify!($average), options, $axes)
                }

                /// The largest element of each channel over all spatial axes: `[batch, spatial…, channels] →
                /// [batch, channels]`.
                #[track_caller]
                pub fn $global_max(&self) -> Tensor {
                    self.global_pool(stringify!($global_max), Reduction::Max, $axes)
                }

                /// The mean of each channel over all spatial axes, for floats: `[batch, spatial…, channels] →
                /// [batch, channels]`.
                #[track_caller]
                pub fn $global_average(&self) -> Tensor {
                    self.global_pool(stringify!($global_average), Reduction::Mean, $axes)
                }
            )*
        }
    };
}

pools! {
    1: "`[batch, steps, channels] → [batch, steps', channels]`.",
        max_pool1d, average_pool1d, global_max_pool1d, global_average_pool1d;
    2: "`[batch, height, width, channels] → [batch, height', width', channels]`.",
        max_pool2d, average_pool2d, global_max_pool2d, global_average_pool2d;
    3: "`[batch, depth, height, width, channels] → [batch, depth', height', width', channels]`.",
        max_pool3d, average_pool3d, global_max_pool3d, global_average_pool3d;
}

impl Tensor {
    #[track_caller]
    fn max_pool(&self, op: &str, options: &PoolOptions, axes: usize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match window(Pooling::Max, options, spec, axes) {
            Ok(window) => apply_as(op, Op::Window(window), &[self]),
            Err(fault) => fail(op, fault, &[self]),
        }
    }

    #[track_caller]
    fn average_pool(&self, op: &str, options: &PoolOptions, axes: usize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        if let Err(carried) = require_floats(op, &[self]) {
            return carried;
        }
        let window = match window(Pooling::Sum, options, spec, axes) {
            Ok(window) => window,
            Err(fault) => return fail(op, fault, &[self]),
        };
        if let Err(carried) = infer_as(op, &Op::Window(window.clone()), &[self]) {
            return carried;
        }
        let sums = apply(Op::Window(window.clone()), &[self]);
        match real_cells(&window, &spec.dims[1..=axes], spec.dtype) {
            Some(counts) => sums / counts,
            None => sums / window.size.iter().product::<usize>(),
        }
    }

    #[track_caller]
    fn global_pool(&self, op: &str, kind: Reduction, axes: usize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        if spec.rank() != axes + 2 {
            let rule = format!("the input must be [batch, {}, channels]", axes_in_words(axes));
            return fail(op, Fault::shape(rule), &[self]);
        }
        let over: Axes = (1..=axes).collect();
        apply_as(op, Op::Reduce(crate::ops::reduce::Reduce { kind, axes: over }), &[self])
    }
}

/// How many cells of each window lie inside the input, as `[1, spatial…, 1]`; nothing if all do.
fn real_cells(window: &Window, inputs: &[usize], dtype: DType) -> Option<Tensor> {
    if window.padding.iter().all(|&margins| margins == (0, 0)) {
        return None;
    }
    let mut counts = vec![1.0];
    let mut dims = Dims::from_slice(&[1]);
    for (axis, &input) in inputs.iter().enumerate() {
        let (low, high) = window.padding[axis];
        let (size, stride) = (window.size[axis], window.strides[axis]);
        let along: Vec<f64> = (0..(low + input + high - size) / stride + 1)
            .map(|place| {
                let (start, stop) = (place * stride, place * stride + size);
                (stop.min(low + input).saturating_sub(start.max(low))) as f64
            })
            .collect();
        dims.push(along.len());
        counts = counts.iter().flat_map(|outer| along.iter().map(move |inner| outer * inner)).collect();
    }
    dims.push(1);
    Some(with_dtype!(dtype, T => {
        let counts: Vec<T> = counts.into_iter().map(T::from_f64).collect();
        Tensor::new(&counts, &dims)
    }))
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
