//! Every gradient formula against central finite differences in `f64`, and the gradients of gradients.

use crate::registry::{self, Case, uniform};
use rushlight_core::{DType, Tape, Tensor};

/// Step of the finite differences, times the magnitude of the number that is moved.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 2e-7;

type Run<'a> = Box<dyn Fn(&[Tensor]) -> Vec<Tensor> + 'a>;

/// A function of tensors, and which of its inputs it is differentiated by.
struct Subject<'a> {
    inputs: Vec<Tensor>,
    floats: Vec<usize>,
    run: Run<'a>,
}

impl<'a> Subject<'a> {
    fn of(case: &'a Case) -> Subject<'a> {
        let is_float = |tensor: &Tensor| tensor.dtype().unwrap() == DType::F64;
        let floats = (0..case.inputs.len()).filter(|&i| is_float(&case.inputs[i])).collect();
        Subject { inputs: case.inputs.clone(), floats, run: Box::new(|inputs| (case.run)(inputs)) }
    }

    /// The weighted sum of all float outputs: what is differentiated.
    fn total(&self, inputs: &[Tensor]) -> Tensor {
        let mut total = Tensor::scalar(0.0f64);
        for (output, seed) in (self.run)(inputs).iter().zip(1000..) {
            let spec = output.spec().unwrap();
            if spec.dtype.is_float() {
                total = total + (output * uniform(seed, &spec.dims, -1.0, 1.0)).sum(..);
            }
        }
        total
    }

    fn gradients(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let tape = Tape::new();
        let sources: Vec<&Tensor> = self.floats.iter().map(|&i| &inputs[i]).collect();
        sources.iter().for_each(|source| tape.watch(source));
        let total = self.total(inputs);
        tape.gradient(&total, &sources).unwrap()
    }

    /// The function that gives this one's gradients.
    fn derivative(&'a self) -> Subject<'a> {
        let inputs = self.inputs.clone();
        Subject { inputs, floats: self.floats.clone(), run: Box::new(|inputs| self.gradients(inputs)) }
    }

    /// Compares each gradient with finite differences; returns the number of elements compared.
    fn check(&self, name: &str) -> usize {
        let got = self.gradients(&self.inputs);
        let mut count = 0;
        for (&index, gradient) in self.floats.iter().zip(&got) {
            let x = &self.inputs[index];
            assert_eq!(gradient.spec().unwrap(), x.spec().unwrap(), "{name}: gradient of input {index}");
            let gradient = gradient.to_vec::<f64>().unwrap();
            let elements = x.to_vec::<f64>().unwrap();
            let scale = gradient.iter().fold(1.0f64, |scale, g| scale.max(g.abs()));
            for (place, &element) in elements.iter().enumerate() {
                let step = STEP * element.abs().max(0.1);
                let at = |element: f64| {
                    let mut moved = elements.clone();
                    moved[place] = element;
                    let mut inputs = self.inputs.clone();
                    inputs[index] = Tensor::new(&moved, x.shape().unwrap());
                    self.total(&inputs).item::<f64>().unwrap()
                };
                // Five points: the error is of the fourth order in the step.
                let near = at(element + step) - at(element - step);
                let far = at(element + 2.0 * step) - at(element - 2.0 * step);
                let slope = (8.0 * near - far) / (12.0 * step);
                assert!(
                    (slope - gradient[place]).abs() <= TOLERANCE * scale,
                    "{name}: gradient of input {index}, element {place}: {} by formula, {slope} by differences",
                    gradient[place]
                );
                count += 1;
            }
        }
        count
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let (mut cases, mut elements) = (0, 0);
    for case in registry::cases().iter().filter(|case| case.differentiable) {
        let subject = Subject::of(case);
        elements += subject.check(&case.name());
        elements += subject.derivative().check(&format!("second order of {}", case.name()));
        cases += 1;
    }
    println!("gradients: {cases} cases, each to the second order, {elements} slopes compared");
}

/// Where several elements are extreme they share the gradient; where both sides are equal the right one gets it.
#[test]
fn ties_follow_the_documented_rule() {
    let x = Tensor::from([1.0, 3.0, 3.0]);
    let tape = Tape::new();
    tape.watch(&x);
    assert_eq!(tape.gradient(&x.max(..), &[&x]).unwrap()[0].to_vec::<f64>().unwrap(), [0.0, 0.5, 0.5]);
    assert_eq!(tape.gradient(&x.relu(), &[&x]).unwrap()[0].to_vec::<f64>().unwrap(), [1.0, 1.0, 1.0]);
    let zero = Tensor::from([0.0]);
    tape.watch(&zero);
    assert_eq!(tape.gradient(&zero.relu(), &[&zero]).unwrap()[0].to_vec::<f64>().unwrap(), [0.0]);
    assert_eq!(tape.gradient(&zero.softplus(), &[&zero]).unwrap()[0].to_vec::<f64>().unwrap(), [0.5]);
}
