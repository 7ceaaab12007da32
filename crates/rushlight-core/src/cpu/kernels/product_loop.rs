//! A product of matrices of little depth and the loop over its elements, some rows at a time.
//!
//! The product stays in the nearest caches: a weight gradient that only the update of its weights reads is never
//! written to memory.

use crate::cpu::isa::Isa;
use crate::cpu::kernels::fused::{FusedLoop, LoopDescription, Register};
use crate::cpu::kernels::gemm::{MOST_DEPTH, Matrix, Update, gemm, gemm_into};
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::parallel_for;
use crate::cpu::vector::{Real, prefetch};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use crate::tensor::DType;
use smallvec::SmallVec;

/// Elements of the product that are computed at a time.
const ELEMENTS: usize = 4 * 1024;
/// Rows that the tiles of a product have at best: fewer are not computed at a time.
const TILE_ROWS: usize = 14;

/// Strides of a factor in items, transposed as it is read.
#[derive(Clone, Copy)]
pub(crate) struct Factor {
    pub(crate) row_stride: isize,
    pub(crate) column_stride: isize,
}

/// A planned product `[m, k] · [k, n]` with a loop over `[m, n]` that stores but reduces nothing.
pub(crate) struct ProductLoop {
    sizes: [usize; 3],
    dtype: DType,
    factors: [Factor; 2],
    /// Rows that are computed at a time.
    rows: usize,
    /// The loop over as many rows, and over those that are left at the end.
    whole: FusedLoop,
    rest: Option<FusedLoop>,
    /// Bytes from row to row of each input of the loop; nothing for the product.
    inputs: Vec<Option<isize>>,
    outputs: Vec<isize>,
    /// The inputs that are the old values and the factor, if the loop is `old -= product · factor` and no more.
    update: Option<[usize; 2]>,
}

/// The memory of a call, shared by its tasks.
struct Memory<'a> {
    inputs: &'a [*const u8],
    outputs: &'a [*mut u8],
}

// SAFETY: tasks read inputs and write rows of outputs that are their own.
unsafe impl Sync for Memory<'_> {}

impl Memory<'_> {
    fn pointers(&self) -> (&[*const u8], &[*mut u8]) {
        (self.inputs, self.outputs)
    }
}

impl ProductLoop {
    /// Plans the loop as described, of whose inputs some are the product; `f32` or `f64`.
    pub(crate) fn new(
        [m, n, k]: [usize; 3],
        factors: [Factor; 2],
        description: &LoopDescription,
        is_product: &[bool],
    ) -> ProductLoop {
        let rows = (ELEMENTS / n / TILE_ROWS * TILE_ROWS).max(TILE_ROWS).min(m);
        let over = |rows: usize| {
            let mut part = description.clone();
            part.dims[0] = rows;
            FusedLoop::new(&part)
        };
        let step = |strides: &[isize], dtype: DType| strides[0] * dtype.size() as isize;
        let product = is_product.iter().position(|&is| is).expect("the loop reads the product");
        ProductLoop {
            sizes: [m, n, k],
            dtype: description.inputs[product].dtype,
            factors,
            rows,
            whole: over(rows),
            rest: (m % rows > 0).then(|| over(m % rows)),
            inputs: description
                .inputs
                .iter()
                .zip(is_product)
                .map(|(input, &is_product)| (!is_product).then(|| step(&input.strides, input.dtype)))
                .collect(),
            outputs: description
                .stores
                .iter()
                .map(|store| step(&store.access.strides, store.access.dtype))
                .collect(),
            update: update(description, is_product, [n, k]),
        }
    }

    /// The names of the loop's ops.
    pub(crate) fn ops(&self) -> &[&'static str] {
        self.whole.ops()
    }

    pub(crate) fn flops(&self) -> u64 {
        let [m, n, k] = self.sizes.map(|size| size as u64);
        m * n * (2 * k + self.ops().len() as u64)
    }

    /// Computes all rows.
    ///
    /// # Safety
    /// The pointers must be good for the factors, for the inputs of the loop that are not the product, in order, and
    /// for its outputs. Outputs overlap no factor, and inputs only as the description says.
    pub(crate) unsafe fn run(&self, factors: [*const u8; 2], inputs: &[*const u8], outputs: &[*mut u8]) {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.dtype {
                DType::F64 => self.run_as::<f64>(factors, inputs, outputs),
                _ => self.run_as::<f32>(factors, inputs, outputs),
            }
        }
    }

    /// # Safety
    /// As for [`ProductLoop::run`].
    unsafe fn run_as<T: Real>(&self, factors: [*const u8; 2], inputs: &[*const u8], outputs: &[*mut u8]) {
        let [m, n, k] = self.sizes;
        let matrix = |number: usize| {
            let Factor { row_stride, column_stride } = self.factors[number];
            Matrix { data: factors[number].cast::<T>(), row_stride, column_stride }
        };
        let (a, b) = (matrix(0), matrix(1));
        let given = |number: usize| inputs[self.inputs[..number].iter().flatten().count()];
        if let Some([old, factor]) = self.update
            && given(old) == outputs[0].cast_const()
        {
            // SAFETY: passed on to the caller; the product is taken from what is there, element by element.
            unsafe {
                let update = Update::Less(*given(factor).cast::<T>());
                gemm_into(Isa::current(), [m, n, k], a, b, outputs[0].cast(), n, update);
            }
            return;
        }
        let memory = Memory { inputs, outputs };
        parallel_for(m.div_ceil(self.rows), |part| {
            let first = part * self.rows;
            let rows = self.rows.min(m - first);
            with_scratch::<T, _>(rows * n, |product| {
                let moved = |step: isize| first as isize * step;
                let (inputs, outputs) = memory.pointers();
                let mut given = inputs.iter();
                let (mut from, mut to) = (SmallVec::<[*const u8; 8]>::new(), SmallVec::<[*mut u8; 4]>::new());
                for step in &self.inputs {
                    from.push(match step {
                        Some(step) => {
                            let start = given.next().expect("a pointer for each input");
                            start.wrapping_offset(moved(*step))
                        }
                        None => product.cast_const().cast(),
                    });
                }
                for (output, &step) in outputs.iter().zip(&self.outputs) {
                    to.push(output.wrapping_offset(moved(step)));
                }
                for (pointer, step) in from.iter().zip(&self.inputs) {
                    // What the loop reads comes near while the product is computed.
                    let bytes = step.map_or(0, |step| step.unsigned_abs() * rows);
                    (0..bytes).step_by(64).for_each(|byte| prefetch(pointer.wrapping_add(byte)));
                }
                let fused = self.rest.as_ref().filter(|_| rows < self.rows).unwrap_or(&self.whole);
                // SAFETY: the rows lie within the first factor and within what the loop reads and writes; the product
                // has memory of its own.
                unsafe {
                    gemm(Isa::current(), [rows, n, k], a.from(first, 0), b, product, n, false);
                    fused.run(&from, &to);
                }
            });
        });
    }
}

/// The inputs `old` and `factor` of a loop that is `old -= product · factor` in place, with one factor for all: such an
/// update is made as the product leaves the registers.
fn update(description: &LoopDescription, is_product: &[bool], [n, k]: [usize; 2]) -> Option<[usize; 2]> {
    let LoopDescription { inputs, instructions, stores, .. } = description;
    let ([times, less], [store]) = (&instructions[..], &stores[..]) else { return None };
    let (Op::Binary(Binary::Mul), Op::Binary(Binary::Sub)) = (&times.op, &less.op) else { return None };
    let ([Register::Input(a), Register::Input(b)], [Register::Input(old), Register::Instruction(0)]) =
        (&times.operands[..], &less.operands[..])
    else {
        return None;
    };
    let (product, factor) = if is_product[*a] { (*a, *b) } else { (*b, *a) };
    let is_one = inputs[factor].strides.iter().all(|&stride| stride == 0);
    let is_dense = |strides: &[isize]| *strides == [n as isize, 1];
    let fits = is_product[product]
        && !is_product[factor]
        && !is_product[*old]
        && is_one
        && is_dense(&inputs[*old].strides)
        && is_dense(&store.access.strides)
        && store.from == Register::Instruction(1)
        && store.in_place
        && k <= MOST_DEPTH;
    fits.then_some([*old, factor])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::fused::{Access, Instruction, Store};
    use crate::cpu::kernels::testing::Numbers;
    use smallvec::smallvec;

    /// `old - product · rate`, stored over `old`, has the bits of a product and a loop one after the other.
    #[test]
    fn an_update_with_its_product_has_the_bits_of_both() {
        let mut numbers = Numbers::new(5);
        let sizes = [[784, 128, 32], [3, 5, 7], [100, 70, 33], [29, 600, 4], [14, 6144, 2]];
        for ([m, n, k], for_all) in sizes.into_iter().flat_map(|sizes| [(sizes, false), (sizes, true)]) {
            let (a, b) = (numbers.take::<f32>(k * m), numbers.take::<f32>(k * n));
            let old = numbers.take::<f32>(m * n);
            let rate = numbers.take::<f32>(n);
            let access = |strides: [isize; 2]| Access {
                dtype: DType::F32,
                strides: smallvec![strides[0], strides[1]],
            };
            let dense = [n as isize, 1];
            let instruction = |op, operands| Instruction { op: Op::Binary(op), operands, dtype: DType::F32 };
            let description = LoopDescription {
                dims: smallvec![m, n],
                inputs: vec![access([0, isize::from(!for_all)]), access(dense), access(dense)],
                instructions: vec![
                    instruction(Binary::Mul, smallvec![Register::Input(1), Register::Input(0)]),
                    instruction(Binary::Sub, smallvec![Register::Input(2), Register::Instruction(0)]),
                ],
                stores: vec![Store { from: Register::Instruction(1), access: access(dense), in_place: true }],
                reductions: vec![],
                reduced_axes: smallvec![false, false],
            };
            // The first factor is stored the other way round, as in a weight gradient.
            let factors = [
                Factor { row_stride: 1, column_stride: m as isize },
                Factor { row_stride: n as isize, column_stride: 1 },
            ];
            let planned = ProductLoop::new([m, n, k], factors, &description, &[false, true, false]);
            assert_eq!(planned.update.is_some(), for_all);
            let (mut together, mut apart, mut product) = (old.clone(), old.clone(), vec![0f32; m * n]);
            // SAFETY: all vectors have the sizes that were planned.
            unsafe {
                let left = Matrix { data: a.as_ptr(), row_stride: 1, column_stride: m as isize };
                let right = Matrix::row_major(b.as_ptr(), n);
                gemm(Isa::current(), [m, n, k], left, right, product.as_mut_ptr(), n, false);
                let rate = rate.as_ptr().cast();
                let target = apart.as_mut_ptr().cast::<u8>();
                FusedLoop::new(&description)
                    .run(&[rate, product.as_ptr().cast(), target.cast_const()], &[target]);
                let target = together.as_mut_ptr().cast::<u8>();
                planned.run([a.as_ptr().cast(), b.as_ptr().cast()], &[rate, target.cast_const()], &[target]);
            }
            assert_eq!(together, apart, "{m} {n} {k}");
            assert_ne!(together, old);
        }
    }
}
