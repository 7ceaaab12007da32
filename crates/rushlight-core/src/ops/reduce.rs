//! Reductions over axes, and running totals along one.

use crate::ops::elementwise::where_;
use crate::ops::gradient::{Context, InputGradients, none, one};
use crate::ops::{Op, require_floats};
use crate::tensor::{Axes, DType, Dims, Fault, Spec, Tensor, element_count, is_open, normalize_axis};
use crate::trace::apply::{apply, fail};
use serde::{Deserialize, Serialize};

/// What a reduction makes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    Sum,
    /// Sum divided by the number of elements; floats only.
    Mean,
    Prod,
    /// NaN if any element is.
    Max,
    /// NaN if any element is.
    Min,
    /// `bool` only.
    Any,
    /// `bool` only.
    All,
}

/// A reduction over some axes, which disappear from the shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduce {
    pub kind: Reduction,
    /// Sorted, without repetition.
    pub axes: Axes,
}

/// The position of the first extreme element along an axis, as `i32`; the axis disappears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgReduce {
    /// Of the largest element; otherwise of the smallest.
    pub largest: bool,
    pub axis: usize,
}

/// Running totals along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cumulative {
    /// Products instead of sums.
    pub product: bool,
    pub axis: usize,
    /// From the last element to the first.
    pub reverse: bool,
    /// Without the element itself: the first is 0 (or 1 for products).
    pub exclusive: bool,
}

impl Reduction {
    #[cfg(test)]
    pub(crate) const ALL: [Reduction; 7] = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Prod,
        Reduction::Max,
        Reduction::Min,
        Reduction::Any,
        Reduction::All,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
            Reduction::Prod => "prod",
            Reduction::Max => "max",
            Reduction::Min => "min",
            Reduction::Any => "any",
            Reduction::All => "all",
        }
    }
}

fn without(dims: &Dims, axes: &[usize]) -> Dims {
    (0..dims.len()).filter(|axis| !axes.contains(axis)).map(|axis| dims[axis]).collect()
}

impl Reduce {
    pub(crate) fn infer(&self, x: &Spec) -> Result<Spec, Fault> {
        let in_order = self.axes.windows(2).all(|pair| pair[0] < pair[1]);
        if !in_order || self.axes.last().is_some_and(|&axis| axis >= x.rank()) {
            return Err(Fault::shape(format!("there must be axes {:?}, each named once", self.axes)));
        }
        match self.kind {
            Reduction::Any | Reduction::All if x.dtype != DType::Bool => {
                return Err(Fault::dtype("the input must be bool"));
            }
            Reduction::Mean if !x.dtype.is_float() => {
                return Err(Fault::dtype("the input must be of a floating-point dtype (cast it first)"));
            }
            Reduction::Sum | Reduction::Prod if x.dtype == DType::Bool => {
                return Err(Fault::dtype("the input must be a number, not bool (cast it first)"));
            }
            Reduction::Max | Reduction::Min if self.axes.iter().any(|&axis| x.dims[axis] == 0) => {
                return Err(Fault::shape("a reduced axis must not be empty"));
            }
            _ => {}
        }
        Ok(Spec { dims: without(&x.dims, &self.axes), dtype: x.dtype })
    }
}

impl ArgReduce {
    pub(crate) fn name(&self) -> &'static str {
        if self.largest { "argmax" } else { "argmin" }
    }

    pub(crate) fn infer(&self, x: &Spec) -> Result<Spec, Fault> {
        if self.axis >= x.rank() || x.dims[self.axis] == 0 {
            return Err(Fault::shape(format!("axis {} must exist and not be empty", self.axis)));
        }
        if x.dtype == DType::Bool {
            return Err(Fault::dtype("the input must be a number, not bool (cast it first)"));
        }
        Ok(Spec { dims: without(&x.dims, &[self.axis]), dtype: DType::I32 })
    }
}

impl Cumulative {
    pub(crate) fn name(&self) -> &'static str {
        if self.product { "cumprod" } else { "cumsum" }
    }

    pub(crate) fn infer(&self, x: &Spec) -> Result<Spec, Fault> {
        if self.axis >= x.rank() {
            return Err(Fault::shape(format!("there must be an axis {}", self.axis)));
        }
        if x.dtype == DType::Bool {
            return Err(Fault::dtype("the input must be a number, not bool (cast it first)"));
        }
        Ok(x.clone())
    }
}

/// The rule that the axes of a reduction broke.
fn no_such_axes(axes: &impl IntoAxes) -> Fault {
    Fault::shape(format!("the axes to reduce, {axes:?}, must exist, and each be named once"))
}

/// Which axes a reduction goes over: `..` for all, a number, or a list; negative ones count from the end.
pub trait IntoAxes: std::fmt::Debug {
    /// The axes, sorted; nothing if one of them does not exist or is named twice.
    fn axes(&self, rank: usize) -> Option<Axes>;
}

impl IntoAxes for std::ops::RangeFull {
    fn axes(&self, rank: usize) -> Option<Axes> {
        Some((0..rank).collect())
    }
}

impl IntoAxes for isize {
    fn axes(&self, rank: usize) -> Option<Axes> {
        normalize_axis(*self, rank).map(|axis| Axes::from_elem(axis, 1))
    }
}

impl IntoAxes for &[isize] {
    fn axes(&self, rank: usize) -> Option<Axes> {
        let mut axes: Axes = self.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Option<_>>()?;
        axes.sort_unstable();
        axes.windows(2).all(|pair| pair[0] != pair[1]).then_some(axes)
    }
}

impl<const N: usize> IntoAxes for [isize; N] {
    fn axes(&self, rank: usize) -> Option<Axes> {
        self.as_slice().axes(rank)
    }
}

impl IntoAxes for &Vec<isize> {
    fn axes(&self, rank: usize) -> Option<Axes> {
        self.as_slice().axes(rank)
    }
}

/// The shape with the reduced axes kept at size 1.
fn kept_dims(dims: &Dims, axes: &[usize]) -> Dims {
    dims.iter().enumerate().map(|(axis, &dim)| if axes.contains(&axis) { 1 } else { dim }).collect()
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $method:ident, $keep:ident => $kind:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// `axes` is `..` for all, a number, or a list; negative ones count from the end. The axes
                /// disappear from the shape.
                #[track_caller]
                pub fn $method(&self, axes: impl IntoAxes) -> Tensor {
                    self.reduce_over(Reduction::$kind, axes, false)
                }

                $(#[$doc])*
                ///
                /// The axes stay in the shape with size 1, so that the result broadcasts against the input.
                #[track_caller]
                pub fn $keep(&self, axes: impl IntoAxes) -> Tensor {
                    self.reduce_over(Reduction::$kind, axes, true)
                }
            )*
        }
    };
}

reductions! {
    /// The sum of the elements over some axes.
    sum, sum_keepdims => Sum;
    /// The mean of the elements over some axes, for floats.
    mean, mean_keepdims => Mean;
    /// The product of the elements over some axes.
    prod, prod_keepdims => Prod;
    /// The largest element over some axes; NaN if any is.
    max, max_keepdims => Max;
    /// The smallest element over some axes; NaN if any is.
    min, min_keepdims => Min;
    /// Whether any element over some axes is true.
    any, any_keepdims => Any;
    /// Whether all elements over some axes are true.
    all, all_keepdims => All;
}

impl Tensor {
    #[track_caller]
    fn reduce_over(&self, kind: Reduction, axes: impl IntoAxes, keepdims: bool) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let Some(found) = axes.axes(spec.rank()) else {
            return fail(kind.name(), no_such_axes(&axes), &[self]);
        };
        let kept = keepdims.then(|| kept_dims(&spec.dims, &found));
        let reduced = self.reduce(kind, found);
        match kept {
            Some(dims) => reduced.reshape_to(&dims),
            None => reduced,
        }
    }

    /// Reduces over sorted axes.
    #[track_caller]
    pub(crate) fn reduce(&self, kind: Reduction, axes: Axes) -> Tensor {
        if axes.is_empty() && self.known_spec().is_some() {
            return self.clone();
        }
        apply(Op::Reduce(Reduce { kind, axes }), &[self])
    }

    /// The population variance `mean((x - mean(x))²)` over some axes, for floats.
    #[track_caller]
    pub fn variance(&self, axes: impl IntoAxes + Clone) -> Tensor {
        match self.check_composed("variance", &axes) {
            Ok(()) => (self - self.mean_keepdims(axes.clone())).square().mean(axes),
            Err(carried) => carried,
        }
    }

    /// [`Tensor::variance`] with the axes kept at size 1.
    #[track_caller]
    pub fn variance_keepdims(&self, axes: impl IntoAxes + Clone) -> Tensor {
        match self.check_composed("variance_keepdims", &axes) {
            Ok(()) => (self - self.mean_keepdims(axes.clone())).square().mean_keepdims(axes),
            Err(carried) => carried,
        }
    }

    /// The population standard deviation, `√variance`.
    #[track_caller]
    pub fn std(&self, axes: impl IntoAxes + Clone) -> Tensor {
        match self.check_composed("std", &axes) {
            Ok(()) => self.variance(axes).sqrt(),
            Err(carried) => carried,
        }
    }

    /// [`Tensor::std`] with the axes kept at size 1.
    #[track_caller]
    pub fn std_keepdims(&self, axes: impl IntoAxes + Clone) -> Tensor {
        match self.check_composed("std_keepdims", &axes) {
            Ok(()) => self.variance_keepdims(axes).sqrt(),
            Err(carried) => carried,
        }
    }

    /// Checks the arguments of a composed reduction of floats.
    #[track_caller]
    pub(crate) fn check_composed(&self, op: &str, axes: &impl IntoAxes) -> Result<(), Tensor> {
        require_floats(op, &[self])?;
        match axes.axes(self.known_spec().map_or(0, Spec::rank)) {
            Some(_) => Ok(()),
            None => Err(fail(op, no_such_axes(axes), &[self])),
        }
    }

    /// `ln Σ exp(x)` over some axes, without overflow.
    #[track_caller]
    pub fn logsumexp(&self, axes: impl IntoAxes + Clone) -> Tensor {
        if let Err(carried) = self.check_composed("logsumexp", &axes) {
            return carried;
        }
        let dims = self.known_spec().and_then(|spec| Some(without(&spec.dims, &axes.axes(spec.rank())?)));
        self.logsumexp_keepdims(axes).reshape_to(&dims.unwrap_or_default())
    }

    /// [`Tensor::logsumexp`] with the axes kept at size 1.
    #[track_caller]
    pub fn logsumexp_keepdims(&self, axes: impl IntoAxes + Clone) -> Tensor {
        if let Err(carried) = self.check_composed("logsumexp_keepdims", &axes) {
            return carried;
        }
        let largest = self.stop_gradient().max_keepdims(axes.clone());
        // Where all is -∞, or something +∞, distances to the largest would not be numbers.
        let finite = where_(&largest.is_finite(), &largest, &largest.zeros_like());
        (self - &finite).exp().sum_keepdims(axes).log() + finite
    }

    /// The position of the first largest element along an axis, as `i32`.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Tensor {
        self.arg_reduce(axis, true)
    }

    /// The position of the first smallest element along an axis, as `i32`.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Tensor {
        self.arg_reduce(axis, false)
    }

    #[track_caller]
    fn arg_reduce(&self, axis: isize, largest: bool) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match normalize_axis(axis, spec.rank()) {
            Some(axis) => apply(Op::ArgReduce(ArgReduce { largest, axis }), &[self]),
            None => {
                let op = if largest { "argmax" } else { "argmin" };
                fail(op, Fault::shape(format!("there must be an axis {axis}")), &[self])
            }
        }
    }

    /// Running sums along an axis.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Tensor {
        self.cumulative(axis, false, false, false)
    }

    /// Running products along an axis.
    #[track_caller]
    pub fn cumprod(&self, axis: isize) -> Tensor {
        self.cumulative(axis, true, false, false)
    }

    /// Running sums, or products, along an axis; from the end if `reverse`, without the element itself if `exclusive`.
    #[track_caller]
    pub fn cumulative(&self, axis: isize, product: bool, reverse: bool, exclusive: bool) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match normalize_axis(axis, spec.rank()) {
            Some(axis) => apply(Op::Cumulative(Cumulative { product, axis, reverse, exclusive }), &[self]),
            None => {
                let op = if product { "cumprod" } else { "cumsum" };
                fail(op, Fault::shape(format!("there must be an axis {axis}")), &[self])
            }
        }
    }
}

#[track_caller]
pub(crate) fn gradient(reduce: &Reduce, context: &Context, g: &Tensor) -> InputGradients {
    let (x, y) = (&context.inputs[0], &context.outputs[0]);
    let dims = &x.known_spec().expect("a tape holds no errors").dims;
    let kept = kept_dims(dims, &reduce.axes);
    let spread = |tensor: &Tensor| tensor.reshape_to(&kept).broadcast_to(dims);
    let count = element_count(&reduce.axes.iter().map(|&axis| dims[axis]).collect::<Dims>());
    let dx = match reduce.kind {
        Reduction::Sum => spread(g),
        Reduction::Mean if is_open(count) => {
            spread(&(g / size_tensor(count, g.known_spec().map_or(DType::F32, |spec| spec.dtype))))
        }
        Reduction::Mean => spread(&(g / count as f64)),
        // Equal extremes share the gradient.
        Reduction::Max | Reduction::Min => {
            let hit = x.equal(spread(y)).cast(x.known_spec().expect("a tape holds no errors").dtype);
            let hits = hit.reduce(Reduction::Sum, reduce.axes.clone());
            spread(&(g / hits)) * hit
        }
        Reduction::Prod => spread(g) * products_of_the_others(x, &reduce.axes, dims),
        Reduction::Any | Reduction::All => return none(1),
    };
    one(dx)
}

/// A number of elements as a scalar, which is counted when the program runs if it depends on an open batch axis.
#[track_caller]
pub(crate) fn size_tensor(count: usize, dtype: DType) -> Tensor {
    if !is_open(count) {
        return Tensor::scalar_of(count as f64, dtype);
    }
    // Ones of a wide dtype, so that the sum is exact.
    let wide = if dtype.is_integer() { DType::I64 } else { DType::F64 };
    Tensor::ones([count], wide).sum(..).cast(dtype)
}

/// For each element the product of all others over the axes, also where some are zero.
#[track_caller]
fn products_of_the_others(x: &Tensor, axes: &[usize], dims: &Dims) -> Tensor {
    // The reduced axes go last, as one, where products of what lies before and behind are running products.
    let outer: Axes = (0..dims.len()).filter(|axis| !axes.contains(axis)).collect();
    let order: Axes = outer.iter().chain(axes).copied().collect();
    let moved = apply(Op::Transpose(order.clone()), &[x]);
    let moved_dims: Dims = order.iter().map(|&axis| dims[axis]).collect();
    let count = element_count(&axes.iter().map(|&axis| dims[axis]).collect::<Dims>());
    let flat_dims: Dims = outer.iter().map(|&axis| dims[axis]).chain([count]).collect();
    let flat = moved.reshape_to(&flat_dims);
    let others = flat.cumulative(-1, true, false, true) * flat.cumulative(-1, true, true, true);
    let mut inverse = order.clone();
    for (to, &from) in order.iter().enumerate() {
        inverse[from] = to;
    }
    apply(Op::Transpose(inverse), &[&others.reshape_to(&moved_dims)])
}

#[track_caller]
pub(crate) fn gradient_cumulative(cumulative: &Cumulative, context: &Context, g: &Tensor) -> InputGradients {
    let axis = cumulative.axis as isize;
    let reversed =
        |tensor: &Tensor| tensor.cumulative(axis, false, !cumulative.reverse, cumulative.exclusive);
    if !cumulative.product {
        return one(reversed(g));
    }
    // d y_j / d x_i = (product of the elements that y_j has, but x_i), as a matrix of masked products.
    let x = &context.inputs[0];
    let spec = x.known_spec().expect("a tape holds no errors");
    let count = spec.dims[cumulative.axis];
    let last = spec.rank() - 1;
    let mut order: Axes = (0..=last).collect();
    order.swap(cumulative.axis, last);
    let swap = |tensor: &Tensor| apply(Op::Transpose(order.clone()), &[tensor]);
    let place = Tensor::arange(count as i64, DType::I32);
    let (j, k) = (place.reshape([-1, 1]), place.reshape([1, -1]));
    let included = match (cumulative.reverse, cumulative.exclusive) {
        (false, false) => k.less_equal(&j),
        (false, true) => k.less(&j),
        (true, false) => k.greater_equal(&j),
        (true, true) => k.greater(&j),
    };
    // factors[.., j, k] = x_k if y_j includes it, else 1; its "products of the others" over k are what is needed.
    let row = swap(x).expand_dims(-2);
    let mut square: Dims = row.known_spec().map(|spec| spec.dims.clone()).unwrap_or_default();
    let rank = square.len();
    if rank >= 2 {
        square[rank - 2] = count;
    }
    let row = row.broadcast_to(&square);
    let factors = where_(&included, &row, &row.ones_like());
    let others = products_of_the_others(&factors, &[rank - 1], &square);
    let slopes = where_(&included, &others, &others.zeros_like());
    one(swap(&(swap(g).expand_dims(-1) * slopes).sum(-2)))
}
