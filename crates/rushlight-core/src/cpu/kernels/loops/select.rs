//! Loops that choose between two operands, copy one, or repeat an element.

use super::{InnerLoop, LoopBody, Width, compile, read, write};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::math::Machine;
use crate::tensor::DType;
use std::marker::PhantomData;

/// `a` is the condition (`bool`), `b` and `c` the elements chosen where it holds and where not.
struct Select<T, const A: bool, const B: bool, const C: bool>(PhantomData<T>);

impl<T: Width + Copy, const A: bool, const B: bool, const C: bool> LoopBody for Select<T, A, B, C> {
    const WIDEST: bool = T::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) {
        if n == 0 {
            return;
        }
        // SAFETY: the caller vouches for `n` elements of each vector and one of each scalar.
        let (out, a, b, c) = unsafe {
            (
                write::<T>(out, n),
                read::<u8>(a, if A { 1 } else { n }),
                read::<T>(b, if B { 1 } else { n }),
                read::<T>(c, if C { 1 } else { n }),
            )
        };
        let (first, second, third) = (a[0], b[0], c[0]);
        for i in 0..n {
            let condition = if A { first } else { a[i] };
            let (yes, no) = (if B { second } else { b[i] }, if C { third } else { c[i] });
            out[i] = if condition != 0 { yes } else { no };
        }
    }
}

/// The loop of `condition, yes, no → yes or no`; `scalars` says which operands are scalars.
pub(crate) fn select_kernel(isa: Isa, dtype: DType, scalars: [bool; 3]) -> InnerLoop {
    match dtype.size() {
        1 => select_loop::<u8>(isa, scalars),
        2 => select_loop::<u16>(isa, scalars),
        4 => select_loop::<u32>(isa, scalars),
        _ => select_loop::<u64>(isa, scalars),
    }
}

fn select_loop<T: Width + Copy + 'static>(isa: Isa, scalars: [bool; 3]) -> InnerLoop {
    match scalars {
        [false, false, false] => compile::<Select<T, false, false, false>>(isa),
        [false, false, true] => compile::<Select<T, false, false, true>>(isa),
        [false, true, false] => compile::<Select<T, false, true, false>>(isa),
        [false, true, true] => compile::<Select<T, false, true, true>>(isa),
        [true, false, false] => compile::<Select<T, true, false, false>>(isa),
        [true, false, true] => compile::<Select<T, true, false, true>>(isa),
        [true, true, false] => compile::<Select<T, true, true, false>>(isa),
        [true, true, true] => compile::<Select<T, true, true, true>>(isa),
    }
}

struct Copied<T>(PhantomData<T>);

impl<T: Width + Copy + 'static> LoopBody for Copied<T> {
    const WIDEST: bool = T::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) {
        // SAFETY: the caller vouches for `n` elements of each.
        unsafe { write::<T>(out, n).copy_from_slice(read::<T>(a, n)) }
    }
}

struct Splat<T>(PhantomData<T>);

impl<T: Width + Copy + 'static> LoopBody for Splat<T> {
    const WIDEST: bool = T::WIDEST;

    #[inline(always)]
    unsafe fn run<M: Machine>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) {
        // SAFETY: the caller vouches for `n` elements to write and one to read.
        unsafe { write::<T>(out, n).fill(read::<T>(a, 1)[0]) }
    }
}

/// The loop that copies elements.
pub(crate) fn copy_kernel(dtype: DType) -> InnerLoop {
    match dtype.size() {
        1 => compile::<Copied<u8>>(Isa::current()),
        2 => compile::<Copied<u16>>(Isa::current()),
        4 => compile::<Copied<u32>>(Isa::current()),
        _ => compile::<Copied<u64>>(Isa::current()),
    }
}

/// The loop that repeats one element.
pub(crate) fn splat_kernel(dtype: DType) -> InnerLoop {
    match dtype.size() {
        1 => compile::<Splat<u8>>(Isa::current()),
        2 => compile::<Splat<u16>>(Isa::current()),
        4 => compile::<Splat<u32>>(Isa::current()),
        _ => compile::<Splat<u64>>(Isa::current()),
    }
}
