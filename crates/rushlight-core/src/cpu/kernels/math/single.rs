//! Functions of `f32` computed in `f32`: the ones that activations and losses are made of.

use super::{Machine, polynomial32};
use std::f32::consts::LOG2_E;

/// Adding and subtracting it rounds to an integer, which then stands in the low bits of the sum.
const ROUNDER: f32 = 12_582_912.0;
/// The upper bits of ln 2: a multiple of it by a small integer is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `2^exponent` as two factors, each representable for exponents in -252..=254.
#[inline(always)]
fn power_of_two(exponent: i32) -> (f32, f32) {
    let half = exponent >> 1;
    let factor = |e: i32| f32::from_bits((e.wrapping_add(127) as u32) << 23);
    (factor(half), factor(exponent.wrapping_sub(half)))
}

/// `x = k ln 2 + r` with integer `k` and `|r| ≤ ln 2 / 2`.
#[inline(always)]
fn reduce_exponent<M: Machine>(x: f32) -> (i32, f32) {
    let shifted = M::fma32(x, LOG2_E, ROUNDER);
    let k = shifted - ROUNDER;
    let r = M::fma32(k, -LN2_LOW, M::fma32(k, -LN2_HIGH, x));
    (shifted.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32, r)
}

#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
pub(crate) fn exp<M: Machine>(x: f32) -> f32 {
    let (k, r) = reduce_exponent::<M>(clamp(x, -105.0, 89.0));
    let p =
        polynomial32::<M, 5>(r, [0.499_999_94, 0.166_665_2, 0.041_668_437, 0.008_368_79, 0.001_381_229_8]);
    let y = M::fma32(r * r, p, r) + 1.0;
    let (first, second) = power_of_two(k);
    y * first * second
}

#[inline(always)]
pub(crate) fn expm1<M: Machine>(x: f32) -> f32 {
    let (k, r) = reduce_exponent::<M>(clamp(x, -20.0, 89.0));
    let p = polynomial32::<M, 6>(
        r,
        [0.5, 0.166_666_66, 0.041_666_36, 0.008_333_39, 0.001_394_074_8, 0.000_198_457_1],
    );
    let y = M::fma32(r * r, p, r);
    // 2^k y + (2^k - 1), where halving 2^k keeps the largest k finite
    let half = f32::from_bits((k.wrapping_add(126) as u32) << 23);
    let result = M::fma32(half, y, half - 0.5) * 2.0;
    if x == 0.0 { x } else { result }
}

/// `ln(scale · 2^k (1 + f))` of a normal positive number: returns `(k, f)` with `√½ - 1 ≤ f < √2 - 1`.
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF) as i32;
    let mantissa = f32::from_bits((bits as u32 & 0x007f_ffff).wrapping_add(SQRT_HALF));
    (bits >> 23, mantissa - 1.0)
}

/// `ln(2^k (1 + f))`
#[inline(always)]
fn log_of_parts<M: Machine>(k: f32, f: f32) -> f32 {
    let p = polynomial32::<M, 9>(
        f,
        [
            0.333_333_13,
            -0.250_000_1,
            0.200_021_18,
            -0.166_680_01,
            0.142_195_67,
            -0.124_055,
            0.118_879_944,
            -0.116_761_58,
            0.067_475_9,
        ],
    );
    let square = f * f;
    let tail = M::fma32(square * f, p, M::fma32(k, LN2_LOW, -0.5 * square));
    M::fma32(k, LN2_HIGH, f + tail)
}

#[inline(always)]
pub(crate) fn log<M: Machine>(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let (k, f) = split(if tiny { x * 8_388_608.0 } else { x });
    let result = log_of_parts::<M>(k.wrapping_sub(if tiny { 23 } else { 0 }) as f32, f);
    let result = if x < f32::INFINITY { result } else { x };
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    if x < 0.0 { f32::NAN } else { result }
}

#[inline(always)]
pub(crate) fn log1p<M: Machine>(x: f32) -> f32 {
    let u = 1.0 + x;
    // what rounding 1 + x lost
    let lost = if x >= 1.0 { 1.0 - (u - x) } else { x - (u - 1.0) };
    let (k, f) = split(u);
    let scale = f32::from_bits((127i32.wrapping_sub(k) as u32) << 23);
    let correction = if k < 127 { lost * scale } else { 0.0 };
    let result = log_of_parts::<M>(k as f32, f + correction);
    let result = if x < f32::INFINITY { result } else { x };
    let result = if x == -1.0 { f32::NEG_INFINITY } else { result };
    let result = if x == 0.0 { x } else { result };
    if x < -1.0 { f32::NAN } else { result }
}

#[inline(always)]
pub(crate) fn tanh<M: Machine>(x: f32) -> f32 {
    let magnitude = x.abs();
    let e = expm1::<M>(2.0 * if magnitude > 10.0 { 10.0 } else { magnitude });
    (e / (e + 2.0)).copysign(x)
}

#[inline(always)]
pub(crate) fn sigmoid<M: Machine>(x: f32) -> f32 {
    let e = exp::<M>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
pub(crate) fn erf<M: Machine>(x: f32) -> f32 {
    let magnitude = clamp(x.abs(), 0.0, 4.0);
    let small = polynomial32::<M, 7>(
        magnitude * magnitude,
        [
            0.128_379_17,
            -0.376_126_32,
            0.112_836_875,
            -0.026_858_943,
            0.005_199_908_3,
            -0.000_813_001_9,
            8.316_769e-5,
        ],
    );
    let large = polynomial32::<M, 8>(
        magnitude,
        [
            -0.000_175_901_05,
            1.129_521,
            0.633_334_34,
            0.108_294_28,
            -0.025_128_853,
            0.004_174_734,
            -0.000_435_238_68,
            2.116_370_5e-5,
        ],
    );
    let near = M::fma32(magnitude, small, magnitude);
    let far = 1.0 - exp::<M>(-large);
    (if magnitude < 0.92 { near } else { far }).copysign(x)
}
