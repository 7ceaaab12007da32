use super::{Case, bools, both_signs, distinct, uniform};
use rushlight_core::{DType, Tensor, where_};

type UnaryCase = (&'static str, fn(&Tensor) -> Tensor, f64, f64);

const SMOOTH: [UnaryCase; 25] = [
    ("exp", |x| x.exp(), -2.0, 2.0),
    ("expm1", |x| x.expm1(), -2.0, 2.0),
    ("log", |x| x.log(), 0.3, 3.0),
    ("log1p", |x| x.log1p(), -0.7, 3.0),
    ("sqrt", |x| x.sqrt(), 0.3, 3.0),
    ("rsqrt", |x| x.rsqrt(), 0.3, 3.0),
    ("reciprocal", |x| x.reciprocal(), 0.3, 3.0),
    ("square", |x| x.square(), -2.0, 2.0),
    ("sin", |x| x.sin(), -4.0, 4.0),
    ("cos", |x| x.cos(), -4.0, 4.0),
    ("tan", |x| x.tan(), -1.2, 1.2),
    ("asin", |x| x.asin(), -0.8, 0.8),
    ("acos", |x| x.acos(), -0.8, 0.8),
    ("atan", |x| x.atan(), -3.0, 3.0),
    ("sinh", |x| x.sinh(), -2.0, 2.0),
    ("cosh", |x| x.cosh(), -2.0, 2.0),
    ("asinh", |x| x.asinh(), -3.0, 3.0),
    ("acosh", |x| x.acosh(), 1.3, 4.0),
    ("atanh", |x| x.atanh(), -0.8, 0.8),
    ("tanh", |x| x.tanh(), -2.0, 2.0),
    ("sigmoid", |x| x.sigmoid(), -3.0, 3.0),
    ("erf", |x| x.erf(), -2.0, 2.0),
    ("erfinv", |x| x.erfinv(), -0.8, 0.8),
    ("softplus", |x| x.softplus(), -3.0, 3.0),
    ("silu", |x| x.silu(), -3.0, 3.0),
];

/// Functions with kinks or jumps, given numbers away from them.
const ROUGH: [UnaryCase; 9] = [
    ("abs", |x| x.abs(), 0.2, 2.0),
    ("sign", |x| x.sign(), 0.2, 2.0),
    ("relu", |x| x.relu(), 0.2, 2.0),
    ("floor", |x| x.floor(), 1.1, 1.9),
    ("ceil", |x| x.ceil(), 1.1, 1.9),
    ("round", |x| x.round(), 1.6, 2.4),
    ("trunc", |x| x.trunc(), 1.1, 1.9),
    ("gelu", |x| x.gelu(), 0.2, 2.0),
    ("neg", |x| -x, 0.2, 2.0),
];

type BinaryCase = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

const BINARY: [BinaryCase; 9] = [
    ("add", |a, b| a + b),
    ("sub", |a, b| a - b),
    ("mul", |a, b| a * b),
    ("div", |a, b| a / b),
    ("pow", |a, b| a.pow(b)),
    ("maximum", |a, b| a.maximum(b)),
    ("minimum", |a, b| a.minimum(b)),
    ("atan2", |a, b| a.atan2(b)),
    ("rem", |a, b| a % b),
];

const COMPARISONS: [BinaryCase; 6] = [
    ("equal", |a, b| a.equal(b)),
    ("not_equal", |a, b| a.not_equal(b)),
    ("less", |a, b| a.less(b)),
    ("less_equal", |a, b| a.less_equal(b)),
    ("greater", |a, b| a.greater(b)),
    ("greater_equal", |a, b| a.greater_equal(b)),
];

const LOGICAL: [BinaryCase; 3] = [
    ("logical_and", |a, b| a.logical_and(b)),
    ("logical_or", |a, b| a.logical_or(b)),
    ("logical_xor", |a, b| a.logical_xor(b)),
];

pub fn add(cases: &mut Vec<Case>) {
    for (op, function, low, high) in SMOOTH {
        let x = uniform(1, &[3, 4], low, high);
        cases.push(Case::new(op, "matrix", vec![x.clone()], move |x| function(&x[0])));
        cases.push(Case::new(op, "transposed", vec![x], move |x| function(&x[0].t())));
        cases.push(Case::new(op, "scalar", vec![uniform(2, &[], low, high)], move |x| function(&x[0])));
    }
    for (op, function, low, high) in ROUGH {
        cases.push(Case::new(op, "signs", vec![both_signs(3, &[3, 5], low, high)], move |x| function(&x[0])));
    }
    for (op, function) in BINARY {
        // Far enough apart that neither order nor remainder changes near by.
        let shapes: [(&[usize], &[usize]); 5] =
            [(&[2, 3], &[2, 3]), (&[2, 3], &[3]), (&[2, 1], &[1, 3]), (&[], &[4]), (&[2, 1, 3], &[4, 1])];
        for (left, right) in shapes {
            let a = uniform(4, left, 2.2, 2.9);
            let b = uniform(5, right, 0.9, 1.05);
            let kind = format!("{left:?}{right:?}");
            cases.push(Case::new(op, kind, vec![a.clone(), b.clone()], move |x| function(&x[0], &x[1])));
        }
        let a = uniform(6, &[4], 1.1, 1.4);
        cases.push(Case::new(op, "same tensor", vec![a], move |x| function(&x[0], &(&x[0] * 2.3))));
    }
    for (op, function) in COMPARISONS {
        let (a, b) = (Tensor::from([[1.0, 2.0, 3.0]]), Tensor::from([[1.0], [2.5]]));
        let case = Case::new(op, "broadcast", vec![a, b], move |x| function(&x[0], &x[1]));
        cases.push(case.without_gradient());
        let number =
            Case::new(op, "integers", vec![Tensor::from([1i64, 2, 3]), Tensor::from([3i64, 2, 1])], {
                move |x| function(&x[0], &x[1])
            });
        cases.push(number.without_gradient());
    }
    for (op, function) in LOGICAL {
        let bool_case =
            Case::new(op, "bool", vec![bools(&[2, 3]), bools(&[3])], move |x| function(&x[0], &x[1]));
        cases.push(bool_case.without_gradient());
        let bits = vec![Tensor::from([5i32, -2, 9]), Tensor::from([3i32, 6, 8])];
        cases.push(Case::new(op, "bits", bits, move |x| function(&x[0], &x[1])).without_gradient());
    }
    let mut push = |case: Case| cases.push(case);
    push(Case::new("logical_not", "bool", vec![bools(&[4])], |x| x[0].logical_not()).without_gradient());
    let special = || vec![Tensor::from([1.0, f64::NAN, f64::INFINITY, -f64::INFINITY])];
    push(Case::new("is_nan", "special", special(), |x| x[0].is_nan()).without_gradient());
    push(Case::new("is_inf", "special", special(), |x| x[0].is_inf()).without_gradient());
    push(Case::new("is_finite", "special", special(), |x| x[0].is_finite()).without_gradient());
    for dtype in DType::ALL {
        let x = vec![uniform(7, &[2, 3], 0.0, 3.0)];
        push(Case::new("cast", dtype.name(), x, move |x| x[0].cast(dtype)).without_gradient());
    }
    push(Case::new("cast", "and back", vec![uniform(8, &[3], -1.0, 1.0)], |x| {
        // Through a float of the same size the gradient is exact.
        x[0].cast(DType::F64) * 2.0
    }));
    push(Case::new("clip", "numbers", vec![distinct(9, &[12])], |x| x[0].clip(-0.3, 0.4)));
    push(Case::new("clip", "tensors", vec![distinct(9, &[3, 4]), uniform(10, &[4], -0.22, -0.2)], |x| {
        x[0].clip(&x[1], 0.4)
    }));
    push(Case::new(
        "floor_div",
        "floats",
        vec![uniform(11, &[3], 2.2, 2.9), uniform(12, &[3], 0.9, 1.05)],
        |x| x[0].floor_div(&x[1]),
    ));
    let integers = vec![Tensor::from([7i32, -7, 3]), Tensor::from([2i32, 2, 0])];
    push(Case::new("floor_div", "integers", integers, |x| x[0].floor_div(&x[1])).without_gradient());
    push(Case::new("stop_gradient", "half", vec![uniform(13, &[3], -1.0, 1.0)], |x| {
        // What is stopped is constant, here with a value that does not depend on the input.
        &x[0] * x[0].zeros_like().stop_gradient()
    }));
    let values = || vec![bools(&[2, 3]), uniform(14, &[2, 3], -1.0, 1.0), uniform(15, &[2, 3], -1.0, 1.0)];
    push(Case::new("where_", "same shapes", values(), |x| where_(&x[0], &x[1], &x[2])));
    let values = vec![bools(&[3]), uniform(14, &[2, 1], -1.0, 1.0), uniform(15, &[], -1.0, 1.0)];
    push(Case::new("where_", "broadcast", values, |x| where_(&x[0], &x[1], &x[2])));
    push(Case::new("operators", "numbers", vec![uniform(16, &[3], 1.2, 1.8)], |x| {
        let y = 1.0 - &x[0] * 2 + 3.0 / &x[0] - &x[0] / 4;
        (2 * y.clone() - 1) + (5.0 % &x[0])
    }));
    push(
        Case::new("operators", "bool", vec![bools(&[4])], |x| (!&x[0] | &x[0]) & &x[0] ^ &x[0])
            .without_gradient(),
    );
}
