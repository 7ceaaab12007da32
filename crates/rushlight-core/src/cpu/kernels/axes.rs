//! Walking through several strided operands at once.

use crate::tensor::{Dims, Strides};
use smallvec::SmallVec;

/// Drops axes of size 1 and merges neighbours that every operand walks through without a jump.
///
/// At least one axis remains. Nothing may be empty.
pub(crate) fn collapse(dims: &mut Dims, operands: &mut [Strides]) {
    let mut kept = 0;
    for axis in 0..dims.len() {
        if dims[axis] == 1 {
            continue;
        }
        let size = dims[axis];
        let merges =
            kept > 0 && operands.iter().all(|strides| strides[kept - 1] == strides[axis] * size as isize);
        if merges {
            dims[kept - 1] *= size;
        } else {
            dims[kept] = size;
            kept += 1;
        }
        for strides in operands.iter_mut() {
            strides[kept - 1] = strides[axis];
        }
    }
    if kept == 0 {
        dims.clear();
        dims.push(1);
        for strides in operands.iter_mut() {
            strides.clear();
            strides.push(1);
        }
        return;
    }
    dims.truncate(kept);
    for strides in operands.iter_mut() {
        strides.truncate(kept);
    }
}

/// Calls `body` with the offset of each operand at every index of the given axes, in row-major order.
pub(crate) fn walk<const K: usize>(dims: &[usize], strides: [&[isize]; K], body: impl FnMut([isize; K])) {
    let count = dims.iter().product();
    walk_range(dims, strides, 0..count, body);
}

/// As [`walk`], for a part of the row-major sequence of indices.
pub(crate) fn walk_range<const K: usize>(
    dims: &[usize],
    strides: [&[isize]; K],
    range: std::ops::Range<usize>,
    mut body: impl FnMut([isize; K]),
) {
    if range.is_empty() {
        return;
    }
    let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, dims.len());
    let mut rest = range.start;
    let mut offsets = [0isize; K];
    for axis in (0..dims.len()).rev() {
        index[axis] = rest % dims[axis];
        rest /= dims[axis];
        for (offset, strides) in offsets.iter_mut().zip(&strides) {
            *offset += strides[axis] * index[axis] as isize;
        }
    }
    for step in range.clone() {
        body(offsets);
        if step + 1 == range.end {
            return;
        }
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                for (offset, strides) in offsets.iter_mut().zip(&strides) {
                    *offset += strides[axis];
                }
                break;
            }
            index[axis] = 0;
            for (offset, strides) in offsets.iter_mut().zip(&strides) {
                *offset -= strides[axis] * (dims[axis] as isize - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    #[test]
    fn collapsing_merges_what_is_contiguous_for_all() {
        let mut dims: Dims = smallvec![2, 1, 3, 4];
        let mut operands: [Strides; 2] = [smallvec![12, 9, 4, 1], smallvec![4, 0, 0, 1]];
        collapse(&mut dims, &mut operands);
        assert_eq!(dims.as_slice(), &[2, 3, 4]);
        let mut dims: Dims = smallvec![2, 1, 3, 4];
        let mut operands: [Strides; 2] = [smallvec![12, 9, 4, 1], smallvec![0, 7, 0, 0]];
        collapse(&mut dims, &mut operands);
        assert_eq!(
            (dims.as_slice(), operands[0].as_slice(), operands[1].as_slice()),
            (&[24][..], &[1][..], &[0][..])
        );
        let mut dims: Dims = smallvec![1, 1];
        collapse(&mut dims, &mut [smallvec![3, 4]]);
        assert_eq!(dims.as_slice(), &[1]);
    }

    #[test]
    fn a_part_of_a_walk_is_a_part_of_the_whole() {
        let (dims, strides): ([usize; 3], [isize; 3]) = ([3, 4, 5], [-7, 100, 2]);
        let mut whole = Vec::new();
        walk(&dims, [&strides], |[offset]| whole.push(offset));
        assert_eq!(whole.len(), 60);
        assert_eq!(whole[23], -7 + 6);
        let mut part = Vec::new();
        walk_range(&dims, [&strides], 17..42, |[offset]| part.push(offset));
        assert_eq!(part, whole[17..42]);
    }
}
