//! Files of other frameworks: `files/make.py` made them, with what Keras computes from them.

mod damage;
mod densenet;
mod keras;
mod onnx;
#[path = "../common/peer.rs"]
mod peer;

use rushlight::formats::read_npz;
use rushlight::prelude::*;
use std::collections::HashMap;

/// A file beside the script that made it.
pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/files").join(name)
}

/// The arrays that belong to a model.
pub struct Arrays(HashMap<String, Tensor>);

impl Arrays {
    pub fn of(name: &str) -> Arrays {
        Arrays(read_npz(&file(&format!("{name}.npz"))).unwrap().into_iter().collect())
    }

    /// Those whose names begin so, in their order.
    pub fn all(&self, prefix: &str) -> Vec<Tensor> {
        (0..).map_while(|index| self.0.get(&format!("{prefix}_{index}")).cloned()).collect()
    }

    pub fn vector(&self, name: &str) -> Vec<f64> {
        self.0[name].cast(DType::F64).to_vec().unwrap()
    }
}

/// Asserts that all elements agree to within a tolerance, relative where they are larger than one.
#[track_caller]
pub fn assert_close(got: &Tensor, wanted: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(got.shape().unwrap(), wanted.shape().unwrap(), "{what}");
    let numbers = |tensor: &Tensor| tensor.cast(DType::F64).to_vec::<f64>().unwrap();
    for (index, (got, wanted)) in numbers(got).into_iter().zip(numbers(wanted)).enumerate() {
        let allowed = tolerance * wanted.abs().max(1.0);
        assert!((got - wanted).abs() <= allowed, "{what}: element {index} is {got}, not {wanted}");
    }
}
