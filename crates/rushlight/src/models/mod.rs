//! Models: layers put together, with everything to train, run, describe and save them.

mod functional;
mod sequential;
mod summary;
mod weights;

pub use functional::Input;
pub use sequential::Sequential;
pub use summary::{Summary, SummaryRow};
pub use weights::weights_metadata;

use crate::config::Config;
use crate::layers::{Inputs, Layer, LayerState, Precision, layers_by_identity};
use crate::training::Compiled;
pub(crate) use functional::{Functional, functional_of, layer_of};
use rushlight_core::trace::Recordings;
use rushlight_core::{Result, Spec, Tensor};
use std::fmt;
use std::sync::Arc;

/// A layer with everything to train, run, describe and save it.
///
/// Made from symbolic inputs and outputs ([`Model::new`]), from a [`Sequential`], or from any layer of your own
/// ([`Model::from_layer`]). A model is a layer itself and can be called inside of another one.
///
/// ```
/// use rushlight::prelude::*;
/// let image = Input::new([8, 8, 3]);
/// let x = Conv2d::new(4, 3).padding(Same).call(&image).relu();
/// let y = Conv2d::new(4, 3).padding(Same).call(&x);
/// let logits = (x + y).apply(GlobalAveragePooling2d::new()).apply(Dense::new(10));
/// let model = Model::new(&image, &logits)?;
/// assert_eq!(model.call(&Tensor::zeros([2, 8, 8, 3], DType::F32)).shape()?, [2, 10]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    layer: Arc<dyn Layer>,
    /// What a functional model is made of, for the summary.
    functional: Option<Functional>,
    pub(crate) compiled: Option<Arc<Compiled>>,
    pub(crate) prediction: Arc<Recordings>,
}

impl Model {
    /// The model that leads from inputs to outputs: one tensor or several each.
    ///
    /// # Errors
    /// If a layer call between them failed, if an output does not depend on inputs, or depends on an [`Input`] that
    /// is not listed.
    #[track_caller]
    pub fn new(inputs: impl Inputs, outputs: impl Inputs) -> Result<Model> {
        Ok(Model::from_functional(Functional::new(&inputs.tensors(), &outputs.tensors())?))
    }

    pub(crate) fn from_functional(functional: Functional) -> Model {
        Model { functional: Some(functional.clone()), ..Model::from_layer(functional) }
    }

    /// A model whose computation is that of a layer: one of your own that calls others, for instance.
    pub fn from_layer(layer: impl Layer) -> Model {
        Model {
            layer: layer.clone_layer(),
            functional: None,
            compiled: None,
            prediction: Arc::new(Recordings::new("predict")),
        }
    }

    /// The model's name.
    pub fn name(&self) -> Arc<str> {
        self.layer.state().name()
    }

    /// The layer whose computation this is.
    pub(crate) fn inner_layer(&self) -> &dyn Layer {
        &*self.layer
    }

    pub(crate) fn functional(&self) -> Option<&Functional> {
        self.functional.as_ref()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Model({:?}, {} variables)", self.state(), self.variables().len())
    }
}

impl Layer for Model {
    fn state(&self) -> &LayerState {
        self.layer.state()
    }

    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        self.layer.build_many(inputs)
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        self.layer.forward_many(inputs)
    }

    fn config(&self) -> Result<Config> {
        self.layer.config()
    }

    fn passes_mask(&self) -> bool {
        self.layer.passes_mask()
    }

    fn precision(&self) -> Precision {
        self.layer.precision()
    }
}

layers_by_identity!(Model, Sequential);
