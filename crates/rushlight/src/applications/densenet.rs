//! DenseNets: in a dense block each layer sees the outputs of all layers before it, side by side.
//!
//! Source: Huang, Liu, van der Maaten and Weinberger, Densely Connected Convolutional Networks, CVPR 2017.

use crate::layers::{
    Apply, AveragePooling2d, BatchNormalization, Concatenate, Conv2d, Dense, Dropout, GlobalAveragePooling2d,
    Layer, MaxPooling2d, ReLU, ZeroPadding2d,
};
use crate::models::{Input, Model};
use rushlight_core::{DType, Error, ErrorKind, Padding, Result, Tensor};

/// What comes before the first dense block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// A 3×3 convolution: for images of about 32×32.
    Small,
    /// A 7×7 convolution with stride 2, batch normalization, ReLU and 3×3 max pooling with stride 2: for images of
    /// about 224×224.
    Large,
}

/// The settings of a DenseNet.
///
/// ```
/// use rushlight::applications::{DenseNetConfig, densenet};
/// let model = densenet(&DenseNetConfig { growth: 8, ..DenseNetConfig::small() })?;
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DenseNetConfig {
    /// The model's name.
    pub name: String,
    /// Height, width and channels of the images.
    pub input: [usize; 3],
    pub classes: usize,
    pub stem: Stem,
    /// Filters of the first convolution.
    pub first_filters: usize,
    /// Layers in each dense block.
    pub blocks: Vec<usize>,
    /// Channels that each layer adds.
    pub growth: usize,
    /// Whether a 1×1 convolution to `4 · growth` channels comes before each 3×3 one ("B").
    pub bottleneck: bool,
    /// Which part of the channels goes on from one block to the next ("C").
    pub compression: f64,
    /// Which part of each layer's outputs is dropped while training.
    pub dropout: f64,
    /// What batch normalization adds to the variance.
    pub epsilon: f64,
    /// Of the images, and of everything computed from them.
    pub dtype: DType,
}

impl DenseNetConfig {
    /// A small net for 32×32 images: 3 blocks of 4 layers, growth 12, compression 0.5.
    pub fn small() -> DenseNetConfig {
        DenseNetConfig {
            name: "small".to_string(),
            first_filters: 24,
            blocks: vec![4, 4, 4],
            compression: 0.5,
            ..DenseNetConfig::cifar_40_12()
        }
    }

    /// The paper's DenseNet (L = 40, k = 12) for CIFAR.
    pub fn cifar_40_12() -> DenseNetConfig {
        DenseNetConfig {
            name: "densenet-40-12".to_string(),
            input: [32, 32, 3],
            classes: 10,
            stem: Stem::Small,
            first_filters: 16,
            blocks: vec![12, 12, 12],
            growth: 12,
            bottleneck: false,
            compression: 1.0,
            dropout: 0.0,
            epsilon: 1e-3,
            dtype: DType::F32,
        }
    }

    /// The paper's DenseNet-BC (L = 100, k = 12) for CIFAR.
    pub fn cifar_bc_100_12() -> DenseNetConfig {
        DenseNetConfig {
            name: "densenet-bc-100-12".to_string(),
            first_filters: 24,
            blocks: vec![16, 16, 16],
            bottleneck: true,
            compression: 0.5,
            ..DenseNetConfig::cifar_40_12()
        }
    }

    /// The paper's DenseNets for ImageNet, by the layers in their four blocks: growth 32, 1000 classes.
    pub fn imagenet(blocks: [usize; 4]) -> DenseNetConfig {
        let depth = 2 * blocks.iter().sum::<usize>() + 5;
        DenseNetConfig {
            name: format!("densenet-{depth}"),
            input: [224, 224, 3],
            classes: 1000,
            stem: Stem::Large,
            first_filters: 64,
            blocks: blocks.to_vec(),
            growth: 32,
            bottleneck: true,
            compression: 0.5,
            dropout: 0.0,
            // That of Keras Applications.
            epsilon: 1.001e-5,
            dtype: DType::F32,
        }
    }

    /// The same settings under another name.
    pub fn named(mut self, name: impl Into<String>) -> DenseNetConfig {
        self.name = name.into();
        self
    }

    /// The same settings for another number of classes.
    pub fn classes(mut self, classes: usize) -> DenseNetConfig {
        self.classes = classes;
        self
    }

    /// The same settings for images of another size: height, width, channels.
    pub fn input(mut self, input: [usize; 3]) -> DenseNetConfig {
        self.input = input;
        self
    }

    fn check(&self) -> Result<()> {
        let rule = if self.classes == 0 || self.growth == 0 || self.first_filters == 0 {
            "classes, growth and first filters must be positive"
        } else if self.blocks.is_empty() || self.blocks.contains(&0) {
            "there must be at least one block, and at least one layer in each"
        } else if !(self.compression > 0.0 && self.compression <= 1.0) {
            "the compression must be above 0 and at most 1"
        } else if !(0.0..1.0).contains(&self.dropout) {
            "the dropout must be at least 0 and below 1"
        } else if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            "epsilon must be above 0"
        } else {
            return Ok(());
        };
        Err(Error::outside(ErrorKind::Value, "densenet", rule))
    }
}

/// DenseNet-121 for 224×224 images.
///
/// # Errors
/// If there are no classes.
#[track_caller]
pub fn densenet121(classes: usize) -> Result<Model> {
    densenet(&DenseNetConfig::imagenet([6, 12, 24, 16]).classes(classes))
}

/// DenseNet-169 for 224×224 images.
///
/// # Errors
/// If there are no classes.
#[track_caller]
pub fn densenet169(classes: usize) -> Result<Model> {
    densenet(&DenseNetConfig::imagenet([6, 12, 32, 32]).classes(classes))
}

/// DenseNet-201 for 224×224 images.
///
/// # Errors
/// If there are no classes.
#[track_caller]
pub fn densenet201(classes: usize) -> Result<Model> {
    densenet(&DenseNetConfig::imagenet([6, 12, 48, 32]).classes(classes))
}

/// The model of these settings: images to logits, one a class.
///
/// # Errors
/// If a setting makes no sense, or if the images are too small for the number of blocks.
#[track_caller]
pub fn densenet(config: &DenseNetConfig) -> Result<Model> {
    config.check()?;
    let image = Input::new(config.input).dtype(config.dtype).named("image");
    let mut x = stem(config, &image);
    for (index, &layers) in config.blocks.iter().enumerate() {
        let block = format!("block{}", index + 1);
        for layer in 1..=layers {
            x = dense_layer(config, &format!("{block}_layer{layer}"), &x);
        }
        if index + 1 < config.blocks.len() {
            x = transition(config, &format!("transition{}", index + 1), &x);
        }
    }
    let logits = norm_relu(config, "final", &x)
        .apply(GlobalAveragePooling2d::new().named("pool"))
        .apply(Dense::new(config.classes).named("logits"));
    Ok(Model::new(&image, &logits)?.named(&*config.name))
}

#[track_caller]
fn stem(config: &DenseNetConfig, image: &Tensor) -> Tensor {
    let size = if config.stem == Stem::Small { 3 } else { 7 };
    let conv = Conv2d::new(config.first_filters, size).use_bias(false).named("stem_conv");
    match config.stem {
        Stem::Small => image.apply(conv.padding(Padding::Same)),
        Stem::Large => {
            let x = image.apply(ZeroPadding2d::new(3).named("stem_pad")).apply(conv.strides(2));
            norm_relu(config, "stem", &x)
                .apply(ZeroPadding2d::new(1).named("stem_pool_pad"))
                .apply(MaxPooling2d::new(3).strides(2).named("stem_pool"))
        }
    }
}

#[track_caller]
fn norm_relu(config: &DenseNetConfig, name: &str, x: &Tensor) -> Tensor {
    x.apply(BatchNormalization::new().epsilon(config.epsilon).named(format!("{name}_norm")))
        .apply(ReLU::new().named(format!("{name}_relu")))
}

/// A convolution that keeps the image's size.
#[track_caller]
fn conv(filters: usize, size: usize, name: String) -> Conv2d {
    Conv2d::new(filters, size).padding(Padding::Same).use_bias(false).named(name)
}

/// `concat([x, H(x)])`, where `H` adds `growth` channels.
#[track_caller]
fn dense_layer(config: &DenseNetConfig, name: &str, x: &Tensor) -> Tensor {
    let mut y = x.clone();
    if config.bottleneck {
        let squeeze = format!("{name}_squeeze");
        y = norm_relu(config, &squeeze, &y).apply(conv(4 * config.growth, 1, format!("{squeeze}_conv")));
    }
    y = norm_relu(config, name, &y).apply(conv(config.growth, 3, format!("{name}_conv")));
    if config.dropout > 0.0 {
        y = y.apply(Dropout::new(config.dropout).named(format!("{name}_dropout")));
    }
    Concatenate::new().named(format!("{name}_concat")).call([x, &y])
}

/// Fewer channels, and half the height and width, on the way from one block to the next.
#[track_caller]
fn transition(config: &DenseNetConfig, name: &str, x: &Tensor) -> Tensor {
    let channels = x.shape().ok().and_then(|dims| dims.last().copied()).unwrap_or(0);
    let filters = (channels as f64 * config.compression).floor() as usize;
    norm_relu(config, name, x)
        .apply(Conv2d::new(filters, 1).use_bias(false).named(format!("{name}_conv")))
        .apply(AveragePooling2d::new(2).named(format!("{name}_pool")))
}
