//! Multilayer perceptrons: dense layers with ReLU between them.

use crate::layers::{Apply, Dense, Flatten, Layer, activations};
use crate::models::{Input, Model};
use rushlight_core::{Error, ErrorKind, Result};

/// The settings of a multilayer perceptron.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpConfig {
    /// The model's name.
    pub name: String,
    /// Shape of one input; one of several axes is flattened.
    pub input: Vec<usize>,
    pub classes: usize,
    /// Units of the layers before the logits.
    pub hidden: Vec<usize>,
}

impl MlpConfig {
    /// Named by its sizes, such as `mlp-784-128-10`.
    pub fn new(features: usize, hidden: &[usize], classes: usize) -> MlpConfig {
        let sizes = [&[features], hidden, &[classes]].concat();
        let name = sizes.iter().fold("mlp".to_string(), |name, size| format!("{name}-{size}"));
        MlpConfig { name, input: vec![features], classes, hidden: hidden.to_vec() }
    }
}

/// The model of these settings: features to logits, one a class.
///
/// # Errors
/// If a size is zero.
#[track_caller]
pub fn mlp(config: &MlpConfig) -> Result<Model> {
    if config.classes == 0 || config.hidden.contains(&0) {
        return Err(Error::outside(ErrorKind::Value, "mlp", "classes and units must be positive"));
    }
    let input = Input::new(&config.input).named("features");
    let mut x = input.clone();
    if config.input.len() != 1 {
        x = x.apply(Flatten::new().named("flatten"));
    }
    for (number, &units) in config.hidden.iter().enumerate() {
        let dense = Dense::new(units).activation(activations::Relu);
        x = x.apply(dense.named(format!("dense{}", number + 1)));
    }
    let logits = x.apply(Dense::new(config.classes).named("logits"));
    Ok(Model::new(&input, &logits)?.named(&*config.name))
}
