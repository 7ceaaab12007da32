//! Elementwise arithmetic, comparison, selection and math functions.

/// Functions of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}
