//! Records a training step and writes it to a file, which `tests/saved.rs` reads without any of this code.
//!
//! `cargo run --example save_function -- crates/rushlight-core/tests/files/step-v1.safetensors` made the file there;
//! it stays as it is, to show that files of version 1 can be read.

use rushlight_core::{Result, Tensor, Variable, assert_that, save_function, value_and_grad};
use rushlight_macros::function;

#[function(crate = rushlight_core)]
fn step(weights: &[Variable], x: &Tensor, y: &Tensor, rate: f32) -> Result<(Tensor, Tensor)> {
    assert_that(&x.is_finite(), "the inputs must be finite")?;
    let predict = || (x.matmul(&weights[0].read()) + weights[1].read()).tanh();
    let loss = || (predict() - y).square().mean(..);
    let (loss, gradients) = value_and_grad(loss, weights)?;
    for (weight, gradient) in weights.iter().zip(&gradients) {
        weight.assign_sub(&(gradient * rate))?;
    }
    Ok((loss, predict()))
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join("rushlight-step.safetensors");
    let path = std::env::args().nth(1).map_or(folder, Into::into);
    let kernel = Variable::new("dense/kernel", &Tensor::from([[0.5f32, -0.25], [0.125, 1.0], [-1.0, 0.75]]))?;
    let bias = Variable::new("dense/bias", &Tensor::from([0.0f32, 0.5]))?;
    let (weights, x) = ([kernel, bias], Tensor::from([[1.0f32, 2.0, 3.0], [-1.0, 0.5, 0.25]]));
    let y = Tensor::from([[0.0f32, 1.0], [1.0, 0.0]]);
    for _ in 0..3 {
        let (loss, prediction) = step(&weights, &x, &y, 0.5)?;
        println!("loss {:.6}, prediction {:?}", loss.item::<f32>()?, prediction.to_vec::<f32>()?);
    }
    save_function(step, &path)?;
    let (loss, prediction) = step(&weights, &x, &y, 0.5)?;
    println!("after saving: loss {:?}, prediction {:?}", loss.item::<f32>()?, prediction.to_vec::<f32>()?);
    println!("written to {}", path.display());
    Ok(())
}
