//! What a call of a recorded function costs besides its work: run with `--release`.
//!
//! With words as arguments, only what has one of them in its name is timed.

use rushlight_core::{DType, Result, Tensor, Variable, value_and_grad};
use rushlight_macros::{Structure, function};
use std::hint::black_box;
use std::time::Instant;

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Batch {
    images: Tensor,
    labels: Tensor,
    weighted: bool,
}

#[function(crate = rushlight_core)]
fn one(x: &Tensor) -> Tensor {
    x.clone()
}

#[function(crate = rushlight_core)]
fn several(x: &Tensor, batch: &Batch, weight: &Variable, rate: f32, steps: usize) -> (Tensor, Tensor) {
    let _ = (weight, rate, steps, batch.weighted, &batch.labels);
    (x.clone(), batch.images.clone())
}

#[function(crate = rushlight_core)]
fn read_all(variables: &[Variable]) -> Tensor {
    let mut values: Vec<Tensor> = variables.iter().map(|variable| variable.read()).collect();
    values.remove(0)
}

/// One step of a small net: 16-16-4, batch 8, ReLU, squared distance, SGD.
#[function(crate = rushlight_core)]
fn train(weights: &[Variable], x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let loss = || {
        let hidden = (x.matmul(&weights[0].read()) + weights[1].read()).relu();
        (hidden.matmul(&weights[2].read()) + weights[3].read() - y).square().mean(..)
    };
    let (loss, gradients) = value_and_grad(loss, weights)?;
    for (weight, gradient) in weights.iter().zip(&gradients) {
        weight.assign_sub(&(gradient * 0.01))?;
    }
    Ok(loss)
}

fn time(name: &str, mut call: impl FnMut()) {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
        return;
    }
    let mut nanoseconds: Vec<f64> = (0..50)
        .map(|_| {
            let start = Instant::now();
            (0..2000).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / 2000.0
        })
        .collect();
    nanoseconds.sort_by(f64::total_cmp);
    let (least, median) = (nanoseconds[0], nanoseconds[25]);
    println!("{name}: {median:.0} ns a call, {least:.0} at best (of 50 times 2000)");
}

fn main() -> rushlight_core::Result<()> {
    let x = Tensor::ones([32, 10], DType::F32) + Tensor::zeros([1, 10], DType::F32);
    let batch = Batch { images: x.clone(), labels: Tensor::zeros([32], DType::I32), weighted: true };
    let weight = Variable::new("weight", &x)?;
    let many = (0..100).map(|_| Variable::new("w", &x)).collect::<Result<Vec<_>>>()?;
    time("one tensor", || drop(black_box(one(black_box(&x)))));
    time("three tensors, a variable, three plain values", || {
        drop(black_box(several(black_box(&x), &batch, &weight, 0.1, 3)));
    });
    for steps in 0..31 {
        several(&x, &batch, &weight, 0.1, steps).0.check()?;
    }
    let mut steps = 0;
    time("the same, each of 31 recordings in turn", || {
        steps = (steps + 1) % 31;
        drop(black_box(several(black_box(&x), &batch, &weight, 0.1, steps)));
    });
    let few = Tensor::from([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    time("eager add of eight numbers", || drop(black_box(black_box(&few) + black_box(&few))));
    time("eager add of a number", || drop(black_box(black_box(&few) + 1.5)));
    time("eager tanh of eight numbers", || drop(black_box(black_box(&few).tanh())));
    let weights = [vec![16, 16], vec![16], vec![16, 4], vec![4]];
    let weights = weights.iter().map(|dims| Variable::new("w", &Tensor::full(dims, 0.1, DType::F32)));
    let weights = weights.collect::<Result<Vec<_>>>()?;
    let (images, targets) = (Tensor::ones([8, 16], DType::F32), Tensor::ones([8, 4], DType::F32));
    time("a train step of a net 16-16-4", || {
        drop(black_box(train(black_box(&weights), &images, &targets).expect("shapes fit")));
    });
    time("one hundred variables", || drop(black_box(read_all(black_box(&many)))));
    Ok(())
}
