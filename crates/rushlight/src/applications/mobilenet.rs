//! Nets of depthwise separable convolutions: one 3×3 kernel a channel, then a 1×1 convolution across channels.
//!
//! Source: Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017.

use crate::layers::{
    Apply, BatchNormalization, Conv2d, Dense, DepthwiseConv2d, GlobalAveragePooling2d, Layer, ReLU,
};
use crate::models::{Input, Model};
use rushlight_core::{Error, ErrorKind, Padding, Result, Tensor};

/// The settings of a net of depthwise separable convolutions.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetConfig {
    /// The model's name.
    pub name: String,
    /// Height, width and channels of the images.
    pub input: [usize; 3],
    pub classes: usize,
    /// Filters of the first, 3×3 convolution.
    pub first_filters: usize,
    /// Filters and stride of each separable convolution.
    pub blocks: Vec<(usize, usize)>,
}

impl MobileNetConfig {
    /// For 32×32 images: seven separable convolutions of 64 to 512 filters.
    pub fn small() -> MobileNetConfig {
        MobileNetConfig {
            name: "mobilenet-32".to_string(),
            input: [32, 32, 3],
            classes: 10,
            first_filters: 32,
            blocks: vec![(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)],
        }
    }
}

/// The model of these settings: images to logits, one a class.
///
/// # Errors
/// If there are no classes, filters or blocks.
#[track_caller]
pub fn mobilenet(config: &MobileNetConfig) -> Result<Model> {
    let sizes = config.blocks.iter().flat_map(|&(filters, stride)| [filters, stride]);
    let mut sizes = sizes.chain([config.classes, config.first_filters]);
    if config.blocks.is_empty() || sizes.any(|size| size == 0) {
        let rule = "there must be a block, and classes, filters and strides must be positive";
        return Err(Error::outside(ErrorKind::Value, "mobilenet", rule));
    }
    let rectified = |name: &str, x: Tensor| {
        x.apply(BatchNormalization::new().named(format!("{name}_norm")))
            .apply(ReLU::new().named(format!("{name}_relu")))
    };
    let conv = |name: &str, filters: usize, size: usize| {
        let conv = Conv2d::new(filters, size).padding(Padding::Same).use_bias(false);
        conv.named(format!("{name}_conv"))
    };
    let image = Input::new(config.input).named("image");
    let mut x = rectified("first", image.apply(conv("first", config.first_filters, 3)));
    for (number, &(filters, stride)) in config.blocks.iter().enumerate() {
        let (wide, point) = (format!("block{}_wide", number + 1), format!("block{}_point", number + 1));
        let depthwise = DepthwiseConv2d::new(3).strides(stride).padding(Padding::Same).use_bias(false);
        x = rectified(&wide, x.apply(depthwise.named(format!("{wide}_conv"))));
        x = rectified(&point, x.apply(conv(&point, filters, 1)));
    }
    let logits = x
        .apply(GlobalAveragePooling2d::new().named("pool"))
        .apply(Dense::new(config.classes).named("logits"));
    Ok(Model::new(&image, &logits)?.named(&*config.name))
}
