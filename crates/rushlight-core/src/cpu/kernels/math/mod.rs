//! Elementary functions without branches, so that LLVM turns loops over them into vector code.
//!
//! All of them treat ±0, infinities and NaN as the mathematical library does. [`single`] computes in `f32`,
//! [`wide`] answers `f32` questions in `f64` where that is simpler than being clever, [`double`] holds what
//! `std` lacks for `f64`. The polynomials are minimax fits made for these intervals.

pub(crate) mod double;
pub(crate) mod half_bits;
pub(crate) mod single;
#[cfg(test)]
mod tests;
pub(crate) mod wide;

/// How a machine multiplies and adds. Chosen by type parameter, because a function compiled for a baseline
/// without fused instructions would call a slow library routine for each of them.
pub(crate) trait Machine: Copy + 'static {
    /// `a * b + c`
    fn fma32(a: f32, b: f32, c: f32) -> f32;
    /// `a * b + c`
    fn fma64(a: f64, b: f64, c: f64) -> f64;
}

/// A machine with fused multiply-add: one rounding.
#[derive(Clone, Copy)]
pub(crate) struct Fused;

/// A machine without: two roundings.
#[derive(Clone, Copy)]
pub(crate) struct Separate;

impl Machine for Fused {
    #[inline(always)]
    fn fma32(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn fma64(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

impl Machine for Separate {
    #[inline(always)]
    fn fma32(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }

    #[inline(always)]
    fn fma64(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

/// `c[0] + c[1] x + c[2] x² + …`
#[inline(always)]
fn polynomial32<M: Machine, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = M::fma32(sum, x, coefficients[i]);
    }
    sum
}

/// `c[0] + c[1] x + c[2] x² + …`
#[inline(always)]
fn polynomial64<M: Machine, const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = M::fma64(sum, x, coefficients[i]);
    }
    sum
}
