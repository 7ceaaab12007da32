//! Functions of `f64` that `std` does not have.

use super::{Separate, polynomial64};
use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, PI};

#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// erf for |x| ≤ 1.
#[inline(always)]
fn erf_series(x: f64) -> f64 {
    x * polynomial64::<Separate, 14>(
        x * x,
        [
            FRAC_2_SQRT_PI,
            -0.376_126_389_031_837_54,
            0.112_837_916_709_551_19,
            -0.026_866_170_645_129_736,
            0.005_223_977_625_422_104,
            -0.000_854_832_702_185_421_4,
            0.000_120_553_328_993_938_83,
            -1.492_564_746_595_648_5e-5,
            1.646_204_342_082_623_7e-6,
            -1.636_461_455_475_286_1e-7,
            1.479_214_660_987_226_6e-8,
            -1.216_304_501_303_421e-9,
            8.703_794_250_610_697e-11,
            -4.222_894_090_238_812e-12,
        ],
    )
}

/// `1 - erf(x)` for x ≥ 1, with small relative error also far out.
#[inline(always)]
fn erfc_tail(x: f64) -> f64 {
    let x = if x > 28.0 { 28.0 } else { x };
    let t = (x - 4.0) / (x + 4.0);
    let p = polynomial64::<Separate, 21>(
        t,
        [
            0.684_997_288_125_306_9,
            -0.199_344_582_800_367_07,
            0.117_049_665_510_442_67,
            -0.048_080_381_221_308_47,
            0.003_962_055_681_272_261,
            0.015_312_509_679_319_78,
            -0.017_515_654_645_892_85,
            0.012_161_784_752_654_402,
            -0.006_068_735_230_911_129,
            0.002_116_421_589_850_691,
            -0.000_389_767_374_743_444,
            -6.013_684_424_120_867e-5,
            6.403_207_447_062_459e-5,
            -1.315_060_032_744_818e-5,
            -4.136_087_181_783_876e-6,
            2.647_883_963_236_226e-6,
            -8.078_956_626_535_201e-10,
            -3.579_106_374_591_249_3e-7,
            5.640_109_613_585_371_6e-8,
            3.784_362_985_705_024_6e-8,
            -1.246_998_444_969_371_6e-8,
        ],
    );
    // x² to more than 53 bits: the square of a short number, and the rest
    let short = f64::from_bits(x.to_bits() & 0xffff_ffff_f800_0000);
    let square = (-short * short).exp() * (-(x - short) * (x + short)).exp();
    square * p / (x + 1.0)
}

#[inline(always)]
pub(crate) fn erf(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude > 1.0 { (1.0 - erfc_tail(magnitude)).copysign(x) } else { erf_series(x) }
}

/// The inverse of [`erf`]: a starting value from a logarithm, then Newton's method to third order.
#[inline(always)]
pub(crate) fn erfinv(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude == 1.0 {
        return f64::INFINITY.copysign(x);
    }
    if magnitude > 1.0 || x.is_nan() {
        return f64::NAN;
    }
    // exact: both terms have the exponent of 1, or magnitude is small and its rounding harmless
    let rest = 1.0 - magnitude;
    let w = -(rest * (1.0 + magnitude)).ln();
    let mut y = magnitude
        * if w < 5.0 {
            polynomial64::<Separate, 9>(
                w - 2.5,
                [
                    1.501_409_421_600_074_4,
                    0.246_640_725_931_774_02,
                    -0.004_177_708_200_551_363,
                    -0.001_253_707_421_325_201,
                    0.000_218_602_516_661_009_4,
                    -4.396_784_862_504_655e-6,
                    -3.528_928_931_625_854_2e-6,
                    3.437_258_987_824_544_3e-7,
                    2.853_946_626_474_788_8e-8,
                ],
            )
        } else {
            polynomial64::<Separate, 9>(
                w.sqrt() - 4.0,
                [
                    3.839_780_402_552_717,
                    1.009_512_481_087_403_4,
                    0.001_304_472_739_926_572_6,
                    -0.000_944_110_386_165_945_6,
                    0.000_238_560_525_339_192_41,
                    -2.761_502_111_351_229e-5,
                    9.884_225_474_800_547e-5,
                    -7.873_917_578_476_796e-5,
                    1.662_501_120_535_14e-5,
                ],
            )
        };
    for _ in 0..2 {
        let error = if y > 1.0 { rest - erfc_tail(y) } else { erf_series(y) - magnitude };
        let step = error * (PI.sqrt() / 2.0) * (y * y).exp();
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// As `std`'s, which loses small arguments: to the precision of their difference from 1.
#[inline(always)]
pub(crate) fn asinh(x: f64) -> f64 {
    let magnitude = x.abs();
    let small = magnitude + magnitude * (magnitude / (1.0 + magnitude.hypot(1.0)));
    let result = if magnitude > 1e150 { magnitude.ln() + LN_2 } else { small.ln_1p() };
    result.copysign(x)
}

#[inline(always)]
pub(crate) fn acosh(x: f64) -> f64 {
    let above = x - 1.0;
    if x > 1e150 { x.ln() + LN_2 } else { (above + (above * (above + 2.0)).sqrt()).ln_1p() }
}

#[inline(always)]
pub(crate) fn atanh(x: f64) -> f64 {
    let magnitude = x.abs();
    (0.5 * (2.0 * magnitude / (1.0 - magnitude)).ln_1p()).copysign(x)
}
