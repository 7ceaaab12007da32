use super::half_bits::Half;
use super::{Fused, Machine, Separate, double, single, wide};
use half::{bf16, f16};

/// The distance between `got` and the exact value in units of the last place of an `f32` at `exact`.
fn ulps(got: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if got.is_nan() || exact.is_nan() {
        return if got.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == rounded {
        return 0.0;
    }
    if got.is_infinite() || rounded.is_infinite() {
        return f64::INFINITY;
    }
    let exponent = exact.abs().max(f32::MIN_POSITIVE as f64).log2().floor() as i32;
    (got as f64 - exact).abs() / 2f64.powi(exponent - 23)
}

/// Every 1009th of all bit patterns that the filter lets pass, and the special ones; returns the worst error.
fn worst(
    name: &str,
    function: impl Fn(f32) -> f32,
    exact: impl Fn(f64) -> f64,
    keep: impl Fn(f32) -> bool,
) -> f64 {
    let special =
        [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 0.5, 2.0];
    let samples = (0..=u32::MAX).step_by(1009).map(f32::from_bits);
    let mut worst = (0.0, 0.0);
    for x in special.into_iter().chain(samples).filter(|&x| keep(x)) {
        let error = ulps(function(x), exact(x as f64));
        if error > worst.0 {
            worst = (error, x);
        }
    }
    println!("{name}: {:.3} ulp at {:e}", worst.0, worst.1);
    worst.0
}

fn all_f32_functions<M: Machine>() {
    let any = |_: f32| true;
    // a result below the smallest normal number may have lost bits
    let normal =
        |f: fn(f64) -> f64| move |x: f32| x.is_nan() || f(x as f64).abs() >= f32::MIN_POSITIVE as f64;
    let trigonometric = |x: f32| x.is_nan() || x.abs() < wide::TRIGONOMETRIC_LIMIT;
    let sigmoid = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    assert!(worst("exp", single::exp::<M>, f64::exp, normal(f64::exp)) < 1.5);
    assert!(worst("expm1", single::expm1::<M>, f64::exp_m1, any) < 2.0);
    assert!(worst("log", single::log::<M>, f64::ln, any) < 1.5);
    assert!(worst("log1p", single::log1p::<M>, f64::ln_1p, any) < 2.0);
    assert!(worst("tanh", single::tanh::<M>, f64::tanh, any) < 3.0);
    assert!(worst("sigmoid", single::sigmoid::<M>, sigmoid, normal(sigmoid)) < 2.5);
    assert!(worst("erf", single::erf::<M>, double::erf, any) < 2.0);
    assert!(worst("sin", wide::sin::<M>, f64::sin, trigonometric) < 0.6);
    assert!(worst("cos", wide::cos::<M>, f64::cos, trigonometric) < 0.6);
    assert!(worst("tan", wide::tan::<M>, f64::tan, trigonometric) < 0.6);
    assert!(worst("asin", wide::asin::<M>, f64::asin, any) < 0.6);
    assert!(worst("acos", wide::acos::<M>, f64::acos, any) < 0.6);
    assert!(worst("atan", wide::atan::<M>, f64::atan, any) < 0.6);
    assert!(worst("sinh", wide::sinh::<M>, f64::sinh, any) < 0.6);
    assert!(worst("cosh", wide::cosh::<M>, f64::cosh, any) < 0.6);
    assert!(worst("asinh", wide::asinh::<M>, f64::asinh, any) < 0.6);
    assert!(worst("acosh", wide::acosh::<M>, f64::acosh, any) < 0.6);
    assert!(worst("atanh", wide::atanh::<M>, f64::atanh, any) < 0.6);
    assert!(worst("erfinv", wide::erfinv::<M>, double::erfinv, any) < 0.8);
}

#[test]
fn f32_functions_are_accurate_with_fused_arithmetic() {
    all_f32_functions::<Fused>();
}

#[test]
fn f32_functions_are_accurate_without_fused_arithmetic() {
    all_f32_functions::<Separate>();
}

#[test]
fn signed_zero_stays_signed() {
    type Function = fn(f32) -> f32;
    let functions: [(&str, Function); 12] = [
        ("expm1", single::expm1::<Fused>),
        ("log1p", single::log1p::<Fused>),
        ("tanh", single::tanh::<Fused>),
        ("erf", single::erf::<Fused>),
        ("sin", wide::sin::<Fused>),
        ("tan", wide::tan::<Fused>),
        ("asin", wide::asin::<Fused>),
        ("atan", wide::atan::<Fused>),
        ("sinh", wide::sinh::<Fused>),
        ("asinh", wide::asinh::<Fused>),
        ("atanh", wide::atanh::<Fused>),
        ("erfinv", wide::erfinv::<Fused>),
    ];
    for (name, function) in functions {
        assert_eq!(function(-0.0).to_bits(), (-0.0f32).to_bits(), "{name}(-0)");
        assert_eq!(function(0.0).to_bits(), 0.0f32.to_bits(), "{name}(0)");
    }
}

#[test]
fn powers_and_angles_follow_the_standard() {
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        2.5,
        -2.5,
        1e-30,
        1e30,
        -1e30,
        16_777_215.0,
        16_777_216.0,
        -16_777_217.0,
        0.999_999_94,
        1.000_000_1,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        7.25,
    ];
    let mut worst = (0.0f64, 0.0f64);
    let mut check = |x: f32, y: f32| {
        let (power, exact) = (wide::pow::<Fused>(x, y), (x as f64).powf(y as f64));
        let error = ulps(power, exact);
        // huge powers leave f64 as well, and results may be subnormal
        if exact == 0.0 || exact.abs() >= f32::MIN_POSITIVE as f64 || exact.is_nan() {
            worst.0 = worst.0.max(error);
            assert!(error < 0.6, "pow({x:e}, {y:e}) = {power:e}, not {exact:e}");
            assert!(
                exact.is_nan() || power.is_sign_negative() == exact.is_sign_negative(),
                "pow({x:e}, {y:e})"
            );
        }
        let (angle, exact) = (wide::atan2::<Fused>(x, y), (x as f64).atan2(y as f64));
        let error = ulps(angle, exact);
        worst.1 = worst.1.max(error);
        if exact == 0.0 || exact.abs() >= f32::MIN_POSITIVE as f64 || exact.is_nan() {
            assert!(error < 0.6, "atan2({x:e}, {y:e}) = {angle:e}, not {exact:e}");
            assert!(
                exact.is_nan() || angle.is_sign_negative() == exact.is_sign_negative(),
                "atan2({x:e}, {y:e})"
            );
        }
    };
    for x in values {
        for y in values {
            check(x, y);
        }
    }
    for i in 0..200_000u32 {
        let (a, b) = (i.wrapping_mul(2_654_435_761), i.wrapping_mul(40_503).wrapping_add(977));
        check((a >> 8) as f32 / 1e6, (b % 4_000) as f32 / 100.0 - 20.0);
        check(f32::from_bits(a), f32::from_bits(b.wrapping_mul(2_246_822_519)));
    }
    println!("pow {:.3} ulp, atan2 {:.3} ulp", worst.0, worst.1);
}

#[test]
fn f64_error_function_and_its_inverse() {
    // values from arbitrary-precision arithmetic
    let known = [
        (1e-10, 1.128_379_167_095_512_6e-10),
        (0.1, 0.112_462_916_018_284_89),
        (0.5, 0.520_499_877_813_046_5),
        (0.999, 0.842_285_270_206_496_9),
        (1.0, 0.842_700_792_949_714_9),
        (1.001, 0.843_115_485_478_076_3),
        (1.5, 0.966_105_146_475_310_7),
        (2.0, 0.995_322_265_018_952_7),
        (3.0, 0.999_977_909_503_001_4),
        (5.0, 0.999_999_999_998_462_5),
    ];
    for (x, value) in known {
        assert!((double::erf(x) - value).abs() <= 3e-16 * value, "erf({x}) = {}", double::erf(x));
        assert_eq!(double::erf(-x), -double::erf(x));
    }
    let known = [
        (1e-12, 8.862_269_254_527_58e-13),
        (0.1, 0.088_855_990_494_257_7),
        (0.5, 0.476_936_276_204_469_9),
        (0.9, 1.163_087_153_676_674),
        (0.99, 1.821_386_367_718_45),
        (0.999_999, 3.458_910_737_275_5),
        (1.0 - 1e-12, 5.042_031_898_572_697),
        (1.0 - f64::EPSILON / 2.0, 5.863_584_748_755_168),
    ];
    for (x, value) in known {
        assert!((double::erfinv(x) - value).abs() <= 1e-15 * value, "erfinv({x}) = {}", double::erfinv(x));
        assert_eq!(double::erfinv(-x), -double::erfinv(x));
    }
    assert_eq!(double::erf(f64::INFINITY), 1.0);
    assert!(
        double::erf(f64::NAN).is_nan() && double::erfinv(1.5).is_nan() && double::erfinv(f64::NAN).is_nan()
    );
    assert_eq!(double::erfinv(-1.0), f64::NEG_INFINITY);
    assert_eq!(double::sigmoid(-740.0), (-740f64).exp());
}

#[test]
fn sixteen_bit_floats_convert_as_the_half_crate_does() {
    for bits in 0..=u16::MAX {
        let (a, b) = (f16::from_bits(bits), bf16::from_bits(bits));
        assert!(a.widen().to_bits() == a.to_f32().to_bits() || a.is_nan() && a.widen().is_nan());
        assert!(b.widen().to_bits() == b.to_f32().to_bits() || b.is_nan() && b.widen().is_nan());
    }
    for value in (0..=u32::MAX).step_by(251).map(f32::from_bits) {
        let (a, b) = (f16::narrow(value), bf16::narrow(value));
        assert!(a == f16::from_f32(value) || a.is_nan() && value.is_nan(), "{value:e}");
        assert!(b == bf16::from_f32(value) || b.is_nan() && value.is_nan(), "{value:e}");
        assert_eq!(a.is_sign_negative(), value.is_sign_negative());
    }
}
