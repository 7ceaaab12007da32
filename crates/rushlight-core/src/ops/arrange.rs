//! Rearrangements composed of views: repeating, rolling, diagonals, triangles, moving and unstacking axes.

use crate::ops::elementwise::where_;
use crate::ops::view::{Permutation, concat};
use crate::tensor::{DType, Dims, Fault, Spec, Tensor, is_open, multiply, normalize_axis};
use crate::trace::apply::fail;

impl Tensor {
    /// The whole tensor repeated along each axis, as NumPy's `tile`: the numbers of repeats stand for the last
    /// axes, and more numbers than axes make new leading ones.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// assert_eq!(Tensor::from([1, 2]).tile(&[2, 2]).to_vec::<i32>()?, [1, 2, 1, 2, 1, 2, 1, 2]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn tile(&self, repeats: &[usize]) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let rank = spec.rank().max(repeats.len());
        let padded = |list: &[usize]| -> Dims {
            std::iter::repeat_n(1, rank - list.len()).chain(list.iter().copied()).collect()
        };
        let (sizes, repeats) = (padded(&spec.dims), padded(repeats));
        // Each axis becomes a pair (repeats, size), of which the first is broadcast.
        let pairs = |repeat: &dyn Fn(usize) -> usize| -> Dims {
            (0..rank).flat_map(|axis| [repeat(axis), sizes[axis]]).collect()
        };
        let merged: Dims = (0..rank).map(|axis| multiply(sizes[axis], repeats[axis])).collect();
        self.reshape_to(&pairs(&|_| 1)).broadcast_to(&pairs(&|axis| repeats[axis])).reshape_to(&merged)
    }

    /// Each element repeated `count` times along an axis.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// assert_eq!(Tensor::from([1, 2]).repeat(2, 0).to_vec::<i32>()?, [1, 1, 2, 2]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn repeat(&self, count: usize, axis: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let Some(axis) = normalize_axis(axis, spec.rank()) else { return self.no_axis("repeat", axis) };
        let with = |sizes: &[usize]| -> Dims {
            spec.dims[..axis].iter().chain(sizes).chain(&spec.dims[axis + 1..]).copied().collect()
        };
        let size = spec.dims[axis];
        let repeated = self.reshape_to(&with(&[size, 1])).broadcast_to(&with(&[size, count]));
        repeated.reshape_to(&with(&[multiply(size, count)]))
    }

    /// The elements moved by `shift` places along an axis; those that leave at one end come in at the other.
    #[track_caller]
    pub fn roll(&self, shift: isize, axis: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let Some(axis) = normalize_axis(axis, spec.rank()) else { return self.no_axis("roll", axis) };
        let size = spec.dims[axis];
        if is_open(size) {
            return fail("roll", Fault::shape("the open batch axis of a model cannot be rolled"), &[self]);
        }
        let moved = shift.rem_euclid(size.max(1) as isize) as usize;
        if moved == 0 {
            return self.clone();
        }
        let axis = axis as isize;
        let (front, back) =
            (self.slice_axis(axis, 0, size - moved), self.slice_axis(axis, size - moved, size));
        concat(&[&back, &front], axis)
    }

    /// The lower triangle of matrices (the last two axes): zero above the diagonal, which may be moved up
    /// (positive) or down.
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Tensor {
        self.triangle("tril", diagonal, true)
    }

    /// The upper triangle of matrices (the last two axes): zero below the diagonal, which may be moved up
    /// (positive) or down.
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Tensor {
        self.triangle("triu", diagonal, false)
    }

    #[track_caller]
    fn triangle(&self, op: &str, diagonal: isize, lower: bool) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let [.., rows, columns] = spec.dims.as_slice() else {
            return fail(op, Fault::shape("the tensor must have two axes at least"), &[self]);
        };
        if is_open(*rows) || is_open(*columns) {
            let rule = "the last two axes must not be the open batch axis of a model";
            return fail(op, Fault::shape(rule), &[self]);
        }
        let row = Tensor::iota([*rows, 1], 0, DType::I64) + diagonal as i64;
        let column = Tensor::iota([1, *columns], 1, DType::I64);
        let kept = if lower { column.less_equal(&row) } else { column.greater_equal(&row) };
        where_(&kept, self, &self.zeros_like())
    }

    /// The diagonal over two axes, which is the last axis of the result.
    ///
    /// # Shapes
    /// `[…, m, …, n, …] → […, min(m, n)]`
    #[track_caller]
    pub fn diagonal(&self, first: isize, second: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        let axes = (normalize_axis(first, spec.rank()), normalize_axis(second, spec.rank()));
        let (first, second) = match axes {
            (Some(i), Some(j)) if i != j && !is_open(spec.dims[i]) && !is_open(spec.dims[j]) => (i, j),
            _ => {
                let rule =
                    format!("axes {first} and {second} must exist, differ, and not be an open batch axis");
                return fail("diagonal", Fault::shape(rule), &[self]);
            }
        };
        let (rows, columns) = (spec.dims[first], spec.dims[second]);
        let others = (0..spec.rank()).filter(|&axis| axis != first && axis != second);
        let permutation: Permutation = others.clone().chain([first, second]).collect();
        let flat: Dims = others.map(|axis| spec.dims[axis]).chain([rows * columns]).collect();
        // In row-major order the elements of a diagonal lie one row and one element apart.
        let count = rows.min(columns);
        let stop = if count == 0 { 0 } else { (count - 1) * (columns + 1) + 1 };
        let last = flat.len() - 1;
        let mut stops = flat.clone();
        stops[last] = stop;
        let mut steps = Dims::from_elem(1, flat.len());
        steps[last] = columns + 1;
        self.permuted(permutation).reshape_to(&flat).slice_with(
            &Dims::from_elem(0, flat.len()),
            &stops,
            &steps,
        )
    }

    /// An axis moved to another place; the others keep their order.
    #[track_caller]
    pub fn move_axis(&self, from: isize, to: isize) -> Tensor {
        let Some(spec) = self.known_spec() else { return self.clone() };
        match (normalize_axis(from, spec.rank()), normalize_axis(to, spec.rank())) {
            (Some(from), Some(to)) => {
                let mut permutation: Permutation = (0..spec.rank()).filter(|&axis| axis != from).collect();
                permutation.insert(to, from);
                self.permuted(permutation)
            }
            _ => fail("move_axis", Fault::shape(format!("there must be axes {from} and {to}")), &[self]),
        }
    }

    /// The slices along an axis, which disappears: the inverse of [`crate::stack`].
    ///
    /// # Errors
    /// If there is no such axis the only result carries the error.
    #[track_caller]
    pub fn unstack(&self, axis: isize) -> Vec<Tensor> {
        let Some(spec) = self.known_spec() else { return vec![self.clone()] };
        match normalize_axis(axis, spec.rank()) {
            Some(index) if !is_open(spec.dims[index]) => (0..spec.dims[index])
                .map(|place| self.slice_axis(axis, place, place + 1).squeeze(axis))
                .collect(),
            _ => vec![self.no_axis("unstack", axis)],
        }
    }

    #[track_caller]
    fn no_axis(&self, op: &str, axis: isize) -> Tensor {
        let open = self.known_spec().is_some_and(|spec: &Spec| {
            normalize_axis(axis, spec.rank()).is_some_and(|index| is_open(spec.dims[index]))
        });
        let rule = match open {
            true => "the open batch axis of a model has no known size".to_string(),
            false => format!("there must be an axis {axis}"),
        };
        fail(op, Fault::shape(rule), &[self])
    }
}
