//! View ops as strides: the same elements, looked at differently.

use crate::cpu::buffer::View;
use crate::ops::Op;
use crate::tensor::{Dims, Strides, contiguous_strides, is_contiguous};
use smallvec::SmallVec;

/// Where the elements that a view op shows lie in the memory of its input: the place of the first, and strides.
///
/// Nothing if the op is not a view, or a reshape of elements that do not lie in order.
pub(crate) fn strides_of(
    op: &Op,
    dims: &[usize],
    strides: &[isize],
    output: &[usize],
) -> Option<(isize, Strides)> {
    let mut start = 0;
    let strides: Strides = match op {
        Op::Reshape(_) if is_contiguous(dims, strides) => contiguous_strides(output),
        // Repetitions of one element stay that in any shape.
        Op::Reshape(_) if strides.iter().zip(dims).all(|(&stride, &dim)| stride == 0 || dim == 1) => {
            SmallVec::from_elem(0, output.len())
        }
        Op::Transpose(permutation) => permutation.iter().map(|&axis| strides[axis]).collect(),
        Op::Broadcast(_) => {
            let added = output.len() - dims.len();
            let stride = |axis: usize| match axis.checked_sub(added) {
                Some(own) if dims[own] == output[axis] => strides[own],
                _ => 0,
            };
            (0..output.len()).map(stride).collect()
        }
        Op::Slice(slice) => {
            start = (0..dims.len()).map(|axis| slice.start[axis] as isize * strides[axis]).sum();
            (0..dims.len()).map(|axis| slice.step[axis] as isize * strides[axis]).collect()
        }
        Op::Flip(axes) => {
            let mut strides = Strides::from_slice(strides);
            for &axis in axes {
                start += (dims[axis] as isize - 1) * strides[axis];
                strides[axis] = -strides[axis];
            }
            strides
        }
        _ => return None,
    };
    // Without elements there is no first one to point at.
    Some((if output.contains(&0) { 0 } else { start }, strides))
}

/// The elements that a view op shows, still in the memory of its input.
pub(crate) fn of<'a>(op: &Op, input: &View<'a>, output: &Dims) -> View<'a> {
    let Some((start, strides)) = strides_of(op, &input.dims, &input.strides, output) else {
        unreachable!("{op:?} is not a view")
    };
    let data = input.data.wrapping_offset(start * input.dtype.size() as isize);
    // SAFETY: the shape rules keep these ops within their input; without elements nothing is read.
    unsafe { View::new(data, input.dtype, output.clone(), strides) }
}
