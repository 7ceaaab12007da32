//! Residual nets: each block adds what it computes to what it was given.
//!
//! Source: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016.

use crate::layers::{Add, Apply, BatchNormalization, Conv2d, Dense, GlobalAveragePooling2d, Layer, ReLU};
use crate::models::{Input, Model};
use rushlight_core::{Error, ErrorKind, Padding, Result, Tensor};

/// The settings of a residual net of two-convolution blocks for small images.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNetConfig {
    /// The model's name.
    pub name: String,
    /// Height, width and channels of the images.
    pub input: [usize; 3],
    pub classes: usize,
    /// Filters and number of blocks of each stage; all stages but the first halve height and width.
    pub stages: Vec<(usize, usize)>,
}

impl ResNetConfig {
    /// ResNet-18 with a 3×3 stem, for images of about 32×32.
    pub fn resnet18() -> ResNetConfig {
        ResNetConfig {
            name: "resnet-18".to_string(),
            input: [32, 32, 3],
            classes: 10,
            stages: vec![(64, 2), (128, 2), (256, 2), (512, 2)],
        }
    }
}

/// The model of these settings: images to logits, one a class.
///
/// # Errors
/// If there are no classes, stages, blocks or filters.
#[track_caller]
pub fn resnet(config: &ResNetConfig) -> Result<Model> {
    let Some(&(first, _)) = config.stages.first() else { return Err(nothing()) };
    if config.classes == 0 || config.stages.iter().any(|&(filters, blocks)| filters == 0 || blocks == 0) {
        return Err(nothing());
    }
    let image = Input::new(config.input).named("image");
    let mut x = conv_norm("stem", &image, first, 3, 1).apply(ReLU::new().named("stem_relu"));
    let mut channels = first;
    for (stage, &(filters, blocks)) in config.stages.iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = format!("stage{}_block{}", stage + 1, block + 1);
            x = residual(&name, &x, channels, filters, stride);
            channels = filters;
        }
    }
    let logits = x
        .apply(GlobalAveragePooling2d::new().named("pool"))
        .apply(Dense::new(config.classes).named("logits"));
    Ok(Model::new(&image, &logits)?.named(&*config.name))
}

fn nothing() -> Error {
    let rule = "there must be at least one stage, and classes, filters and blocks must be positive";
    Error::outside(ErrorKind::Value, "resnet", rule)
}

/// `relu(x + H(x))`; where sizes change, `x` passes a 1×1 convolution.
#[track_caller]
fn residual(name: &str, x: &Tensor, channels: usize, filters: usize, stride: usize) -> Tensor {
    let y = conv_norm(&format!("{name}_a"), x, filters, 3, stride);
    let y = y.apply(ReLU::new().named(format!("{name}_a_relu")));
    let y = conv_norm(&format!("{name}_b"), &y, filters, 3, 1);
    let shortcut = if stride == 1 && channels == filters {
        x.clone()
    } else {
        conv_norm(&format!("{name}_shortcut"), x, filters, 1, stride)
    };
    Add::new()
        .named(format!("{name}_add"))
        .call([&y, &shortcut])
        .apply(ReLU::new().named(format!("{name}_relu")))
}

#[track_caller]
fn conv_norm(name: &str, x: &Tensor, filters: usize, size: usize, stride: usize) -> Tensor {
    let conv = Conv2d::new(filters, size).strides(stride).padding(Padding::Same).use_bias(false);
    x.apply(conv.named(format!("{name}_conv"))).apply(BatchNormalization::new().named(format!("{name}_norm")))
}
