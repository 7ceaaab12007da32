//! What a call of a recorded function costs besides its work: run with `--release`.

use rushlight_core::{DType, Tensor, Variable};
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

fn time(name: &str, mut call: impl FnMut()) {
    let mut nanoseconds: Vec<f64> = (0..50)
        .map(|_| {
            let start = Instant::now();
            (0..2000).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / 2000.0
        })
        .collect();
    nanoseconds.sort_by(f64::total_cmp);
    println!("{name}: {:.0} ns a call (median of 50 times 2000)", nanoseconds[25]);
}

fn main() -> rushlight_core::Result<()> {
    let x = Tensor::ones([32, 10], DType::F32);
    let batch = Batch { images: x.clone(), labels: Tensor::zeros([32], DType::I32), weighted: true };
    let weight = Variable::new("weight", &x)?;
    let many = (0..100).map(|_| Variable::new("w", &x)).collect::<Result<Vec<_>, _>>()?;
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
    time("one hundred variables", || drop(black_box(read_all(black_box(&many)))));
    Ok(())
}
