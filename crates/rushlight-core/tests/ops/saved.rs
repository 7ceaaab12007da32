//! Every op, and every gradient, comes back from a file as it was.

use crate::recorded::{as_bits, outputs_and_gradients};
use crate::registry;
use rushlight_core::{SavedFunction, Tensor, function};

#[test]
fn every_op_runs_again_from_a_file() {
    let (mut cases, mut bytes) = (0, 0);
    for case in registry::cases() {
        let compiled = function("case", |inputs: &Vec<Tensor>| outputs_and_gradients(&case, inputs));
        let want = compiled.call(&case.inputs).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let file =
            compiled.recordings().to_bytes().unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let saved =
            SavedFunction::from_bytes(&file).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let got = saved.call(&case.inputs.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(got.len(), want.len(), "{}", case.name());
        for (number, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.spec().unwrap(), want.spec().unwrap(), "{}, result {number}", case.name());
            assert_eq!(as_bits(got), as_bits(want), "{}, result {number}", case.name());
        }
        (cases, bytes) = (cases + 1, bytes + file.len());
    }
    println!("saved functions: {cases} cases, {} bytes on average", bytes / cases);
}
