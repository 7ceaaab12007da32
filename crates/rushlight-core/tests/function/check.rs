//! The differential mode: compiled functions are held against eager execution.

use crate::{elements, variable, vector};
use rushlight_core::{DType, Result, Tensor, check_functions, function, scope, value_and_grad};

#[test]
fn a_right_function_passes_and_behaves_as_ever() -> Result<()> {
    let weight = variable("weight", &[0.5, -0.5]);
    let step = function("step", {
        let weight = weight.clone();
        move |x: &Tensor| -> Result<Tensor> {
            let loss = || (x * weight.read()).sigmoid().square().mean(..);
            let (loss, gradients) = value_and_grad(loss, std::slice::from_ref(&weight))?;
            weight.assign_sub(&(&gradients[0] * 0.1))?;
            Ok(loss)
        }
    });
    let x = vector(&[1.0, 2.0]);
    let plain = step.call(&x)?.item::<f32>()?;
    let after = elements(&weight.read());
    weight.assign(&vector(&[0.5, -0.5]))?;
    for _ in 0..2 {
        weight.assign(&vector(&[0.5, -0.5]))?;
        assert_eq!(check_functions(|| step.call(&x))?.item::<f32>()?, plain);
        assert_eq!(elements(&weight.read()), after);
    }
    assert_eq!(step.recordings().recording_count(), 1);
    Ok(())
}

#[test]
fn the_first_nan_and_the_first_infinity_are_named() -> Result<()> {
    let state = variable("state", &[1.0, 1.0]);
    let step = function("step", {
        let state = state.clone();
        move |x: &Tensor| -> Result<Tensor> {
            let inner = scope("inner", None, || x.log() + 1.0);
            state.assign(&(state.read() * &inner))?;
            Ok((inner * 2.0).tanh())
        }
    });
    let line = line!() - 5;
    check_functions(|| step.call(&vector(&[1.0, 2.0])))?;
    let before = elements(&state.read());
    let error = check_functions(|| step.call(&vector(&[1.0, -2.0]))).expect_err("log of a negative number");
    let place = format!("({}:{line}, in step/inner)", file!());
    let first = "the first NaN comes from `log` f32[2]: 1 of 2 elements, its input 1 lies between -2 and 1";
    assert_eq!(error.to_string(), format!("[step] {first} {place}"));
    assert_eq!(elements(&state.read()), before, "the variable keeps its value");
    let error = check_functions(|| step.call(&vector(&[0.0, 2.0]))).expect_err("log of zero");
    assert!(error.rule().starts_with("the first infinity comes from `log` f32[2]"), "{error}");
    // Without the check the NaN goes its way.
    assert!(elements(&step.call(&vector(&[1.0, -2.0]))?)[1].is_nan());
    Ok(())
}

#[test]
fn an_infinite_mask_is_meant() -> Result<()> {
    let masked = function("masked", |x: &Tensor| {
        let mask = Tensor::from([true, false, true]);
        let hidden = rushlight_core::where_(&mask, x, &Tensor::full([3], f64::NEG_INFINITY, DType::F32));
        hidden.softmax(-1)
    });
    let result = check_functions(|| masked.call(&vector(&[1.0, 5.0, 1.0])));
    assert_eq!(elements(&result), [0.5, 0.0, 0.5]);
    Ok(())
}
