//! Elementwise arithmetic, comparison, selection and math functions.

use crate::ops::gradient::{Context, InputGradients, none, one};
use crate::ops::operand::Operand;
use crate::ops::{Op, apply_as};
use crate::tensor::{DType, Dims, Fault, Spec, Tensor, broadcast_dims};
use crate::trace::apply::{apply, apply_at_once, fail};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// Functions of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unary {
    Neg,
    Abs,
    /// -1, 0 or 1; NaN stays NaN.
    Sign,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sqrt,
    /// `1 / sqrt(x)`
    Rsqrt,
    /// `1 / x`
    Reciprocal,
    /// `x * x`
    Square,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    Erf,
    /// The inverse of `erf` on (-1, 1).
    Erfinv,
    Floor,
    Ceil,
    /// To the nearest integer, ties to even.
    Round,
    Trunc,
    /// Logical for `bool`, bitwise for integers.
    Not,
    /// `→ bool`
    IsNan,
    /// `→ bool`
    IsInf,
    /// `→ bool`
    IsFinite,
}

/// Functions of two elements of the same dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// True division; integers divide towards negative infinity, and by zero give zero.
    Div,
    Pow,
    /// The remainder with the sign of the divisor, as Python's `%`.
    Rem,
    /// The larger one; NaN if either is.
    Max,
    /// The smaller one; NaN if either is.
    Min,
    Atan2,
    /// Logical for `bool`, bitwise for integers.
    And,
    Or,
    Xor,
}

/// Comparisons of two elements of the same dtype, with a `bool` result; NaN is unequal to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Unary {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Sign => "sign",
            Unary::Exp => "exp",
            Unary::Expm1 => "expm1",
            Unary::Log => "log",
            Unary::Log1p => "log1p",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Reciprocal => "reciprocal",
            Unary::Square => "square",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tan => "tan",
            Unary::Asin => "asin",
            Unary::Acos => "acos",
            Unary::Atan => "atan",
            Unary::Sinh => "sinh",
            Unary::Cosh => "cosh",
            Unary::Asinh => "asinh",
            Unary::Acosh => "acosh",
            Unary::Atanh => "atanh",
            Unary::Tanh => "tanh",
            Unary::Sigmoid => "sigmoid",
            Unary::Erf => "erf",
            Unary::Erfinv => "erfinv",
            Unary::Floor => "floor",
            Unary::Ceil => "ceil",
            Unary::Round => "round",
            Unary::Trunc => "trunc",
            Unary::Not => "logical_not",
            Unary::IsNan => "is_nan",
            Unary::IsInf => "is_inf",
            Unary::IsFinite => "is_finite",
        }
    }

    /// Whether this op is defined for a dtype.
    pub(crate) fn accepts(self, dtype: DType) -> bool {
        match self {
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square => dtype != DType::Bool,
            Unary::Not => !dtype.is_float(),
            _ => dtype.is_float(),
        }
    }

    pub(crate) fn infer(self, x: &Spec) -> Result<Spec, Fault> {
        if !self.accepts(x.dtype) {
            let wanted = match self {
                Unary::Neg | Unary::Abs | Unary::Sign | Unary::Square => "a number, not bool",
                Unary::Not => "bool or an integer",
                _ => "of a floating-point dtype",
            };
            return Err(Fault::dtype(format!("the input must be {wanted} (cast it first)")));
        }
        Ok(Spec { dims: x.dims.clone(), dtype: self.result_dtype(x.dtype) })
    }

    pub(crate) fn result_dtype(self, dtype: DType) -> DType {
        match self {
            Unary::IsNan | Unary::IsInf | Unary::IsFinite => DType::Bool,
            _ => dtype,
        }
    }

    pub(crate) fn is_differentiable(self) -> bool {
        !matches!(self, Unary::Not | Unary::IsNan | Unary::IsInf | Unary::IsFinite)
    }
}

impl Binary {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Pow => "pow",
            Binary::Rem => "rem",
            Binary::Max => "maximum",
            Binary::Min => "minimum",
            Binary::Atan2 => "atan2",
            Binary::And => "logical_and",
            Binary::Or => "logical_or",
            Binary::Xor => "logical_xor",
        }
    }

    /// Whether this op is defined for a dtype.
    pub(crate) fn accepts(self, dtype: DType) -> bool {
        match self {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Pow | Binary::Rem => {
                dtype != DType::Bool
            }
            Binary::Max | Binary::Min => true,
            Binary::Atan2 => dtype.is_float(),
            Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
        }
    }

    pub(crate) fn infer(self, a: &Spec, b: &Spec) -> Result<Spec, Fault> {
        same(a, b)?;
        if !self.accepts(a.dtype) {
            let wanted = match self {
                Binary::And | Binary::Or | Binary::Xor => "bool or integers",
                Binary::Atan2 => "of a floating-point dtype",
                _ => "numbers, not bool",
            };
            return Err(Fault::dtype(format!("both sides must be {wanted} (cast them first)")));
        }
        Ok(a.clone())
    }

    pub(crate) fn is_differentiable(self) -> bool {
        !matches!(self, Binary::And | Binary::Or | Binary::Xor)
    }
}

impl Compare {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Compare::Equal => "equal",
            Compare::NotEqual => "not_equal",
            Compare::Less => "less",
            Compare::LessEqual => "less_equal",
            Compare::Greater => "greater",
            Compare::GreaterEqual => "greater_equal",
        }
    }
}

fn same(a: &Spec, b: &Spec) -> Result<(), Fault> {
    if a.dtype != b.dtype {
        return Err(Fault::dtype("both sides must have the same dtype (cast one of them)"));
    }
    if a.dims != b.dims {
        return Err(Fault::shape("the shapes must be equal or broadcast to each other"));
    }
    Ok(())
}

pub(crate) fn infer_compare(a: &Spec, b: &Spec) -> Result<Spec, Fault> {
    same(a, b)?;
    Ok(Spec { dims: a.dims.clone(), dtype: DType::Bool })
}

pub(crate) fn infer_select(condition: &Spec, a: &Spec, b: &Spec) -> Result<Spec, Fault> {
    if condition.dtype != DType::Bool {
        return Err(Fault::dtype("the condition must be bool"));
    }
    same(a, b)?;
    if condition.dims != a.dims {
        return Err(Fault::shape("condition and values must be equal in shape or broadcast to each other"));
    }
    Ok(a.clone())
}

/// Broadcasts both sides to their common shape (a view, nothing is copied) and applies the op.
#[track_caller]
fn broadcast_apply(op: Op, a: &Tensor, b: &Tensor) -> Tensor {
    if let Some(result) = apply_at_once(&op, &[a, b]) {
        return result;
    }
    if let (Some(x), Some(y)) = (a.known_spec(), b.known_spec())
        && x.dims == y.dims
    {
        return apply(op, &[a, b]);
    }
    match broadcast_together(op.name(), &[a, b]) {
        Ok(sides) => apply(op, &[&sides[0], &sides[1]]),
        Err(carried) => carried,
    }
}

/// The same under the name of a public op.
#[track_caller]
fn broadcast_apply_as(name: &str, op: Op, a: &Tensor, b: &Tensor) -> Tensor {
    match broadcast_together(name, &[a, b]) {
        Ok(sides) => apply_as(name, op, &[&sides[0], &sides[1]]),
        Err(carried) => carried,
    }
}

/// All tensors in their common shape, or a tensor that carries the error `op` makes of it.
#[track_caller]
fn broadcast_together(op: &str, tensors: &[&Tensor]) -> Result<SmallVec<[Tensor; 3]>, Tensor> {
    let mut dims = Dims::new();
    for tensor in tensors {
        let Some(spec) = tensor.known_spec() else { return Err((*tensor).clone()) };
        dims = match broadcast_dims(&dims, &spec.dims) {
            Some(dims) => dims,
            None => {
                let rule = "the shapes must be equal or broadcast to each other (aligned at the last axis, \
                            each pair of sizes equal or one of them 1)";
                return Err(fail(op, Fault::shape(rule), tensors));
            }
        };
    }
    Ok(tensors.iter().map(|tensor| tensor.broadcast_to(&dims)).collect())
}

macro_rules! unary_ops {
    ($($(#[$doc:meta])* $method:ident => $unary:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// Elementwise; the result has the shape of the input.
                #[track_caller]
                pub fn $method(&self) -> Tensor {
                    let op = Op::Unary(Unary::$unary);
                    match apply_at_once(&op, &[self]) {
                        Some(result) => result,
                        None => apply(op, &[self]),
                    }
                }
            )*
        }
    };
}

unary_ops! {
    /// `|x|`, for numbers.
    abs => Abs;
    /// -1, 0 or 1 by the sign of `x`; NaN stays NaN.
    sign => Sign;
    /// `eˣ`, for floats.
    exp => Exp;
    /// `eˣ - 1`, exact near zero.
    expm1 => Expm1;
    /// The natural logarithm; NaN for negative input, -∞ for zero.
    log => Log;
    /// `ln(1 + x)`, exact near zero.
    log1p => Log1p;
    /// The square root; NaN for negative input.
    sqrt => Sqrt;
    /// `1 / √x`.
    rsqrt => Rsqrt;
    /// `1 / x`, for floats.
    reciprocal => Reciprocal;
    /// `x · x`, for numbers.
    square => Square;
    /// The sine of `x` in radians.
    sin => Sin;
    /// The cosine of `x` in radians.
    cos => Cos;
    /// The tangent of `x` in radians.
    tan => Tan;
    /// The angle in [-π/2, π/2] whose sine is `x`.
    asin => Asin;
    /// The angle in [0, π] whose cosine is `x`.
    acos => Acos;
    /// The angle in [-π/2, π/2] whose tangent is `x`.
    atan => Atan;
    /// `(eˣ - e⁻ˣ) / 2`.
    sinh => Sinh;
    /// `(eˣ + e⁻ˣ) / 2`.
    cosh => Cosh;
    /// The inverse of `sinh`.
    asinh => Asinh;
    /// The inverse of `cosh`, for `x ≥ 1`.
    acosh => Acosh;
    /// The inverse of `tanh`, for `|x| < 1`.
    atanh => Atanh;
    /// `(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)`.
    tanh => Tanh;
    /// `1 / (1 + e⁻ˣ)`.
    sigmoid => Sigmoid;
    /// The error function `2/√π ∫₀ˣ exp(-t²) dt`.
    erf => Erf;
    /// The inverse of `erf` on (-1, 1).
    erfinv => Erfinv;
    /// The largest integer not above `x`, for floats.
    floor => Floor;
    /// The smallest integer not below `x`, for floats.
    ceil => Ceil;
    /// The nearest integer, ties to even, for floats.
    round => Round;
    /// `x` without its fraction, for floats.
    trunc => Trunc;
    /// Logical negation of `bool`, bitwise of integers.
    logical_not => Not;
    /// Where `x` is not a number, as `bool`.
    is_nan => IsNan;
    /// Where `x` is infinite, as `bool`.
    is_inf => IsInf;
    /// Where `x` is neither infinite nor NaN, as `bool`.
    is_finite => IsFinite;
}

macro_rules! binary_ops {
    ($($(#[$doc:meta])* $method:ident => $op:expr;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// Elementwise, with NumPy broadcasting; both sides have the same dtype, numbers take on the tensor's.
                #[track_caller]
                pub fn $method(&self, other: impl Operand) -> Tensor {
                    let op = $op;
                    let other = other.operand(op.name(), self);
                    broadcast_apply(op, self, &other)
                }
            )*
        }
    };
}

binary_ops! {
    /// `a ^ b`: a raised to the power b.
    pow => Op::Binary(Binary::Pow);
    /// The larger of both; NaN if either is.
    maximum => Op::Binary(Binary::Max);
    /// The smaller of both; NaN if either is.
    minimum => Op::Binary(Binary::Min);
    /// The angle of the point (x = b, y = a) in (-π, π].
    atan2 => Op::Binary(Binary::Atan2);
    /// Logical and of `bool`, bitwise of integers.
    logical_and => Op::Binary(Binary::And);
    /// Logical or of `bool`, bitwise of integers.
    logical_or => Op::Binary(Binary::Or);
    /// Logical exclusive or of `bool`, bitwise of integers.
    logical_xor => Op::Binary(Binary::Xor);
    /// `a == b` as `bool`.
    equal => Op::Compare(Compare::Equal);
    /// `a != b` as `bool`.
    not_equal => Op::Compare(Compare::NotEqual);
    /// `a < b` as `bool`.
    less => Op::Compare(Compare::Less);
    /// `a <= b` as `bool`.
    less_equal => Op::Compare(Compare::LessEqual);
    /// `a > b` as `bool`.
    greater => Op::Compare(Compare::Greater);
    /// `a >= b` as `bool`.
    greater_equal => Op::Compare(Compare::GreaterEqual);
}

/// The op of a tensor and whatever stands on its right.
#[track_caller]
fn binary(op: Binary, a: &Tensor, b: &impl Operand) -> Tensor {
    match b.as_tensor() {
        Some(b) => broadcast_apply(Op::Binary(op), a, b),
        None => broadcast_apply(Op::Binary(op), a, &b.operand(op.name(), a)),
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident [$($number:ty),*];)*) => {$(
        impl<O: Operand> std::ops::$trait<O> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: O) -> Tensor {
                binary(Binary::$op, &self, &other)
            }
        }

        impl<O: Operand> std::ops::$trait<O> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: O) -> Tensor {
                binary(Binary::$op, self, &other)
            }
        }

        $(
            impl std::ops::$trait<Tensor> for $number {
                type Output = Tensor;
                #[track_caller]
                fn $method(self, other: Tensor) -> Tensor {
                    broadcast_apply(Op::Binary(Binary::$op), &self.operand(Binary::$op.name(), &other), &other)
                }
            }

            impl std::ops::$trait<&Tensor> for $number {
                type Output = Tensor;
                #[track_caller]
                fn $method(self, other: &Tensor) -> Tensor {
                    broadcast_apply(Op::Binary(Binary::$op), &self.operand(Binary::$op.name(), other), other)
                }
            }
        )*
    )*};
}

operators! {
    Add add Add [f64, i32];
    Sub sub Sub [f64, i32];
    Mul mul Mul [f64, i32];
    Div div Div [f64, i32];
    Rem rem Rem [f64, i32];
    BitAnd bitand And [];
    BitOr bitor Or [];
    BitXor bitxor Xor [];
}

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        apply(Op::Unary(Unary::Neg), &[self])
    }
}

impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}

impl std::ops::Not for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        self.logical_not()
    }
}

impl Tensor {
    /// The same numbers in another dtype.
    ///
    /// Floats become integers by truncation (saturating), `bool` becomes 0 or 1, numbers become "is not zero".
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        match self.known_spec() {
            Some(spec) if spec.dtype == dtype => self.clone(),
            _ => apply(Op::Cast(dtype), &[self]),
        }
    }

    /// `min(max(x, low), high)`; the three broadcast to each other.
    #[track_caller]
    pub fn clip(&self, low: impl Operand, high: impl Operand) -> Tensor {
        let low = low.operand("clip", self);
        if low.error().is_some() {
            return low;
        }
        let high = high.operand("clip", self);
        match broadcast_together("clip", &[self, &low, &high]) {
            Ok(all) => all[0].maximum(&all[1]).minimum(&all[2]),
            Err(carried) => carried,
        }
    }

    /// `⌊a / b⌋`: division rounded towards negative infinity.
    #[track_caller]
    pub fn floor_div(&self, other: impl Operand) -> Tensor {
        let quotient =
            broadcast_apply_as("floor_div", Op::Binary(Binary::Div), self, &other.operand("floor_div", self));
        match quotient.known_spec() {
            Some(spec) if spec.dtype.is_float() => quotient.floor(),
            _ => quotient,
        }
    }

    /// The same value, through which no gradient flows.
    pub fn stop_gradient(&self) -> Tensor {
        self.detached()
    }
}

/// `a` where `condition` holds, `b` elsewhere; the three broadcast to each other.
///
/// ```
/// use rushlight_core::{Tensor, where_};
/// let x = Tensor::from([-1.0f32, 2.0]);
/// assert_eq!(where_(&x.greater(0.0), &x, &x.zeros_like()).to_vec::<f32>()?, [0.0, 2.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn where_(condition: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
    match broadcast_together("where", &[condition, a, b]) {
        Ok(all) => apply_as("where", Op::Select, &[&all[0], &all[1], &all[2]]),
        Err(carried) => carried,
    }
}

#[track_caller]
pub(crate) fn gradient_unary(unary: Unary, context: &Context, g: &Tensor) -> InputGradients {
    let (x, y) = (&context.inputs[0], &context.outputs[0]);
    let dx = match unary {
        Unary::Neg => -g,
        Unary::Abs => g * x.sign(),
        Unary::Exp => g * y,
        Unary::Expm1 => g * (y + 1.0),
        Unary::Log => g / x,
        Unary::Log1p => g / (x + 1.0),
        Unary::Sqrt => g * 0.5 / y,
        Unary::Rsqrt => g * -0.5 * y / x,
        Unary::Reciprocal => -(g * y.square()),
        Unary::Square => g * 2.0 * x,
        Unary::Sin => g * x.cos(),
        Unary::Cos => -(g * x.sin()),
        Unary::Tan => g * (y.square() + 1.0),
        Unary::Asin => g * (1.0 - x.square()).rsqrt(),
        Unary::Acos => -(g * (1.0 - x.square()).rsqrt()),
        Unary::Atan => g / (x.square() + 1.0),
        Unary::Sinh => g * x.cosh(),
        Unary::Cosh => g * x.sinh(),
        Unary::Asinh => g * (x.square() + 1.0).rsqrt(),
        Unary::Acosh => g * (x.square() - 1.0).rsqrt(),
        Unary::Atanh => g / (1.0 - x.square()),
        Unary::Tanh => g * ((1.0 - y) * (y + 1.0)),
        Unary::Sigmoid => g * y * (1.0 - y),
        Unary::Erf => g * std::f64::consts::FRAC_2_SQRT_PI * (-x.square()).exp(),
        Unary::Erfinv => g / std::f64::consts::FRAC_2_SQRT_PI * y.square().exp(),
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => return none(1),
        Unary::Not | Unary::IsNan | Unary::IsInf | Unary::IsFinite => return none(1),
    };
    one(dx)
}

#[track_caller]
pub(crate) fn gradient_binary(binary: Binary, context: &Context, g: &Tensor) -> InputGradients {
    let (a, b, y) = (&context.inputs[0], &context.inputs[1], &context.outputs[0]);
    // Formulas are lazy: the gradient of an input that nobody asks for costs nothing.
    let both = |da: &dyn Fn() -> Tensor, db: &dyn Fn() -> Tensor| {
        smallvec![context.wanted[0].then(da), context.wanted[1].then(db)]
    };
    match binary {
        Binary::Add => both(&|| g.clone(), &|| g.clone()),
        Binary::Sub => both(&|| g.clone(), &|| -g),
        Binary::Mul => both(&|| g * b, &|| g * a),
        Binary::Div => both(&|| g / b, &|| -(g * y / b)),
        Binary::Pow => both(
            // Where b is zero the power is constant in a, also at a = 0.
            &|| where_(&b.equal(0.0), &g.zeros_like(), &(g * b * a.pow(b - 1.0))),
            // The limit of a^b ln a at a = 0 is zero for positive b.
            &|| {
                where_(
                    &a.greater(0.0),
                    &(g * y * a.maximum(f64::from(f32::MIN_POSITIVE)).log()),
                    &g.zeros_like(),
                )
            },
        ),
        Binary::Rem => both(&|| g.clone(), &|| -(g * (a / b).floor())),
        Binary::Max => {
            both(&|| where_(&a.greater(b), g, &g.zeros_like()), &|| where_(&a.greater(b), &g.zeros_like(), g))
        }
        Binary::Min => {
            both(&|| where_(&a.less(b), g, &g.zeros_like()), &|| where_(&a.less(b), &g.zeros_like(), g))
        }
        Binary::Atan2 => {
            let squared = a.square() + b.square();
            both(&|| g * b / &squared, &|| -(g * a / &squared))
        }
        Binary::And | Binary::Or | Binary::Xor => none(2),
    }
}

#[track_caller]
pub(crate) fn gradient_select(context: &Context, g: &Tensor) -> InputGradients {
    let condition = &context.inputs[0];
    let zero = g.zeros_like();
    smallvec![
        None,
        context.wanted[1].then(|| where_(condition, g, &zero)),
        context.wanted[2].then(|| where_(condition, &zero, g)),
    ]
}

#[track_caller]
pub(crate) fn gradient_cast(context: &Context, g: &Tensor) -> InputGradients {
    match context.inputs[0].known_spec() {
        Some(spec) if spec.dtype.is_float() => one(g.cast(spec.dtype)),
        _ => none(1),
    }
}
