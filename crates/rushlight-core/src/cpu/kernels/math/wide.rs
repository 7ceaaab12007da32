//! Functions of `f32` computed in `f64`, to about 1e-10 before the final rounding: at most half an ulp and a bit.

use super::{Machine, polynomial64};
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, LN_2, LOG2_E, PI};

/// Adding and subtracting it rounds to an integer, which then stands in the low bits of the sum.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

#[inline(always)]
fn select(condition: bool, yes: f64, no: f64) -> f64 {
    if condition { yes } else { no }
}

#[inline(always)]
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = select(x < low, low, x);
    select(x > high, high, x)
}

/// `(2^k, e^r - 1)` with `x = k ln 2 + r`, for |x| below 700.
#[inline(always)]
fn exp_parts<M: Machine>(x: f64) -> (f64, f64) {
    let shifted = M::fma64(x, LOG2_E, ROUNDER);
    let k = shifted - ROUNDER;
    let r = M::fma64(k, -LN_2, x);
    let p = polynomial64::<M, 8>(
        r,
        [
            0.499_999_999_998_116_23,
            0.166_666_666_668_787_82,
            0.041_666_666_884_802_4,
            0.008_333_333_243_272_257,
            0.001_388_882_246_758_561_6,
            0.000_198_413_627_226_571_72,
            2.487_586_100_632_855_6e-5,
            2.755_967_048_515_816_7e-6,
        ],
    );
    let bits = shifted.to_bits().wrapping_sub(ROUNDER.to_bits());
    (f64::from_bits(bits.wrapping_add(1023) << 52), M::fma64(r * r, p, r))
}

#[inline(always)]
fn exp<M: Machine>(x: f64) -> f64 {
    let (scale, y) = exp_parts::<M>(clamp(x, -700.0, 700.0));
    M::fma64(scale, y, scale)
}

#[inline(always)]
fn expm1<M: Machine>(x: f64) -> f64 {
    let (scale, y) = exp_parts::<M>(clamp(x, -700.0, 700.0));
    M::fma64(scale, y, scale - 1.0)
}

/// `ln(2^k (1 + f))` of a positive normal number, or of `1 + f` when `exact` gives a precise `f` near zero.
#[inline(always)]
fn log_of<M: Machine>(u: f64, lost: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = u.to_bits().wrapping_sub(SQRT_HALF) as i64;
    let mantissa = f64::from_bits((bits as u64 & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    // the exponent as a number, by way of the low bits of a large one (AVX2 converts no 64-bit integers)
    let k = f64::from_bits(((bits >> 52) as u64).wrapping_add(ROUNDER.to_bits())) - ROUNDER;
    let f = (mantissa - 1.0) + lost;
    let s = f / (2.0 + f);
    let z = s * s;
    let q = polynomial64::<M, 4>(
        z,
        [
            0.666_666_656_459_738_9,
            0.400_003_351_461_531_76,
            0.285_373_086_826_217_5,
            0.235_821_794_421_575_41,
        ],
    );
    M::fma64(k, LN_2, M::fma64(s * z, q, 2.0 * s))
}

/// For positive finite x.
#[inline(always)]
fn log<M: Machine>(x: f64) -> f64 {
    log_of::<M>(x, 0.0)
}

/// For finite x > -1.
#[inline(always)]
fn log1p<M: Machine>(x: f64) -> f64 {
    let u = 1.0 + x;
    // where 1 + x leaves the middle interval, what its rounding lost is below the accuracy of this module
    let near = u > 0.75 && u < 1.375;
    log_of::<M>(u, select(near, x - (u - 1.0), 0.0))
}

/// The arguments up to which [`sin`], [`cos`] and [`tan`] are accurate; beyond, use `std`.
pub(crate) const TRIGONOMETRIC_LIMIT: f32 = 1e6;

/// `(sin r, cos r, quadrant)` with `x = quadrant π/2 + r`.
#[inline(always)]
fn quadrants<M: Machine>(x: f32) -> (f64, f64, u64) {
    // three parts of π/2; products of the first two with integers below 2^20 are exact
    const FIRST: f64 = 1.570_796_326_734_125_6;
    const SECOND: f64 = 6.077_100_506_303_966e-11;
    const THIRD: f64 = 2.022_266_248_795_950_6e-21;
    let x = x as f64;
    let shifted = M::fma64(x, FRAC_2_PI, ROUNDER);
    let k = shifted - ROUNDER;
    let r = M::fma64(k, -THIRD, M::fma64(k, -SECOND, M::fma64(k, -FIRST, x)));
    let z = r * r;
    let sine = polynomial64::<M, 4>(
        z,
        [
            -0.166_666_666_414_354_46,
            0.008_333_329_362_666_812,
            -0.000_198_393_271_508_208_25,
            2.718_236_846_291_743_7e-6,
        ],
    );
    let cosine = polynomial64::<M, 4>(
        z,
        [
            0.041_666_666_622_806_58,
            -0.001_388_888_374_511_291_4,
            2.479_951_640_667_717_5e-5,
            -2.720_984_813_304_6e-7,
        ],
    );
    let sine = M::fma64(r * z, sine, r);
    let cosine = M::fma64(z * z, cosine, M::fma64(z, -0.5, 1.0));
    (sine, cosine, shifted.to_bits())
}

#[inline(always)]
fn flip(value: f64, negative: bool) -> f64 {
    f64::from_bits(value.to_bits() ^ ((negative as u64) << 63))
}

#[inline(always)]
pub(crate) fn sin<M: Machine>(x: f32) -> f32 {
    let (sine, cosine, quadrant) = quadrants::<M>(x);
    let result = flip(select(quadrant & 1 == 1, cosine, sine), quadrant & 2 == 2) as f32;
    if x == 0.0 { x } else { result }
}

#[inline(always)]
pub(crate) fn cos<M: Machine>(x: f32) -> f32 {
    let (sine, cosine, quadrant) = quadrants::<M>(x);
    flip(select(quadrant & 1 == 1, sine, cosine), quadrant.wrapping_add(1) & 2 == 2) as f32
}

#[inline(always)]
pub(crate) fn tan<M: Machine>(x: f32) -> f32 {
    let (sine, cosine, quadrant) = quadrants::<M>(x);
    let odd = quadrant & 1 == 1;
    let result = select(odd, -cosine, sine) / select(odd, sine, cosine);
    if x == 0.0 { x } else { result as f32 }
}

/// arcsin of |x| ≤ ½ by series, given x and x².
#[inline(always)]
fn arcsine_series<M: Machine>(x: f64, square: f64) -> f64 {
    let p = polynomial64::<M, 8>(
        square,
        [
            0.166_666_666_266_768_6,
            0.075_000_050_370_678_76,
            0.044_640_689_248_058_42,
            0.030_426_821_707_413_877,
            0.021_863_141_140_932_77,
            0.020_658_628_373_499_598,
            0.001_948_895_800_727_960_7,
            0.032_941_889_398_524_174,
        ],
    );
    M::fma64(x * square, p, x)
}

/// `(arcsin |x|, arccos |x|)`
#[inline(always)]
fn arcsine_parts<M: Machine>(magnitude: f64) -> (f64, f64) {
    let near = magnitude <= 0.5;
    let square = select(near, magnitude * magnitude, 0.5 * (1.0 - magnitude));
    let series = arcsine_series::<M>(select(near, magnitude, square.sqrt()), square);
    (select(near, series, FRAC_PI_2 - 2.0 * series), select(near, FRAC_PI_2 - series, 2.0 * series))
}

#[inline(always)]
pub(crate) fn asin<M: Machine>(x: f32) -> f32 {
    (arcsine_parts::<M>(x.abs() as f64).0 as f32).copysign(x)
}

#[inline(always)]
pub(crate) fn acos<M: Machine>(x: f32) -> f32 {
    let (_, positive) = arcsine_parts::<M>(x.abs() as f64);
    select(x < 0.0, PI - positive, positive) as f32
}

/// arctan for 0 ≤ x ≤ 1.
#[inline(always)]
fn arctangent_series<M: Machine>(x: f64) -> f64 {
    let z = x * x;
    let p = polynomial64::<M, 13>(
        z,
        [
            -0.333_333_332_959_835_64,
            0.199_999_968_814_921_33,
            -0.142_856_229_385_179_33,
            0.111_097_550_380_489_87,
            -0.090_789_192_490_962,
            0.076_231_865_639_038_13,
            -0.063_915_146_969_309_43,
            0.050_953_031_651_783_84,
            -0.035_938_286_101_197_08,
            0.020_549_229_536_573_108,
            -0.008_602_663_725_345_445,
            0.002_286_872_618_572_616,
            -0.000_285_503_613_521_050_1,
        ],
    );
    M::fma64(x * z, p, x)
}

#[inline(always)]
pub(crate) fn atan<M: Machine>(x: f32) -> f32 {
    let magnitude = x.abs() as f64;
    let far = magnitude > 1.0;
    let series = arctangent_series::<M>(select(far, 1.0 / magnitude, magnitude));
    (select(far, FRAC_PI_2 - series, series) as f32).copysign(x)
}

/// The angle of the point (x, y).
#[inline(always)]
pub(crate) fn atan2<M: Machine>(y: f32, x: f32) -> f32 {
    let (height, width) = (y.abs() as f64, x.abs() as f64);
    let steep = height > width;
    let (small, large) = (select(steep, width, height), select(steep, height, width));
    // 0/0 is the angle 0, ∞/∞ is 45°
    let ratio = select(small == large, select(large == 0.0, 0.0, 1.0), small / large);
    let series = arctangent_series::<M>(ratio);
    let angle = select(steep, FRAC_PI_2 - series, series);
    let angle = select(x.is_sign_negative(), PI - angle, angle);
    let result = (angle as f32).copysign(y);
    if x.is_nan() || y.is_nan() { f32::NAN } else { result }
}

#[inline(always)]
pub(crate) fn sinh<M: Machine>(x: f32) -> f32 {
    let e = expm1::<M>(x.abs() as f64);
    ((0.5 * (e + e / (e + 1.0))) as f32).copysign(x)
}

#[inline(always)]
pub(crate) fn cosh<M: Machine>(x: f32) -> f32 {
    let e = exp::<M>(x.abs() as f64);
    (0.5 * (e + 1.0 / e)) as f32
}

#[inline(always)]
pub(crate) fn asinh<M: Machine>(x: f32) -> f32 {
    let magnitude = x.abs() as f64;
    let square = magnitude * magnitude;
    let result = log1p::<M>(magnitude + square / (1.0 + (square + 1.0).sqrt()));
    (if x.abs() < f32::INFINITY { result as f32 } else { x }).copysign(x)
}

#[inline(always)]
pub(crate) fn acosh<M: Machine>(x: f32) -> f32 {
    let above = x as f64 - 1.0;
    let result = log1p::<M>(above + (above * (above + 2.0)).sqrt());
    let result = if x < f32::INFINITY { result as f32 } else { x };
    if x < 1.0 { f32::NAN } else { result }
}

#[inline(always)]
pub(crate) fn atanh<M: Machine>(x: f32) -> f32 {
    let magnitude = x.abs() as f64;
    let result = 0.5 * log1p::<M>(2.0 * magnitude / (1.0 - magnitude));
    let result = if magnitude == 1.0 { f32::INFINITY } else { result as f32 };
    let result = result.copysign(x);
    if magnitude <= 1.0 { result } else { f32::NAN }
}

#[inline(always)]
pub(crate) fn erfinv<M: Machine>(x: f32) -> f32 {
    let wide = x as f64;
    let w = -log::<M>((1.0 - wide) * (1.0 + wide));
    let central = polynomial64::<M, 11>(
        w - 2.5,
        [
            1.501_409_353_520_827_5,
            0.246_640_287_613_313_94,
            -0.004_177_339_432_481_233,
            -0.001_252_744_622_554_262,
            0.000_218_282_658_014_271_1,
            -4.961_929_655_243_955e-6,
            -3.434_620_961_839_694e-6,
            4.658_951_866_560_028_4e-7,
            1.803_853_744_020_729e-8,
            -8.773_002_100_826_195e-9,
            3.354_715_035_435_887e-10,
        ],
    );
    let tail = polynomial64::<M, 10>(
        w.sqrt() - 3.1,
        [
            2.933_231_651_000_496_8,
            1.003_356_006_801_802_1,
            0.007_461_421_997_349_217,
            -0.005_694_077_854_021_835_5,
            0.004_107_771_359_769_629_5,
            -0.002_728_481_587_202_483,
            0.001_367_108_986_008_502_9,
            -0.000_272_640_817_125_475_24,
            -0.000_204_809_907_243_788_56,
            0.000_121_323_172_720_312_4,
        ],
    );
    let result = (wide * select(w < 5.0, central, tail)) as f32;
    let result = if x.abs() == 1.0 { f32::INFINITY.copysign(x) } else { result };
    if x.abs() <= 1.0 { result } else { f32::NAN }
}

#[inline(always)]
pub(crate) fn pow<M: Machine>(x: f32, y: f32) -> f32 {
    let (base, power) = (x.abs() as f64, y as f64);
    let logarithm = log::<M>(base);
    let logarithm = select(base == 0.0, f64::NEG_INFINITY, logarithm);
    let logarithm = select(base < f64::INFINITY, logarithm, base);
    let magnitude = exp::<M>(power * logarithm) as f32;
    // An f32 beyond 2^24 is an even integer.
    let whole = y.abs() >= 16_777_216.0 || y.trunc() == y;
    let half = y * 0.5;
    let odd = whole && y.abs() < 16_777_216.0 && half.trunc() != half;
    let signed = if odd { magnitude.copysign(x) } else { magnitude };
    let invalid = x < 0.0 && x > f32::NEG_INFINITY && !whole;
    let result = if invalid { f32::NAN } else { signed };
    let unit = x == -1.0 && y.abs() == f32::INFINITY;
    if x == 1.0 || y == 0.0 || unit { 1.0 } else { result }
}
