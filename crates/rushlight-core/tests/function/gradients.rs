//! Gradients inside of recorded functions, and recorded functions inside of gradients.

use crate::{elements, times, variable, vector};
use rushlight_core::random::Generator;
use rushlight_core::{
    DType, Result, Tape, Tensor, Variable, custom_gradient, function as closure, run_functions_eagerly,
    sparse_categorical_crossentropy, value_and_grad,
};
use rushlight_macros::{Structure, function};

/// The elements of several vectors.
type Vectors = Vec<Vec<f32>>;

/// Calls a function of a vector recorded and eagerly.
fn both_ways(body: impl Fn(&Tensor) -> Result<Vec<Tensor>>) -> Result<(Vectors, Vectors)> {
    let recorded = closure("recorded", body);
    let x = vector(&[0.5, -1.25, 2.0]);
    let call = || -> Result<Vectors> { Ok(recorded.call(&x)?.iter().map(elements).collect()) };
    let eager = run_functions_eagerly(call)?;
    let first = call()?;
    assert_eq!(first, call()?);
    assert_eq!(recorded.recordings().recording_count(), 1);
    Ok((first, eager))
}

#[test]
fn first_and_second_derivatives() -> Result<()> {
    let (recorded, eager) = both_ways(|x| {
        let outer = Tape::new();
        outer.watch(x);
        let inner = Tape::new();
        inner.watch(x);
        let y = (x * x * x).sum(..);
        let first = inner.gradient(&y, &[x])?.remove(0);
        let second = outer.gradient(&first, &[x])?.remove(0);
        Ok(vec![y, first, second])
    })?;
    assert_eq!(recorded, eager);
    assert_eq!(recorded[1], [0.75, 4.6875, 12.0]);
    assert_eq!(recorded[2], [3.0, -7.5, 12.0]);
    Ok(())
}

#[test]
fn custom_and_stopped_gradients() -> Result<()> {
    let (recorded, eager) = both_ways(|x| {
        let tape = Tape::new();
        tape.watch(x);
        let clipped = custom_gradient(
            &[x],
            |inputs| inputs[0].clone(),
            |inputs, _, gradient| vec![gradient * inputs[0].greater(0.0).cast(DType::F32) * 100.0],
        );
        let stopped = (x * 3.0).stop_gradient();
        let y = (clipped * stopped + x).sum(..);
        let gradient = tape.gradient(&y, &[x])?.remove(0);
        Ok(vec![y, gradient])
    })?;
    assert_eq!(recorded, eager);
    assert_eq!(recorded[1], [151.0, 1.0, 601.0]);
    Ok(())
}

#[test]
fn a_tape_outside_sees_through_a_function() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn cube(x: &Tensor) -> Tensor {
        x * x * x
    }
    let x = vector(&[2.0]);
    cube(&x).check()?;
    let tape = Tape::new();
    tape.watch(&x);
    let y = cube(&x);
    assert_eq!(elements(&tape.gradient(&y, &[&x])?[0]), [12.0]);
    drop(tape);
    assert_eq!(times(cube), 1);
    let w = variable("w", &[3.0]);
    let (value, gradients) = value_and_grad(|| cube(&w.read()).sum(..), std::slice::from_ref(&w))?;
    assert_eq!((value.item::<f32>()?, elements(&gradients[0])), (27.0, vec![27.0]));
    Ok(())
}

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Network {
    layers: Vec<(Variable, Variable)>,
    momenta: Vec<Variable>,
    momentum: f32,
}

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Batch {
    inputs: Tensor,
    classes: Tensor,
}

impl Network {
    fn new(sizes: &[usize], seed: u64) -> Result<Network> {
        let generator = Generator::new(seed);
        let mut network = Network { layers: Vec::new(), momenta: Vec::new(), momentum: 0.9 };
        for pair in sizes.windows(2) {
            let scale = (2.0 / pair[0] as f64).sqrt();
            let kernel = Variable::new("kernel", &generator.normal(pair, 0.0, scale, DType::F32))?;
            let bias = Variable::new("bias", &Tensor::zeros([pair[1]], DType::F32))?;
            for variable in [&kernel, &bias] {
                let zeros = Tensor::zeros(variable.shape(), DType::F32);
                network.momenta.push(Variable::new("momentum", &zeros)?.untrainable());
            }
            network.layers.push((kernel, bias));
        }
        Ok(network)
    }

    fn call(&self, x: &Tensor) -> Tensor {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x.clone(), |x, (index, (kernel, bias))| {
            let x = x.matmul(&kernel.read()) + bias.read();
            if index < last { x.relu() } else { x }
        })
    }

    /// Momentum descent; the momentum's old value goes into the step as Keras's SGD does it.
    #[function(crate = rushlight_core)]
    fn step(&self, batch: &Batch, rate: &Tensor) -> Result<Tensor> {
        let variables: Vec<Variable> =
            self.layers.iter().flat_map(|(kernel, bias)| [kernel.clone(), bias.clone()]).collect();
        let loss = || sparse_categorical_crossentropy(&batch.classes, &self.call(&batch.inputs)).mean(..);
        let (loss, gradients) = value_and_grad(loss, &variables)?;
        for ((variable, momentum), gradient) in variables.iter().zip(&self.momenta).zip(&gradients) {
            momentum.assign(&(momentum.read() * self.momentum - gradient * rate))?;
            variable.assign_add(&momentum.read())?;
        }
        Ok(loss)
    }
}

#[test]
fn a_training_run_is_the_same_recorded_and_eager() -> Result<()> {
    let train = || -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let network = Network::new(&[8, 16, 12, 3], 3)?;
        let generator = Generator::new(4);
        let inputs = generator.normal([24, 8], 0.0, 1.0, DType::F32);
        let classes = generator.randint([24], 0, 3, DType::I32);
        let batch = Batch { inputs, classes };
        let mut losses = Vec::new();
        for step in 0..20 {
            let rate = Tensor::scalar(0.1f32 / (1.0 + step as f32 / 10.0));
            losses.push(network.step(&batch, &rate)?.item()?);
        }
        let weights = network.layers.iter().flat_map(|(kernel, bias)| [kernel, bias]);
        Ok((losses, weights.map(|variable| variable.read().to_vec()).collect::<Result<_>>()?))
    };
    let (recorded_losses, recorded_weights) = train()?;
    assert_eq!(times(Network::step), 1);
    let (eager_losses, eager_weights) = run_functions_eagerly(train)?;
    assert_eq!(times(Network::step), 1);
    let close = |a: &[f32], b: &[f32]| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-6 + 1e-5 * b.abs(), "{a} and {b}");
        }
    };
    close(&recorded_losses, &eager_losses);
    recorded_weights.iter().zip(&eager_weights).for_each(|(a, b)| close(a, b));
    assert!(eager_losses[19] < 0.5 * eager_losses[0], "it learns: {eager_losses:?}");
    Ok(())
}
