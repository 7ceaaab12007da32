//! Examples: some of them as a batch, and where batches come from.

use rushlight_core::{Error, ErrorKind, Result, Tensor};

/// Examples that can be fetched by number.
pub trait Source: Send + Sync + 'static {
    /// The number of examples.
    fn len(&self) -> usize;

    /// The examples of these numbers as they are in this epoch, in this order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch>;

    /// Whether there is no example.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Some examples: what goes into a model, and what should come out. The first axis of each tensor is the batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// One tensor for each input of the model.
    pub inputs: Vec<Tensor>,
    /// One tensor for each output of the model; none for data to predict on.
    pub targets: Vec<Tensor>,
    /// How much each example counts in the losses: nothing, one tensor for all outputs, or one for each output.
    pub weights: Vec<Tensor>,
}

impl Batch {
    /// Inputs and targets of a model that has one of each.
    pub fn new(input: Tensor, target: Tensor) -> Batch {
        Batch { inputs: vec![input], targets: vec![target], weights: Vec::new() }
    }

    /// The same with a weight for each example: how much it counts in the loss.
    pub fn with_weights(mut self, weights: Tensor) -> Batch {
        self.weights = vec![weights];
        self
    }

    /// Inputs, targets and weights.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.inputs.iter().chain(&self.targets).chain(&self.weights)
    }

    /// The number of examples.
    ///
    /// # Errors
    /// If a tensor carries an error, has no batch axis, or if two have different numbers of examples.
    pub fn size(&self) -> Result<usize> {
        let mut sizes = Vec::new();
        for tensor in self.tensors() {
            sizes.push(tensor.shape()?.first().copied());
        }
        match sizes.as_slice() {
            [Some(first), rest @ ..] if rest.iter().all(|size| size == &Some(*first)) => Ok(*first),
            _ => {
                let specs = self.tensors().flat_map(|tensor| tensor.spec().cloned());
                let rule = "all tensors of a batch must have a first axis of the same size";
                Err(Error::with_inputs(ErrorKind::Shape, "dataset", rule, specs.collect()))
            }
        }
    }
}
