//! Distributions of values as TensorBoard draws them.

use rushlight_core::{DType, Result, Tensor, eagerly};

/// Buckets of equal width, as TensorFlow's summaries have.
const BUCKETS: usize = 30;

/// How many of a tensor's elements lie in each of 30 ranges between the least and the greatest: rows of left edge,
/// right edge and count.
///
/// The last range holds its right edge. If all elements are equal, the last row holds them all; NaN and infinities
/// are left out.
pub(super) fn histogram(values: &Tensor) -> Result<Vec<[f64; 3]>> {
    let values = eagerly(|| values.cast(DType::F64)).to_vec::<f64>()?;
    Ok(buckets(&values))
}

fn buckets(values: &[f64]) -> Vec<[f64; 3]> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (count, least, greatest) = finite().fold((0usize, f64::INFINITY, f64::NEG_INFINITY), |sum, value| {
        (sum.0 + 1, sum.1.min(value), sum.2.max(value))
    });
    if count == 0 {
        return vec![[0.0; 3]; BUCKETS];
    }
    if least == greatest {
        let mut rows = vec![[least, least, 0.0]; BUCKETS];
        rows[BUCKETS - 1][2] = count as f64;
        return rows;
    }
    // The range of all f64 is no f64: then everything is counted at a quarter of its size.
    let scale = if (greatest - least).is_finite() { 1.0 } else { 0.25 };
    let start = least * scale;
    let width = (greatest * scale - start) / BUCKETS as f64;
    let edge = |index: usize| match index {
        BUCKETS => greatest,
        _ => (start + width * index as f64) / scale,
    };
    let mut rows: Vec<[f64; 3]> = (0..BUCKETS).map(|index| [edge(index), edge(index + 1), 0.0]).collect();
    for value in finite() {
        let position = ((value * scale - start) / width) as usize;
        rows[position.min(BUCKETS - 1)][2] += 1.0;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_where_they_lie() {
        let values: Vec<f64> = (0..=300).map(f64::from).collect();
        let rows = buckets(&values);
        assert_eq!((rows.len(), rows[0], rows[29]), (30, [0.0, 10.0, 10.0], [290.0, 300.0, 11.0]));
        assert_eq!(rows.iter().map(|row| row[2]).sum::<f64>(), 301.0);
        assert!(rows.windows(2).all(|pair| pair[0][1] == pair[1][0]));
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(buckets(&[]), vec![[0.0; 3]; 30]);
        assert_eq!(buckets(&[f64::NAN, f64::INFINITY]), vec![[0.0; 3]; 30]);
        let equal = buckets(&[2.5; 7]);
        assert_eq!((equal.len(), equal[0], equal[29]), (30, [2.5, 2.5, 0.0], [2.5, 2.5, 7.0]));
        let widest = buckets(&[f64::MIN, 0.0, f64::MAX, f64::NAN]);
        assert_eq!(widest.iter().map(|row| row[2]).sum::<f64>(), 3.0);
        assert!(widest.as_flattened().iter().all(|value| value.is_finite()));
        let smallest = buckets(&[0.0, f64::from_bits(1)]);
        assert_eq!(smallest.iter().map(|row| row[2]).sum::<f64>(), 2.0);
    }
}
