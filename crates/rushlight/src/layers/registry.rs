//! Layers from their configs: the built-in classes, and those that programs add.

use crate::config::Config;
use crate::layers::*;
use rushlight_core::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

type Make = dyn Fn(&Config) -> Result<Arc<dyn Layer>> + Send + Sync;

static CUSTOM: RwLock<Option<HashMap<String, Arc<Make>>>> = RwLock::new(None);

fn make<L: FromConfig + Clone>(config: &Config) -> Result<Arc<dyn Layer>> {
    Ok(Arc::new(L::from_config(config)?))
}

macro_rules! built_in {
    ($($class:literal $Layer:ty;)*) => {
        /// Keras's class names of all built-in layers.
        pub const BUILT_IN_LAYERS: &[&str] = &[$($class),*];

        fn built_in(config: &Config) -> Option<Result<Arc<dyn Layer>>> {
            match config.class() {
                $($class => Some(make::<$Layer>(config)),)*
                _ => None,
            }
        }
    };
}

built_in! {
    "Activation" Activation;
    "ActivityRegularization" ActivityRegularization;
    "AdaptiveAveragePooling1D" AdaptiveAveragePooling1d;
    "AdaptiveAveragePooling2D" AdaptiveAveragePooling2d;
    "AdaptiveAveragePooling3D" AdaptiveAveragePooling3d;
    "AdaptiveMaxPooling1D" AdaptiveMaxPooling1d;
    "AdaptiveMaxPooling2D" AdaptiveMaxPooling2d;
    "AdaptiveMaxPooling3D" AdaptiveMaxPooling3d;
    "Add" Add;
    "AdditiveAttention" AdditiveAttention;
    "AlphaDropout" AlphaDropout;
    "Attention" Attention;
    "Average" Average;
    "AveragePooling1D" AveragePooling1d;
    "AveragePooling2D" AveragePooling2d;
    "AveragePooling3D" AveragePooling3d;
    "BatchNormalization" BatchNormalization;
    "Bidirectional" Bidirectional;
    "CenterCrop" CenterCrop;
    "Concatenate" Concatenate;
    "Conv1D" Conv1d;
    "Conv1DTranspose" Conv1dTranspose;
    "Conv2D" Conv2d;
    "Conv2DTranspose" Conv2dTranspose;
    "Conv3D" Conv3d;
    "Conv3DTranspose" Conv3dTranspose;
    "Cropping1D" Cropping1d;
    "Cropping2D" Cropping2d;
    "Cropping3D" Cropping3d;
    "Dense" Dense;
    "DepthwiseConv1D" DepthwiseConv1d;
    "DepthwiseConv2D" DepthwiseConv2d;
    "Dot" Dot;
    "Dropout" Dropout;
    "ELU" ELU;
    "EinsumDense" EinsumDense;
    "Embedding" Embedding;
    "Flatten" Flatten;
    "GRU" GRU;
    "GaussianDropout" GaussianDropout;
    "GaussianNoise" GaussianNoise;
    "GlobalAveragePooling1D" GlobalAveragePooling1d;
    "GlobalAveragePooling2D" GlobalAveragePooling2d;
    "GlobalAveragePooling3D" GlobalAveragePooling3d;
    "GlobalMaxPooling1D" GlobalMaxPooling1d;
    "GlobalMaxPooling2D" GlobalMaxPooling2d;
    "GlobalMaxPooling3D" GlobalMaxPooling3d;
    "GroupNormalization" GroupNormalization;
    "GroupQueryAttention" GroupQueryAttention;
    "Identity" Identity;
    "LSTM" LSTM;
    "LayerNormalization" LayerNormalization;
    "LeakyReLU" LeakyReLU;
    "Masking" Masking;
    "MaxPooling1D" MaxPooling1d;
    "MaxPooling2D" MaxPooling2d;
    "MaxPooling3D" MaxPooling3d;
    "Maximum" Maximum;
    "Minimum" Minimum;
    "MultiHeadAttention" MultiHeadAttention;
    "Multiply" Multiply;
    "Normalization" Normalization;
    "PReLU" PReLU;
    "Permute" Permute;
    "RMSNormalization" RMSNormalization;
    "RandomBrightness" RandomBrightness;
    "RandomContrast" RandomContrast;
    "RandomCrop" RandomCrop;
    "RandomFlip" RandomFlip;
    "RandomRotation" RandomRotation;
    "RandomTranslation" RandomTranslation;
    "RandomZoom" RandomZoom;
    "ReLU" ReLU;
    "RepeatVector" RepeatVector;
    "Rescaling" Rescaling;
    "Reshape" Reshape;
    "Resizing" Resizing;
    "SeparableConv1D" SeparableConv1d;
    "SeparableConv2D" SeparableConv2d;
    "SimpleRNN" SimpleRNN;
    "Softmax" Softmax;
    "SpatialDropout1D" SpatialDropout1d;
    "SpatialDropout2D" SpatialDropout2d;
    "SpatialDropout3D" SpatialDropout3d;
    "SpectralNormalization" SpectralNormalization;
    "Subtract" Subtract;
    "TimeDistributed" TimeDistributed;
    "UnitNormalization" UnitNormalization;
    "UpSampling1D" UpSampling1d;
    "UpSampling2D" UpSampling2d;
    "UpSampling3D" UpSampling3d;
    "ZeroPadding1D" ZeroPadding1d;
    "ZeroPadding2D" ZeroPadding2d;
    "ZeroPadding3D" ZeroPadding3d;
}

/// The layer that a config describes, without weights: a built-in one, or one that [`register_layer`] made known.
///
/// # Errors
/// If no such class is known, or a setting is missing or makes no sense.
pub fn layer_from_config(config: &Config) -> Result<Arc<dyn Layer>> {
    let custom = {
        let known = CUSTOM.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|known| known.get(config.class()).cloned())
    };
    if let Some(make) = custom {
        return make(config);
    }
    built_in(config).unwrap_or_else(|| {
        let rule = format!(
            "there is no layer of class `{}`; register_layer makes those of your own known",
            config.class()
        );
        Err(Error::outside(ErrorKind::Value, "layer_from_config", rule))
    })
}

/// Whether a type's name, such as `Conv2d`, is that of a built-in layer.
pub(crate) fn is_built_in(class: &str) -> bool {
    BUILT_IN_LAYERS.iter().any(|known| known.eq_ignore_ascii_case(class))
}

/// Whether [`layer_from_config`] can make layers of this class.
pub(crate) fn is_registered(class: &str) -> bool {
    let known = CUSTOM.read().unwrap_or_else(PoisonError::into_inner);
    BUILT_IN_LAYERS.contains(&class) || known.as_ref().is_some_and(|known| known.contains_key(class))
}

/// Makes a class of layers known, so that [`layer_from_config`] and readers of model files can make them.
///
/// ```
/// use rushlight::config::Config;
/// use rushlight::layers::{layer_from_config, register_layer};
/// use rushlight::prelude::*;
///
/// #[derive(Clone)]
/// struct Shift { state: LayerState, by: f64 }
///
/// impl Shift {
///     #[track_caller]
///     fn new(by: f64) -> Shift { Shift { state: LayerState::new("Shift"), by } }
/// }
///
/// impl Layer for Shift {
///     fn state(&self) -> &LayerState { &self.state }
///     fn forward(&self, x: &Tensor) -> Tensor { x + self.by }
///     fn config(&self) -> Result<Config> { Config::of(&self.state)?.set("by", &self.by) }
/// }
///
/// register_layer("Shift", |config| Ok(Shift::new(config.setting("by")?)));
/// let again = layer_from_config(&Shift::new(2.0).config()?)?;
/// assert_eq!(again.call(&Tensor::from([1.0f32])).to_vec::<f32>()?, [3.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn register_layer<L: Layer + Clone>(
    class: impl Into<String>,
    make: impl Fn(&Config) -> Result<L> + Send + Sync + 'static,
) {
    let make = move |config: &Config| -> Result<Arc<dyn Layer>> {
        let layer = make(config)?;
        config::restore(layer.state(), config)?;
        Ok(Arc::new(layer))
    };
    let mut known = CUSTOM.write().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().insert(class.into(), Arc::new(make));
}
