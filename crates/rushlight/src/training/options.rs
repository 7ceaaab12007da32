//! What `fit` is asked to do.

use crate::callbacks::Callback;
use crate::data::Dataset;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How training steps are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Recorded once, compiled and run as one graph.
    #[default]
    Graph,
    /// Op by op, as the Rust code goes: for debugging.
    Eager,
}

/// What `fit` is asked to do.
///
/// ```
/// use rushlight::prelude::*;
/// let x = Tensor::linspace(-1.0, 1.0, 64, DType::F32).reshape([64, 1]);
/// let data = Dataset::from_tensors(&x, &(&x * 3.0 + 1.0))?.shuffle(0).batch(16);
/// let mut model = Sequential::new().add(Dense::new(1)).model([1])?;
/// model.compile(Sgd::new(0.2), MeanSquaredError, ());
/// let history = model.fit(&data, Fit::epochs(40).verbose(0))?;
/// assert!(history.last("loss").unwrap() < 1e-3);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub struct Fit {
    pub(crate) epochs: usize,
    pub(crate) initial_epoch: usize,
    pub(crate) batch_size: Option<usize>,
    pub(crate) steps_per_epoch: Option<usize>,
    pub(crate) steps_per_execution: usize,
    pub(crate) class_weights: Vec<(usize, f64)>,
    pub(crate) validation: Validation,
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
    pub(crate) mode: Mode,
    pub(crate) verbose: Option<u8>,
    pub(crate) unit: &'static str,
    pub(crate) stop: Arc<AtomicBool>,
}

/// What to evaluate on, and when.
pub(crate) struct Validation {
    pub(crate) data: Option<Dataset>,
    pub(crate) split: Option<f64>,
    pub(crate) steps: Option<usize>,
    pub(crate) frequency: usize,
}

impl Fit {
    /// Training for this many passes over the data.
    pub fn epochs(epochs: usize) -> Fit {
        Fit {
            epochs,
            initial_epoch: 0,
            batch_size: None,
            steps_per_epoch: None,
            steps_per_execution: 1,
            class_weights: Vec::new(),
            validation: Validation { data: None, split: None, steps: None, frequency: 1 },
            callbacks: Vec::new(),
            mode: Mode::Graph,
            verbose: None,
            unit: "examples",
            stop: Arc::default(),
        }
    }

    /// Goes on from this epoch (counted from 0): a run that was stopped after three epochs goes on from 3.
    pub fn initial_epoch(mut self, epoch: usize) -> Fit {
        self.initial_epoch = epoch;
        self
    }

    /// Batches of this size, whatever the data set was made for.
    pub fn batch_size(mut self, size: usize) -> Fit {
        self.batch_size = Some(size);
        self
    }

    /// An epoch ends after so many batches; the next one goes on where it ended.
    pub fn steps_per_epoch(mut self, steps: usize) -> Fit {
        self.steps_per_epoch = Some(steps);
        self
    }

    /// Runs this many training steps in one call of a compiled function, whose loop takes batch after batch; 1 by
    /// default. Small models train faster so, to the same bits. Callbacks then see a batch's end once a call;
    /// batches that do not fill a call, or differ in shape, are trained one by one.
    pub fn steps_per_execution(mut self, steps: usize) -> Fit {
        self.steps_per_execution = steps;
        self
    }

    /// How much examples of some classes count in the loss; those of others count 1. For a model with one output.
    pub fn class_weights(mut self, weights: &[(usize, f64)]) -> Fit {
        self.class_weights = weights.to_vec();
        self
    }

    /// Data to evaluate on after each epoch; what is measured gets names with `val_`.
    pub fn validation(mut self, data: &Dataset) -> Fit {
        self.validation.data = Some(data.clone());
        self
    }

    /// Keeps the last part of the data, as it is before shuffling, to evaluate on after each epoch.
    pub fn validation_split(mut self, part: f64) -> Fit {
        self.validation.split = Some(part);
        self
    }

    /// Evaluates on so many batches only.
    pub fn validation_steps(mut self, steps: usize) -> Fit {
        self.validation.steps = Some(steps);
        self
    }

    /// Evaluates after every so many epochs.
    pub fn validation_freq(mut self, epochs: usize) -> Fit {
        self.validation.frequency = epochs;
        self
    }

    /// Something to do while training; callbacks are called in the order in which they were added.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Fit {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Graph (the default) or eager.
    pub fn mode(mut self, mode: Mode) -> Fit {
        self.mode = mode;
        self
    }

    /// 0: print nothing; 1: a progress bar; 2: a line for each epoch. By default 1 on a terminal, else 2.
    pub fn verbose(mut self, verbose: u8) -> Fit {
        self.verbose = Some(verbose);
        self
    }

    /// What progress counts, in the plural: "images", "sentences"; "examples" otherwise.
    pub fn unit(mut self, unit: &'static str) -> Fit {
        self.unit = unit;
        self
    }

    /// Raising this flag, from a signal handler for instance, ends training after the batch that is running.
    pub fn stop_flag(mut self, stop: Arc<AtomicBool>) -> Fit {
        self.stop = stop;
        self
    }
}
