//! Taking and putting elements by index.
//!
//! Negative indices count from the end of their axis. An index out of bounds is an error where its value is known;
//! in a recorded function, which cannot know it, it means the nearest element that exists.

use crate::cpu;
use crate::ops::elementwise::where_;
use crate::ops::gradient::{Context, InputGradients, none};
use crate::ops::{Op, apply_as};
use crate::tensor::{
    DType, Dims, Element, Fault, Inner, Spec, Tensor, broadcast_dims, element_count, is_open, normalize_axis,
};
use crate::trace::apply::{apply, fail};
use crate::with_dtype;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

/// Each element is its own index along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iota {
    pub dims: Dims,
    pub axis: usize,
    pub dtype: DType,
}

fn check_indices(axis: usize, x: &Spec, indices: &Spec) -> Result<(), Fault> {
    if axis >= x.rank() {
        return Err(Fault::shape(format!("there must be an axis {axis}")));
    }
    if !matches!(indices.dtype, DType::I32 | DType::I64) {
        return Err(Fault::dtype("the indices (second) must be i32 or i64"));
    }
    Ok(())
}

/// Checks the indices into an axis of `size` elements, where they have values; other faults are left to the shape rules.
fn check_bounds(indices: &Tensor, size: usize) -> Result<(), Fault> {
    let Inner::Value(value) = &*indices.0 else { return Ok(()) };
    if is_open(size) {
        return Ok(());
    }
    let extremes = match value.spec.dtype {
        DType::I32 => extremes(cpu::contiguous(value).view().slice::<i32>().iter().map(|&i| i64::from(i))),
        DType::I64 => extremes(cpu::contiguous(value).view().slice::<i64>().iter().copied()),
        _ => None,
    };
    let Some((least, largest)) = extremes else { return Ok(()) };
    let wrong = if largest >= size as i64 { largest } else { least };
    if (-(size as i64)..size as i64).contains(&wrong) {
        return Ok(());
    }
    Err(Fault::value(format!("index {wrong} is out of bounds for an axis of size {size}")))
}

fn extremes(values: impl Iterator<Item = i64>) -> Option<(i64, i64)> {
    values.fold(None, |extremes, value| match extremes {
        None => Some((value, value)),
        Some((least, largest)) => Some((value.min(least), value.max(largest))),
    })
}

pub(crate) fn infer_take(axis: usize, x: &Spec, indices: &Spec) -> Result<Spec, Fault> {
    check_indices(axis, x, indices)?;
    if x.dims[axis] == 0 && indices.count() > 0 {
        return Err(Fault::shape(format!("axis {axis} must not be empty")));
    }
    let dims = x.dims[..axis].iter().chain(&indices.dims).chain(&x.dims[axis + 1..]);
    Ok(Spec { dims: dims.copied().collect(), dtype: x.dtype })
}

pub(crate) fn infer_take_add(axis: usize, x: &Spec, indices: &Spec, updates: &Spec) -> Result<Spec, Fault> {
    match infer_take(axis, x, indices)? == *updates {
        true => Ok(x.clone()),
        false => Err(Fault::shape("the updates (third) must be shaped like what take reads")),
    }
}

pub(crate) fn infer_take_along(axis: usize, x: &Spec, indices: &Spec) -> Result<Spec, Fault> {
    check_indices(axis, x, indices)?;
    let fits = x.rank() == indices.rank() && (0..x.rank()).all(|i| i == axis || x.dims[i] == indices.dims[i]);
    if !fits {
        return Err(Fault::shape(format!("values and indices must agree on all axes but axis {axis}")));
    }
    Ok(Spec { dims: indices.dims.clone(), dtype: x.dtype })
}

pub(crate) fn infer_take_along_put(
    axis: usize,
    x: &Spec,
    indices: &Spec,
    updates: &Spec,
) -> Result<Spec, Fault> {
    match infer_take_along(axis, x, indices)? == *updates {
        true => Ok(x.clone()),
        false => Err(Fault::shape("the updates (third) must have the shape of the indices")),
    }
}

impl Tensor {
    /// The slices of this tensor along `axis` at the places that `indices` (`i32` or `i64`) name: the axis becomes
    /// the axes of the indices.
    ///
    /// Negative indices count from the end; what an index out of bounds gives is said in [`crate::ops::index`].
    ///
    /// # Shapes
    /// `[a…, n, b…]`, indices `[i…] → [a…, i…, b…]`
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// let table = Tensor::from([[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    /// assert_eq!(table.take(&Tensor::from([2, 0]), 0).to_vec::<f32>()?, [5.0, 6.0, 1.0, 2.0]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self, indices: &Tensor, axis: isize) -> Tensor {
        self.along("take", axis, indices, &[self, indices], Op::Take)
    }

    /// This tensor with `updates` added to the slices that [`Tensor::take`] would read; repeated indices add up.
    ///
    /// # Shapes
    /// `[a…, n, b…]`, indices `[i…]`, updates `[a…, i…, b…] → [a…, n, b…]`
    #[track_caller]
    pub fn take_add(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        self.along("take_add", axis, indices, &[self, indices, updates], Op::TakeAdd)
    }

    /// The elements along `axis` that the indices at the same place on all other axes name; what `argsort` gives
    /// can be used as such indices.
    ///
    /// # Shapes
    /// `[a…, n, b…]`, indices `[a…, i, b…] → [a…, i, b…]`; axes other than `axis` broadcast.
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Tensor, axis: isize) -> Tensor {
        let (x, indices) = match self.aligned(indices, axis) {
            Ok(aligned) => aligned,
            Err(carried) => return carried,
        };
        x.along("take_along_axis", axis, &indices, &[&x, &indices], Op::TakeAlong)
    }

    /// This tensor with `updates` added to the elements that [`Tensor::take_along_axis`] would read; repeated
    /// indices add up.
    ///
    /// # Shapes
    /// `[a…, n, b…]`, indices and updates `[a…, i, b…] → [a…, n, b…]`
    #[track_caller]
    pub fn scatter_add(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        self.along("scatter_add", axis, indices, &[self, indices, updates], Op::TakeAlongAdd)
    }

    /// This tensor with `updates` written over the elements that [`Tensor::take_along_axis`] would read; of
    /// repeated indices the last one wins.
    ///
    /// # Shapes
    /// `[a…, n, b…]`, indices and updates `[a…, i, b…] → [a…, n, b…]`
    #[track_caller]
    pub fn scatter(&self, indices: &Tensor, updates: &Tensor, axis: isize) -> Tensor {
        self.along("scatter", axis, indices, &[self, indices, updates], Op::TakeAlongSet)
    }

    /// The elements, or slices, at index vectors: the last axis of `indices` holds one index for each of the
    /// first axes of this tensor (`gather_nd` elsewhere).
    ///
    /// # Shapes
    /// `[n₁, …, nₖ, b…]`, indices `[i…, k] → [i…, b…]`
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// let x = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.gather(&Tensor::from([[0, 1], [1, 0]])).to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn gather(&self, indices: &Tensor) -> Tensor {
        let (Some(x), Some(i)) = (self.known_spec(), indices.known_spec()) else {
            return if self.error().is_some() { self.clone() } else { indices.clone() };
        };
        let depth = i.dims.last().copied().unwrap_or(0);
        if i.rank() == 0 || depth > x.rank() || is_open(depth) {
            let rule = "the last axis of the indices (second) must hold an index for each of the first axes";
            return fail("gather", Fault::shape(rule), &[self, indices]);
        }
        if !matches!(i.dtype, DType::I32 | DType::I64) {
            return fail("gather", Fault::dtype("the indices (second) must be i32 or i64"), &[self, indices]);
        }
        if x.dims[..depth].iter().any(|&dim| is_open(dim)) {
            let rule = "the open batch axis of a model cannot be indexed";
            return fail("gather", Fault::shape(rule), &[self, indices]);
        }
        let mut flat_dims = Dims::from_slice(&[element_count(&x.dims[..depth])]);
        flat_dims.extend(x.dims[depth..].iter().copied());
        let flat = self.reshape_to(&flat_dims);
        // Positions may need more digits than the indices that they are made of.
        let indices = &if x.count() > i32::MAX as usize { indices.cast(DType::I64) } else { indices.clone() };
        let dtype = indices.known_spec().map_or(i.dtype, |spec| spec.dtype);
        // The position in row-major order: each index, from the end if negative, times the step of its axis.
        let mut position = Tensor::zeros(&i.dims[..i.rank() - 1], dtype);
        for axis in 0..depth {
            let index = indices.slice_axis(-1, axis, axis + 1).squeeze(-1);
            if let Err(fault) = check_bounds(&index, x.dims[axis]) {
                return fail("gather", fault, &[self, indices]);
            }
            let size = x.dims[axis];
            let index = where_(&index.less(0), &(&index + size), &index).clip(0, size.saturating_sub(1));
            position = position + index * element_count(&x.dims[axis + 1..depth]);
        }
        flat.along("gather", 0, &position, &[&flat, &position], Op::Take)
    }

    /// Class numbers as vectors of zeros with a one: the result has a last axis of size `classes`. A number that
    /// is no class gives only zeros.
    ///
    /// ```
    /// use rushlight_core::{DType, Tensor};
    /// let y = Tensor::from([2, 0]).one_hot(3, DType::F32);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        if !spec.dtype.is_integer() {
            return fail("one_hot", Fault::dtype("the input must be of an integer dtype"), &[self]);
        }
        // A u8 could not count to more than 256 classes.
        let labels = if spec.dtype == DType::U8 { self.cast(DType::I32) } else { self.clone() };
        let label_dtype = if spec.dtype == DType::U8 { DType::I32 } else { spec.dtype };
        labels.expand_dims(-1).equal(Tensor::iota([classes], 0, label_dtype)).cast(dtype)
    }

    /// A tensor whose elements are their own indices along an axis: 0, 1, 2, …
    #[track_caller]
    pub fn iota(dims: impl AsRef<[usize]>, axis: isize, dtype: DType) -> Tensor {
        let dims = Dims::from_slice(dims.as_ref());
        match normalize_axis(axis, dims.len()) {
            Some(axis) if dtype != DType::Bool => apply(Op::Iota(Iota { dims, axis, dtype }), &[]),
            Some(_) => fail("iota", Fault::dtype("the dtype must be one of numbers, not bool"), &[]),
            None => fail("iota", Fault::shape(format!("there must be an axis {axis} of {dims:?}")), &[]),
        }
    }

    /// The numbers from `start` towards `stop`, which is not among them, in steps of `step` (negative: downwards).
    ///
    /// ```
    /// use rushlight_core::{DType, Tensor};
    /// assert_eq!(Tensor::range(5.0, 0.0, -2.0, DType::I32).to_vec::<i32>()?, [5, 3, 1]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn range(start: f64, stop: f64, step: f64, dtype: DType) -> Tensor {
        let count = ((stop - start) / step).ceil();
        if !count.is_finite() {
            let rule =
                format!("from {start} to {stop} in steps of {step} there must be finitely many numbers");
            return fail("range", Fault::value(rule), &[]);
        }
        with_dtype!(dtype, T => {
            let numbers = (0..count.max(0.0) as usize).map(|index| start + index as f64 * step);
            let elements: Vec<T> = numbers.map(T::from_f64).collect();
            Tensor::new(&elements, [elements.len()])
        })
    }

    /// Applies a primitive that works along an axis, under the name of the public op.
    #[track_caller]
    fn along(
        &self,
        op: &str,
        axis: isize,
        indices: &Tensor,
        inputs: &[&Tensor],
        primitive: impl FnOnce(usize) -> Op,
    ) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let Some(index) = normalize_axis(axis, spec.rank()) else {
            return fail(op, Fault::shape(format!("there must be an axis {axis}")), inputs);
        };
        match check_bounds(indices, spec.dims[index]) {
            Ok(()) => apply_as(op, primitive(index), inputs),
            Err(fault) => fail(op, fault, inputs),
        }
    }

    /// Both tensors broadcast to each other on all axes but one.
    #[track_caller]
    fn aligned(&self, indices: &Tensor, axis: isize) -> Result<(Tensor, Tensor), Tensor> {
        let (Some(x), Some(i)) = (self.known_spec(), indices.known_spec()) else {
            return Err(if self.error().is_some() { self.clone() } else { indices.clone() });
        };
        let axis = normalize_axis(axis, x.rank());
        let others = |spec: &Spec| -> Dims {
            let dims = spec.dims.iter().enumerate();
            dims.map(|(at, &dim)| if Some(at) == axis { 1 } else { dim }).collect()
        };
        match (axis, broadcast_dims(&others(x), &others(i))) {
            (Some(axis), Some(common)) if x.rank() == i.rank() => {
                let with = |size: usize| {
                    let mut dims = common.clone();
                    dims[axis] = size;
                    dims
                };
                Ok((self.broadcast_to(&with(x.dims[axis])), indices.broadcast_to(&with(i.dims[axis]))))
            }
            // The shape rule of the primitive says what is wrong.
            _ => Ok((self.clone(), indices.clone())),
        }
    }
}

// Taking and adding back are each other's transposes, so their gradients are each other.

#[track_caller]
pub(crate) fn gradient_take(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let zero = context.inputs[0].zeros_like();
    smallvec![Some(apply(Op::TakeAdd(axis), &[&zero, &context.inputs[1], g])), None]
}

#[track_caller]
pub(crate) fn gradient_take_add(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    smallvec![Some(g.clone()), None, Some(apply(Op::Take(axis), &[g, &context.inputs[1]]))]
}

#[track_caller]
pub(crate) fn gradient_take_along(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let zero = context.inputs[0].zeros_like();
    smallvec![Some(apply(Op::TakeAlongAdd(axis), &[&zero, &context.inputs[1], g])), None]
}

#[track_caller]
pub(crate) fn gradient_take_along_add(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    smallvec![Some(g.clone()), None, Some(apply(Op::TakeAlong(axis), &[g, &context.inputs[1]]))]
}

/// What was overwritten has no influence; of several updates of one place only the one that stayed has.
#[track_caller]
pub(crate) fn gradient_take_along_set(axis: usize, context: &Context, g: &Tensor) -> InputGradients {
    let (indices, updates) = (&context.inputs[1], &context.inputs[2]);
    let put = |operand: &Tensor, values: &Tensor| apply(Op::TakeAlongSet(axis), &[operand, indices, values]);
    let take = |tensor: &Tensor| apply(Op::TakeAlong(axis), &[tensor, indices]);
    let Some(spec) = updates.known_spec() else { return none(3) };
    // Each update writes its own number; those that read their number back are the ones that stayed.
    let number = apply(Op::Iota(Iota { dims: spec.dims.clone(), axis, dtype: DType::I32 }), &[]);
    let ground = Tensor::full(dims_of(&context.inputs[0]), -1.0, DType::I32);
    let stayed = take(&put(&ground, &number)).equal(&number);
    let zero = updates.zeros_like();
    smallvec![
        context.wanted[0].then(|| put(g, &zero)),
        None,
        context.wanted[2].then(|| where_(&stayed, &take(g), &zero)),
    ]
}

fn dims_of(tensor: &Tensor) -> Dims {
    tensor.known_spec().map(|spec| spec.dims.clone()).unwrap_or_default()
}
