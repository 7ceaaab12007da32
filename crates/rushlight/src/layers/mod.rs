//! Layers: the [`Layer`] trait and the built-in ones, which have no privilege over those of your own.
//!
//! A layer is a plain struct with its hyper-parameters as fields, a [`LayerState`] (its name, and what it has
//! built), and a [`Weight`] for each variable. It makes its weights in [`Layer::build`] when it is first called, and
//! computes in [`Layer::forward`]. Layers that are fields of a layer need no registration: a layer called inside
//! another one's `forward` belongs to it from then on, with its variables.
//!
//! ```
//! use rushlight::prelude::*;
//!
//! /// Multiplies each feature by a learnt factor.
//! #[derive(Clone)]
//! struct Scale {
//!     state: LayerState,
//!     factor: Weight,
//! }
//!
//! impl Scale {
//!     #[track_caller]
//!     fn new() -> Scale {
//!         Scale { state: LayerState::new("Scale"), factor: Weight::new() }
//!     }
//! }
//!
//! impl Layer for Scale {
//!     fn state(&self) -> &LayerState {
//!         &self.state
//!     }
//!     fn build(&self, input: &Spec) -> Result<()> {
//!         self.factor.make("factor", &input.dims[1..], &Initializer::Constant(2.0))
//!     }
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         x * self.factor.read()
//!     }
//! }
//!
//! let scale = Scale::new();
//! let y = scale.call(&Tensor::from([[1.0f32, 2.0, 3.0]]));
//! assert_eq!(y.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
//! assert_eq!(scale.variables()[0].name(), "scale/factor");
//! # Ok::<(), rushlight::Error>(())
//! ```

mod activation;
mod attention;
mod borders;
mod call;
mod config;
mod convolution;
mod define;
mod dense;
mod dropout;
mod einsum_dense;
mod embedding;
mod extra_losses;
mod images;
mod inner;
mod loading;
mod masks;
mod merge;
mod mode;
mod normalization;
mod pooling;
mod precision;
mod probe;
mod recurrent;
mod registry;
mod reshape;
mod sizes;
mod state;

pub use activation::{Activation, AxisList, ELU, LeakyReLU, PReLU, ReLU, Softmax, activations};
pub use attention::{AdditiveAttention, Attention, GroupQueryAttention, MultiHeadAttention, ScoreMode};
pub use borders::{
    Cropping, Cropping1d, Cropping2d, Cropping3d, ZeroPadding, ZeroPadding1d, ZeroPadding2d, ZeroPadding3d,
};
pub use call::{Apply, Inputs, IntoLayer};
pub use config::Setting;
pub use convolution::{
    Causal, Conv, Conv1d, Conv1dTranspose, Conv2d, Conv2dTranspose, Conv3d, Conv3dTranspose, ConvTranspose,
    DepthwiseConv, DepthwiseConv1d, DepthwiseConv2d, Edges, SeparableConv, SeparableConv1d, SeparableConv2d,
};
pub use define::FromConfig;
pub use dense::Dense;
pub use dropout::{
    ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise, Noise, SpatialDropout,
    SpatialDropout1d, SpatialDropout2d, SpatialDropout3d,
};
pub use einsum_dense::{EinsumDense, OutputShape};
pub use embedding::Embedding;
pub use extra_losses::{add_loss, collect_losses};
pub use images::{
    CenterCrop, FillMode, FlipMode, Interpolation, Normalization, Numbers, RandomBrightness, RandomContrast,
    RandomCrop, RandomFlip, RandomRotation, RandomTranslation, RandomZoom, Range, Rescaling, Resizing,
    UpSampling1d, UpSampling2d, UpSampling3d, ValueRange,
};
pub use inner::Inner;
pub use masks::{mask_of, set_mask};
pub use merge::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use mode::{is_training, training};
pub use normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, SpectralNormalization,
    UnitNormalization,
};
pub use pooling::{
    AdaptiveAveragePooling, AdaptiveAveragePooling1d, AdaptiveAveragePooling2d, AdaptiveAveragePooling3d,
    AdaptiveMaxPooling, AdaptiveMaxPooling1d, AdaptiveMaxPooling2d, AdaptiveMaxPooling3d, AveragePooling,
    AveragePooling1d, AveragePooling2d, AveragePooling3d, GlobalAveragePooling, GlobalAveragePooling1d,
    GlobalAveragePooling2d, GlobalAveragePooling3d, GlobalMaxPooling, GlobalMaxPooling1d, GlobalMaxPooling2d,
    GlobalMaxPooling3d, MaxPooling, MaxPooling1d, MaxPooling2d, MaxPooling3d, Stride,
};
pub use precision::{DTypePolicy, Precision, dtype_policy, set_dtype_policy, with_dtype_policy};
pub use recurrent::{Bidirectional, GRU, LSTM, Masking, MergeMode, SimpleRNN, TimeDistributed};
pub use registry::{BUILT_IN_LAYERS, layer_from_config, register_layer};
pub use reshape::{Closure, Flatten, Identity, Lambda, Permute, RepeatVector, Reshape, TargetShape};
pub use sizes::{Margins, Sizes};
pub use state::{LayerState, Weight, reset_names};

pub(crate) use call::{LayerCall, in_primitives, run as call_layer, symbolic_call};
pub(crate) use config::{keras_class, words};
pub(crate) use loading::with_zero_weights;
pub(crate) use probe::first_not_finite;
pub(crate) use registry::{is_built_in, is_registered};
pub(crate) use state::{layers_by_identity, snake_case};

use crate::config::Config;
use crate::regularizers::Regularizer;
use rushlight_core::random::Generator;
use rushlight_core::{Error, ErrorKind, Result, Spec, Tensor, Variable};
use std::sync::Arc;

/// A part of a model: variables, and a computation with them.
///
/// Implement [`Layer::state`] and [`Layer::forward`], and [`Layer::build`] if there are weights (the `_many`
/// versions instead for layers with several inputs or outputs); derive `Clone`, whose copies share their weights.
/// Users call a layer with [`Layer::call`] or [`Apply::apply`], on eager tensors, on tensors of a recorded function
/// and on the inputs of a model alike. The module's page shows a layer of your own.
pub trait Layer: CloneLayer + std::any::Any + Send + Sync {
    /// The layer's name, variables and inner layers.
    fn state(&self) -> &LayerState;

    /// Makes the weights, given the input's shape and dtype; called once, before the first `forward`.
    fn build(&self, input: &Spec) -> Result<()> {
        let _ = input;
        Ok(())
    }

    /// Computes the output from the input. Called through [`Layer::call`], which builds the layer first.
    ///
    /// What depends on training asks [`is_training`]; variables are to be assigned while training only.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let rule = "the layer must implement forward or forward_many";
        let got = x.spec().map(|spec| vec![spec.clone()]).unwrap_or_default();
        Tensor::carry(Error::with_inputs(ErrorKind::Value, &*self.state().name(), rule, got))
    }

    /// As [`Layer::build`], for a layer with several inputs.
    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        inputs.first().map_or(Ok(()), |input| self.build(input))
    }

    /// As [`Layer::forward`], for a layer with several inputs or outputs.
    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        match inputs {
            [x] => vec![self.forward(x)],
            _ => {
                let got = inputs.iter().filter_map(|input| input.spec().ok().cloned()).collect();
                let rule = format!("the layer takes one input, not {}", inputs.len());
                let error = Error::with_inputs(ErrorKind::Value, &*self.state().name(), rule, got);
                vec![Tensor::carry(error)]
            }
        }
    }

    /// What the layer is made of, in the words of Keras's `get_config`; [`layer_from_config`] makes it again.
    ///
    /// Begin with [`Config::of`] and add the settings; [`register_layer`] makes a class of your own known.
    ///
    /// # Errors
    /// If a setting is a function of the program, or the layer does not say what it is made of.
    fn config(&self) -> Result<Config> {
        let rule = "the layer does not say what it is made of: implement `config`";
        Err(Error::new(ErrorKind::Value, self.state().class(), rule))
    }

    /// The generators of random numbers that the layer draws from while training, without those of inner layers: a
    /// [backup](crate::callbacks::BackupAndRestore) keeps their states.
    fn generators(&self) -> Vec<Generator> {
        Vec::new()
    }

    /// Whether the output has the input's mask ([`set_mask`]), because each step stays by itself.
    fn passes_mask(&self) -> bool {
        false
    }

    /// In which precision the layer computes under a [`DTypePolicy`].
    fn precision(&self) -> Precision {
        Precision::Policy
    }

    /// The output of the layer for these inputs: a tensor, or several (`layer.call([&a, &b])`).
    ///
    /// Builds the layer if this is its first call. The result carries an error if the inputs do not fit.
    #[track_caller]
    fn call(&self, inputs: impl Inputs) -> Tensor
    where
        Self: Sized,
    {
        let mut outputs = call::run(self, &inputs.tensors());
        match outputs.len() {
            1 => outputs.remove(0),
            count => {
                let rule = format!("the layer has {count} outputs: call it with call_many");
                Tensor::carry(Error::new(ErrorKind::Value, &*self.state().name(), rule))
            }
        }
    }

    /// The outputs of a layer that may have several.
    #[track_caller]
    fn call_many(&self, inputs: impl Inputs) -> Vec<Tensor>
    where
        Self: Sized,
    {
        call::run(self, &inputs.tensors())
    }

    /// The same layer under this name, instead of one made from its type (`dense`, `dense_1`, …).
    fn named(self, name: impl Into<String>) -> Self
    where
        Self: Sized,
    {
        self.state().set_name(name);
        self
    }

    /// The same layer with a policy of dtypes of its own; to be given before the layer is called first.
    fn dtype_policy(self, policy: impl Into<Option<DTypePolicy>>) -> Self
    where
        Self: Sized,
    {
        self.state().set_dtype_policy(policy.into());
        self
    }

    /// The same layer, whose outputs cost something: divided by the size of the batch, it is added to the loss.
    fn activity_regularizer(self, regularizer: impl Into<Option<Regularizer>>) -> Self
    where
        Self: Sized,
    {
        self.state().set_activity_regularizer(regularizer.into());
        self
    }

    /// What the trained weights cost by their regularizers, one scalar each, inner layers' included.
    #[track_caller]
    fn regularization_losses(&self) -> Vec<Tensor> {
        self.state().regularization_losses()
    }

    /// All variables, inner layers' included: first the layer's own, in the order in which it made them.
    ///
    /// Empty until the layer has been built by its first call.
    fn variables(&self) -> Vec<Variable> {
        self.state().variables()
    }

    /// The variables that optimizers should update.
    fn trainable_variables(&self) -> Vec<Variable> {
        self.variables().into_iter().filter(Variable::is_trainable).collect()
    }

    /// Freezes the layer and what is inside (`false`), or lets it train again.
    ///
    /// A frozen batch normalization uses its moving statistics even while training.
    fn set_trainable(&self, trainable: bool) {
        self.state().set_trainable(trainable);
    }
}

/// How a layer behind a reference is kept: implemented for every layer that is `Clone`.
pub trait CloneLayer {
    #[doc(hidden)]
    fn clone_layer(&self) -> Arc<dyn Layer>;
}

impl<L: Layer + Clone> CloneLayer for L {
    fn clone_layer(&self) -> Arc<dyn Layer> {
        Arc::new(self.clone())
    }
}

impl Layer for Arc<dyn Layer> {
    fn state(&self) -> &LayerState {
        (**self).state()
    }

    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        (**self).build_many(inputs)
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        (**self).forward_many(inputs)
    }

    fn config(&self) -> Result<Config> {
        (**self).config()
    }

    fn generators(&self) -> Vec<Generator> {
        (**self).generators()
    }

    fn passes_mask(&self) -> bool {
        (**self).passes_mask()
    }

    fn precision(&self) -> Precision {
        (**self).precision()
    }
}
