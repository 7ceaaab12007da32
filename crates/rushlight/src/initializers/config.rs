//! Initializers as data, in Keras's words.

use crate::config::Config;
use crate::initializers::{Distribution, Fan, Initializer};
use crate::layers::{Setting, words};
use serde_json::{Value, json};

words!(Fan: "fan_in" => Fan::In, "fan_out" => Fan::Out, "fan_avg" => Fan::Average);
words!(Distribution:
    "truncated_normal" => Distribution::TruncatedNormal,
    "untruncated_normal" => Distribution::Normal,
    "uniform" => Distribution::Uniform,
);

impl Initializer {
    /// Keras's class and settings.
    fn parts(&self) -> Result<(&'static str, Value), String> {
        Ok(match self {
            Initializer::Zeros => ("Zeros", json!({})),
            Initializer::Ones => ("Ones", json!({})),
            Initializer::Constant(value) => ("Constant", json!({ "value": value })),
            Initializer::GlorotUniform => ("GlorotUniform", json!({ "seed": null })),
            Initializer::GlorotNormal => ("GlorotNormal", json!({ "seed": null })),
            Initializer::HeUniform => ("HeUniform", json!({ "seed": null })),
            Initializer::HeNormal => ("HeNormal", json!({ "seed": null })),
            Initializer::LecunUniform => ("LecunUniform", json!({ "seed": null })),
            Initializer::LecunNormal => ("LecunNormal", json!({ "seed": null })),
            Initializer::VarianceScaling { scale, mode, distribution } => {
                let (mode, distribution) = (mode.to_value()?, distribution.to_value()?);
                let settings =
                    json!({ "scale": scale, "mode": mode, "distribution": distribution, "seed": null });
                ("VarianceScaling", settings)
            }
            Initializer::Uniform { low, high } => {
                ("RandomUniform", json!({ "minval": low, "maxval": high, "seed": null }))
            }
            Initializer::Normal { mean, stddev } => {
                ("RandomNormal", json!({ "mean": mean, "stddev": stddev, "seed": null }))
            }
            Initializer::TruncatedNormal { mean, stddev } => {
                ("TruncatedNormal", json!({ "mean": mean, "stddev": stddev, "seed": null }))
            }
            Initializer::Orthogonal { gain } => ("Orthogonal", json!({ "gain": gain, "seed": null })),
            Initializer::Identity { gain } => ("Identity", json!({ "gain": gain })),
            Initializer::Seeded(inner, seed) => {
                let (class, mut settings) = inner.parts()?;
                if let Some(own) = settings.get_mut("seed") {
                    *own = (*seed).into();
                }
                (class, settings)
            }
            Initializer::Custom(_) => {
                return Err("an initializer of the program's own is not data".to_string());
            }
        })
    }

    fn read(config: &Config) -> rushlight_core::Result<Option<Initializer>> {
        let number = |key: &str, default: f64| config.setting_or(key, || default);
        Ok(Some(match config.class() {
            "Zeros" | "zeros" => Initializer::Zeros,
            "Ones" | "ones" => Initializer::Ones,
            "Constant" | "constant" => Initializer::Constant(number("value", 0.0)?),
            "GlorotUniform" | "glorot_uniform" => Initializer::GlorotUniform,
            "GlorotNormal" | "glorot_normal" => Initializer::GlorotNormal,
            "HeUniform" | "he_uniform" => Initializer::HeUniform,
            "HeNormal" | "he_normal" => Initializer::HeNormal,
            "LecunUniform" | "lecun_uniform" => Initializer::LecunUniform,
            "LecunNormal" | "lecun_normal" => Initializer::LecunNormal,
            "VarianceScaling" | "variance_scaling" => Initializer::VarianceScaling {
                scale: number("scale", 1.0)?,
                mode: config.setting_or("mode", || Fan::In)?,
                distribution: config.setting_or("distribution", || Distribution::TruncatedNormal)?,
            },
            "RandomUniform" | "random_uniform" | "uniform" => {
                Initializer::Uniform { low: number("minval", -0.05)?, high: number("maxval", 0.05)? }
            }
            "RandomNormal" | "random_normal" | "normal" => {
                Initializer::Normal { mean: number("mean", 0.0)?, stddev: number("stddev", 0.05)? }
            }
            "TruncatedNormal" | "truncated_normal" => {
                Initializer::TruncatedNormal { mean: number("mean", 0.0)?, stddev: number("stddev", 0.05)? }
            }
            "Orthogonal" | "OrthogonalInitializer" | "orthogonal" => {
                Initializer::Orthogonal { gain: number("gain", 1.0)? }
            }
            "Identity" | "IdentityInitializer" | "identity" => {
                Initializer::Identity { gain: number("gain", 1.0)? }
            }
            _ => return Ok(None),
        }))
    }
}

impl Setting for Initializer {
    fn to_value(&self) -> Result<Value, String> {
        let (class, settings) = self.parts()?;
        let config = settings.as_object().into_iter().flatten();
        let config = config.fold(Config::new(class), |config, (key, value)| config.with(key, value.clone()));
        Ok(config.to_json("keras.initializers"))
    }

    fn from_value(value: &Value) -> Result<Initializer, String> {
        let expected = || "an initializer of Keras's".to_string();
        let config = match value.as_str() {
            Some(name) => Config::new(name),
            None => Config::from_json(value).map_err(|_| expected())?,
        };
        let initializer =
            Initializer::read(&config).map_err(|error| format!("an initializer; {}", error.rule()))?;
        let initializer = initializer.ok_or_else(expected)?;
        // A seed generator instead of a number leaves the initializer unseeded.
        Ok(match config.values().get("seed").and_then(Value::as_u64) {
            Some(seed) => initializer.seeded(seed),
            None => initializer,
        })
    }
}
