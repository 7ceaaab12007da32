//! The functional API: symbolic inputs, and the model between inputs and outputs.

use crate::layers::{Inputs, Layer, LayerCall, LayerState, Precision};
use crate::models::Model;
use rushlight_core::tensor::BATCH;
use rushlight_core::trace::model::{ModelGraph, Step};
use rushlight_core::trace::model_input;
use rushlight_core::{DType, Result, Spec, Tensor};
use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A symbolic input of a model, on which layers and ops are called as on any tensor; its batch axis is open.
///
/// ```
/// use rushlight::prelude::*;
/// let (left, right) = (Input::new([4]).named("left"), Input::new([4]).named("right"));
/// let model = Model::new([&left, &right], &(&*left * 2.0 + &*right).apply(Dense::new(1)))?;
/// let ones = Tensor::ones([3, 4], DType::F32);
/// assert_eq!(model.call([&ones, &ones]).shape()?, [3, 1]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Debug)]
pub struct Input {
    state: LayerState,
    spec: Spec,
    tensor: OnceLock<Tensor>,
}

impl Input {
    /// An `f32` input of this shape, the batch axis left out.
    #[track_caller]
    pub fn new(dims: impl AsRef<[usize]>) -> Input {
        let dims: Vec<usize> = std::iter::once(BATCH).chain(dims.as_ref().iter().copied()).collect();
        Input { state: LayerState::new("Input"), spec: Spec::new(dims, DType::F32), tensor: OnceLock::new() }
    }

    /// The same input under a name of your own.
    pub fn named(self, name: impl Into<String>) -> Input {
        self.state.set_name(name);
        self
    }

    /// The same input with another dtype; data of other dtypes is cast to it.
    pub fn dtype(mut self, dtype: DType) -> Input {
        self.spec.dtype = dtype;
        self
    }
}

impl Deref for Input {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        self.tensor.get_or_init(|| model_input(&self.state.name(), self.spec.clone()))
    }
}

impl Inputs for Input {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![self]
    }
}

/// The layer that runs the graph between a model's inputs and outputs.
#[derive(Clone)]
pub(crate) struct Functional {
    state: LayerState,
    graph: Arc<ModelGraph>,
}

impl Functional {
    #[track_caller]
    pub(crate) fn new(inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<Functional> {
        Functional::with_state(LayerState::new("Functional"), inputs, outputs)
    }

    #[track_caller]
    pub(crate) fn with_state(
        state: LayerState,
        inputs: &[&Tensor],
        outputs: &[&Tensor],
    ) -> Result<Functional> {
        let graph = Arc::new(ModelGraph::new(inputs, outputs)?);
        for layer in graph.steps().iter().filter_map(layer_of) {
            state.adopt(layer.state());
        }
        // The layers were built when they were called on the inputs; the model itself has nothing to build.
        state.build_once(&[], |_| Ok(()))?;
        Ok(Functional { state, graph })
    }

    pub(crate) fn graph(&self) -> &ModelGraph {
        &self.graph
    }
}

/// The layer that a step of a model's graph calls; nothing for an op.
pub(crate) fn layer_of(step: &Step) -> Option<&Arc<dyn Layer>> {
    let call = step.composite()?.as_any().downcast_ref::<LayerCall>()?;
    Some(&call.layer)
}

/// The graph of layers that a layer is; nothing for layers of other kinds.
pub(crate) fn functional_of(layer: &dyn Layer) -> Option<&Functional> {
    let any: &dyn Any = layer;
    if let Some(shared) = any.downcast_ref::<Arc<dyn Layer>>() {
        return functional_of(&**shared);
    }
    if let Some(model) = any.downcast_ref::<Model>() {
        return model.functional().or_else(|| functional_of(model.inner_layer()));
    }
    any.downcast_ref::<Functional>()
}

impl Layer for Functional {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        self.graph.run(inputs)
    }

    fn precision(&self) -> Precision {
        Precision::Inner
    }
}
