//! One training step and one inference, timed.

use rushlight::applications::Config;
use rushlight::prelude::*;
use rushlight::profile::{Profile, profile, step_since};
use rushlight::run_functions_eagerly;
use std::time::{Duration, Instant};

/// The least number of calls before the timed ones, the first with its compilation among them.
const WARM_UP: usize = 3;

/// What to time.
pub(crate) struct Timing {
    pub(crate) mode: Mode,
    /// Timed calls of each kind.
    pub(crate) steps: usize,
    pub(crate) momentum: f64,
    /// Bytes that a call may work on.
    pub(crate) memory_budget: usize,
    pub(crate) training: bool,
    pub(crate) inference: bool,
}

/// What the calls took.
pub(crate) struct Measured {
    /// Median of the training steps.
    pub(crate) train_step_ms: Option<f64>,
    /// Median of the inferences.
    pub(crate) inference_ms: Option<f64>,
    /// When the first call was done.
    pub(crate) first_step: Instant,
    /// Time to record and compile the first call; nothing is compiled in eager mode.
    pub(crate) compile: Option<Duration>,
    /// Bytes that the compiled call works on, variables and data included.
    pub(crate) planned_bytes: Option<usize>,
}

/// Times a new model of these settings on one batch: forward, softmax cross-entropy, backward and SGD; then forward
/// alone.
pub(crate) fn measure(
    config: &Config,
    images: &Tensor,
    labels: &Tensor,
    timing: &Timing,
) -> Result<Measured> {
    let model = config.build()?;
    let train = rushlight::trace::function("training_step", training_step(&model, timing.momentum))
        .memory_budget(timing.memory_budget);
    let infer = rushlight::trace::function("inference", |x: &Tensor| model.call(x))
        .memory_budget(timing.memory_budget);

    let first_step = std::cell::OnceCell::new();
    let train_step = || {
        training(true, || train.call2(images, labels))?.check()?;
        first_step.get_or_init(Instant::now);
        Ok(())
    };
    let inference = || {
        training(false, || infer.call(images)).check()?;
        first_step.get_or_init(Instant::now);
        Ok(())
    };
    let work = || -> Result<(Option<f64>, Option<f64>)> {
        let train_step_ms = timing.training.then(|| median_ms(timing.steps, train_step)).transpose()?;
        let inference_ms = timing.inference.then(|| median_ms(timing.steps, inference)).transpose()?;
        Ok((train_step_ms, inference_ms))
    };
    let (train_step_ms, inference_ms) = match timing.mode {
        Mode::Graph => work()?,
        Mode::Eager => run_functions_eagerly(work)?,
    };
    let recordings = if timing.training { train.recordings() } else { infer.recordings() };
    Ok(Measured {
        train_step_ms,
        inference_ms,
        first_step: first_step.into_inner().unwrap_or_else(Instant::now),
        compile: recordings.compile_time(),
        planned_bytes: recordings.planned_memory().map(|memory| memory.total()),
    })
}

/// What one training step does.
fn training_step(model: &Model, momentum: f64) -> impl Fn(&Tensor, &Tensor) -> Result<Tensor> {
    let variables = model.trainable_variables();
    let (optimizer, loss) = (Sgd::new(0.1).momentum(momentum), SparseCategoricalCrossentropy::from_logits());
    move |x, y| {
        let (value, gradients) = value_and_grad(|| loss.mean(y, &model.call(x)), &variables)?;
        optimizer.apply(&gradients, &variables)?;
        Ok(value)
    }
}

/// Profiles so many training steps, or inferences, after warm-up.
pub(crate) fn profiled(
    config: &Config,
    images: &Tensor,
    labels: &Tensor,
    inference: bool,
    steps: usize,
) -> Result<Profile> {
    let model = config.build()?;
    let train = rushlight::trace::function("training_step", training_step(&model, 0.9));
    let infer = rushlight::trace::function("inference", |x: &Tensor| model.call(x));
    let call = || match inference {
        true => training(false, || infer.call(images)).check().map(drop),
        false => training(true, || train.call2(images, labels))?.check().map(drop),
    };
    (0..WARM_UP).try_for_each(|_| call())?;
    let name = if inference { "inference" } else { "train" };
    let (done, profile) = profile(|| {
        (0..steps).try_for_each(|number| {
            let start = Instant::now();
            call()?;
            step_since(name, number as u64, start);
            Ok(())
        })
    });
    done.map(|()| profile)
}

/// The median of so many calls after the first few.
fn median_ms(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..WARM_UP.max(calls / 10) {
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
