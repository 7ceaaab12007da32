//! Vector registers behind one trait, so that a register-blocked loop is written once for all instruction sets.

// Registers of a tile are told apart by their index.
#![allow(clippy::needless_range_loop)]

use crate::cpu::isa::Isa;
use crate::tensor::Element;
use std::ops::{Add, Mul, Sub};

/// A register that holds [`Vector::LANES`] numbers.
///
/// Implementors are the register types of each instruction set, and plain arrays for the rest.
pub(crate) trait Vector: Copy {
    type Item: Real;
    const LANES: usize;
    /// How many registers of this type the machine has.
    const REGISTERS: usize;

    /// # Safety
    /// As for all functions here: the machine must have this type's instructions, which is so within
    /// [`Real::dispatch`], and pointers must be good for [`Vector::LANES`] items.
    unsafe fn splat(value: Self::Item) -> Self;
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn load(pointer: *const Self::Item) -> Self;
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn store(self, pointer: *mut Self::Item);
    /// The first `count` items, and zero in the other lanes; the pointer need be good for those items only.
    ///
    /// # Safety
    /// See [`Vector::splat`]; `count` is at most [`Vector::LANES`].
    unsafe fn load_first(pointer: *const Self::Item, count: usize) -> Self;
    /// Stores the first `count` items; the pointer need be good for those only.
    ///
    /// # Safety
    /// See [`Vector::splat`]; `count` is at most [`Vector::LANES`].
    unsafe fn store_first(self, pointer: *mut Self::Item, count: usize);
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn subtract(self, other: Self) -> Self;
    /// The greater of both; NaN where `self` is.
    ///
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn at_least(self, floor: Self) -> Self;
    /// `self + a * b`, rounded once where the machine can.
    ///
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self;
    /// Lane by lane `self` where `a > b`, else zero.
    ///
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn where_above(self, a: Self, b: Self) -> Self;
    /// The sum of all lanes, in a fixed order: halves are added until one is left.
    ///
    /// # Safety
    /// See [`Vector::splat`].
    unsafe fn sum(self) -> Self::Item;

    /// Reads a square of [`BLOCK`] rows and writes its columns as rows.
    ///
    /// # Safety
    /// Both pointers must be good for a square of that stride.
    #[inline(always)]
    unsafe fn transpose_block(
        from: *const Self::Item,
        from_stride: isize,
        to: *mut Self::Item,
        to_stride: usize,
    ) {
        let mut block = [[Self::Item::default(); BLOCK]; BLOCK];
        for row in 0..BLOCK {
            for column in 0..BLOCK {
                // SAFETY: the caller's promise.
                block[column][row] = unsafe { *from.offset(row as isize * from_stride).add(column) };
            }
        }
        for (row, items) in block.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { to.add(row * to_stride).cast::<[Self::Item; BLOCK]>().write_unaligned(items) };
        }
    }
}

/// Asks for the cache line at an address, which need not be good, to be brought near.
#[inline(always)]
pub(crate) fn prefetch<T>(pointer: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(pointer.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pointer;
}

/// Like [`prefetch`], for what is needed so much later that the second-level cache is near enough.
#[inline(always)]
pub(crate) fn prefetch_far<T>(pointer: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(pointer.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pointer;
}

/// Rows and columns of the squares that [`Vector::transpose_block`] moves.
pub(crate) const BLOCK: usize = 8;

/// A loop that is compiled for each register type. `run` and what it calls must be `#[inline(always)]`.
pub(crate) trait VectorKernel<T> {
    fn run<V: Vector<Item = T>>(self);
}

/// A number that fills vector registers: `f32` or `f64`.
pub(crate) trait Real:
    Element + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// Runs the version of the kernel that is compiled for `isa`.
    ///
    /// # Safety
    /// The machine must have these instructions: `isa` comes from [`Isa::current`] or [`Isa::available`].
    unsafe fn dispatch<K: VectorKernel<Self>>(isa: Isa, kernel: K);

    /// Lanes of a register of that instruction set.
    fn lanes(isa: Isa) -> usize;

    /// How many registers that instruction set has.
    fn registers(isa: Isa) -> usize;

    /// `self * b + c`, rounded once where the baseline of the architecture can.
    fn multiply_add(self, b: Self, c: Self) -> Self;
}

macro_rules! real {
    ($type:ty, $plain:ty, $avx2:ty, $avx512:ty) => {
        impl Real for $type {
            #[inline(always)]
            unsafe fn dispatch<K: VectorKernel<$type>>(isa: Isa, kernel: K) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn avx512<K: VectorKernel<$type>>(kernel: K) {
                    kernel.run::<$avx512>()
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2<K: VectorKernel<$type>>(kernel: K) {
                    kernel.run::<$avx2>()
                }
                #[inline(never)]
                fn plain<K: VectorKernel<$type>>(kernel: K) {
                    kernel.run::<$plain>()
                }
                match isa {
                    // SAFETY: the caller's promise.
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => unsafe { avx512(kernel) },
                    // SAFETY: the caller's promise.
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => unsafe { avx2(kernel) },
                    _ => plain(kernel),
                }
            }

            fn lanes(isa: Isa) -> usize {
                let bytes = match isa {
                    Isa::Avx512 => 64,
                    Isa::Avx2 => 32,
                    Isa::Neon | Isa::Plain => 16,
                };
                bytes / size_of::<$type>()
            }

            fn registers(isa: Isa) -> usize {
                if isa == Isa::Avx512 || cfg!(target_arch = "aarch64") { 32 } else { 16 }
            }

            #[inline(always)]
            fn multiply_add(self, b: $type, c: $type) -> $type {
                // Without the instruction, `mul_add` would be a slow call.
                if cfg!(target_arch = "aarch64") { self.mul_add(b, c) } else { self * b + c }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
real!(f32, Plain<f32, 4>, x86::__m256, x86::__m512);
#[cfg(target_arch = "x86_64")]
real!(f64, Plain<f64, 2>, x86::__m256d, x86::__m512d);
#[cfg(not(target_arch = "x86_64"))]
real!(f32, Plain<f32, 4>, (), ());
#[cfg(not(target_arch = "x86_64"))]
real!(f64, Plain<f64, 2>, (), ());

/// A vector of whatever the baseline of the architecture offers, by the grace of the optimizer.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct Plain<T, const N: usize>([T; N]);

impl<T: Real, const N: usize> Vector for Plain<T, N> {
    type Item = T;
    const LANES: usize = N;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };

    #[inline(always)]
    unsafe fn splat(value: T) -> Self {
        Plain([value; N])
    }
    #[inline(always)]
    unsafe fn load(pointer: *const T) -> Self {
        // SAFETY: the caller's promise.
        Plain(unsafe { pointer.cast::<[T; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, pointer: *mut T) {
        // SAFETY: the caller's promise.
        unsafe { pointer.cast::<[T; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_first(pointer: *const T, count: usize) -> Self {
        let mut items = [T::default(); N];
        for (lane, item) in items.iter_mut().enumerate().take(count) {
            // SAFETY: the caller's promise.
            *item = unsafe { *pointer.add(lane) };
        }
        Plain(items)
    }
    #[inline(always)]
    unsafe fn store_first(self, pointer: *mut T, count: usize) {
        for lane in 0..count {
            // SAFETY: the caller's promise.
            unsafe { *pointer.add(lane) = self.0[lane] };
        }
    }
    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for lane in 0..N {
            self.0[lane] = self.0[lane] + other.0[lane];
        }
        self
    }
    #[inline(always)]
    unsafe fn subtract(mut self, other: Self) -> Self {
        for lane in 0..N {
            self.0[lane] = self.0[lane] - other.0[lane];
        }
        self
    }
    #[inline(always)]
    unsafe fn at_least(mut self, floor: Self) -> Self {
        for lane in 0..N {
            self.0[lane] = if floor.0[lane] > self.0[lane] { floor.0[lane] } else { self.0[lane] };
        }
        self
    }
    #[inline(always)]
    unsafe fn multiply_add(mut self, a: Self, b: Self) -> Self {
        for lane in 0..N {
            self.0[lane] = a.0[lane].multiply_add(b.0[lane], self.0[lane]);
        }
        self
    }
    #[inline(always)]
    unsafe fn where_above(mut self, a: Self, b: Self) -> Self {
        for lane in 0..N {
            self.0[lane] = if a.0[lane] > b.0[lane] { self.0[lane] } else { T::default() };
        }
        self
    }
    #[inline(always)]
    unsafe fn sum(mut self) -> T {
        let mut half = N / 2;
        while half > 0 {
            for lane in 0..half {
                self.0[lane] = self.0[lane] + self.0[lane + half];
            }
            half /= 2;
        }
        self.0[0]
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    pub(super) use std::arch::x86_64::*;

    /// Sliding windows on these give masks of eight or fewer lanes.
    static FIRST_LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static FIRST_PAIRS: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

    macro_rules! vector {
        ($register:ty, $item:ty, $lanes:expr, $registers:expr, $splat:ident, $load:ident, $store:ident,
         $add:ident, $subtract:ident, $greater:ident, $fma:ident, $where_above:expr, $sum:expr, $mask:expr, $mask_load:expr, $mask_store:expr, $($rest:item)*) => {
            // SAFETY (all blocks): the machine has the instructions and pointers are good, by the caller's promise.
            #[allow(clippy::undocumented_unsafe_blocks)]
            impl super::Vector for $register {
                type Item = $item;
                const LANES: usize = $lanes;
                const REGISTERS: usize = $registers;

                #[inline(always)]
                unsafe fn splat(value: $item) -> Self {
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(pointer: *const $item) -> Self {
                    unsafe { $load(pointer) }
                }
                #[inline(always)]
                unsafe fn store(self, pointer: *mut $item) {
                    unsafe { $store(pointer, self) }
                }
                #[inline(always)]
                unsafe fn load_first(pointer: *const $item, count: usize) -> Self {
                    unsafe { $mask_load(pointer, $mask(count)) }
                }
                #[inline(always)]
                unsafe fn store_first(self, pointer: *mut $item, count: usize) {
                    unsafe { $mask_store(pointer, $mask(count), self) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn subtract(self, other: Self) -> Self {
                    unsafe { $subtract(self, other) }
                }
                #[inline(always)]
                unsafe fn at_least(self, floor: Self) -> Self {
                    // Where one is NaN this gives the second.
                    unsafe { $greater(floor, self) }
                }
                #[inline(always)]
                unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
                    unsafe { $fma(a, b, self) }
                }
                #[inline(always)]
                unsafe fn where_above(self, a: Self, b: Self) -> Self {
                    unsafe { $where_above(self, a, b) }
                }
                #[inline(always)]
                unsafe fn sum(self) -> $item {
                    unsafe { $sum(self) }
                }
                $($rest)*
            }
        };
    }

    vector!(
        __m512,
        f32,
        16,
        32,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_max_ps,
        _mm512_fmadd_ps,
        |v, a, b| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), v),
        |v| {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
            super::Vector::sum(_mm256_add_ps(_mm512_castps512_ps256(v), high))
        },
        |count| ((1u32 << count) - 1) as u16,
        |pointer, mask| _mm512_maskz_loadu_ps(mask, pointer),
        _mm512_mask_storeu_ps,
        #[inline(always)]
        unsafe fn transpose_block(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize) {
            unsafe { transpose8(from, from_stride, to, to_stride) }
        }
    );
    vector!(
        __m512d,
        f64,
        8,
        32,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_max_pd,
        _mm512_fmadd_pd,
        |v, a, b| _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(a, b), v),
        |v| super::Vector::sum(_mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd::<1>(v))),
        |count| ((1u32 << count) - 1) as u8,
        |pointer, mask| _mm512_maskz_loadu_pd(mask, pointer),
        _mm512_mask_storeu_pd,
    );
    vector!(
        __m256,
        f32,
        8,
        16,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_max_ps,
        _mm256_fmadd_ps,
        |v, a, b| _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b), v),
        |v| {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        },
        |count: usize| _mm256_loadu_si256(FIRST_LANES.as_ptr().add(8 - count).cast()),
        _mm256_maskload_ps,
        _mm256_maskstore_ps,
        #[inline(always)]
        unsafe fn transpose_block(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize) {
            unsafe { transpose8(from, from_stride, to, to_stride) }
        }
    );
    vector!(
        __m256d,
        f64,
        4,
        16,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_max_pd,
        _mm256_fmadd_pd,
        |v, a, b| _mm256_and_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(a, b), v),
        |v| {
            let two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        },
        |count: usize| _mm256_loadu_si256(FIRST_PAIRS.as_ptr().add(4 - count).cast()),
        _mm256_maskload_pd,
        _mm256_maskstore_pd,
    );

    /// # Safety
    /// Pointers must be good for eight rows of eight, the machine have AVX.
    #[inline(always)]
    unsafe fn transpose8(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            // Halves of rows i and i + 4 in one register make the last step of the transposition free.
            let load = |row: isize, column: usize| {
                let low = _mm_loadu_ps(from.offset(row * from_stride).add(column));
                let high = _mm_loadu_ps(from.offset((row + 4) * from_stride).add(column));
                _mm256_set_m128(high, low)
            };
            for half in [0, 4] {
                let (a, b, c, d) = (load(0, half), load(1, half), load(2, half), load(3, half));
                let (ab0, ab1) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd0, cd1) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                let rows = [
                    _mm256_shuffle_ps::<0x44>(ab0, cd0),
                    _mm256_shuffle_ps::<0xEE>(ab0, cd0),
                    _mm256_shuffle_ps::<0x44>(ab1, cd1),
                    _mm256_shuffle_ps::<0xEE>(ab1, cd1),
                ];
                for (row, items) in rows.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((half + row) * to_stride), items);
                }
            }
        }
    }
}
