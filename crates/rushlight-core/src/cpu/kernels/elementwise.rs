//! Elementwise ops one at a time, on views of any layout.

use super::axes::{collapse, walk_range};
use super::fused::{Access, FusedLoop, Instruction, LoopDescription, Register, Store};
use super::layout;
use super::loops::{InnerLoop, binary_kernel, cast_kernel, compare_kernel, select_kernel, unary_kernel};
use super::shared::Shared;
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::Isa;
use crate::cpu::threads::parallel_for;
use crate::ops::Op;
use crate::tensor::{DType, Strides, contiguous_strides};
use smallvec::SmallVec;

/// Elements below which one thread does all the work.
const PARALLEL: usize = 32 * 1024;
/// Elements of one task; a multiple of every vector length.
const TASK: usize = 16 * 1024;
/// Rows shorter than this are not worth a call of the inner loop each.
const SHORT_ROW: usize = 128;
/// Elements that fit on the stack.
const FEW: usize = 256;

/// The inner loop of an elementwise op on operands of a dtype, of which some are scalars.
///
/// Nothing if the op is not defined for the dtype or is not elementwise. `dtypes` are those of the operands.
pub(crate) fn kernel_of(op: &Op, dtypes: &[DType], scalars: [bool; 3]) -> Option<InnerLoop> {
    let isa = Isa::current();
    let two = [scalars[0], scalars[1]];
    match op {
        Op::Unary(op) => unary_kernel(isa, *op, dtypes[0]),
        Op::Binary(op) => binary_kernel(isa, *op, dtypes[0], two),
        Op::Compare(op) => Some(compare_kernel(isa, *op, dtypes[0], two)),
        Op::Select => Some(select_kernel(isa, dtypes[1], scalars)),
        Op::Cast(to) => Some(cast_kernel(isa, dtypes[0], *to)),
        _ => None,
    }
}

/// An operand whose elements lie in order, or that is one element for all.
#[derive(Clone, Copy)]
pub(crate) struct Dense {
    pub(crate) data: *const u8,
    pub(crate) dtype: DType,
    pub(crate) is_scalar: bool,
}

/// Computes `count` elements of an elementwise op on this thread.
///
/// # Safety
/// Operands that are no scalars must have `count` elements, and the output room for as many of the result's dtype.
pub(crate) unsafe fn run_dense(op: &Op, operands: &[Dense], count: usize, output: *mut u8) {
    let (mut pointers, mut scalars) = ([std::ptr::null(); 3], [false; 3]);
    let mut dtypes = [DType::Bool; 3];
    for (i, operand) in operands.iter().enumerate() {
        (pointers[i], dtypes[i], scalars[i]) = (operand.data, operand.dtype, operand.is_scalar);
    }
    let kernel =
        kernel_of(op, &dtypes[..operands.len()], scalars).expect("the shape rule has checked the dtype");
    let [a, b, c] = pointers;
    // SAFETY: passed on to the caller.
    unsafe { kernel(count, output, a, b, c) }
}

/// The operands of a call, up to three.
struct Call<'a> {
    op: &'a Op,
    pointers: [*const u8; 3],
    /// Bytes of an element.
    sizes: [usize; 3],
    dtypes: SmallVec<[DType; 3]>,
}

// SAFETY: the pointers are those of views, which may be shared.
unsafe impl Sync for Call<'_> {}

impl Call<'_> {
    fn kernel(&self, scalars: [bool; 3]) -> InnerLoop {
        kernel_of(self.op, &self.dtypes, scalars).expect("the shape rule has checked the dtype")
    }
}

/// Computes `output` from inputs of the same shape.
pub(crate) fn run(op: &Op, inputs: &[View], output: &mut ViewMut) {
    let count = output.count();
    if count == 0 {
        return;
    }
    let mut call = Call {
        op,
        pointers: [std::ptr::null(); 3],
        sizes: [0; 3],
        dtypes: inputs.iter().map(|x| x.dtype).collect(),
    };
    let (mut scalars, mut flat) = ([false; 3], true);
    for (i, input) in inputs.iter().enumerate() {
        call.pointers[i] = input.data;
        call.sizes[i] = input.dtype.size();
        let contiguous = input.is_contiguous();
        scalars[i] =
            !contiguous && input.strides.iter().zip(&input.dims).all(|(&s, &dim)| s == 0 || dim == 1);
        flat &= contiguous || scalars[i];
    }
    if scalars[..inputs.len()].iter().all(|&scalar| scalar) {
        repeat_one(&call, output);
    } else if flat {
        along(&call, scalars, count, output);
    } else if count <= FEW {
        at_once(&call, inputs, scalars, count, output);
    } else {
        by_rows(&call, inputs, output);
    }
}

/// All operands are one element: so are the results.
fn repeat_one(call: &Call, output: &mut ViewMut) {
    let [a, b, c] = call.pointers;
    let mut result = 0u64;
    let result = (&raw mut result).cast::<u8>();
    // SAFETY: one element of each operand, and room for any element in the result.
    unsafe { call.kernel([false; 3])(1, result, a, b, c) };
    let strides = output.dims.iter().map(|_| 0).collect();
    // SAFETY: every index of the view is the one element just written.
    let value = unsafe { View::new(result, output.dtype, output.dims.clone(), strides) };
    layout::copy(&value, output);
}

/// Every operand is contiguous or one element.
fn along(call: &Call, scalars: [bool; 3], count: usize, output: &mut ViewMut) {
    let kernel = call.kernel(scalars);
    let (target, size) = (Shared::new(output.data), output.dtype.size());
    let part = |start: usize, count: usize| {
        let [a, b, c]: [*const u8; 3] = std::array::from_fn(|i| {
            if scalars[i] { call.pointers[i] } else { call.pointers[i].wrapping_add(start * call.sizes[i]) }
        });
        // SAFETY: the part lies within the output and the operands, which have as many elements.
        unsafe { kernel(count, target.at(start * size), a, b, c) }
    };
    if count < PARALLEL {
        return part(0, count);
    }
    parallel_for(count.div_ceil(TASK), |task| part(task * TASK, TASK.min(count - task * TASK)));
}

/// A few elements: strided operands are copied to the stack.
fn at_once(call: &Call, inputs: &[View], scalars: [bool; 3], count: usize, output: &mut ViewMut) {
    let mut copies = [[std::mem::MaybeUninit::<u64>::uninit(); FEW]; 3];
    let mut pointers = call.pointers;
    for (i, input) in inputs.iter().enumerate() {
        if scalars[i] || input.is_contiguous() {
            continue;
        }
        let copy = copies[i].as_mut_ptr().cast::<u8>();
        // SAFETY: the copy has room for the elements of the view, which are read where it says.
        unsafe {
            match input.dtype.size() {
                1 => gather::<u8>(input, copy.cast()),
                2 => gather::<u16>(input, copy.cast()),
                4 => gather::<u32>(input, copy.cast()),
                _ => gather::<u64>(input, copy.cast()),
            }
        }
        pointers[i] = copy;
    }
    let [a, b, c] = pointers;
    // SAFETY: each operand has `count` elements or is a scalar, and so has the output.
    unsafe { call.kernel(scalars)(count, output.data, a, b, c) }
}

/// # Safety
/// The target must have room for all elements.
unsafe fn gather<T: Copy>(input: &View, mut target: *mut T) {
    let Some((inner, outer)) = input.dims.len().checked_sub(1).map(|last| (last, &input.dims[..last])) else {
        return;
    };
    let (row, step) = (input.dims[inner], input.strides[inner]);
    walk_range(outer, [&input.strides[..inner]], 0..outer.iter().product(), |[offset]| {
        let source = input.data.cast::<T>().wrapping_offset(offset);
        for i in 0..row as isize {
            // SAFETY: passed on to the caller; the walk stays within the view.
            unsafe {
                *target = *source.offset(i * step);
                target = target.add(1);
            }
        }
    });
}

/// Operands with short rows, repeated in ways that rows do not show: a fused loop of one op.
fn by_blocks(call: &Call, inputs: &[View], output: &mut ViewMut) {
    let access = |input: &View| Access { dtype: input.dtype, strides: input.strides.clone() };
    let to = Access { dtype: output.dtype, strides: output.strides() };
    let description = LoopDescription {
        dims: output.dims.clone(),
        inputs: inputs.iter().map(access).collect(),
        instructions: vec![Instruction {
            op: call.op.clone(),
            operands: (0..inputs.len()).map(Register::Input).collect(),
            dtype: output.dtype,
        }],
        stores: vec![Store { from: Register::Instruction(0), access: to, in_place: false }],
        reductions: Vec::new(),
        reduced_axes: SmallVec::from_elem(false, output.dims.len()),
    };
    // SAFETY: the views promise their elements; the output is exclusive and of the same shape.
    unsafe { FusedLoop::new(&description).run(&call.pointers[..inputs.len()], &[output.data]) }
}

/// Operands in any layout: row by row, after copying those whose rows have gaps.
fn by_rows(call: &Call, inputs: &[View], output: &mut ViewMut) {
    let mut dims = output.dims.clone();
    let mut strides: SmallVec<[Strides; 4]> = inputs.iter().map(|input| input.strides.clone()).collect();
    strides.push(contiguous_strides(&dims));
    collapse(&mut dims, &mut strides);
    let inner = dims.len() - 1;
    let row = dims[inner];
    let constant = strides[..inputs.len()].iter().all(|strides| strides[inner] == 0);
    if row < SHORT_ROW || constant {
        return by_blocks(call, inputs, output);
    }
    let awkward = |strides: &Strides| strides[inner].unsigned_abs() > 1 || strides[inner] < 0;
    if let Some(i) = (0..inputs.len()).find(|&i| awkward(&strides[i])) {
        return layout::with_contiguous(&inputs[i], |copied| {
            let mut inputs: SmallVec<[View; 3]> = inputs.iter().cloned().collect();
            inputs[i] = copied.clone();
            run(call.op, &inputs, output);
        });
    }
    let scalars: [bool; 3] = std::array::from_fn(|i| i < inputs.len() && strides[i][inner] == 0);
    let kernel = call.kernel(scalars);
    let none = Strides::from_elem(0, dims.len());
    let strides: [&[isize]; 3] =
        std::array::from_fn(|i| &strides.get(i).filter(|_| i < inputs.len()).unwrap_or(&none)[..inner]);
    let (target, size, rows) =
        (Shared::new(output.data), output.dtype.size(), dims[..inner].iter().product::<usize>());
    let part = |range: std::ops::Range<usize>| {
        let mut position = range.start * row * size;
        walk_range(&dims[..inner], strides, range, |offsets| {
            let [a, b, c]: [*const u8; 3] = std::array::from_fn(|i| {
                call.pointers[i].wrapping_offset(offsets[i] * call.sizes[i] as isize)
            });
            // SAFETY: the walk stays within the views, and each row of the output is written once.
            unsafe { kernel(row, target.at(position), a, b, c) };
            position += row * size;
        });
    };
    let count = rows * row;
    if count < PARALLEL || rows == 1 {
        return part(0..rows);
    }
    let chunk = rows.div_ceil((count / TASK).min(rows));
    parallel_for(rows.div_ceil(chunk), |task| part(task * chunk..rows.min((task + 1) * chunk)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::run as run_op;
    use crate::cpu::kernels::samples::{Rng, TestTensor, assert_close, index_of, rounding};
    use crate::ops::elementwise::{Binary, Compare, Unary};

    fn reference(op: &Op, x: &[f64]) -> f64 {
        match op {
            Op::Unary(Unary::Neg) => -x[0],
            Op::Unary(Unary::Exp) => x[0].exp(),
            Op::Binary(Binary::Sub) => x[0] - x[1],
            Op::Binary(Binary::Max) => x[0].max(x[1]),
            Op::Compare(Compare::Less) => (x[0] < x[1]) as u8 as f64,
            Op::Select if x[0] != 0.0 => x[1],
            Op::Select => x[2],
            Op::Cast(DType::Bool) => (x[0] != 0.0) as u8 as f64,
            _ => x[0],
        }
    }

    #[test]
    fn ops_on_views_of_any_layout_match_the_reference() {
        let mut rng = Rng(11);
        let ops = [
            (Op::Unary(Unary::Neg), 1),
            (Op::Unary(Unary::Exp), 1),
            (Op::Binary(Binary::Sub), 2),
            (Op::Binary(Binary::Max), 2),
            (Op::Compare(Compare::Less), 2),
            (Op::Select, 3),
            (Op::Cast(DType::Bool), 1),
            (Op::Cast(DType::F64), 1),
        ];
        for round in 0..1500 {
            let (op, operands) = &ops[rng.below(ops.len())];
            let dtype = [DType::F32, DType::I32, DType::F16, DType::I64, DType::F64][rng.below(5)];
            if dtype.is_integer() && *op == Op::Unary(Unary::Exp) {
                continue;
            }
            let rank = rng.below(5);
            // some large enough to be shared among threads
            let dims = rng.dims(rank, if round % 50 == 0 { 120_000 } else { 600 });
            let inputs: Vec<TestTensor> = (0..*operands)
                .map(|i| {
                    let dtype = if i == 0 && *op == Op::Select { DType::Bool } else { dtype };
                    TestTensor::random_strided(&mut rng, dtype, &dims)
                })
                .collect();
            let result = match op {
                Op::Compare(_) => DType::Bool,
                Op::Cast(to) => *to,
                _ => dtype,
            };
            let mut output = TestTensor::uninitialized(result, &dims);
            let views: Vec<View> = inputs.iter().map(TestTensor::view).collect();
            run_op(op, &views, &mut [output.view_mut()]);
            let wanted: Vec<f64> = (0..dims.iter().product())
                .map(|i| {
                    let index = index_of(i, &dims);
                    let operands: Vec<f64> = inputs.iter().map(|input| input.get(&index)).collect();
                    reference(op, &operands)
                })
                .collect();
            let context =
                format!("{op:?} {dtype} {dims:?} {:?}", views.iter().map(|v| &v.strides).collect::<Vec<_>>());
            assert_close(&output.values(), &wanted, rounding(result), &context);
        }
    }
}
