//! The same Rust code op by op and as a function that is recorded once and compiled as a whole: what that saves.
//!
//! `cargo run --release --example function_and_what_it_saves`

use rushlight::prelude::*;
use std::time::{Duration, Instant};

/// Normalizes rows, then bends them: six passes over memory, op by op.
fn bent(x: &Tensor, scale: &Tensor) -> Tensor {
    let centred = x - x.mean_keepdims([-1]);
    let deviation = (centred.square().mean_keepdims([-1]) + 1e-5).sqrt();
    (centred / deviation * scale).tanh() + x
}

/// The same code. At its first call with new shapes it runs once on symbols; what it did is compiled.
#[function]
fn bent_graph(x: &Tensor, scale: &Tensor) -> Tensor {
    bent(x, scale)
}

/// The median time of a call.
fn time(mut call: impl FnMut() -> Tensor) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        call().check()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

fn main() -> Result<()> {
    let x = random::normal([512, 1024], 0.0, 1.0, DType::F32);
    let scale = random::uniform([1024], 0.5, 1.5, DType::F32);

    let start = Instant::now();
    let first = bent_graph(&x, &scale);
    println!("first call, recorded and compiled: {:.1?}", start.elapsed());
    let apart = (first - bent(&x, &scale)).abs().max(..).item::<f32>()?;
    println!("largest difference to the result op by op: {apart:e}");

    let (eager, graph) = (time(|| bent(&x, &scale))?, time(|| bent_graph(&x, &scale))?);
    println!(
        "op by op {eager:.1?}, compiled {graph:.1?}: {:.1} times as fast",
        eager.as_secs_f64() / graph.as_secs_f64()
    );

    // Another shape is recorded for itself; plain Rust values are part of what a recording is found by.
    bent_graph(&x.slice_axis(0, 0, 100), &scale).check()?;
    println!("\n{}", explain(bent_graph));
    Ok(())
}
