//! What torchvision and Keras Applications call the layers of DenseNet-121, 169 and 201.

use super::{Layout, Stored};
use rushlight_core::Variable;

/// The name and layout that torchvision's DenseNets (a `state_dict`) have for a variable of ours.
///
/// ```no_run
/// use rushlight::applications::{DenseNetConfig, densenet};
/// use rushlight::formats::{arrays_from_bytes, read_file, torchvision_densenet};
/// // torchvision's batch normalization adds 10⁻⁵ to the variance.
/// let model = densenet(&DenseNetConfig { epsilon: 1e-5, ..DenseNetConfig::imagenet([6, 12, 24, 16]) })?;
/// model.assign_arrays(&arrays_from_bytes(&read_file("densenet121.safetensors")?)?, torchvision_densenet)?;
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn torchvision_densenet(name: &str, variable: &Variable) -> Option<Stored> {
    let (layer, leaf) = name.rsplit_once('/')?;
    let is_norm = layer.ends_with("_norm");
    let leaf_there = match leaf {
        "kernel" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        "moving_mean" => "running_mean",
        "moving_variance" => "running_var",
        _ => return None,
    };
    let kind = if is_norm { "norm" } else { "conv" };
    let layer = match parts(layer)? {
        Place::Logits => "classifier".to_string(),
        Place::Stem => format!("features.{kind}0"),
        Place::Final => "features.norm5".to_string(),
        Place::Transition(number) => format!("features.transition{number}.{kind}"),
        Place::Layer { block, layer, squeeze } => {
            let number = if squeeze { 1 } else { 2 };
            format!("features.denseblock{block}.denselayer{layer}.{kind}{number}")
        }
    };
    let layout = Layout::of_torch(leaf, variable.shape().len());
    Some(Stored { name: format!("{layer}.{leaf_there}"), layout })
}

/// The name that Keras Applications' DenseNets have for a variable of ours: `conv2_block1_1_conv/kernel`.
pub fn keras_densenet(name: &str, _variable: &Variable) -> Option<Stored> {
    let (layer, leaf) = name.rsplit_once('/')?;
    let kind = if layer.ends_with("_norm") { "bn" } else { "conv" };
    let layer = match parts(layer)? {
        Place::Logits => "predictions".to_string(),
        Place::Stem => format!("conv1_{kind}"),
        Place::Final => "bn".to_string(),
        Place::Transition(number) => format!("pool{}_{kind}", number + 1),
        // Each layer normalizes, squeezes, normalizes again and convolves.
        Place::Layer { block, layer, squeeze } => {
            let number = match (kind, squeeze) {
                ("bn", true) => 0,
                ("conv", true) | ("bn", false) => 1,
                _ => 2,
            };
            format!("conv{}_block{layer}_{number}_{kind}", block + 1)
        }
    };
    Some(Stored { name: format!("{layer}/{leaf}"), layout: Layout::Same })
}

/// Where a layer is in a DenseNet of ours.
enum Place {
    Stem,
    Layer { block: usize, layer: usize, squeeze: bool },
    Transition(usize),
    Final,
    Logits,
}

fn parts(layer: &str) -> Option<Place> {
    let stem = layer.strip_suffix("_norm").or(layer.strip_suffix("_conv")).unwrap_or(layer);
    match stem {
        "logits" => return Some(Place::Logits),
        "stem" => return Some(Place::Stem),
        "final" => return Some(Place::Final),
        _ => {}
    }
    if let Some(number) = stem.strip_prefix("transition") {
        return Some(Place::Transition(number.parse().ok()?));
    }
    let (block, rest) = stem.strip_prefix("block")?.split_once("_layer")?;
    let (layer, squeeze) = match rest.strip_suffix("_squeeze") {
        Some(layer) => (layer, true),
        None => (rest, false),
    };
    Some(Place::Layer { block: block.parse().ok()?, layer: layer.parse().ok()?, squeeze })
}
