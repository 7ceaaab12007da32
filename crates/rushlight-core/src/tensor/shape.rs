//! Shapes, strides and the arithmetic of dimensions, the open batch axis included.

use smallvec::SmallVec;

/// The sizes of the axes, outermost first; kept inline up to six axes.
pub type Dims = SmallVec<[usize; 6]>;
/// The step, in elements, from one index to the next along each axis.
pub type Strides = SmallVec<[isize; 6]>;
/// A set of axis numbers, sorted.
pub type Axes = SmallVec<[usize; 6]>;

/// Marks a dimension that is a multiple of an open batch size: `OPEN | k` stands for `k * batch`.
///
/// The inputs of a functional model have such an axis; the size is filled in when the model is called.
const OPEN: usize = 1 << (usize::BITS - 1);

/// The open batch axis itself.
pub const BATCH: usize = OPEN | 1;

/// Whether a dimension depends on an open batch size.
pub fn is_open(dim: usize) -> bool {
    dim & OPEN != 0
}

/// A dimension with the open batch size filled in.
pub fn close(dim: usize, batch: usize) -> usize {
    if is_open(dim) { (dim & !OPEN) * batch } else { dim }
}

/// Product of two dimensions, of which at most one may be open; the largest size there is instead of a larger one.
pub fn multiply(left: usize, right: usize) -> usize {
    ((left & !OPEN).saturating_mul(right & !OPEN).min(!OPEN)) | ((left | right) & OPEN)
}

/// `left / right` where it divides without rest (an open dimension divides by an open or a closed one).
pub fn divide(left: usize, right: usize) -> Option<usize> {
    let (numerator, denominator) = (left & !OPEN, right & !OPEN);
    if denominator == 0 || numerator % denominator != 0 || (is_open(right) && !is_open(left)) {
        return None;
    }
    Some((numerator / denominator) | if is_open(left) && !is_open(right) { OPEN } else { 0 })
}

/// Number of elements; 1 for a scalar.
pub fn element_count(dims: &[usize]) -> usize {
    dims.iter().fold(1, |product, &dim| multiply(product, dim))
}

/// A copy of sizes or strides: faster than cloning, which copies item by item what it does not know to be short.
#[inline]
pub(crate) fn copied<T: Copy + Default>(items: &[T]) -> SmallVec<[T; 6]> {
    if items.len() > 6 {
        return SmallVec::from_slice(items);
    }
    let inline = std::array::from_fn(|index| items.get(index).copied().unwrap_or_default());
    SmallVec::from_buf_and_len(inline, items.len())
}

/// Row-major strides: the last axis is dense.
pub fn contiguous_strides(dims: &[usize]) -> Strides {
    let mut strides = match dims.len() {
        rank @ 0..=6 => Strides::from_buf_and_len([0; 6], rank),
        rank => SmallVec::from_elem(0, rank),
    };
    let mut step = 1isize;
    for axis in (0..dims.len()).rev() {
        strides[axis] = step;
        step *= dims[axis].max(1) as isize;
    }
    strides
}

/// Whether walking in row-major order visits memory without gaps. Axes of size 1 may have any stride.
pub fn is_contiguous(dims: &[usize], strides: &[isize]) -> bool {
    let mut step = 1isize;
    for axis in (0..dims.len()).rev() {
        if dims[axis] == 0 {
            return true;
        }
        if dims[axis] != 1 && strides[axis] != step {
            return false;
        }
        step *= dims[axis] as isize;
    }
    true
}

/// The common shape of NumPy broadcasting, or nothing where an axis neither agrees nor is 1.
pub fn broadcast_dims(left: &[usize], right: &[usize]) -> Option<Dims> {
    let rank = left.len().max(right.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (at(left, axis), at(right, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect()
}

/// `axis` counted from the end if negative, or nothing if there is no such axis.
pub fn normalize_axis(axis: isize, rank: usize) -> Option<usize> {
    let index = if axis < 0 { axis + rank as isize } else { axis };
    (0..rank as isize).contains(&index).then_some(index as usize)
}

/// A shape as messages print it: `[64, 32]`, with `batch` for an open axis.
pub fn display_dims(dims: &[usize]) -> String {
    let items: Vec<String> = dims.iter().map(|&dim| display_dim(dim)).collect();
    format!("[{}]", items.join(", "))
}

fn display_dim(dim: usize) -> String {
    match (is_open(dim), dim & !OPEN) {
        (false, size) => size.to_string(),
        (true, 1) => "batch".to_string(),
        (true, factor) => format!("{factor}*batch"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_dimensions_multiply_and_divide() {
        assert_eq!(element_count(&[BATCH, 4, 4, 8]), multiply(BATCH, 128));
        assert_eq!(divide(element_count(&[BATCH, 4, 4, 8]), 128), Some(BATCH));
        assert_eq!(divide(multiply(BATCH, 6), multiply(BATCH, 2)), Some(3));
        assert_eq!(divide(6, BATCH), None);
        assert_eq!(divide(7, 2), None);
        assert_eq!(close(multiply(BATCH, 128), 3), 384);
        assert_eq!(display_dims(&[BATCH, 3, multiply(BATCH, 2)]), "[batch, 3, 2*batch]");
    }

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(broadcast_dims(&[3, 1], &[4]).unwrap().as_slice(), &[3, 4]);
        assert_eq!(broadcast_dims(&[BATCH, 1], &[1, 7]).unwrap().as_slice(), &[BATCH, 7]);
        assert_eq!(broadcast_dims(&[3], &[4]), None);
        assert_eq!(broadcast_dims(&[], &[2, 2]).unwrap().as_slice(), &[2, 2]);
    }
}
