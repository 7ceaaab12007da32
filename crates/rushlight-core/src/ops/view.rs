//! The same elements in another shape or order; padding and concatenation.

use crate::ops::Op;
use crate::ops::gradient::{Context, InputGradients, one};
use crate::ops::operand::Operand;
use crate::ops::reduce::Reduction;
use crate::ops::reduce::size_tensor;
use crate::tensor::{
    Axes, DType, Dims, Fault, Spec, Tensor, broadcast_dims, display_dims, divide, element_count, is_open,
    multiply, normalize_axis,
};
use crate::trace::apply::{apply, fail};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// Axis `i` of the result is axis `permutation[i]` of the input.
pub type Permutation = Axes;

/// Every `step`-th element from `start` to before `stop`, per axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    pub start: SmallVec<[usize; 6]>,
    pub stop: SmallVec<[usize; 6]>,
    pub step: SmallVec<[usize; 6]>,
}

/// Zeros before, after and between the elements of each axis.
///
/// A second, scalar input gives the value to pad with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    pub low: SmallVec<[usize; 6]>,
    pub high: SmallVec<[usize; 6]>,
    /// Places inserted between neighbours.
    pub interior: SmallVec<[usize; 6]>,
}

pub(crate) fn infer_reshape(dims: &Dims, x: &Spec) -> Result<Spec, Fault> {
    if element_count(dims) != x.count() {
        let rule = format!("the new shape {} must have as many elements as the old one", display_dims(dims));
        return Err(Fault::shape(rule));
    }
    Ok(Spec { dims: dims.clone(), dtype: x.dtype })
}

pub(crate) fn infer_transpose(permutation: &Permutation, x: &Spec) -> Result<Spec, Fault> {
    let mut sorted = permutation.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.rank()) {
        let rule = format!("the permutation {permutation:?} must name each axis once");
        return Err(Fault::shape(rule));
    }
    Ok(Spec { dims: permutation.iter().map(|&axis| x.dims[axis]).collect(), dtype: x.dtype })
}

pub(crate) fn infer_broadcast(dims: &Dims, x: &Spec) -> Result<Spec, Fault> {
    if broadcast_dims(dims, &x.dims).as_ref() != Some(dims) {
        let rule = format!("the input must broadcast to {}", display_dims(dims));
        return Err(Fault::shape(rule));
    }
    Ok(Spec { dims: dims.clone(), dtype: x.dtype })
}

impl Slice {
    pub(crate) fn infer(&self, x: &Spec) -> Result<Spec, Fault> {
        let rank = x.rank();
        if [&self.start, &self.stop, &self.step].iter().any(|part| part.len() != rank) {
            return Err(Fault::shape("start, stop and step must have one number an axis"));
        }
        let mut dims = Dims::new();
        for axis in 0..rank {
            let (start, stop, step) = (self.start[axis], self.stop[axis], self.step[axis]);
            let whole = start == 0 && step == 1 && stop == x.dims[axis];
            if whole {
                dims.push(x.dims[axis]);
                continue;
            }
            if is_open(x.dims[axis]) {
                return Err(Fault::shape("the open batch axis of a model cannot be sliced"));
            }
            if step == 0 || start > stop || stop > x.dims[axis] {
                let rule = format!("slice {start}..{stop} step {step} must lie inside axis {axis}");
                return Err(Fault::shape(rule));
            }
            dims.push((stop - start).div_ceil(step));
        }
        Ok(Spec { dims, dtype: x.dtype })
    }
}

pub(crate) fn infer_flip(axes: &Axes, x: &Spec) -> Result<Spec, Fault> {
    match axes.iter().find(|&&axis| axis >= x.rank()) {
        Some(axis) => Err(Fault::shape(format!("there must be an axis {axis} to flip"))),
        None => Ok(x.clone()),
    }
}

impl Pad {
    pub(crate) fn infer(&self, inputs: &[&Spec]) -> Result<Spec, Fault> {
        let x = inputs[0];
        let rank = x.rank();
        if [&self.low, &self.high, &self.interior].iter().any(|part| part.len() != rank) {
            return Err(Fault::shape("low, high and interior must have one number an axis"));
        }
        if let Some(value) = inputs.get(1)
            && (value.rank() != 0 || value.dtype != x.dtype)
        {
            return Err(Fault::shape("the value to pad with must be a scalar of the input's dtype"));
        }
        let mut dims = Dims::new();
        for axis in 0..rank {
            let (size, inner) = (x.dims[axis], self.interior[axis]);
            let added = self.low[axis].saturating_add(self.high[axis]);
            if added == 0 && inner == 0 {
                dims.push(size);
                continue;
            }
            if is_open(size) {
                return Err(Fault::shape("the open batch axis of a model cannot be padded"));
            }
            let padded =
                size.saturating_add(added).saturating_add(inner.saturating_mul(size.saturating_sub(1)));
            if is_open(padded) {
                return Err(Fault::value(format!("the padding of axis {axis} is too large")));
            }
            dims.push(padded);
        }
        Ok(Spec { dims, dtype: x.dtype })
    }
}

pub(crate) fn infer_concat(axis: usize, inputs: &[&Spec]) -> Result<Spec, Fault> {
    let Some(first) = inputs.first() else {
        return Err(Fault::value("there must be at least one tensor"));
    };
    if axis >= first.rank() {
        return Err(Fault::shape(format!("there must be an axis {axis}")));
    }
    let mut dims = first.dims.clone();
    for other in &inputs[1..] {
        if other.dtype != first.dtype {
            return Err(Fault::dtype("all tensors must have the same dtype"));
        }
        let fits =
            other.rank() == dims.len() && (0..dims.len()).all(|i| i == axis || other.dims[i] == dims[i]);
        if is_open(dims[axis]) || other.dims.get(axis).is_some_and(|&dim| is_open(dim)) {
            return Err(Fault::shape("tensors cannot be joined along the open batch axis of a model"));
        }
        if !fits {
            return Err(Fault::shape(format!("the shapes must agree on all axes but axis {axis}")));
        }
        dims[axis] += other.dims[axis];
    }
    Ok(Spec { dims, dtype: first.dtype })
}

impl Tensor {
    /// The same elements, in row-major order, in another shape; one size may be -1 and follows from the others.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// let x = Tensor::from([1, 2, 3, 4, 5, 6]);
    /// assert_eq!(x.reshape([2, -1]).shape()?, [2, 3]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn reshape(&self, dims: impl AsRef<[isize]>) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let dims = dims.as_ref();
        let known =
            dims.iter().filter(|&&dim| dim >= 0).fold(1, |product, &dim| multiply(product, dim as usize));
        let free = dims.iter().filter(|&&dim| dim < 0).count();
        if free > 1 || dims.iter().any(|&dim| dim < -1) {
            return fail("reshape", Fault::shape(format!("{dims:?} may hold one -1 at most")), &[self]);
        }
        let rest = if free == 1 { divide(spec.count(), known) } else { Some(1) };
        let Some(rest) = rest else {
            let rule = format!("the number of elements must divide into {dims:?}");
            return fail("reshape", Fault::shape(rule), &[self]);
        };
        self.reshape_to(&dims.iter().map(|&dim| if dim < 0 { rest } else { dim as usize }).collect::<Dims>())
    }

    /// [`Tensor::reshape`] to sizes that are all known, such as another tensor's.
    #[track_caller]
    pub fn reshape_to(&self, dims: &[usize]) -> Tensor {
        match self.known_spec() {
            Some(spec) if spec.dims.as_slice() == dims => self.clone(),
            _ => apply(Op::Reshape(Dims::from_slice(dims)), &[self]),
        }
    }

    /// The axes in another order: axis `i` of the result is axis `axes[i]` of the input.
    #[track_caller]
    pub fn transpose(&self, axes: impl AsRef<[isize]>) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let permutation: Option<Permutation> =
            axes.as_ref().iter().map(|&axis| normalize_axis(axis, spec.rank())).collect();
        match permutation {
            Some(permutation) => apply(Op::Transpose(permutation), &[self]),
            None => {
                let rule = format!("the permutation {:?} must name each axis once", axes.as_ref());
                fail("transpose", Fault::shape(rule), &[self])
            }
        }
    }

    /// [`Tensor::transpose`] with axes that are known to be a permutation; nothing if they are in order already.
    #[track_caller]
    pub(crate) fn permuted(&self, permutation: Permutation) -> Tensor {
        match self.error().is_none() && permutation.iter().copied().eq(0..permutation.len()) {
            true => self.clone(),
            false => apply(Op::Transpose(permutation), &[self]),
        }
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn swap_axes(&self, first: isize, second: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match (normalize_axis(first, spec.rank()), normalize_axis(second, spec.rank())) {
            (Some(first), Some(second)) => {
                let mut permutation: Permutation = (0..spec.rank()).collect();
                permutation.swap(first, second);
                self.permuted(permutation)
            }
            _ => fail("swap_axes", Fault::shape(format!("there must be axes {first} and {second}")), &[self]),
        }
    }

    /// Swaps the last two axes: the transpose of a matrix, or of a batch of them.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let rank = spec.rank();
        if rank < 2 {
            return fail("t", Fault::shape("the tensor must have two axes at least"), &[self]);
        }
        let mut permutation: Permutation = (0..rank).collect();
        permutation.swap(rank - 2, rank - 1);
        apply(Op::Transpose(permutation), &[self])
    }

    /// Repeats along axes of size 1, and along new leading axes, to the given shape; a view, nothing is copied.
    #[track_caller]
    pub fn broadcast_to(&self, dims: &[usize]) -> Tensor {
        match self.known_spec() {
            Some(spec) if spec.dims.as_slice() == dims => self.clone(),
            _ => apply(Op::Broadcast(Dims::from_slice(dims)), &[self]),
        }
    }

    /// The number of places along an axis, as a scalar; also of an open batch axis, which has no size while a function
    /// or a model is recorded.
    ///
    /// ```
    /// use rushlight_core::{DType, Tensor};
    /// let x = Tensor::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    /// assert_eq!(x.axis_size(-1, DType::F32).item::<f32>()?, 3.0);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn axis_size(&self, axis: isize, dtype: DType) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match normalize_axis(axis, spec.rank()) {
            Some(axis) => size_tensor(spec.dims[axis], dtype),
            None => fail("axis_size", Fault::shape(format!("there must be an axis {axis}")), &[self]),
        }
    }

    /// A new axis of size 1 before axis `axis` (-1: behind the last).
    #[track_caller]
    pub fn expand_dims(&self, axis: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let Some(axis) = normalize_axis(axis, spec.rank() + 1) else {
            let rule = format!("the new axis {axis} must lie in the result's range");
            return fail("expand_dims", Fault::shape(rule), &[self]);
        };
        let mut dims = spec.dims.clone();
        dims.insert(axis, 1);
        self.reshape_to(&dims)
    }

    /// Removes an axis of size 1.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match normalize_axis(axis, spec.rank()) {
            Some(axis) if spec.dims[axis] == 1 => {
                let mut dims = spec.dims.clone();
                dims.remove(axis);
                self.reshape_to(&dims)
            }
            _ => fail("squeeze", Fault::shape(format!("axis {axis} must exist and have size 1")), &[self]),
        }
    }

    /// One axis after the other turned around.
    #[track_caller]
    pub fn flip(&self, axes: impl AsRef<[isize]>) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let found: Option<Axes> =
            axes.as_ref().iter().map(|&axis| normalize_axis(axis, spec.rank())).collect();
        match found {
            Some(axes) => apply(Op::Flip(axes), &[self]),
            None => fail("flip", Fault::shape(format!("there must be axes {:?}", axes.as_ref())), &[self]),
        }
    }

    /// Every `step`-th element from `start` to before `stop`, for each axis.
    #[track_caller]
    pub fn slice_with(&self, start: &[usize], stop: &[usize], step: &[usize]) -> Tensor {
        let [start, stop, step] = [start, stop, step].map(SmallVec::from_slice);
        apply(Op::Slice(Slice { start, stop, step }), &[self])
    }

    /// The elements `start..stop` of one axis.
    #[track_caller]
    pub fn slice_axis(&self, axis: isize, start: usize, stop: usize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let Some(axis) = normalize_axis(axis, spec.rank()) else {
            return fail("slice", Fault::shape(format!("there must be an axis {axis}")), &[self]);
        };
        let mut starts: SmallVec<[usize; 6]> = SmallVec::from_elem(0, spec.rank());
        let mut stops: SmallVec<[usize; 6]> = SmallVec::from_slice(&spec.dims);
        let step = SmallVec::from_elem(1, spec.rank());
        starts[axis] = start;
        stops[axis] = stop;
        apply(Op::Slice(Slice { start: starts, stop: stops, step }), &[self])
    }

    /// Zeros added before and after each axis: one pair of numbers an axis.
    #[track_caller]
    pub fn pad(&self, padding: &[(usize, usize)]) -> Tensor {
        match self.check_padding(padding) {
            Ok(()) => apply(Op::Pad(Pad::around(padding)), &[self]),
            Err(carried) => carried,
        }
    }

    /// A value added before and after each axis: one pair of numbers an axis.
    #[track_caller]
    pub fn pad_with(&self, padding: &[(usize, usize)], value: impl Operand) -> Tensor {
        match self.check_padding(padding) {
            Ok(()) => apply(Op::Pad(Pad::around(padding)), &[self, &value.operand("pad", self)]),
            Err(carried) => carried,
        }
    }

    #[track_caller]
    fn check_padding(&self, padding: &[(usize, usize)]) -> Result<(), Tensor> {
        match self.known_spec() {
            Some(spec) if spec.rank() == padding.len() => Ok(()),
            _ => {
                let rule = format!("the padding {padding:?} must have one pair of numbers an axis");
                Err(fail("pad", Fault::shape(rule), &[self]))
            }
        }
    }

    /// Cuts an axis into parts of the given sizes, which add up to its size.
    #[track_caller]
    pub fn split(&self, sizes: &[usize], axis: isize) -> Vec<Tensor> {
        let total: usize = sizes.iter().sum();
        let Some(spec) = self.known_spec() else { return vec![self.clone(); sizes.len()] };
        if normalize_axis(axis, spec.rank()).is_none_or(|index| spec.dims[index] != total) {
            let rule = format!("the sizes {sizes:?} must add up to the size of axis {axis}");
            return vec![fail("split", Fault::shape(rule), &[self]); sizes.len()];
        }
        let mut stop = 0;
        let parts = sizes.iter().map(|size| {
            stop += size;
            self.slice_axis(axis, stop - size, stop)
        });
        parts.collect()
    }
}

impl Pad {
    fn around(padding: &[(usize, usize)]) -> Pad {
        Pad {
            low: padding.iter().map(|pair| pair.0).collect(),
            high: padding.iter().map(|pair| pair.1).collect(),
            interior: SmallVec::from_elem(0, padding.len()),
        }
    }
}

/// Joins tensors along an axis; all other axes agree.
///
/// ```
/// use rushlight_core::{Tensor, concat};
/// let (a, b) = (Tensor::from([[1.0f32, 2.0]]), Tensor::from([[3.0f32]]));
/// assert_eq!(concat(&[&a, &b], -1).to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn concat(tensors: &[&Tensor], axis: isize) -> Tensor {
    if let [only] = tensors {
        return (*only).clone();
    }
    let rank = tensors.iter().find_map(|tensor| tensor.known_spec()).map_or(0, Spec::rank);
    match normalize_axis(axis, rank) {
        Some(axis) => apply(Op::Concat(axis), tensors),
        None => fail("concat", Fault::shape(format!("there must be tensors with an axis {axis}")), tensors),
    }
}

/// Joins tensors of one shape along a new axis.
#[track_caller]
pub fn stack(tensors: &[&Tensor], axis: isize) -> Tensor {
    let Some(first) = tensors.first().and_then(|tensor| tensor.known_spec()) else {
        return fail("stack", Fault::value("there must be at least one tensor"), tensors);
    };
    let same = |tensor: &&&Tensor| tensor.known_spec().is_some_and(|spec| spec == first);
    if normalize_axis(axis, first.rank() + 1).is_none() || !tensors.iter().all(|tensor| same(&tensor)) {
        let rule = format!("all tensors must have one shape and dtype, and the result an axis {axis}");
        return fail("stack", Fault::shape(rule), tensors);
    }
    let expanded: Vec<Tensor> = tensors.iter().map(|tensor| tensor.expand_dims(axis)).collect();
    concat(&expanded.iter().collect::<Vec<_>>(), axis)
}

#[track_caller]
pub(crate) fn gradient_reshape(context: &Context, g: &Tensor) -> InputGradients {
    one(g.reshape_to(&context.inputs[0].known_spec().expect("a tape holds no errors").dims))
}

#[track_caller]
pub(crate) fn gradient_transpose(permutation: &Permutation, g: &Tensor) -> InputGradients {
    let mut inverse = permutation.clone();
    for (to, &from) in permutation.iter().enumerate() {
        inverse[from] = to;
    }
    one(apply(Op::Transpose(inverse), &[g]))
}

/// The sum over the axes along which the input was repeated.
#[track_caller]
pub(crate) fn gradient_broadcast(context: &Context, g: &Tensor) -> InputGradients {
    let to = &context.inputs[0].known_spec().expect("a tape holds no errors").dims;
    one(sum_to(g, to))
}

#[track_caller]
fn sum_to(g: &Tensor, to: &Dims) -> Tensor {
    let Some(from) = g.known_spec() else { return g.clone() };
    let added = from.rank() - to.len();
    let axes: Axes = (0..from.rank())
        .filter(|&axis| axis < added || (to[axis - added] == 1 && from.dims[axis] != 1))
        .collect();
    g.reduce(Reduction::Sum, axes).reshape_to(to)
}

#[track_caller]
pub(crate) fn gradient_slice(slice: &Slice, context: &Context, g: &Tensor) -> InputGradients {
    let dims = &context.inputs[0].known_spec().expect("a tape holds no errors").dims;
    let Some(got) = g.known_spec() else { return one(g.clone()) };
    let covered = |axis: usize| match got.dims[axis] {
        0 => 0,
        count => (count - 1) * slice.step[axis] + 1,
    };
    one(apply(
        Op::Pad(Pad {
            low: slice.start.clone(),
            high: (0..dims.len()).map(|axis| dims[axis] - slice.start[axis] - covered(axis)).collect(),
            interior: slice.step.iter().map(|step| step - 1).collect(),
        }),
        &[g],
    ))
}

#[track_caller]
pub(crate) fn gradient_flip(axes: &Axes, g: &Tensor) -> InputGradients {
    one(apply(Op::Flip(axes.clone()), &[g]))
}

#[track_caller]
pub(crate) fn gradient_pad(pad: &Pad, context: &Context, g: &Tensor) -> InputGradients {
    let dims = &context.inputs[0].known_spec().expect("a tape holds no errors").dims;
    let covered = |axis: usize| match dims[axis] {
        0 => 0,
        count => (count - 1) * (pad.interior[axis] + 1) + 1,
    };
    let inner = apply(
        Op::Slice(Slice {
            start: pad.low.clone(),
            stop: (0..dims.len()).map(|axis| pad.low[axis] + covered(axis)).collect(),
            step: pad.interior.iter().map(|interior| interior + 1).collect(),
        }),
        &[g],
    );
    match context.inputs.len() {
        1 => one(inner),
        _ => {
            let value = g.sum(..) - inner.sum(..);
            smallvec![Some(inner), Some(value)]
        }
    }
}

#[track_caller]
pub(crate) fn gradient_concat(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let mut start = 0;
    let mut gradients = InputGradients::new();
    for (input, &wanted) in context.inputs.iter().zip(context.wanted) {
        let size = input.known_spec().expect("a tape holds no errors").dims[axis];
        gradients.push(wanted.then(|| g.slice_axis(axis as isize, start, start + size)));
        start += size;
    }
    gradients
}
