//! Tensors, gradients and variables, op by op: each line computes when it is reached.
//!
//! `cargo run --release --example eager_basics`

use rushlight::prelude::*;

fn main() -> Result<()> {
    // A tensor is a handle of numbers with a shape and a dtype, both known when the program runs.
    let a = Tensor::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    println!("{a}");
    println!("shape {:?}, dtype {}", a.shape()?, a.dtype()?);

    // Shapes of different sizes meet as in NumPy; views share memory.
    let row = a.mean([0]);
    println!("less the mean of each column:\n{}", &a - &row);
    println!("transposed: {:?}; the second row: {}", a.t().shape()?, a.take(&Tensor::scalar(1i64), 0));

    // What returns a tensor never fails at the call. The error goes along and is told where a result is asked for.
    let wrong = a.matmul(&a).relu() + 1.0;
    println!("an error: {}", wrong.check().unwrap_err());

    // A variable keeps a value; gradients are taken with respect to variables.
    let slope = Variable::new("slope", &Tensor::scalar(0.0f32))?;
    let offset = Variable::new("offset", &Tensor::scalar(0.0f32))?;
    let x = Tensor::linspace(-1.0, 1.0, 50, DType::F32);
    let y = &x * 3.0 - 2.0;
    for step in 0..=100 {
        let loss = || (slope.read() * &x + offset.read() - &y).square().mean(..);
        let (loss, gradients) = value_and_grad(loss, &[slope.clone(), offset.clone()])?;
        slope.assign(&(slope.read() - &gradients[0] * 0.3))?;
        offset.assign(&(offset.read() - &gradients[1] * 0.3))?;
        if step % 25 == 0 {
            println!("step {step:>3}: loss {:.6}", loss.item::<f32>()?);
        }
    }
    println!("y = {:.3} x + {:.3}", slope.read().item::<f32>()?, offset.read().item::<f32>()?);

    // A tape watches any tensor, and tapes nest: the second derivative of x³ at 2 is 12.
    let at = Tensor::scalar(2.0f32);
    let outer = Tape::new();
    outer.watch(&at);
    let inner = Tape::new();
    inner.watch(&at);
    let cube = &at * &at * &at;
    let first = inner.gradient(&cube, &[&at])?.remove(0);
    let second = outer.gradient(&first, &[&at])?.remove(0);
    println!("(x³)' = {}, (x³)'' = {} at x = 2", first.item::<f32>()?, second.item::<f32>()?);
    Ok(())
}
