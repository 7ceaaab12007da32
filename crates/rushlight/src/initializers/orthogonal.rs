//! Random orthogonal matrices.

use rushlight_core::random::Generator;
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor};

/// The orthogonal factor of a random normal matrix, whose columns are made orthogonal one after the other.
///
/// Each column is projected twice, which keeps them orthogonal to rounding. Taking the positive length of what is
/// left as the diagonal makes the result uniform among orthogonal matrices.
pub(super) fn orthogonal(random: &Generator, dims: &[usize], gain: f64, dtype: DType) -> Result<Tensor> {
    let [front @ .., columns] = dims else {
        return Err(too_few_axes(dims, dtype));
    };
    if front.is_empty() {
        return Err(too_few_axes(dims, dtype));
    }
    let rows: usize = front.iter().product();
    let (long, short) = (rows.max(*columns), rows.min(*columns));
    let numbers = random.normal([short, long], 0.0, 1.0, DType::F64).to_vec::<f64>()?;
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(short);
    for vector in numbers.chunks_exact(long.max(1)) {
        let mut vector = vector.to_vec();
        for _ in 0..2 {
            for known in &basis {
                let along: f64 = known.iter().zip(&vector).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(known).for_each(|(value, known)| *value -= along * known);
            }
        }
        let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
        basis.push(vector);
    }
    let flat: Vec<f64> = basis.concat().into_iter().map(|value| value * gain).collect();
    let matrix = Tensor::new(&flat, [short, long]);
    let matrix = if rows >= *columns { matrix.t() } else { matrix };
    Ok(matrix.reshape_to(dims).cast(dtype))
}

fn too_few_axes(dims: &[usize], dtype: DType) -> Error {
    let rule = "there must be two axes at least";
    Error::with_inputs(ErrorKind::Shape, "Initializer::Orthogonal", rule, vec![Spec::new(dims, dtype)])
}
