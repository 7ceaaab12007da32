//! Printing tensors as NumPy does: nested brackets, aligned columns, `...` for what is too much.

use crate::tensor::{Dims, Element, Inner, Tensor, Value};
use crate::with_dtype;
use std::fmt;

/// More elements than this are summarized.
const THRESHOLD: usize = 1000;
/// So many elements are shown at each end of a summarized axis.
const EDGE: usize = 3;
const LINE_WIDTH: usize = 75;
/// Digits behind the decimal point, at most.
const PRECISION: usize = 8;

impl fmt::Display for Tensor {
    /// The elements as NumPy prints them; for a symbolic tensor what it stands for, for a carried error the error.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Value(value) => formatter.write_str(&format_value(value)),
            Inner::Symbol(symbol) => {
                let spec = &symbol.node.outputs[symbol.output];
                write!(formatter, "<symbolic {spec}: {}>", symbol.node.call.name())
            }
            // Whoever reads it printed has read it.
            Inner::Carried(carried) => write!(formatter, "<error: {}>", carried.deliver()),
        }
    }
}

impl fmt::Debug for Tensor {
    /// As `Display`, followed by dtype and shape.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Value(value) => {
                let text = format_value(value);
                let gap = if text.contains('\n') { '\n' } else { ' ' };
                write!(formatter, "{text}{gap}{}", value.spec)
            }
            _ => fmt::Display::fmt(self, formatter),
        }
    }
}

fn format_value(value: &Value) -> String {
    let shown = Shown::of(value);
    let numbers: Vec<Number> = with_dtype!(value.spec.dtype, T => shown.read::<T>(value));
    if value.spec.rank() == 0 {
        return numbers[0].alone();
    }
    if value.spec.count() == 0 {
        return "[]".to_string();
    }
    let words = aligned(&numbers);
    let mut layout = Layout { shown: &shown, words: words.iter() };
    layout.write(0, " ", LINE_WIDTH)
}

/// Which elements are shown: for each axis the leading places, and the trailing ones if some are left out.
struct Shown {
    /// Per axis, the places that are shown, in order.
    places: Vec<Vec<usize>>,
    /// Per axis, the number of places before the `...`; nothing if all are shown.
    leading: Vec<Option<usize>>,
}

impl Shown {
    fn of(value: &Value) -> Shown {
        let summarized = value.spec.count() > THRESHOLD;
        let cut = |size: usize| summarized && size > 2 * EDGE;
        let dims = value.spec.dims.iter().copied();
        Shown {
            places: dims
                .clone()
                .map(|size| match cut(size) {
                    true => (0..EDGE).chain(size - EDGE..size).collect(),
                    false => (0..size).collect(),
                })
                .collect(),
            leading: dims.map(|size| cut(size).then_some(EDGE)).collect(),
        }
    }

    /// The shown elements in row-major order.
    fn read<T: Element + IntoNumber>(&self, value: &Value) -> Vec<Number> {
        let mut everywhere = vec![Dims::new()];
        for places in &self.places {
            let extend = |outer: Dims| {
                places.iter().map(move |&place| outer.iter().copied().chain([place]).collect::<Dims>())
            };
            everywhere = everywhere.into_iter().flat_map(extend).collect();
        }
        let view = value.view();
        everywhere.iter().map(|place| view.at::<T>(place).number()).collect()
    }
}

/// An element on its way to text.
#[derive(Clone, Copy)]
enum Number {
    Bool(bool),
    Integer(i64),
    Float(Float),
}

/// A float with the functions that know how many digits its type needs.
#[derive(Clone, Copy)]
struct Float {
    value: f64,
    /// The shortest digits that name the value in its type, in scientific notation: `1.25e-3`.
    shortest: fn(f64) -> String,
    /// Decimal digits that the type always holds; numbers with more of them before the point get exponents.
    digits: i32,
}

trait IntoNumber {
    fn number(self) -> Number;
}

impl IntoNumber for bool {
    fn number(self) -> Number {
        Number::Bool(self)
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl IntoNumber for $type {
            fn number(self) -> Number {
                Number::Integer(i64::from(self))
            }
        }
    )*};
}

integers!(u8, i32, i64);

macro_rules! floats {
    ($($type:ty: $digits:literal, $shortest:expr;)*) => {$(
        impl IntoNumber for $type {
            fn number(self) -> Number {
                Number::Float(Float { value: self.to_f64(), shortest: $shortest, digits: $digits })
            }
        }
    )*};
}

floats! {
    f64: 15, |value| format!("{value:e}");
    f32: 6, |value| format!("{:e}", value as f32);
    half::f16: 3, |value| shortest_of(value, |text| half::f16::from_f64(text).to_f64());
    half::bf16: 6, |value| shortest_of(value, |text| half::bf16::from_f64(text).to_f64());
}

/// The fewest digits that still become the value when they are rounded to its type.
fn shortest_of(value: f64, round: impl Fn(f64) -> f64) -> String {
    let digits = (0..17).map(|digits| format!("{value:.digits$e}"));
    let exact = format!("{value:e}");
    digits
        .into_iter()
        .find(|text| text.parse::<f64>().is_ok_and(|near| round(near) == value))
        .unwrap_or(exact)
}

impl Number {
    /// As NumPy prints a scalar.
    fn alone(self) -> String {
        match self {
            Number::Bool(true) => "True".to_string(),
            Number::Bool(false) => "False".to_string(),
            Number::Integer(integer) => integer.to_string(),
            Number::Float(float) => float.alone(),
        }
    }
}

impl Float {
    fn alone(self) -> String {
        let magnitude = self.value.abs();
        if !self.value.is_finite() {
            return self.not_finite();
        }
        let limit = 10f64.powi(if self.digits == 15 { 16 } else { self.digits });
        if magnitude == 0.0 || (1e-4..limit).contains(&magnitude) {
            let (whole, fraction) = self.positional(usize::MAX);
            return format!("{whole}.{}", if fraction.is_empty() { "0" } else { &fraction });
        }
        let (whole, fraction, exponent) = self.scientific(usize::MAX);
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{whole}{point}{fraction}{}", exponent_text(exponent, 2))
    }

    fn not_finite(self) -> String {
        match (self.value.is_nan(), self.value < 0.0) {
            (true, _) => "nan".to_string(),
            (false, true) => "-inf".to_string(),
            (false, false) => "inf".to_string(),
        }
    }

    /// Whole part with its sign, and fraction of at most `precision` digits without trailing zeros.
    fn positional(self, precision: usize) -> (String, String) {
        let shortest = (self.shortest)(self.value);
        let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        // The point belongs behind this many of the digits.
        let point = exponent + 1;
        let fraction_digits = (digits.len() as i32 - point).max(0) as usize;
        let sign = if self.value.is_sign_negative() { "-" } else { "" };
        let (whole, fraction) = if fraction_digits > precision {
            // More digits than are shown: round the exact value.
            let rounded = format!("{:.precision$}", self.value.abs());
            let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
            (whole.to_string(), fraction.to_string())
        } else if point <= 0 {
            ("0".to_string(), "0".repeat((-point) as usize) + &digits)
        } else if point as usize >= digits.len() {
            (digits.clone() + &"0".repeat(point as usize - digits.len()), String::new())
        } else {
            (digits[..point as usize].to_string(), digits[point as usize..].to_string())
        };
        (sign.to_string() + &whole, fraction.trim_end_matches('0').to_string())
    }

    /// Whole digit with its sign, fraction of at most `precision` digits without trailing zeros, and exponent.
    fn scientific(self, precision: usize) -> (String, String, i32) {
        let shortest = parts_of(&(self.shortest)(self.value));
        if shortest.1.len() > precision { self.rounded(precision) } else { shortest }
    }

    /// The same with the exact value rounded to so many digits.
    fn rounded(self, precision: usize) -> (String, String, i32) {
        parts_of(&format!("{:.precision$e}", self.value))
    }
}

/// Takes `-1.250e-3` apart: `-1`, `25` and -3.
fn parts_of(scientific: &str) -> (String, String, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    (whole.to_string(), fraction.trim_end_matches('0').to_string(), exponent.parse().unwrap_or(0))
}

/// `e+05`, with at least so many digits.
fn exponent_text(exponent: i32, digits: usize) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:0digits$}", exponent.abs())
}

/// All elements as words of one width.
fn aligned(numbers: &[Number]) -> Vec<String> {
    let floats: Vec<Float> = numbers
        .iter()
        .filter_map(|number| match number {
            Number::Float(float) => Some(*float),
            _ => None,
        })
        .collect();
    if !floats.is_empty() {
        return aligned_floats(&floats);
    }
    let words: Vec<String> = numbers.iter().map(|number| number.alone()).collect();
    // NumPy keeps room for `False` even where all are true.
    let boolean = numbers.iter().any(|number| matches!(number, Number::Bool(_)));
    let width = words.iter().map(String::len).max().unwrap_or(0).max(if boolean { 5 } else { 0 });
    words.into_iter().map(|word| format!("{word:>width$}")).collect()
}

fn aligned_floats(floats: &[Float]) -> Vec<String> {
    let finite: Vec<Float> = floats.iter().copied().filter(|float| float.value.is_finite()).collect();
    let (mut left, right, words): (usize, usize, Vec<(String, String)>) = match wants_exponents(&finite) {
        true => {
            let parts: Vec<_> = finite.iter().map(|float| float.scientific(PRECISION)).collect();
            let left = parts.iter().map(|part| part.0.len()).max().unwrap_or(0);
            let digits = parts.iter().map(|part| part.1.len()).max().unwrap_or(0);
            let exponent_digits =
                parts.iter().map(|part| part.2.abs().to_string().len()).max().unwrap_or(0).max(2);
            let words = finite.iter().zip(&parts).map(|(float, part)| {
                // Like NumPy, the place of missing digits is not filled with zeros but with the value's own digits.
                let exact = float.rounded(digits);
                let (whole, fraction, exponent) = if part.1.len() < digits { &exact } else { part };
                (whole.clone(), format!("{fraction:0<digits$}{}", exponent_text(*exponent, exponent_digits)))
            });
            (left, digits + exponent_digits + 2, words.collect())
        }
        false => {
            let parts: Vec<_> = finite.iter().map(|float| float.positional(PRECISION)).collect();
            let left = parts.iter().map(|part| part.0.len()).max().unwrap_or(0);
            let right = parts.iter().map(|part| part.1.len()).max().unwrap_or(0);
            (left, right, parts)
        }
    };
    // The words that are no numbers may need more room than the digits do.
    for float in floats.iter().filter(|float| !float.value.is_finite()) {
        left = left.max(float.not_finite().len().saturating_sub(right + 1));
    }
    let mut words = words.into_iter();
    let word = |float: &Float| match float.value.is_finite() {
        true => {
            let (whole, tail) = words.next().unwrap_or_default();
            format!("{whole:>left$}.{tail:<right$}")
        }
        false => format!("{:>width$}", float.not_finite(), width = left + right + 1),
    };
    floats.iter().map(word).collect()
}

/// Whether the magnitudes lie so far apart, or are so large, that exponents are easier to read.
fn wants_exponents(finite: &[Float]) -> bool {
    let magnitudes = || finite.iter().map(|float| float.value.abs()).filter(|&magnitude| magnitude > 0.0);
    let (least, largest) = (magnitudes().fold(f64::INFINITY, f64::min), magnitudes().fold(0.0, f64::max));
    let Some(first) = finite.first() else { return false };
    largest > 0.0
        && (largest >= 10f64.powi(first.digits.min(PRECISION as i32))
            || least < 1e-4
            || largest / least > 1000.0)
}

/// Writes brackets and line breaks around the words, which come in row-major order.
struct Layout<'a> {
    shown: &'a Shown,
    words: std::slice::Iter<'a, String>,
}

impl Layout<'_> {
    fn write(&mut self, axis: usize, indent: &str, width: usize) -> String {
        let axes_left = self.shown.places.len() - axis;
        let body = if axes_left == 1 {
            self.row(axis, indent, width - 1)
        } else {
            self.block(axis, indent, width - 1, axes_left)
        };
        format!("[{}]", &body[indent.len()..])
    }

    /// The items of one row, wrapped where they do not fit on a line.
    fn row(&mut self, axis: usize, indent: &str, width: usize) -> String {
        let count = self.shown.places[axis].len();
        let (mut text, mut line) = (String::new(), indent.to_string());
        let mut put = |word: &str, last: bool| {
            if line.len() + word.len() > width && line.len() > indent.len() {
                text.push_str(line.trim_end());
                text.push('\n');
                line = indent.to_string();
            }
            line.push_str(word);
            if !last {
                line.push(' ');
            }
        };
        for place in 0..count {
            if self.shown.leading[axis] == Some(place) {
                put("...", false);
            }
            put(self.words.next().map_or("", String::as_str), place + 1 == count);
        }
        text + &line
    }

    fn block(&mut self, axis: usize, indent: &str, width: usize, axes_left: usize) -> String {
        let count = self.shown.places[axis].len();
        let inner = format!("{indent} ");
        let gap = "\n".repeat(axes_left - 1);
        let mut text = String::new();
        for place in 0..count {
            if self.shown.leading[axis] == Some(place) {
                text += &format!("{indent}...{gap}");
            }
            let nested = self.write(axis + 1, &inner, width);
            text += &format!("{indent}{nested}");
            if place + 1 < count {
                text += &gap;
            }
        }
        text
    }
}
