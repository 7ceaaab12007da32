//! A DenseNet in a training loop of one's own, whose step runs op by op or, with `#[function]`, as a compiled graph.
//!
//! `cargo run --release --example densenet_loop -- 5` trains for five epochs (two by default).

use rushlight::applications::{DenseNetConfig, densenet};
use rushlight::data::{Normalization, drawn_shapes};
use rushlight::prelude::*;
use std::time::Instant;

/// One step of training, plain Rust that runs op by op.
fn eager_step(model: &Model, optimizer: &Adam, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let variables = model.trainable_variables();
    let loss = || SparseCategoricalCrossentropy::from_logits().mean(y, &model.call(x));
    let (loss, gradients) = training(true, || value_and_grad(loss, &variables))?;
    optimizer.apply(&gradients, &variables)?;
    Ok(loss)
}

/// The same code: recorded at its first call, compiled as a whole, and from then on run without going back to it.
#[function]
fn graph_step(model: &Model, optimizer: &Adam, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    eager_step(model, optimizer, x, y)
}

fn main() -> Result<()> {
    let epochs: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let drawn = drawn_shapes(1280, 256, 1);
    let normalization = Normalization::new(&drawn.train.channel_statistics())?;
    let train =
        Dataset::from_images(drawn.train, normalization.clone()).shuffle(1).batch(32).drop_remainder();
    let test = Dataset::from_images(drawn.test, normalization).batch(32);

    let model = densenet(&DenseNetConfig::small())?;
    let optimizer = Adam::new(0.005);

    let batch = train.epoch(0).next().expect("there is data")?;
    let (x, y) = (&batch.inputs[0], &batch.targets[0]);
    let start = Instant::now();
    eager_step(&model, &optimizer, x, y)?;
    println!("an eager step:                     {:.0?}", start.elapsed());
    let start = Instant::now();
    graph_step(&model, &optimizer, x, y)?;
    println!("a graph step, recorded, compiled:  {:.0?}", start.elapsed());
    let start = Instant::now();
    graph_step(&model, &optimizer, x, y)?;
    println!("a graph step from then on:         {:.0?}", start.elapsed());

    for epoch in 0..epochs {
        let losses = Mean::new();
        for batch in train.epoch(epoch) {
            let batch = batch?;
            losses.add(&graph_step(&model, &optimizer, &batch.inputs[0], &batch.targets[0])?)?;
        }
        let accuracy = Accuracy::new();
        for batch in test.epoch(0) {
            let batch = batch?;
            accuracy.update(&batch.targets[0], &model.predict(&batch.inputs[0])?)?;
        }
        let (loss, accuracy) = (losses.result().to_f64()?, accuracy.result().to_f64()?);
        println!("epoch {}: loss {loss:.3}, accuracy on new images {accuracy:.3}", epoch + 1);
    }
    println!("{}", explain(graph_step));
    Ok(())
}
