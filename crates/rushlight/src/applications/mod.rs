//! Models from the literature, by name and by their settings.

mod densenet;

pub use densenet::{DenseNetConfig, Stem, densenet, densenet121, densenet169, densenet201};

use crate::models::Model;
use rushlight_core::{Error, ErrorKind, Result};

/// The names that [`by_name`] knows, with what they are.
pub const NAMES: [(&str, &str); 6] = [
    ("small", "DenseNet for 32×32 images: 3 blocks of 4 layers, growth 12 (76,810 parameters)"),
    ("densenet-40-12", "DenseNet of the paper for CIFAR: depth 40, growth 12 (1,019,722 parameters)"),
    ("densenet-bc-100-12", "DenseNet-BC of the paper for CIFAR: depth 100, growth 12 (769,162 parameters)"),
    ("densenet-121", "DenseNet-121 for 224×224 images"),
    ("densenet-169", "DenseNet-169 for 224×224 images"),
    ("densenet-201", "DenseNet-201 for 224×224 images"),
];

/// The settings of the DenseNet of that name, with its usual input and number of classes.
///
/// # Errors
/// If there is none of that name; the message lists the names.
pub fn config_by_name(name: &str) -> Result<DenseNetConfig> {
    match name {
        "small" => Ok(DenseNetConfig::small()),
        "densenet-40-12" => Ok(DenseNetConfig::cifar_40_12()),
        "densenet-bc-100-12" => Ok(DenseNetConfig::cifar_bc_100_12()),
        "densenet-121" => Ok(DenseNetConfig::imagenet([6, 12, 24, 16])),
        "densenet-169" => Ok(DenseNetConfig::imagenet([6, 12, 32, 32])),
        "densenet-201" => Ok(DenseNetConfig::imagenet([6, 12, 48, 32])),
        _ => {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            let rule = format!("there is no model `{name}`; the models are {}", names.join(", "));
            Err(Error::outside(ErrorKind::Value, "model", rule))
        }
    }
}

/// The model of that name: `small`, `densenet-40-12`, `densenet-bc-100-12`, `densenet-121`, …
///
/// # Errors
/// If there is none of that name; the message lists the names.
#[track_caller]
pub fn by_name(name: &str) -> Result<Model> {
    densenet(&config_by_name(name)?.named(name))
}
