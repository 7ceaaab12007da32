//! Models from the literature, by name and by their settings.

mod densenet;
mod mlp;
mod mobilenet;
mod resnet;
mod sequence;
mod vgg;

pub use densenet::{DenseNetConfig, Stem, densenet, densenet121, densenet169, densenet201};
pub use mlp::{MlpConfig, mlp};
pub use mobilenet::{MobileNetConfig, mobilenet};
pub use resnet::{ResNetConfig, resnet};
pub use sequence::{LstmConfig, TransformerConfig, lstm, transformer};
pub use vgg::{VggConfig, vgg};

use crate::models::Model;
use rushlight_core::{Error, ErrorKind, Result};

/// The names that [`by_name`] knows, with what they are.
pub const NAMES: [(&str, &str); 14] = [
    ("small", "DenseNet for 32×32 images: 3 blocks of 4 layers, growth 12 (76,810 parameters)"),
    ("densenet-40-12", "DenseNet of the paper for CIFAR: depth 40, growth 12 (1,019,722 parameters)"),
    ("densenet-bc-100-12", "DenseNet-BC of the paper for CIFAR: depth 100, growth 12 (769,162 parameters)"),
    ("densenet-121", "DenseNet-121 for 224×224 images"),
    ("densenet-169", "DenseNet-169 for 224×224 images"),
    ("densenet-201", "DenseNet-201 for 224×224 images"),
    ("vgg-32", "six 3×3 convolutions in the manner of VGG, for 32×32 images (2,196,810 parameters)"),
    ("resnet-18", "ResNet-18 for 32×32 images (11,173,962 parameters)"),
    ("mobilenet-32", "seven depthwise separable convolutions, for 32×32 images (543,050 parameters)"),
    ("lstm-28-128", "an LSTM of 128 units over 28 steps of 28 features (81,674 parameters)"),
    ("transformer-64-128", "two blocks of attention over 64 steps (402,314 parameters)"),
    ("mlp-784-512-512-10", "two hidden layers of 512 units"),
    ("mlp-784-128-10", "one hidden layer of 128 units"),
    ("mlp-16-16-4", "one hidden layer of 16 units, for inputs of 16 features"),
];

/// The settings of any of these models.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    DenseNet(DenseNetConfig),
    ResNet(ResNetConfig),
    Vgg(VggConfig),
    MobileNet(MobileNetConfig),
    Lstm(LstmConfig),
    Transformer(TransformerConfig),
    Mlp(MlpConfig),
}

/// The same expression for the settings of each kind.
macro_rules! each {
    ($config:expr, $settings:ident => $result:expr) => {
        match $config {
            Config::DenseNet($settings) => $result,
            Config::ResNet($settings) => $result,
            Config::Vgg($settings) => $result,
            Config::MobileNet($settings) => $result,
            Config::Lstm($settings) => $result,
            Config::Transformer($settings) => $result,
            Config::Mlp($settings) => $result,
        }
    };
}

impl Config {
    /// The model's name.
    pub fn name(&self) -> &str {
        each!(self, settings => &settings.name)
    }

    /// Shape of one input.
    pub fn input(&self) -> &[usize] {
        each!(self, settings => &settings.input)
    }

    pub fn classes(&self) -> usize {
        each!(self, settings => settings.classes)
    }

    /// The same settings for another number of classes.
    pub fn with_classes(mut self, classes: usize) -> Config {
        each!(&mut self, settings => settings.classes = classes);
        self
    }

    /// The same settings for images of another size: height, width, channels.
    pub fn with_image(mut self, size: [usize; 3]) -> Config {
        match &mut self {
            Config::DenseNet(settings) => settings.input = size,
            Config::ResNet(settings) => settings.input = size,
            Config::Vgg(settings) => settings.input = size,
            Config::MobileNet(settings) => settings.input = size,
            Config::Lstm(settings) => settings.input = size.to_vec(),
            Config::Transformer(settings) => settings.input = size.to_vec(),
            Config::Mlp(settings) => settings.input = size.to_vec(),
        }
        self
    }

    /// The model of these settings: a batch of inputs to logits, one a class.
    ///
    /// # Errors
    /// If a setting makes no sense.
    #[track_caller]
    pub fn build(&self) -> Result<Model> {
        match self {
            Config::DenseNet(settings) => densenet(settings),
            Config::ResNet(settings) => resnet(settings),
            Config::Vgg(settings) => vgg(settings),
            Config::MobileNet(settings) => mobilenet(settings),
            Config::Lstm(settings) => lstm(settings),
            Config::Transformer(settings) => transformer(settings),
            Config::Mlp(settings) => mlp(settings),
        }
    }
}

/// The settings of the model of that name.
///
/// # Errors
/// If there is none of that name; the message lists the names.
pub fn config_by_name(name: &str) -> Result<Config> {
    Ok(match name {
        "small" => Config::DenseNet(DenseNetConfig::small()),
        "densenet-40-12" => Config::DenseNet(DenseNetConfig::cifar_40_12()),
        "densenet-bc-100-12" => Config::DenseNet(DenseNetConfig::cifar_bc_100_12()),
        "densenet-121" => Config::DenseNet(DenseNetConfig::imagenet([6, 12, 24, 16])),
        "densenet-169" => Config::DenseNet(DenseNetConfig::imagenet([6, 12, 32, 32])),
        "densenet-201" => Config::DenseNet(DenseNetConfig::imagenet([6, 12, 48, 32])),
        "vgg-32" => Config::Vgg(VggConfig::small()),
        "resnet-18" => Config::ResNet(ResNetConfig::resnet18()),
        "mobilenet-32" => Config::MobileNet(MobileNetConfig::small()),
        "lstm-28-128" => Config::Lstm(LstmConfig::small()),
        "transformer-64-128" => Config::Transformer(TransformerConfig::small()),
        "mlp-784-512-512-10" => Config::Mlp(MlpConfig::new(784, &[512, 512], 10)),
        "mlp-784-128-10" => Config::Mlp(MlpConfig::new(784, &[128], 10)),
        "mlp-16-16-4" => Config::Mlp(MlpConfig::new(16, &[16], 4)),
        _ => {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            let rule = format!("there is no model `{name}`; the models are {}", names.join(", "));
            return Err(Error::outside(ErrorKind::Value, "model", rule));
        }
    })
}

/// The model of that name: `small`, `densenet-40-12`, `densenet-bc-100-12`, `densenet-121`, …
///
/// # Errors
/// If there is none of that name; the message lists the names.
#[track_caller]
pub fn by_name(name: &str) -> Result<Model> {
    config_by_name(name)?.build()
}
