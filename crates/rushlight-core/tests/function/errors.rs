//! Errors in and around recorded functions: delivered where they belong, and without traces left behind.

use crate::{elements, times, variable, vector};
use rushlight_core::trace::model_input;
use rushlight_core::{ErrorKind, Result, Spec, Tensor, Variable, function as closure, is_recording};
use rushlight_macros::function;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn faulty() -> Tensor {
    vector(&[1.0, 2.0]) + vector(&[1.0, 2.0, 3.0])
}

#[test]
fn a_value_cannot_be_read_while_recording() {
    #[function(crate = rushlight_core)]
    fn reads(x: &Tensor) -> Result<Tensor> {
        let largest = x.max(..).item::<f32>()?;
        Ok(x / largest)
    }
    let line = line!() - 3;
    let error = reads(&vector(&[1.0])).expect_err("there is no value yet");
    assert_eq!(error.kind(), ErrorKind::Recording);
    assert_eq!(error.location().map(|place| (place.file(), place.line())), Some((file!(), line)));
    assert!(
        error.to_string().starts_with(
            "[item] a value cannot be read while the function is being recorded: return the tensor from the \
             function and read it there, or compute with tensor ops only"
        ),
        "{error}"
    );
    assert_eq!(times(reads), 0);
}

#[test]
fn a_symbol_that_left_its_recording_is_refused() -> Result<()> {
    let stored = RefCell::new(None);
    let leak = closure("leak", |x: &Tensor| {
        *stored.borrow_mut() = Some(x * 2.0);
        x.clone()
    });
    leak.call(&vector(&[1.0])).check()?;
    let leaked = stored.take().expect("the body stored it");
    let refused = |error: rushlight_core::Error| {
        assert_eq!(error.kind(), ErrorKind::Recording, "{error}");
        assert!(
            error.to_string().contains("symbolic tensors must not be stored outside the function"),
            "{error}"
        );
    };
    refused((&leaked + 1.0).check().expect_err("used in an op"));
    refused(leaked.to_vec::<f32>().expect_err("read"));
    refused(variable("v", &[0.0]).assign(&leaked).expect_err("assigned"));
    let other = closure("other", |x: &Tensor| x + &leaked);
    refused(other.call(&vector(&[1.0])).check().expect_err("used in another recording"));
    refused(other.call(&leaked).check().expect_err("given as an argument"));
    let returning = closure("returning", |_: &Tensor| leaked.clone());
    let error = returning.call(&vector(&[1.0])).check().expect_err("returned from another recording").clone();
    assert!(error.to_string().contains("returned a symbolic tensor of another recording"), "{error}");
    let counted = variable("counted", &[0.0]);
    let assigning = closure("assigning", |_: &Tensor| counted.assign(&leaked));
    refused(assigning.call(&vector(&[1.0])).expect_err("assigned in another recording"));
    assert_eq!(elements(&counted.read()), [0.0]);
    Ok(())
}

#[test]
fn an_argument_that_carries_an_error_is_returned() {
    #[function(crate = rushlight_core)]
    fn product(x: &Tensor, y: &Tensor) -> (Tensor, [Tensor; 2]) {
        (x * y, [x.clone(), y.clone()])
    }
    let (a, [b, c]) = product(&vector(&[1.0]), &faulty());
    for result in [a, b, c] {
        let error = result.check().expect_err("the argument's error");
        assert_eq!((error.op(), error.kind()), ("add", ErrorKind::Shape));
    }
    assert_eq!(times(product), 0);
}

#[test]
fn an_error_in_the_body_leaves_nothing_behind() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn step(state: &Variable, x: &Tensor) -> Result<Tensor> {
        state.assign(&(state.read() + 1.0))?;
        let sum = x + state.read();
        state.assign(&sum)?;
        Ok(sum)
    }
    let line = line!() - 4;
    let state = variable("state", &[1.0, 2.0]);
    for _ in 0..2 {
        let error = step(&state, &vector(&[1.0, 2.0, 3.0])).expect_err("shapes that do not fit");
        assert_eq!(error.op(), "add");
        assert_eq!(error.location().map(|place| place.line()), Some(line), "{error}");
        assert_eq!(error.layer_path(), Some("step"));
        assert_eq!(elements(&state.read()), [1.0, 2.0]);
        assert_eq!(times(step), 0);
        assert!(!is_recording());
    }
    assert_eq!(elements(&step(&state, &vector(&[1.0, 2.0]))?), [3.0, 5.0]);
    assert_eq!(elements(&state.read()), [3.0, 5.0]);
    Ok(())
}

#[test]
fn an_error_carried_by_the_result_is_delivered() -> Result<()> {
    let carries = closure("carries", |x: &Tensor| (x + vector(&[1.0, 2.0, 3.0]), x.clone()));
    let (sum, same) = carries.call(&vector(&[1.0, 2.0]));
    assert_eq!(sum.check().expect_err("shapes that do not fit").op(), "add");
    assert_eq!(same.check().expect_err("no result without the others").op(), "add");
    assert_eq!(carries.recordings().recording_count(), 0);
    // What carries an error but is not needed does no harm, as in eager execution.
    let unused = closure("unused", |x: &Tensor| {
        let _ = (x + vector(&[1.0, 2.0, 3.0])).check().is_err();
        x.clone()
    });
    assert_eq!(elements(&unused.call(&vector(&[1.0, 2.0]))), [1.0, 2.0]);
    Ok(())
}

#[test]
fn a_body_that_panics_leaves_nothing_behind() -> Result<()> {
    let panics = RefCell::new(true);
    let state = variable("state", &[1.0]);
    let step = closure("step", |x: &Tensor| -> Result<Tensor> {
        state.assign_add(x)?;
        if *panics.borrow() {
            panic!("on purpose");
        }
        Ok(state.read())
    });
    let outcome = catch_unwind(AssertUnwindSafe(|| step.call(&vector(&[1.0]))));
    assert!(outcome.is_err());
    assert!(!is_recording());
    assert_eq!(elements(&state.read()), [1.0]);
    assert_eq!(step.recordings().recording_count(), 0);
    *panics.borrow_mut() = false;
    assert_eq!(elements(&step.call(&vector(&[1.0]))?), [2.0]);
    // Errors are no longer said to be inside of the function.
    assert_eq!(faulty().check().expect_err("shapes that do not fit").layer_path(), None);
    Ok(())
}

#[test]
fn a_function_called_on_a_model_becomes_part_of_it() -> Result<()> {
    let double = closure("double", |x: &Tensor| x + x);
    let input = model_input("x", Spec::new([2], rushlight_core::DType::F32));
    let output = double.call(&input);
    assert!(output.is_of_model());
    assert_eq!(double.recordings().recording_count(), 0);
    let graph = rushlight_core::trace::model::ModelGraph::new(&[&input], &[&output])?;
    assert_eq!(elements(&graph.run(&[&vector(&[1.0, 2.0])])[0]), [2.0, 4.0]);
    Ok(())
}
