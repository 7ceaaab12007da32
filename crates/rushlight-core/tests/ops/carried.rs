//! A carried error passes through every op unchanged, runs nothing and records nothing.

use crate::registry;
use rushlight_core::{DType, Error, ErrorKind, Tensor, function, trace};

fn broken() -> (Tensor, Error) {
    let error = Error::new(ErrorKind::Value, "test", "this is wrong");
    (Tensor::carry(error.clone()), error)
}

#[test]
fn every_op_passes_a_carried_error_on() {
    let mut passed = 0;
    for case in registry::cases() {
        for index in 0..case.inputs.len() {
            let (carrier, error) = broken();
            let mut inputs = case.inputs.clone();
            inputs[index] = carrier;
            // The registry's closures may prepare inputs with ops of their own: those run on what is sound.
            let before = trace::applied_ops();
            let outputs = (case.run)(&inputs);
            let applied = trace::applied_ops() - before;
            assert!(!outputs.is_empty());
            for output in outputs {
                let got = output.check().map(|_| ()).unwrap_err();
                assert_eq!(got, error, "{}: input {index} carried an error", case.name());
                passed += 1;
            }
            let prepares = case.name() == "matmul/transposed";
            assert!(
                applied == 0 || prepares,
                "{}: {applied} ops ran despite input {index}'s error",
                case.name()
            );
        }
    }
    println!("carried errors: {passed} results checked");
}

#[test]
fn a_function_that_meets_an_error_records_nothing_more() {
    let double = function("double", |x: &Tensor| {
        let wrong = x + Tensor::zeros([7], DType::F32);
        let before = trace::applied_ops();
        let after = (wrong * 2.0).exp().sum(..).matmul(x);
        assert_eq!(trace::applied_ops(), before);
        after
    });
    let result = double.call(&Tensor::from([1.0f32, 2.0]));
    let error = result.check().map(|_| ()).unwrap_err();
    assert_eq!(error.op(), "add");
}

#[test]
fn errors_stop_at_boundaries() {
    let variable = rushlight_core::Variable::new("w", &Tensor::from([1.0f32])).unwrap();
    let (carrier, error) = broken();
    assert_eq!(variable.assign(&carrier).unwrap_err(), error);
    assert_eq!(variable.read().to_vec::<f32>().unwrap(), [1.0]);
    assert_eq!(carrier.shape().unwrap_err(), error);
    assert_eq!(carrier.dims::<2>().unwrap_err(), error);
    assert_eq!(carrier.to_vec::<f32>().unwrap_err(), error);
    assert_eq!(carrier.to_ndarray::<f32>().unwrap_err(), error);
    let tape = rushlight_core::Tape::new();
    assert_eq!(tape.gradient(&carrier, &[]).unwrap_err(), error);
}
