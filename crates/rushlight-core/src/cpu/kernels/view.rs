//! View ops as strides: the same elements, looked at differently.

use crate::cpu::buffer::View;
use crate::ops::Op;
use crate::tensor::{Dims, Strides};

/// The elements that a view op shows, still in the memory of its input.
pub(crate) fn of<'a>(op: &Op, input: &View<'a>, output: &Dims) -> View<'a> {
    let (mut start, mut strides) = (0, input.strides.clone());
    match op {
        Op::Transpose(permutation) => strides = permutation.iter().map(|&axis| input.strides[axis]).collect(),
        Op::Broadcast(dims) => {
            let added = dims.len() - input.dims.len();
            let stride = |axis: usize| match axis.checked_sub(added) {
                Some(own) if input.dims[own] == dims[axis] => input.strides[own],
                _ => 0,
            };
            strides = (0..dims.len()).map(stride).collect::<Strides>();
        }
        Op::Slice(slice) => {
            for (axis, stride) in strides.iter_mut().enumerate() {
                start += slice.start[axis] as isize * *stride;
                *stride *= slice.step[axis] as isize;
            }
        }
        Op::Flip(axes) => {
            for &axis in axes {
                start += (input.dims[axis] as isize - 1) * strides[axis];
                strides[axis] = -strides[axis];
            }
        }
        other => unreachable!("{other:?} is not a view"),
    }
    let data = input.data.wrapping_offset(start * input.dtype.size() as isize);
    // SAFETY: the shape rules keep these ops within their input; without elements nothing is read.
    unsafe { View::new(data, input.dtype, output.clone(), strides) }
}
