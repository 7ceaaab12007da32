//! Plain chains of 3×3 convolutions and pooling.
//!
//! Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015.

use crate::layers::{Apply, Conv2d, Dense, Flatten, Layer, MaxPooling2d, activations};
use crate::models::{Input, Model};
use rushlight_core::{Error, ErrorKind, Padding, Result};

/// The settings of a net in the manner of VGG: 3×3 convolutions with ReLU, 2×2 max pooling behind each block of them.
#[derive(Clone, Debug, PartialEq)]
pub struct VggConfig {
    /// The model's name.
    pub name: String,
    /// Height, width and channels of the images.
    pub input: [usize; 3],
    pub classes: usize,
    /// The filters of the convolutions of each block.
    pub blocks: Vec<Vec<usize>>,
    /// Units of the dense layers before the logits.
    pub dense: Vec<usize>,
}

impl VggConfig {
    /// For 32×32 images: two convolutions each with 64, 128 and 256 filters, one dense layer.
    pub fn small() -> VggConfig {
        VggConfig {
            name: "vgg-32".to_string(),
            input: [32, 32, 3],
            classes: 10,
            blocks: vec![vec![64; 2], vec![128; 2], vec![256; 2]],
            dense: vec![256],
        }
    }
}

/// The model of these settings: images to logits, one a class.
///
/// # Errors
/// If there are no classes, filters or units, or if the images are too small for the number of blocks.
#[track_caller]
pub fn vgg(config: &VggConfig) -> Result<Model> {
    let mut sizes = config.blocks.iter().flatten().chain(&config.dense).chain([&config.classes]);
    if config.blocks.iter().any(Vec::is_empty) || sizes.any(|&size| size == 0) {
        let rule =
            "there must be a convolution in each block, and classes, filters and units must be positive";
        return Err(Error::outside(ErrorKind::Value, "vgg", rule));
    }
    let image = Input::new(config.input).named("image");
    let mut x = image.clone();
    for (block, filters) in config.blocks.iter().enumerate() {
        for (number, &filters) in filters.iter().enumerate() {
            let conv = Conv2d::new(filters, 3).padding(Padding::Same).activation(activations::Relu);
            x = x.apply(conv.named(format!("block{}_conv{}", block + 1, number + 1)));
        }
        x = x.apply(MaxPooling2d::new(2).named(format!("block{}_pool", block + 1)));
    }
    x = x.apply(Flatten::new().named("flatten"));
    for (number, &units) in config.dense.iter().enumerate() {
        let dense = Dense::new(units).activation(activations::Relu);
        x = x.apply(dense.named(format!("dense{}", number + 1)));
    }
    let logits = x.apply(Dense::new(config.classes).named("logits"));
    Ok(Model::new(&image, &logits)?.named(&*config.name))
}
