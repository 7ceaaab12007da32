//! The table of inner loops: what one op does to a run of elements, for every dtype and operand form.
//!
//! Eager ops and fused loops of compiled graphs fetch their loops here, so both give the same bits.

mod binary;
mod cast;
mod reduction;
mod row_product;
mod select;
#[cfg(test)]
mod tests;
mod unary;

pub(crate) use binary::{Joined, binary_kernel, compare_kernel, multiply_add_kernel};
pub(crate) use cast::cast_kernel;
pub(crate) use reduction::{Reducer, Results, fill_identity, reducer_of};
pub(crate) use row_product::row_product_kernel;
pub(crate) use select::{copy_kernel, select_kernel, splat_kernel};
pub(crate) use unary::unary_kernel;

use super::math::half_bits::Half;
use super::math::{Fused, Machine, Separate};
use crate::cpu::isa::Isa;
use half::{bf16, f16};
use std::marker::PhantomData;

/// `loop(n, out, a, b, c)`: writes `n` elements of `out`, computed from those of `a`, `b` and `c`.
///
/// Operands that the op does not have are ignored. A scalar operand is one element, used for all of the run.
///
/// # Safety
/// All pointers must be aligned to their element type and valid for the run; `out` must overlap no operand.
pub(crate) type InnerLoop = unsafe fn(usize, *mut u8, *const u8, *const u8, *const u8);

/// Which operands are scalars, in the order of the operands: `true` for one element used for the whole run.
pub(crate) const VECTOR: bool = false;
pub(crate) const SCALAR: bool = true;

/// Whether loops over an element type are compiled for the widest vectors too.
///
/// The others do with 256 bits: they are many, are rarely what a program waits for, and take time to compile.
pub(crate) trait Width {
    const WIDEST: bool;
}

macro_rules! widths {
    ($($type:ty: $widest:expr),*) => {
        $(impl Width for $type {
            const WIDEST: bool = $widest;
        })*
    };
}

widths! { f32: true, u32: true, f64: false, f16: false, bf16: false, i32: false, i64: false, u8: false, bool: false }
widths! { u16: false, u64: false }

/// The body of an inner loop, before it is compiled for an instruction set.
pub(crate) trait LoopBody {
    /// Compiled for 512-bit vectors as well.
    const WIDEST: bool;
    /// # Safety
    /// As for [`InnerLoop`].
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn avx512<L: LoopBody>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
    // SAFETY: passed on to the caller.
    unsafe { L::run::<Fused>(n, out, a, b, c) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<L: LoopBody>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
    // SAFETY: passed on to the caller.
    unsafe { L::run::<Fused>(n, out, a, b, c) }
}

unsafe fn plain<L: LoopBody>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
    // SAFETY: passed on to the caller.
    unsafe {
        if cfg!(target_arch = "aarch64") {
            L::run::<Fused>(n, out, a, b, c)
        } else {
            L::run::<Separate>(n, out, a, b, c)
        }
    }
}

/// The loop compiled for an instruction set.
fn compile<L: LoopBody>(isa: Isa) -> InnerLoop {
    match (isa, L::WIDEST) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, true) => avx512::<L>,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2 | Isa::Avx512, _) => avx2::<L>,
        _ => plain::<L>,
    }
}

/// A function of one element.
pub(crate) trait Function1 {
    type In: Width + Copy + 'static;
    type Out: Width + Copy + 'static;
    fn map<M: Machine>(x: Self::In) -> Self::Out;

    /// Called after a run whose results [`Function1::map`] may have got wrong for a few rare arguments.
    #[inline(always)]
    fn mend(_out: &mut [Self::Out], _x: &[Self::In]) {}
}

/// A function of two elements.
pub(crate) trait Function2 {
    type In: Width + Copy + 'static;
    type Out: Copy + 'static;
    fn map<M: Machine>(x: Self::In, y: Self::In) -> Self::Out;
}

struct Loop1<F>(PhantomData<F>);

impl<F: Function1> LoopBody for Loop1<F> {
    const WIDEST: bool = F::In::WIDEST || F::Out::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) {
        // SAFETY: the caller vouches for `n` elements of each.
        let (out, a) = unsafe { (write::<F::Out>(out, n), read::<F::In>(a, n)) };
        for (out, &x) in out.iter_mut().zip(a) {
            *out = F::map::<M>(x);
        }
        F::mend(out, a);
    }
}

/// Loop over two operands, of which `A` and `B` say whether they are scalars.
struct Loop2<F, const A: bool, const B: bool>(PhantomData<F>);

impl<F: Function2, const A: bool, const B: bool> LoopBody for Loop2<F, A, B> {
    const WIDEST: bool = F::In::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, b: *const u8, _: *const u8) {
        if n == 0 {
            return;
        }
        // SAFETY: the caller vouches for `n` elements of each vector and one of each scalar.
        let (out, a, b) = unsafe {
            (
                write::<F::Out>(out, n),
                read::<F::In>(a, if A { 1 } else { n }),
                read::<F::In>(b, if B { 1 } else { n }),
            )
        };
        let (first, second) = (a[0], b[0]);
        for i in 0..n {
            out[i] = F::map::<M>(if A { first } else { a[i] }, if B { second } else { b[i] });
        }
    }
}

/// Elements of 16-bit loops that are widened at a time.
const HALF_BLOCK: usize = 256;

struct Widen<H>(PhantomData<H>);

impl<H: Half + Width> Function1 for Widen<H> {
    type In = H;
    type Out = f32;
    #[inline(always)]
    fn map<M: Machine>(x: H) -> f32 {
        x.widen()
    }
}

struct Narrow<H>(PhantomData<H>);

impl<H: Half + Width> Function1 for Narrow<H> {
    type In = f32;
    type Out = H;
    #[inline(always)]
    fn map<M: Machine>(x: f32) -> H {
        H::narrow(x)
    }
}

/// A loop on 16-bit floats by way of the loop on `f32`, a small block at a time.
///
/// `O` is the type of the result: the 16-bit float again or, if `f32` elements do not become floats, `bool`.
unsafe fn through_f32<
    H: Half + Width,
    L: LoopBody,
    const OPERANDS: usize,
    const A: bool,
    const B: bool,
    const FLOAT: bool,
>(
    n: usize,
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    _: *const u8,
) {
    let isa = Isa::current();
    let (widen, narrow, body) =
        (compile::<Loop1<Widen<H>>>(isa), compile::<Loop1<Narrow<H>>>(isa), compile::<L>(isa));
    let mut wide = [[0f32; HALF_BLOCK]; 3];
    let [wide_a, wide_b, wide_out] = &mut wide;
    let (wide_a, wide_b) = (wide_a.as_mut_ptr().cast::<u8>(), wide_b.as_mut_ptr().cast::<u8>());
    let wide_out = wide_out.as_mut_ptr().cast::<u8>();
    let null = std::ptr::null();
    let mut start = 0;
    while start < n {
        let count = HALF_BLOCK.min(n - start);
        // SAFETY: the blocks lie within the `n` elements that the caller vouches for.
        unsafe {
            if !A {
                widen(count, wide_a, a.add(2 * start), null, null);
            } else if start == 0 {
                widen(1, wide_a, a, null, null);
            }
            if OPERANDS == 2 {
                if !B {
                    widen(count, wide_b, b.add(2 * start), null, null);
                } else if start == 0 {
                    widen(1, wide_b, b, null, null);
                }
            }
            if FLOAT {
                body(count, wide_out, wide_a, wide_b, null);
                narrow(count, out.add(2 * start), wide_out, null, null);
            } else {
                body(count, out.add(start), wide_a, wide_b, null);
            }
        }
        start += count;
    }
}

/// # Safety
/// `pointer` must be aligned and valid for reading `n` elements while the slice lives.
#[inline(always)]
unsafe fn read<'a, T>(pointer: *const u8, n: usize) -> &'a [T] {
    // SAFETY: passed on to the caller.
    unsafe { std::slice::from_raw_parts(pointer.cast(), n) }
}

/// # Safety
/// `pointer` must be aligned and valid for writing `n` elements that nothing else refers to.
#[inline(always)]
unsafe fn write<'a, T>(pointer: *mut u8, n: usize) -> &'a mut [T] {
    // SAFETY: passed on to the caller.
    unsafe { std::slice::from_raw_parts_mut(pointer.cast(), n) }
}
