//! Several training steps in one call: the same to the bit as one step a call.

use rushlight::callbacks::Progressing;
use rushlight::prelude::*;
use rushlight::random::Generator;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Count(Arc<AtomicUsize>);

impl Callback for Count {
    fn on_batch_end(&mut self, _: &Progressing, _: &dyn Fn() -> Result<Logs>) -> Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Weights, what the optimizer remembers and what was measured, after three epochs; and the calls an epoch.
fn trained(steps: usize, mode: Mode) -> Result<(Vec<Vec<f32>>, Vec<f64>, usize)> {
    rushlight::random::set_seed(3);
    let generator = Generator::new(11);
    let x = generator.normal([50, 6, 6, 2], 0.0, 1.0, DType::F32);
    let y = generator.randint([50], 0, 3, DType::I32);
    let data = Dataset::from_tensors(&x, &y)?.shuffle(2).batch(8);
    let layers = Sequential::new()
        .add(Conv2d::new(4, 3))
        .add(BatchNormalization::new())
        .add(Flatten::new())
        .add(Dropout::new(0.3).seed(5))
        .add(Dense::new(3));
    let mut model = layers.model([6, 6, 2])?;
    let optimizer = Adam::new(0.01);
    model.compile(optimizer, SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let calls = Arc::new(AtomicUsize::new(0));
    let options = Fit::epochs(3).verbose(0).mode(mode).callback(Count(calls.clone()));
    let history = model.fit(&data, options.steps_per_execution(steps))?;
    let mut state = Vec::new();
    for variable in model.variables() {
        state.push(variable.read().cast(DType::F32).to_vec()?);
    }
    let measured = ["loss", "accuracy"].map(|name| history.last(name).expect("measured"));
    Ok((state, measured.to_vec(), calls.load(Ordering::Relaxed) / 3))
}

#[test]
fn many_steps_a_call_train_to_the_same_bits() -> Result<()> {
    let (weights, measured, calls) = trained(1, Mode::Graph)?;
    assert_eq!(calls, 7);
    // Fifty examples are six whole batches and one of two.
    for (steps, expected_calls) in [(2, 4), (3, 3), (6, 2), (7, 7)] {
        let (got, got_measured, calls) = trained(steps, Mode::Graph)?;
        assert!(got == weights, "{steps} steps a call gave other weights");
        assert_eq!(got_measured, measured, "{steps}");
        assert_eq!(calls, expected_calls, "{steps}");
    }
    Ok(())
}

#[test]
fn several_steps_also_run_op_by_op() -> Result<()> {
    let (one, _, _) = trained(1, Mode::Eager)?;
    let (three, _, calls) = trained(3, Mode::Eager)?;
    assert!(one == three);
    assert_eq!(calls, 3);
    Ok(())
}

#[test]
fn no_step_is_an_error() -> Result<()> {
    let message = trained(0, Mode::Graph).expect_err("an error").to_string();
    assert!(message.starts_with("[fit] at least one step must run in an execution"), "{message}");
    Ok(())
}
