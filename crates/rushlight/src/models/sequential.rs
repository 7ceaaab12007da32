//! Layers one after the other.

use crate::layers::{Layer, LayerState, Precision};
use crate::models::functional::Functional;
use crate::models::{Input, Model};
use rushlight_core::{Result, Tensor};
use std::fmt;
use std::sync::Arc;

/// Layers one after the other: a layer, and with [`Sequential::model`] a model.
///
/// ```
/// use rushlight::prelude::*;
/// let layers = Sequential::new().add(Dense::new(16).activation(activations::Relu)).add(Dense::new(3));
/// let model = layers.model([8])?;
/// assert_eq!(model.trainable_variables().len(), 4);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Sequential {
    state: LayerState,
    layers: Vec<Arc<dyn Layer>>,
}

impl Sequential {
    #[track_caller]
    pub fn new() -> Sequential {
        Sequential { state: LayerState::new("Sequential"), layers: Vec::new() }
    }

    /// In the order in which they are called.
    pub(crate) fn layers(&self) -> &[Arc<dyn Layer>] {
        &self.layers
    }

    /// One more layer at the end.
    #[expect(clippy::should_implement_trait, reason = "Keras's word; nobody adds layers with `+`")]
    pub fn add(mut self, layer: impl Layer) -> Sequential {
        self.layers.push(layer.clone_layer());
        self
    }

    /// The model of these layers for inputs of this shape, the batch axis left out: built, ready for a summary.
    ///
    /// # Errors
    /// If a layer does not accept what the one before it gives.
    #[track_caller]
    pub fn model(&self, dims: impl AsRef<[usize]>) -> Result<Model> {
        let input = Input::new(dims);
        let mut x = input.clone();
        for layer in &self.layers {
            x = layer.call(&x);
        }
        Ok(Model::from_functional(Functional::with_state(self.state.clone(), &[&input], &[&x])?))
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<&LayerState> = self.layers.iter().map(|layer| layer.state()).collect();
        formatter.debug_tuple("Sequential").field(&self.state).field(&layers).finish()
    }
}

impl Default for Sequential {
    #[track_caller]
    fn default() -> Sequential {
        Sequential::new()
    }
}

/// The model of these layers, built when it first sees an input.
impl From<Sequential> for Model {
    fn from(layers: Sequential) -> Model {
        Model::from_layer(layers)
    }
}

impl Layer for Sequential {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.call(&x);
        }
        x
    }

    fn precision(&self) -> Precision {
        Precision::Inner
    }
}
