//! One call of `fit`, epoch by epoch.

use crate::callbacks::{Callback, CallbackMemory, Progressing, Signals};
use crate::data::{Batch, Batches, Dataset};
use crate::layers::Layer;
use crate::models::Model;
use crate::training::options::Validation;
use crate::training::{Compiled, Epoch, Fit, History, Logs, Progress, Verbosity};
use rushlight_core::{DType, Error, ErrorKind, Result, Spec, Tensor};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// From this part of an epoch on, waiting for data is worth a word.
const MUCH_WAITING: f64 = 0.3;

/// Shorter epochs are no matter.
const SHORT_EPOCH: Duration = Duration::from_millis(200);

pub(crate) struct Run<'a> {
    model: &'a Model,
    compiled: &'a Compiled,
    data: Dataset,
    validation: Validation,
    callbacks: Vec<Box<dyn Callback>>,
    stop: Arc<AtomicBool>,
    signals: Signals,
    verbosity: Verbosity,
    unit: &'static str,
    initial_epoch: usize,
    epochs: usize,
    steps_per_epoch: Option<usize>,
    steps_per_execution: usize,
    /// The weight of each class, if they differ.
    class_weights: Option<Tensor>,
    history: History,
    step: usize,
    /// Examples of the running epoch.
    seen: usize,
    /// What is left of the pass over the data, where an epoch is not a whole one; and the number of the next pass.
    feed: Option<Feed>,
    pass: u64,
}

/// The batches of one pass over the data, in groups.
struct Feed {
    batches: Batches,
    waiting: VecDeque<Batch>,
}

impl<'a> Run<'a> {
    #[track_caller]
    pub(crate) fn new(
        model: &'a Model,
        compiled: &'a Compiled,
        data: &Dataset,
        options: Fit,
    ) -> Result<Run<'a>> {
        let wrong = |rule: &str| Err(Error::new(ErrorKind::Value, "fit", rule));
        if options.steps_per_execution == 0 {
            return wrong("at least one step must run in an execution");
        }
        if options.steps_per_epoch == Some(0) || options.validation.frequency == 0 {
            return wrong("an epoch has at least one step, and validation comes every 1 or more epochs");
        }
        let sized = |data: &Dataset, keeps: bool| match options.batch_size {
            Some(size) if !(keeps && data.has_batch_size()) => data.clone().batch(size),
            _ => data.clone(),
        };
        let mut data = sized(data, false);
        let mut validation = options.validation;
        validation.data = match (validation.data, validation.split) {
            (Some(_), Some(_)) => return wrong("give validation data or a validation split, not both"),
            (None, Some(part)) => {
                let (train, last) = data.split(1.0 - part)?;
                data = train;
                Some(last.unshuffled())
            }
            (own, None) => own.map(|data| sized(&data, true)),
        };
        Ok(Run {
            model,
            compiled,
            data,
            validation,
            callbacks: options.callbacks,
            stop: options.stop,
            signals: Signals::default(),
            verbosity: Verbosity::of(options.verbose),
            unit: options.unit,
            initial_epoch: options.initial_epoch,
            epochs: options.epochs,
            steps_per_epoch: options.steps_per_epoch,
            steps_per_execution: options.steps_per_execution,
            class_weights: class_weights(&options.class_weights)?,
            history: History::default(),
            step: 0,
            seen: 0,
            feed: None,
            pass: options.initial_epoch as u64,
        })
    }

    /// Examples in an epoch.
    fn examples(&self) -> usize {
        match self.steps_per_epoch {
            Some(steps) => steps * self.data.batch_size(),
            None => self.data.len(),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Calls all callbacks, with what they may know.
    fn each_callback(
        &mut self,
        epoch: usize,
        batch: Option<&Batch>,
        mut call: impl FnMut(&mut dyn Callback, &Progressing, &History) -> Result<()>,
    ) -> Result<()> {
        let optimizer = &*self.compiled.settings.optimizer;
        let state = Progressing {
            model: self.model,
            optimizer,
            epoch,
            epochs: self.epochs,
            examples: self.examples(),
            seen: self.seen,
            step: self.step,
            batch,
            signals: &self.signals,
        };
        self.callbacks.iter_mut().try_for_each(|callback| call(&mut **callback, &state, &self.history))
    }

    #[track_caller]
    pub(crate) fn all_epochs(mut self) -> Result<History> {
        self.each_callback(self.initial_epoch, None, |callback, state, _| callback.on_train_begin(state))?;
        self.restore()?;
        let first = self.signals.start().unwrap_or(self.initial_epoch);
        self.pass = first as u64;
        // A backup may be that of a training which had come to its end.
        let epochs = if self.signals.is_enough() { first..first } else { first..self.epochs };
        for epoch in epochs {
            if !self.epoch(epoch, epoch == first)? {
                self.history.interrupted = true;
                break;
            }
            if self.signals.is_enough() {
                break;
            }
        }
        let last = first + self.history.epochs.len().saturating_sub(1);
        if !self.history.epochs.is_empty() || first > self.initial_epoch {
            self.compiled.settings.optimizer.finalize_variable_values(&self.model.trainable_variables())?;
        }
        self.each_callback(last, None, |callback, state, _| callback.on_train_end(state))?;
        Ok(self.history)
    }

    /// Trains one epoch; false if it was interrupted.
    #[track_caller]
    fn epoch(&mut self, epoch: usize, is_first: bool) -> Result<bool> {
        self.seen = 0;
        self.each_callback(epoch, None, |callback, state, _| callback.on_epoch_begin(state))?;
        self.compiled.reset()?;
        let mut progress = Progress::new(self.verbosity, self.unit, epoch, self.epochs, self.examples());
        let started = Instant::now();
        let (mut steps, mut data_time) = (0, Duration::ZERO);
        let mut variables = Vec::new();
        loop {
            let asked = Instant::now();
            let left = self.steps_per_epoch.map_or(usize::MAX, |all| all - steps);
            let group = self.next_group(left, steps > 0)?;
            data_time += asked.elapsed();
            let Some(group) = group else { break };
            if self.is_stopped() {
                progress.abandon();
                return Ok(false);
            }
            if variables.is_empty() {
                self.model.build_for(&group[0])?;
                variables = self.model.trainable_variables();
            }
            self.each_callback(epoch, group.first(), |callback, state, _| callback.on_batch_begin(state))?;
            self.compiled.train_each(self.model, &variables, &group)?;
            for batch in &group {
                self.seen += batch.size()?;
            }
            steps += group.len();
            self.step += group.len();
            if progress.is_due() {
                progress.show(self.seen, &self.compiled.logs("")?);
            }
            let compiled = self.compiled;
            self.each_callback(epoch, group.last(), |callback, state, _| {
                callback.on_batch_end(state, &|| compiled.logs(""))
            })?;
            if self.signals.is_now() {
                break;
            }
        }
        if self.seen == 0 {
            let rule = "the data set must have at least one batch";
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        let training_time = started.elapsed();
        let mut logs = self.compiled.logs("")?;
        let validates = (epoch + 1).is_multiple_of(self.validation.frequency);
        if let Some(data) = self.validation.data.as_ref().filter(|_| validates) {
            progress.validating(&logs);
            let batches = data.epoch(0);
            let steps = self.validation.steps.unwrap_or(usize::MAX);
            let measured = evaluate(self.model, self.compiled, batches.take(steps), "val_", &self.stop)?;
            logs.0.extend(measured.0);
        }
        if self.is_stopped() {
            progress.abandon();
            return Ok(false);
        }
        progress.finish(self.seen, training_time, &logs);
        if is_first && training_time > SHORT_EPOCH {
            let part = data_time.as_secs_f64() / training_time.as_secs_f64();
            progress.waited(part, MUCH_WAITING);
        }
        let examples = self.seen;
        self.history.epochs.push(Epoch { number: epoch, logs, training_time, data_time, examples });
        self.each_callback(epoch, None, |callback, state, history| callback.on_epoch_end(state, history))?;
        let memories: Vec<CallbackMemory> =
            self.callbacks.iter().filter_map(|callback| callback.memory()).collect();
        self.each_callback(epoch, None, |callback, state, _| callback.on_backup(state, &memories))?;
        Ok(true)
    }

    /// Gives callbacks back what they remembered when a backup was written, if one of them has read one.
    fn restore(&mut self) -> Result<()> {
        let mut memories = Vec::new();
        self.each_callback(self.initial_epoch, None, |callback, state, _| {
            memories.extend(callback.on_restore(state)?);
            Ok(())
        })?;
        self.each_callback(self.initial_epoch, None, |callback, state, _| {
            let Some(own) = callback.memory() else { return Ok(()) };
            match memories.iter().position(|memory| memory.owner == own.owner) {
                Some(place) => callback.remember(state, &memories.remove(place)),
                None => Ok(()),
            }
        })
    }

    /// The batches of the next call; nothing at the end of the epoch.
    #[track_caller]
    fn next_group(&mut self, most: usize, has_begun: bool) -> Result<Option<Vec<Batch>>> {
        if most == 0 {
            return Ok(None);
        }
        // A pass that ends within an epoch is followed by the next one, if epochs have a length of their own.
        for _ in 0..2 {
            let feed = self.feed.get_or_insert_with(|| {
                let batches = self.data.epoch(self.pass);
                self.pass += 1;
                Feed { batches, waiting: VecDeque::new() }
            });
            let group = feed.next_group(self.steps_per_execution.min(most))?;
            if let Some(mut group) = group {
                if let Some(weights) = &self.class_weights {
                    group.iter_mut().try_for_each(|batch| add_class_weights(batch, weights))?;
                }
                return Ok(Some(group));
            }
            self.feed = None;
            if self.steps_per_epoch.is_none() && has_begun {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

impl Feed {
    /// As many batches as asked for if there are so many of the same shapes, else one.
    #[track_caller]
    fn next_group(&mut self, count: usize) -> Result<Option<Vec<Batch>>> {
        while self.waiting.len() < count {
            match self.batches.next() {
                Some(batch) => self.waiting.push_back(batch?),
                None => break,
            }
        }
        let specs = |batch: &Batch| -> Vec<Option<Spec>> {
            batch.tensors().map(|tensor| tensor.spec().ok().cloned()).collect()
        };
        let Some(first) = self.waiting.front() else { return Ok(None) };
        let same = self.waiting.iter().take(count).all(|batch| specs(batch) == specs(first));
        let is_full = self.waiting.len() >= count && same;
        Ok(Some(self.waiting.drain(..if is_full { count } else { 1 }).collect()))
    }
}

/// The weight of each class up to the largest that has one.
#[track_caller]
fn class_weights(weights: &[(usize, f64)]) -> Result<Option<Tensor>> {
    let Some(largest) = weights.iter().map(|(class, _)| *class).max() else { return Ok(None) };
    let mut all = vec![1f32; largest + 1];
    for &(class, weight) in weights {
        if weight.is_nan() || weight < 0.0 {
            let rule = format!("the weight of class {class} must not be negative: got {weight}");
            return Err(Error::new(ErrorKind::Value, "fit", rule));
        }
        all[class] = weight as f32;
    }
    // Beyond the last one classes count 1.
    all.push(1.0);
    Ok(Some(Tensor::from(all)))
}

/// Gives each example of a batch the weight of its class.
#[track_caller]
fn add_class_weights(batch: &mut Batch, weights: &Tensor) -> Result<()> {
    let [target] = batch.targets.as_slice() else {
        let rule = format!("class weights are for one target, not {}", batch.targets.len());
        return Err(Error::new(ErrorKind::Value, "fit", rule));
    };
    if !batch.weights.is_empty() {
        let rule = "examples can have weights of their own or those of their classes, not both";
        return Err(Error::new(ErrorKind::Value, "fit", rule));
    }
    let spec = target.spec()?;
    let numbers = match spec.dims.last() {
        Some(&last) if spec.rank() > 1 && last > 1 => target.argmax(-1),
        Some(1) if spec.rank() > 1 => target.squeeze(-1),
        _ => target.clone(),
    };
    let beyond = weights.count()? as i64 - 1;
    let numbers = numbers.cast(DType::I64).clip(0, beyond);
    batch.weights = vec![weights.take(&numbers, 0).check()?.clone()];
    Ok(())
}

#[track_caller]
pub(crate) fn evaluate(
    model: &Model,
    compiled: &Compiled,
    batches: impl Iterator<Item = Result<Batch>>,
    prefix: &str,
    stop: &AtomicBool,
) -> Result<Logs> {
    compiled.reset()?;
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let batch = batch?;
        model.build_for(&batch)?;
        compiled.evaluate(model, &batch)?;
    }
    compiled.logs(prefix)
}
