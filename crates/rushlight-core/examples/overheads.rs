//! What a call of a compiled function costs where there is little to compute, and a turn of a loop in it: the cases of
//! `benches/peers/overheads.py`, one JSON object each. Run with `--release`; cases may be named.

use rushlight_core::random::Generator;
use rushlight_core::{
    DType, Result, Tensor, Variable, for_range, function as compiled, scan, sparse_categorical_crossentropy,
    value_and_grad, while_loop,
};
use rushlight_macros::function;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 15;
const SECONDS_A_ROUND: f64 = 0.05;
const BATCH: usize = 32;
const STEPS: usize = 100;
const UNITS: usize = 32;

/// The median over rounds of the mean time of a call, printed in microseconds.
fn measure(case: &str, mut call: impl FnMut() -> Result<Tensor>) -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if !wanted.is_empty() && !wanted.iter().any(|name| name == case) {
        return Ok(());
    }
    call()?.check()?;
    let mut round = |calls: usize| {
        let start = Instant::now();
        for _ in 0..calls {
            drop(black_box(call()));
        }
        start.elapsed().as_secs_f64() / calls as f64
    };
    let once = round(3).max(1e-8);
    let calls = ((SECONDS_A_ROUND / once) as usize).max(3);
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| round(calls)).collect();
    times.sort_by(f64::total_cmp);
    let microseconds = times[ROUNDS / 2] * 1e6;
    let version = env!("CARGO_PKG_VERSION");
    println!(r#"{{"peer": "rushlight", "version": "{version}", "case": "{case}", "us": {microseconds:.3}}}"#);
    Ok(())
}

fn chain(x: &Tensor, ops: usize) -> Tensor {
    (0..ops / 2).fold(x.clone(), |x, number| x * (1.0 + 1e-4 * number as f64) + 0.1)
}

#[function(crate = rushlight_core)]
fn empty(x: &Tensor) -> Tensor {
    x.clone()
}

#[function(crate = rushlight_core)]
fn scalars(x: &Tensor, ops: usize) -> Tensor {
    chain(x, ops)
}

/// A step of gradient descent on the weights of two layers.
fn step(weights: &[Variable], images: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let loss = || {
        let [w, b, v, c] = [0, 1, 2, 3].map(|number: usize| weights[number].read());
        let logits = (images.matmul(&w) + b).relu().matmul(&v) + c;
        sparse_categorical_crossentropy(labels, &logits).mean(..)
    };
    let (loss, gradients) = value_and_grad(loss, weights)?;
    for (weight, gradient) in weights.iter().zip(&gradients) {
        weight.assign_sub(&(gradient * 0.01))?;
    }
    Ok(loss)
}

#[function(crate = rushlight_core)]
fn one_step(weights: &[Variable], images: &Tensor, labels: &Tensor) -> Result<Tensor> {
    step(weights, images, labels)
}

#[function(crate = rushlight_core)]
fn many_steps(weights: &[Variable], images: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let batches = (images.clone(), labels.clone());
    let train = |(), (images, labels): (Tensor, Tensor)| Ok(((), step(weights, &images, &labels)?));
    let ((), losses) = scan((), &batches, train)?;
    Ok(losses)
}

#[function(crate = rushlight_core)]
fn recurrent(sequence: &Tensor, w: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
    let cell = |h: Tensor, x: Tensor| ((x.matmul(w) + h.matmul(u) + b).tanh(), Tensor::scalar(0.0f32));
    scan(Tensor::zeros([1, UNITS], DType::F32), sequence, cell).0
}

#[function(crate = rushlight_core)]
fn root(a: &Tensor) -> Tensor {
    let start = (a.clone(), a * 0.5 + 0.5);
    let better = |(_, x): (Tensor, Tensor)| (x.clone(), (a / &x + &x) * 0.5);
    while_loop(start, |(old, new)| new.less(old), better).0
}

fn main() -> Result<()> {
    let generator = Generator::new(0);
    let draw = |dims: &[usize], deviation: f64| generator.normal(dims, 0.0, deviation, DType::F32);
    let (ten, one, large) = (draw(&[10], 1.0), Tensor::scalar(1.0f32), Tensor::scalar(2e6f32));
    measure("empty", || Ok(empty(&ten)))?;
    measure("scalars_10", || Ok(scalars(&one, 10)))?;
    measure("scalars_1000", || Ok(scalars(&one, 1000)))?;
    let weights = [
        Variable::new("w", &draw(&[784, 128], 0.03))?,
        Variable::new("b", &Tensor::zeros([128], DType::F32))?,
        Variable::new("v", &draw(&[128, 10], 0.08))?,
        Variable::new("c", &Tensor::zeros([10], DType::F32))?,
    ];
    let images = draw(&[STEPS, BATCH, 784], 1.0);
    let labels = generator.randint([STEPS, BATCH], 0, 10, DType::I32);
    let (first, first_labels) =
        (images.slice_axis(0, 0, 1).squeeze(0), labels.slice_axis(0, 0, 1).squeeze(0));
    measure("mlp_1", || one_step(&weights, &first, &first_labels))?;
    measure("mlp_100", || many_steps(&weights, &images, &labels))?;
    let sequence = draw(&[1000, 1, UNITS], 0.2);
    let (w, u, b) = (draw(&[UNITS, UNITS], 0.2), draw(&[UNITS, UNITS], 0.2), draw(&[UNITS], 0.2));
    measure("recurrent_1000", || Ok(recurrent(&sequence, &w, &u, &b)))?;
    measure("newton", || Ok(root(&large)))?;
    // Not compared: what a turn of a loop costs besides its work.
    let turns = compiled("turns", |x: &Tensor| for_range(0..1000, x.clone(), |_, x: Tensor| x.sin()));
    measure("a thousand sines of a scalar", || Ok(turns.call(&one)))
}
