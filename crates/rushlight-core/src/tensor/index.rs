//! Indexing and slicing in the manner of NumPy: `x.i((0, .., 2..5, NewAxis, -1))`.

use crate::ops::view::Slice;
use crate::ops::{Op, apply_as};
use crate::tensor::{Axes, Dims, Fault, Tensor, is_open};
use crate::trace::apply::{apply, fail};
use smallvec::SmallVec;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// In an index: a new axis of size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAxis;

/// In an index: as many whole axes as there are left, NumPy's `...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ellipsis;

/// One part of an index. Made from numbers, ranges, [`NewAxis`], [`Ellipsis`], [`strided`] and tensors of indices.
#[derive(Clone, Debug)]
pub enum Index {
    /// One place; the axis disappears.
    At(isize),
    /// The places from `start` to before `stop` in steps of `step`; backwards from the last one if negative.
    Range {
        start: Option<isize>,
        stop: Stop,
        step: isize,
    },
    NewAxis,
    Ellipsis,
    /// The places that a tensor of indices names; the axis becomes the tensor's axes.
    Take(Tensor),
}

/// Where a range stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    End,
    Before(isize),
    After(isize),
}

/// Every `step`-th place of a range. A negative step walks backwards, from the last place of the range on.
///
/// ```
/// use rushlight_core::{Tensor, strided};
/// let x = Tensor::from([0, 1, 2, 3, 4]);
/// assert_eq!(x.i(strided(.., 2)).to_vec::<i32>()?, [0, 2, 4]);
/// assert_eq!(x.i(strided(1.., -3)).to_vec::<i32>()?, [4, 1]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
pub fn strided(range: impl IntoIndex, step: isize) -> Index {
    match range.index() {
        Index::Range { start, stop, .. } => Index::Range { start, stop, step },
        other => other,
    }
}

/// What can be one part of an index.
pub trait IntoIndex {
    fn index(self) -> Index;
}

impl IntoIndex for Index {
    fn index(self) -> Index {
        self
    }
}

impl IntoIndex for NewAxis {
    fn index(self) -> Index {
        Index::NewAxis
    }
}

impl IntoIndex for Ellipsis {
    fn index(self) -> Index {
        Index::Ellipsis
    }
}

impl IntoIndex for &Tensor {
    fn index(self) -> Index {
        Index::Take(self.clone())
    }
}

impl IntoIndex for Tensor {
    fn index(self) -> Index {
        Index::Take(self)
    }
}

impl IntoIndex for RangeFull {
    fn index(self) -> Index {
        Index::Range { start: None, stop: Stop::End, step: 1 }
    }
}

/// A Rust integer as a place; those beyond `isize` are beyond any axis as well.
trait Place: Copy {
    fn place(self) -> isize;
}

macro_rules! places {
    ($($type:ty),*) => {$(
        impl Place for $type {
            fn place(self) -> isize {
                isize::try_from(self).unwrap_or(isize::MAX)
            }
        }

        impl IntoIndex for $type {
            fn index(self) -> Index {
                Index::At(self.place())
            }
        }

        impl IntoIndex for Range<$type> {
            fn index(self) -> Index {
                Index::Range { start: Some(self.start.place()), stop: Stop::Before(self.end.place()), step: 1 }
            }
        }

        impl IntoIndex for RangeInclusive<$type> {
            fn index(self) -> Index {
                Index::Range { start: Some(self.start().place()), stop: Stop::After(self.end().place()), step: 1 }
            }
        }

        impl IntoIndex for RangeFrom<$type> {
            fn index(self) -> Index {
                Index::Range { start: Some(self.start.place()), stop: Stop::End, step: 1 }
            }
        }

        impl IntoIndex for RangeTo<$type> {
            fn index(self) -> Index {
                Index::Range { start: None, stop: Stop::Before(self.end.place()), step: 1 }
            }
        }

        impl IntoIndex for RangeToInclusive<$type> {
            fn index(self) -> Index {
                Index::Range { start: None, stop: Stop::After(self.end.place()), step: 1 }
            }
        }
    )*};
}

places!(i32, i64, isize, usize);

/// A whole index: one part, a tuple of up to eight, or a list of [`Index`].
pub trait IntoIndices {
    fn indices(self) -> Vec<Index>;
}

impl<T: IntoIndex> IntoIndices for T {
    fn indices(self) -> Vec<Index> {
        vec![self.index()]
    }
}

impl IntoIndices for Vec<Index> {
    fn indices(self) -> Vec<Index> {
        self
    }
}

impl IntoIndices for &[Index] {
    fn indices(self) -> Vec<Index> {
        self.to_vec()
    }
}

macro_rules! tuples {
    ($(($($type:ident)*))*) => {$(
        impl<$($type: IntoIndex),*> IntoIndices for ($($type,)*) {
            #[allow(non_snake_case, reason = "the macro names each value like its type")]
            fn indices(self) -> Vec<Index> {
                let ($($type,)*) = self;
                vec![$($type.index()),*]
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

/// What an index means for the axes of a certain shape.
struct Plan {
    slice: Slice,
    flipped: Axes,
    /// The sizes after slicing, with single places gone and new axes put in.
    dims: Dims,
    /// The axis of the result that a tensor of indices goes over.
    take: Option<(usize, Tensor)>,
}

impl Tensor {
    /// The part of the tensor that an index names, in the manner of NumPy.
    ///
    /// Each part of the index stands for one axis: a number picks one place (the axis disappears), a range some,
    /// `..` all, [`strided`] every so many, a tensor of integers those that it names. [`Ellipsis`] stands for as many
    /// whole axes as there are left (also without it, the axes behind the last part stay whole), [`NewAxis`] for a
    /// new one of size 1. Negative numbers count from the end. Nothing is copied, save by a tensor of indices.
    ///
    /// ```
    /// use rushlight_core::{NewAxis, Tensor};
    /// let x = Tensor::from([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.i((1, -2..)).to_vec::<i32>()?, [5, 6]);
    /// assert_eq!(x.i((.., NewAxis, 0)).shape()?, [2, 1]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// The result carries one if a number or the end of a range lies outside of its axis (nothing is cut off
    /// silently), a range is upside down, there are more parts than axes, or more than one ellipsis or tensor.
    #[track_caller]
    pub fn i(&self, index: impl IntoIndices) -> Tensor {
        let parts = index.indices();
        if self.error().is_some() {
            return self.clone();
        }
        for part in &parts {
            if let Index::Take(indices) = part
                && indices.error().is_some()
            {
                return indices.clone();
            }
        }
        let plan = match self.plan(&parts) {
            Ok(plan) => plan,
            Err(fault) => return fail("index", fault, &[self]),
        };
        let whole = self.known_spec().is_some_and(|spec| {
            let slice = &plan.slice;
            (0..spec.rank()).all(|axis| {
                (slice.start[axis], slice.stop[axis], slice.step[axis]) == (0, spec.dims[axis], 1)
            })
        });
        let mut result = match whole {
            true => self.clone(),
            false => apply_as("index", Op::Slice(plan.slice), &[self]),
        };
        if !plan.flipped.is_empty() {
            result = apply(Op::Flip(plan.flipped), &[&result]);
        }
        result = result.reshape_to(&plan.dims);
        match plan.take {
            Some((axis, indices)) => result.take(&indices, axis as isize),
            None => result,
        }
    }

    fn plan(&self, parts: &[Index]) -> Result<Plan, Fault> {
        let Some(spec) = self.known_spec() else { return Err(Fault::shape("there must be a tensor")) };
        let rank = spec.rank();
        let used = parts.iter().filter(|part| !matches!(part, Index::NewAxis | Index::Ellipsis)).count();
        let ellipses = parts.iter().filter(|part| matches!(part, Index::Ellipsis)).count();
        if used > rank || ellipses > 1 {
            return Err(Fault::shape(match ellipses {
                0 | 1 => format!("the index names {used} axes, the tensor has {rank}"),
                _ => "an index may have one ellipsis at most".to_string(),
            }));
        }
        let mut plan = Plan {
            slice: Slice {
                start: SmallVec::from_elem(0, rank),
                stop: SmallVec::from_slice(&spec.dims),
                step: SmallVec::from_elem(1, rank),
            },
            flipped: Axes::new(),
            dims: Dims::new(),
            take: None,
        };
        let mut axis = 0;
        for part in parts {
            match part {
                Index::NewAxis => plan.dims.push(1),
                Index::Ellipsis => {
                    for _ in 0..rank - used {
                        plan.dims.push(spec.dims[axis]);
                        axis += 1;
                    }
                }
                Index::At(place) => {
                    let place = position(*place, axis, spec.dims[axis], false)?;
                    (plan.slice.start[axis], plan.slice.stop[axis]) = (place, place + 1);
                    axis += 1;
                }
                Index::Range { start, stop, step } => {
                    plan.range(axis, spec.dims[axis], *start, *stop, *step)?;
                    axis += 1;
                }
                Index::Take(indices) => {
                    if plan.take.is_some() {
                        return Err(Fault::value("an index may have one tensor at most (see `gather`)"));
                    }
                    plan.take = Some((plan.dims.len(), indices.clone()));
                    plan.dims.push(spec.dims[axis]);
                    axis += 1;
                }
            }
        }
        plan.dims.extend(spec.dims[axis..].iter().copied());
        Ok(plan)
    }
}

impl Plan {
    fn range(
        &mut self,
        axis: usize,
        size: usize,
        start: Option<isize>,
        stop: Stop,
        step: isize,
    ) -> Result<(), Fault> {
        if start.is_none() && stop == Stop::End && step == 1 {
            self.dims.push(size);
            return Ok(());
        }
        if step == 0 {
            return Err(Fault::value(format!("the step of axis {axis} must not be zero")));
        }
        let first = position(start.unwrap_or(0), axis, size, true)?;
        let end = match stop {
            Stop::End => size,
            Stop::Before(place) => position(place, axis, size, true)?,
            Stop::After(place) => position(place, axis, size, false)? + 1,
        };
        if first > end {
            return Err(Fault::value(format!("the range {first}..{end} of axis {axis} is upside down")));
        }
        let stride = step.unsigned_abs();
        let count = (end - first).div_ceil(stride);
        // Backwards from the last place: the same places as forwards from the one that this walk ends at.
        let lowest = if step > 0 || count == 0 { first } else { end - 1 - (count - 1) * stride };
        (self.slice.start[axis], self.slice.stop[axis], self.slice.step[axis]) = (lowest, end, stride);
        if step < 0 {
            self.flipped.push(axis);
        }
        self.dims.push(count);
        Ok(())
    }
}

/// A place counted from the front; `end` says whether the place behind the last is one.
fn position(place: isize, axis: usize, size: usize, end: bool) -> Result<usize, Fault> {
    if is_open(size) {
        return Err(Fault::shape("the open batch axis of a model cannot be indexed"));
    }
    let from_front = if place < 0 { place + size as isize } else { place };
    match usize::try_from(from_front) {
        Ok(found) if found < size || (end && found == size) => Ok(found),
        _ => Err(Fault::value(format!("{place} is out of bounds for axis {axis} of size {size}"))),
    }
}
