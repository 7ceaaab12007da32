//! Gradients through loops and branches against central finite differences in `f64`, and the second order.

use crate::cases::{Run, cases};
use crate::{assert_same, numbers};
use rushlight_core::random::Generator;
use rushlight_core::{
    DType, Result, Tape, Tensor, Variable, cond, for_range, function, scan, value_and_grad, while_loop,
};

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 2e-7;

fn floats(inputs: &[Tensor]) -> Vec<usize> {
    (0..inputs.len()).filter(|&at| inputs[at].dtype().unwrap() == DType::F64).collect()
}

/// The weighted sum of all float results.
fn total(run: Run, inputs: &[Tensor]) -> Result<Tensor> {
    let mut total = Tensor::scalar(0.0f64);
    for (output, seed) in run(inputs)?.iter().zip(1000..) {
        let spec = output.spec()?;
        if spec.dtype.is_float() {
            let weights = Generator::new(seed).uniform(&spec.dims, -1.0, 1.0, DType::F64);
            total = total + (output * weights).sum(..);
        }
    }
    Ok(total)
}

fn gradients(run: Run, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let tape = Tape::new();
    let sources: Vec<&Tensor> = floats(inputs).iter().map(|&at| &inputs[at]).collect();
    sources.iter().for_each(|source| tape.watch(source));
    tape.gradient(&total(run, inputs)?, &sources)
}

/// The gradients of the weighted sum of the gradients.
fn second(run: Run, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let tape = Tape::new();
    let sources: Vec<&Tensor> = floats(inputs).iter().map(|&at| &inputs[at]).collect();
    sources.iter().for_each(|source| tape.watch(source));
    let mut total = Tensor::scalar(0.0f64);
    for (gradient, seed) in gradients(run, inputs)?.iter().zip(2000..) {
        let weights = Generator::new(seed).uniform(gradient.shape()?, -1.0, 1.0, DType::F64);
        total = total + (gradient * weights).sum(..);
    }
    tape.gradient(&total, &sources)
}

#[test]
fn gradients_equal_finite_differences_in_every_mode() -> Result<()> {
    let mut slopes = 0;
    for case in cases().iter().filter(|case| !floats(&case.inputs).is_empty()) {
        let name = case.name;
        let eager = gradients(case.run, &case.inputs)?;
        let compiled = function("gradients", |inputs: &Vec<Tensor>| gradients(case.run, inputs));
        assert_same(name, &eager, &compiled.call(&case.inputs)?);
        assert_same(name, &eager, &compiled.call(&case.inputs)?);
        for (&index, gradient) in floats(&case.inputs).iter().zip(&eager) {
            let elements = numbers(&case.inputs[index]);
            let gradient = numbers(gradient);
            let scale = gradient.iter().fold(1.0f64, |scale, g| scale.max(g.abs()));
            for (place, &element) in elements.iter().enumerate() {
                let step = STEP * element.abs().max(0.1);
                let at = |element: f64| {
                    let mut moved = elements.clone();
                    moved[place] = element;
                    let mut inputs = case.inputs.clone();
                    inputs[index] = Tensor::new(&moved, case.inputs[index].shape().unwrap());
                    total(case.run, &inputs).unwrap().item::<f64>().unwrap()
                };
                let near = at(element + step) - at(element - step);
                let far = at(element + 2.0 * step) - at(element - 2.0 * step);
                let slope = (8.0 * near - far) / (12.0 * step);
                assert!(
                    (slope - gradient[place]).abs() <= TOLERANCE * scale,
                    "{name}: input {index}, element {place}: {} by formula, {slope} by differences",
                    gradient[place]
                );
                slopes += 1;
            }
        }
    }
    assert!(slopes > 200, "{slopes} slopes compared");
    Ok(())
}

#[test]
fn second_derivatives_are_the_same_recorded() -> Result<()> {
    for case in cases().iter().filter(|case| !floats(&case.inputs).is_empty()) {
        let eager = second(case.run, &case.inputs)?;
        let compiled = function("second", |inputs: &Vec<Tensor>| second(case.run, inputs));
        assert_same(case.name, &eager, &compiled.call(&case.inputs)?);
    }
    Ok(())
}

#[test]
fn a_loop_without_a_bound_says_that_nothing_flows() -> Result<()> {
    let slope = function("slope", |x: &Tensor| {
        let tape = Tape::new();
        tape.watch(x);
        let y = while_loop(x.clone(), |y| y.less(100.0), |y| y * 2.0);
        tape.gradient(&y, &[x]).map(|mut gradients| gradients.remove(0))
    });
    let line = line!() - 2;
    let error = slope.call(&Tensor::scalar(3.0f64)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "[while_loop] no gradient flows through a loop that may go on for any time: give it a bound, with \
             while_loop_at_most(max_iterations, ..) ({}:{line}, in slope/gradient)",
            file!()
        )
    );
    Ok(())
}

/// Gradients taken inside of a body, with respect to what the body reads: gradient descent in a loop.
#[test]
fn gradients_inside_of_a_body() -> Result<()> {
    let w = Variable::new("w", &Tensor::from([4.0f64, -3.0]))?;
    let descend = |target: &Tensor| {
        let losses = scan(Tensor::scalar(0.0f64), target, |sum: Tensor, target: Tensor| {
            let (loss, gradients) =
                value_and_grad(|| (w.read() - target).square().sum(..), std::slice::from_ref(&w))?;
            w.assign_sub(&(&gradients[0] * 0.1))?;
            Ok((sum + &loss, loss))
        })?;
        Ok((losses.0, losses.1, w.read()))
    };
    let targets = Generator::new(3).uniform([7, 2], -1.0, 1.0, DType::F64);
    let before = w.read();
    let eager = descend(&targets)?;
    w.assign(&before)?;
    let compiled = function("descend", descend).call(&targets)?;
    assert_same("descent", &[eager.0, eager.1, eager.2], &[compiled.0, compiled.1, compiled.2]);
    Ok(())
}

/// Variables that a body reads are seen by tapes outside of it.
#[test]
fn gradients_of_variables_through_bodies() -> Result<()> {
    let w = Variable::new("w", &Tensor::new(&[0.5f64, -0.25, 0.75, 0.1], [2, 2]))?;
    let b = Variable::new("b", &Tensor::from([0.3f64, -0.2]))?;
    let slopes = |x: &Tensor| {
        let (loss, gradients) = value_and_grad(
            || {
                let y = for_range(0..9, x.clone(), |_, y: Tensor| (y.matmul(&w.read()) + b.read()).tanh());
                cond(&y.sum(..).greater(0.0), || (&y * b.read()).sum(..), || (&y * w.read().sum(..)).sum(..))
            },
            &[w.clone(), b.clone()],
        )?;
        Ok((loss, gradients))
    };
    let x = Generator::new(5).uniform([3, 2], -1.0, 1.0, DType::F64);
    let (eager, eager_gradients) = slopes(&x)?;
    let (loss, compiled) = function("slopes", slopes).call(&x)?;
    assert_same("loss", &[eager], &[loss]);
    assert_same("gradients", &eager_gradients, &compiled);
    assert!(numbers(&compiled[0]).iter().all(|&slope| slope != 0.0));
    Ok(())
}
