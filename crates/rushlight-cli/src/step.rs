//! One training step and one inference, timed.

use rushlight::applications::{DenseNetConfig, densenet};
use rushlight::prelude::*;
use rushlight::profile::{Profile, profile};
use rushlight::run_functions_eagerly;
use std::time::{Duration, Instant};

/// Calls before the timed ones, the first with its compilation among them.
const WARM_UP: usize = 3;

/// What the calls took.
pub(crate) struct Measured {
    /// Median of the training steps.
    pub(crate) train_step_ms: f64,
    /// Median of the inferences.
    pub(crate) inference_ms: f64,
    /// When the first training step was done.
    pub(crate) first_step: Instant,
    /// Time to record and compile the training step; nothing is compiled in eager mode.
    pub(crate) compile: Option<Duration>,
    /// Bytes that the compiled training step needs besides variables and data.
    pub(crate) planned_bytes: Option<usize>,
}

/// Times a new model of these settings on one batch: forward, softmax cross-entropy, backward and SGD with momentum
/// 0.9; then forward alone.
pub(crate) fn measure(
    config: &DenseNetConfig,
    images: &Tensor,
    labels: &Tensor,
    mode: Mode,
    steps: usize,
) -> Result<Measured> {
    let model = densenet(config)?;
    let train = rushlight::trace::function("training_step", training_step(&model));
    let infer = rushlight::trace::function("inference", |x: &Tensor| model.call(x));

    let mut first_step = None;
    let train_step = || {
        let value = training(true, || train.call2(images, labels))?;
        value.check()?;
        first_step.get_or_insert_with(Instant::now);
        Ok(())
    };
    let inference = || training(false, || infer.call(images)).check().map(drop);
    let work = || -> Result<(f64, f64)> { Ok((median_ms(steps, train_step)?, median_ms(steps, inference)?)) };
    let (train_step_ms, inference_ms) = match mode {
        Mode::Graph => work()?,
        Mode::Eager => run_functions_eagerly(work)?,
    };
    Ok(Measured {
        train_step_ms,
        inference_ms,
        first_step: first_step.unwrap_or_else(Instant::now),
        compile: train.recordings().compile_time(),
        planned_bytes: train.recordings().planned_bytes(),
    })
}

/// What one training step does.
fn training_step(model: &Model) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor> {
    let variables = model.trainable_variables();
    let (optimizer, loss) = (Sgd::new(0.1).momentum(0.9), SparseCategoricalCrossentropy::from_logits());
    move |x, y| {
        let (value, gradients) = value_and_grad(|| loss.mean(y, &model.call(x)), &variables)?;
        optimizer.apply(&gradients, &variables)?;
        Ok(value)
    }
}

/// Profiles so many training steps, or inferences, after warm-up.
pub(crate) fn profiled(
    config: &DenseNetConfig,
    images: &Tensor,
    labels: &Tensor,
    inference: bool,
    steps: usize,
) -> Result<Profile> {
    let model = densenet(config)?;
    let train = rushlight::trace::function("training_step", training_step(&model));
    let infer = rushlight::trace::function("inference", |x: &Tensor| model.call(x));
    let call = || match inference {
        true => training(false, || infer.call(images)).check().map(drop),
        false => training(true, || train.call2(images, labels))?.check().map(drop),
    };
    (0..WARM_UP).try_for_each(|_| call())?;
    let (done, profile) = profile(|| (0..steps).try_for_each(|_| call()));
    done.map(|()| profile)
}

/// The median of so many calls after the first few.
fn median_ms(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..WARM_UP {
        call()?;
    }
    let mut times = Vec::new();
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 3.0, 2.0])), (2.0, 2.5));
    }
}
