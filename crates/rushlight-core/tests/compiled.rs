//! Whole training steps: compiled functions against the same code run op by op.

use rushlight_core::{
    ConvOptions, DType, Padding, PoolOptions, Result, Tensor, Variable, concat, function, random,
    run_functions_eagerly, sparse_categorical_crossentropy, value_and_grad,
};

/// A small net with everything that dense blocks have: batch normalization, concatenation, pooling.
struct Net {
    kernels: Vec<Variable>,
    gammas: Vec<Variable>,
    betas: Vec<Variable>,
    moving: Vec<Variable>,
    dense: Variable,
    momenta: Vec<Variable>,
}

fn weights(name: &str, dims: &[usize], seed: u64) -> Result<Variable> {
    let generator = random::Generator::new(seed);
    Variable::new(name, &generator.normal(dims, 0.0, 0.2, DType::F32))
}

impl Net {
    fn new() -> Result<Net> {
        let channels = [6, 12, 18];
        let mut net = Net {
            kernels: vec![weights("stem", &[3, 3, 3, 6], 1)?],
            gammas: vec![],
            betas: vec![],
            moving: vec![],
            dense: weights("dense", &[18, 5], 2)?,
            momenta: vec![],
        };
        for (number, &channels) in channels.iter().enumerate() {
            if number < 2 {
                net.kernels.push(weights("kernel", &[3, 3, channels, 6], 3 + number as u64)?);
            }
            net.gammas.push(Variable::new("gamma", &Tensor::ones([channels], DType::F32))?);
            net.betas.push(Variable::new("beta", &Tensor::zeros([channels], DType::F32))?);
            net.moving.push(Variable::new("moving", &Tensor::zeros([channels], DType::F32))?.untrainable());
        }
        for variable in net.trainable() {
            net.momenta
                .push(Variable::new("momentum", &Tensor::zeros(variable.shape(), DType::F32))?.untrainable());
        }
        Ok(net)
    }

    fn trainable(&self) -> Vec<Variable> {
        [&self.kernels, &self.gammas, &self.betas, &vec![self.dense.clone()]]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    fn normalized(&self, x: &Tensor, number: usize) -> Result<Tensor> {
        let mean = x.mean([0, 1, 2]);
        let variance = (x - &mean).square().mean([0, 1, 2]);
        let moving = &self.moving[number];
        moving.assign(&(moving.read() * 0.9 + &mean * 0.1))?;
        let scale = (variance + 1e-3).rsqrt() * self.gammas[number].read();
        Ok(((x - mean) * scale + self.betas[number].read()).relu())
    }

    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let same = ConvOptions::new().padding(Padding::Same);
        let mut x = x.conv2d(&self.kernels[0].read(), &same);
        for number in 0..2 {
            let y = self.normalized(&x, number)?.conv2d(&self.kernels[number + 1].read(), &same);
            x = concat(&[&x, &y], -1);
            let halves = PoolOptions::new(2);
            x = if number == 0 { x.average_pool2d(&halves) } else { x.max_pool2d(&halves) };
        }
        Ok(self.normalized(&x, 2)?.mean([1, 2]).matmul(&self.dense.read()))
    }

    fn step(&self, x: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let variables = self.trainable();
        let mut logits = None;
        let (loss, gradients) = value_and_grad(
            || match self.logits(x) {
                Ok(output) => sparse_categorical_crossentropy(labels, logits.insert(output)).mean(..),
                Err(error) => Tensor::carry(error),
            },
            &variables,
        )?;
        for ((variable, momentum), gradient) in variables.iter().zip(&self.momenta).zip(gradients) {
            momentum.assign(&(momentum.read() * 0.9 - gradient * 0.1))?;
            variable.assign_add(&momentum.read())?;
        }
        Ok(loss)
    }
}

fn batch(size: usize) -> (Tensor, Tensor) {
    let generator = random::Generator::new(9);
    let x = generator.normal([size, 8, 8, 3], 0.0, 1.0, DType::F32);
    let labels: Vec<i32> = (0..size as i32).map(|index| index % 5).collect();
    (x, Tensor::from(labels))
}

fn trajectory(size: usize, eager: bool) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
    let net = std::sync::Arc::new(Net::new()?);
    let step = function("step", {
        let net = net.clone();
        move |x: &Tensor, y: &Tensor| net.step(x, y)
    });
    let (x, y) = batch(size);
    let mut losses = Vec::new();
    for _ in 0..6 {
        let loss = if eager { run_functions_eagerly(|| step.call2(&x, &y)) } else { step.call2(&x, &y) };
        losses.push(loss?.item::<f32>()?);
    }
    let trained = net.trainable();
    let finals = trained.iter().chain(&net.moving).map(|variable| variable.read().to_vec::<f32>());
    Ok((losses, finals.collect::<Result<_>>()?))
}

#[test]
fn a_dense_block_trains_the_same_compiled_and_eager() -> Result<()> {
    // In lanes layout (32), and in strides (5).
    for size in [32, 5] {
        let (eager_losses, eager) = trajectory(size, true)?;
        let (losses, compiled) = trajectory(size, false)?;
        for (a, b) in eager_losses.iter().zip(&losses) {
            assert!((a - b).abs() < 1e-5 * a.abs().max(1e-2), "batch {size}: {eager_losses:?} {losses:?}");
        }
        assert!(losses[5] < losses[0]);
        for (a, b) in eager.iter().flatten().zip(compiled.iter().flatten()) {
            assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "batch {size}: {a} {b}");
        }
    }
    Ok(())
}

#[test]
fn variables_swap_in_program_order() -> Result<()> {
    let (a, b) = (
        Variable::new("a", &Tensor::from([1.0f32, 2.0]))?,
        Variable::new("b", &Tensor::from([3.0f32, 4.0]))?,
    );
    let swap = function("swap", {
        let (a, b) = (a.clone(), b.clone());
        move |x: &Tensor| -> Result<Tensor> {
            let old = a.read();
            a.assign(&b.read())?;
            b.assign(&old)?;
            Ok(old + x)
        }
    });
    let kept = a.read();
    assert_eq!(swap.call(&Tensor::scalar(1.0f32))?.to_vec::<f32>()?, [2.0, 3.0]);
    assert_eq!(a.read().to_vec::<f32>()?, [3.0, 4.0]);
    assert_eq!(b.read().to_vec::<f32>()?, [1.0, 2.0]);
    // A tensor read before the call keeps its value.
    assert_eq!(kept.to_vec::<f32>()?, [1.0, 2.0]);
    Ok(())
}

/// What a program keeps from call to call depends on variables: it must notice every way in which they change.
#[test]
fn inference_sees_new_weights() -> Result<()> {
    let kernel = weights("kernel", &[3, 3, 20, 24], 1)?;
    let narrow = weights("narrow", &[1, 1, 24, 20], 2)?;
    let gamma = weights("gamma", &[24], 3)?;
    let same = ConvOptions::new().padding(Padding::Same);
    // Convolutions that take along what comes before and after, parts of a concatenation and a shortcut.
    let (of_net, of_train) =
        ((kernel.clone(), gamma.clone(), narrow.clone()), (kernel.clone(), gamma.clone()));
    let net = move |x: &Tensor| {
        let (kernel, gamma, narrow) = &of_net;
        let y =
            (x.conv2d(&kernel.read(), &same) * (gamma.read().square() + 0.1).rsqrt() + gamma.read()).relu();
        let both = concat(&[x, &(y.conv2d(&narrow.read(), &same) + x).relu()], -1);
        let seen = (&both * 0.5 + &both.mean([0, 1, 2])).relu();
        concat(&[&both, &seen.slice_axis(3, 0, 20).conv2d(&kernel.read(), &same)], -1)
    };
    let infer = function("infer", net.clone());
    // Variables that a function assigns are written in place.
    let train = function("train", move |x: &Tensor| -> Result<Tensor> {
        let (kernel, gamma) = &of_train;
        kernel.assign_sub(&(kernel.read() * x.mean(..)))?;
        gamma.assign_add(&x.mean(..))?;
        Ok(x.mean(..))
    });
    let x = random::Generator::new(4).normal([2, 9, 7, 20], 0.3, 1.0, DType::F32);
    let check = |when: &str| -> Result<()> {
        let (got, wanted) = (infer.call(&x).to_vec::<f32>()?, net(&x).to_vec::<f32>()?);
        let error = got.iter().zip(&wanted).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        let largest = wanted.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(error < 2e-5 * largest, "{when}: {error} of {largest}");
        Ok(())
    };
    for round in 0..8 {
        check(&format!("round {round}, weights as they were"))?;
        check(&format!("round {round}, the same again"))?;
        train.call(&x)?;
        check(&format!("round {round}, trained"))?;
        narrow.assign(&(narrow.read() * 1.5))?;
        check(&format!("round {round}, assigned"))?;
        let whole = concat(&[&kernel.read(), &kernel.read()], 3);
        kernel.assign(&whole.slice_axis(3, 12, 36))?;
        check(&format!("round {round}, assigned a view"))?;
    }
    Ok(())
}

/// Products that a loop does on the way: an update of weights with momentum, and one whose factors are what it writes.
#[test]
fn products_in_loops_give_the_bits_of_products_before_them() -> Result<()> {
    let generator = random::Generator::new(8);
    let draw = |dims: &[usize]| generator.normal(dims, 0.0, 0.1, DType::F32);
    let (x, d, start) = (draw(&[32, 130]), draw(&[32, 90]), draw(&[130, 90]));
    let square = draw(&[128, 128]);
    let run = |compiled: bool| -> Result<Vec<Vec<f32>>> {
        let weight = Variable::new("weight", &start)?;
        let speed = Variable::new("speed", &start.zeros_like())?;
        let own = Variable::new("own", &square)?;
        let (plain, other) = (Variable::new("plain", &start)?, Variable::new("other", &start.zeros_like())?);
        let body = |x: &Tensor| -> Result<Tensor> {
            speed.assign(&(speed.read() * 0.9 + x.t().matmul(&d)))?;
            weight.assign_sub(&(speed.read() * 0.01))?;
            other.assign(&(plain.read() - x.t().matmul(&(&d + 1.0)) * 0.1))?;
            plain.assign_sub(&(x.t().matmul(&d) * 0.01))?;
            own.assign(&(own.read() - own.read().t().matmul(&own.read()) * 0.1))?;
            Ok(weight.read().sum(..))
        };
        let step = function("step", body);
        for _ in 0..3 {
            if compiled {
                step.call(&x)?
            } else {
                body(&x)?
            };
        }
        [weight, speed, own, plain, other].iter().map(|variable| variable.read().to_vec()).collect()
    };
    assert!(run(true)? == run(false)?);
    Ok(())
}
