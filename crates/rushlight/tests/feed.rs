//! A loop inside of a compiled function that takes its batches while it runs.

use rushlight::prelude::*;
use rushlight::random::Generator;
use rushlight::{ErrorKind, check_functions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn data(count: usize) -> Result<Dataset> {
    let generator = Generator::new(5);
    let x = generator.normal([count, 6], 0.0, 1.0, DType::F32);
    let y = generator.randint([count], 0, 3, DType::I32);
    Ok(Dataset::from_tensors(&x, &y)?.shuffle(3).batch(8))
}

struct Training {
    model: Model,
    optimizer: Adam,
}

impl Training {
    fn new() -> Result<Training> {
        rushlight::random::set_seed(2);
        let layers = Sequential::new().add(Dense::new(7)).add(ReLU::new()).add(Dense::new(3));
        Ok(Training { model: layers.model([6])?, optimizer: Adam::new(0.01) })
    }

    fn step(&self, batch: &Batch) -> Result<Tensor> {
        let variables = self.model.trainable_variables();
        let loss = || {
            let scores = self.model.call(&batch.inputs[0]);
            SparseCategoricalCrossentropy::from_logits().mean(&batch.targets[0], &scores)
        };
        let (loss, gradients) = value_and_grad(loss, &variables)?;
        self.optimizer.apply(&gradients, &variables)?;
        Ok(loss)
    }

    fn weights(&self) -> Result<Vec<Vec<f32>>> {
        self.model.variables().iter().map(|variable| variable.read().to_vec()).collect()
    }
}

/// Epochs in one call each, fed by threads, and the sum of the losses of each.
fn fed(data: &Dataset, epochs: u64) -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
    let (state, feed) = (Training::new()?, data.feed()?);
    let epoch = function("epoch", |start: &Tensor| {
        feed.fold(start.clone(), |sum: Tensor, batch| Ok(sum + state.step(&batch)?))
    });
    let mut losses = Vec::new();
    for number in 0..epochs {
        feed.begin(number);
        losses.push(epoch.call(&Tensor::scalar(0.0f32))?.item::<f32>()?);
    }
    assert_eq!(epoch.recordings().recording_count(), 1);
    Ok((state.weights()?, losses))
}

#[test]
fn a_fed_epoch_trains_to_the_bits_of_single_steps() -> Result<()> {
    let data = data(50)?;
    let state = Training::new()?;
    let step = function("step", |x: &(Tensor, Tensor)| state.step(&Batch::new(x.0.clone(), x.1.clone())));
    let mut losses = Vec::new();
    for number in 0..3 {
        let mut sum = 0.0f32;
        for batch in data.clone().drop_remainder().epoch(number) {
            let mut batch = batch?;
            sum += step.call(&(batch.inputs.remove(0), batch.targets.remove(0)))?.item::<f32>()?;
        }
        losses.push(sum);
    }
    for ahead in [0, 1, 4] {
        let (weights, fed_losses) = fed(&data.clone().prefetch(ahead).workers(1 + ahead / 2), 3)?;
        assert!(weights == state.weights()?, "{ahead} batches ahead gave other weights");
        assert_eq!(fed_losses, losses);
    }
    // Op by op, and both ways held against each other, it is the same too.
    let checked = check_functions(|| fed(&data, 3))?;
    assert_eq!(checked.1.len(), 3);
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
    assert!(checked.1.iter().zip(&losses).all(near), "{:?} for {losses:?}", checked.1);
    Ok(())
}

#[test]
fn without_an_epoch_there_is_no_batch_and_what_is_left_is_dropped() -> Result<()> {
    let feed = data(50)?.unshuffled().feed()?;
    let count = function("count", |start: &Tensor| feed.fold(start.clone(), |n: Tensor, _| Ok(n + 1.0)));
    let counted = || count.call(&Tensor::scalar(0.0f32))?.item::<f32>();
    assert_eq!(counted()?, 0.0);
    feed.begin(0);
    let (more, first) = feed.next()?;
    assert!(more.item::<bool>()?);
    assert_eq!(first.size()?, 8);
    assert_eq!(counted()?, 5.0, "the loop goes on where the program stopped");
    let (more, none) = feed.next()?;
    assert!(!more.item::<bool>()?);
    assert_eq!(none.inputs[0].to_vec::<f32>()?, vec![0.0; 48]);
    feed.begin(1);
    feed.next()?;
    feed.begin(1);
    assert_eq!((counted()?, feed.batches()), (6.0, 6));
    Ok(())
}

#[test]
fn threads_wait_until_a_batch_is_taken() -> Result<()> {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let data = data(80)?.prefetch(2).map(move |batch| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(batch)
    });
    let feed = data.feed()?;
    let before = made.load(Ordering::SeqCst);
    feed.begin(0);
    let settled = || {
        let start = Instant::now();
        let mut last = made.load(Ordering::SeqCst);
        while start.elapsed() < Duration::from_millis(200) {
            std::thread::sleep(Duration::from_millis(20));
            last = made.load(Ordering::SeqCst);
        }
        last - before
    };
    assert_eq!(settled(), 2);
    feed.next()?;
    assert_eq!(settled(), 3);
    Ok(())
}

#[test]
fn an_error_of_a_batch_is_that_of_the_call_once_and_changes_nothing() -> Result<()> {
    let fails = Arc::new(AtomicUsize::new(usize::MAX));
    let counter = fails.clone();
    let data = data(50)?.map(move |batch| match counter.fetch_sub(1, Ordering::SeqCst) {
        0 => Err(Error::outside(ErrorKind::Io, "data", "the disk is on fire")),
        _ => Ok(batch),
    });
    let (state, feed) = (Training::new()?, data.feed()?);
    let epoch = function("epoch", |start: &Tensor| {
        feed.fold(start.clone(), |sum: Tensor, batch| Ok(sum + state.step(&batch)?))
    });
    let call = || epoch.call(&Tensor::scalar(0.0f32))?.item::<f32>();
    feed.begin(0);
    call()?;
    let before = state.weights()?;
    fails.store(3, Ordering::SeqCst);
    feed.begin(1);
    assert_eq!(call().unwrap_err().to_string(), "[data] the disk is on fire");
    assert!(state.weights()? == before, "a call that fails leaves the weights as they were");
    assert_eq!(call()?, 0.0, "the error came once; there is nothing behind it");
    feed.begin(2);
    assert!(call()? > 0.0);
    Ok(())
}

#[test]
fn too_few_examples_are_an_error() -> Result<()> {
    let error = data(7)?.feed().unwrap_err().to_string();
    assert_eq!(error, "[feed] 7 examples do not make a batch of 8");
    Ok(())
}
