//! Layers as data: a class name and settings, in the words of Keras's `get_config`.
//!
//! ```
//! use rushlight::config::Config;
//! use rushlight::layers::layer_from_config;
//! use rushlight::prelude::*;
//! let config = Conv2d::new(8, 3).padding(Same).named("stem").config()?;
//! assert_eq!(config.class(), "Conv2D");
//! assert_eq!(config.setting::<Padding>("padding")?, Same);
//! let again = layer_from_config(&Config::from_json(&config.to_json("keras.layers"))?)?;
//! assert_eq!(again.config()?, config);
//! # Ok::<(), rushlight::Error>(())
//! ```

use crate::config::Config;
use crate::layers::{DTypePolicy, LayerState};
use crate::regularizers::Regularizer;
use rushlight_core::random::Generator;
use rushlight_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

impl Config {
    /// The beginning of every layer's config: class, name, `trainable`, and an activity regularizer if there is one.
    ///
    /// # Errors
    /// If the activity regularizer is a function of the program.
    pub fn of(state: &LayerState) -> Result<Config> {
        let config = Config::new(keras_class(state.class()))
            .set("name", &state.name().to_string())?
            .set("trainable", &state.is_trainable())?;
        let policy = state.dtype_policy().and_then(DTypePolicy::to_json);
        let config = policy.into_iter().fold(config, |config, policy| config.with("dtype", policy));
        match state.activity_regularizer() {
            Some(regularizer) => config.set("activity_regularizer", &regularizer),
            None => Ok(config),
        }
    }

    /// The same config with one more setting.
    ///
    /// # Errors
    /// If the setting cannot be written down: a function of the program.
    pub fn set<S: Setting>(self, key: &str, setting: &S) -> Result<Config> {
        let value = setting.to_value().map_err(|rule| self.error(format!("`{key}`: {rule}")))?;
        Ok(self.with(key, value))
    }

    /// A setting that must be there.
    ///
    /// # Errors
    /// If it is missing, or not of this kind; the message names class and key.
    pub fn setting<S: Setting>(&self, key: &str) -> Result<S> {
        match self.values().get(key) {
            Some(value) => self.read_setting(key, value),
            None => Err(self.error(format!("the setting `{key}` is missing"))),
        }
    }

    /// A setting, or what it is if it is not given.
    ///
    /// # Errors
    /// If it is there and not of this kind.
    pub fn setting_or<S: Setting>(&self, key: &str, default: impl FnOnce() -> S) -> Result<S> {
        self.values().get(key).map_or_else(|| Ok(default()), |value| self.read_setting(key, value))
    }

    fn read_setting<S: Setting>(&self, key: &str, value: &Value) -> Result<S> {
        S::from_value(value).map_err(|expected| {
            let mut got = value.to_string();
            if got.len() > 200 {
                got = format!("{}…", got.chars().take(200).collect::<String>());
            }
            self.error(format!("`{key}` must be {expected}, not {got}"))
        })
    }

    /// An error about this config.
    pub(crate) fn error(&self, rule: impl Into<String>) -> Error {
        let name = self.values().get("name").and_then(Value::as_str);
        let subject =
            name.map_or_else(|| self.class().to_string(), |name| format!("{} `{name}`", self.class()));
        Error::outside(ErrorKind::Value, subject, rule)
    }
}

/// The name that Keras has for a class: `Conv2d` as `Conv2D`.
pub(crate) fn keras_class(class: &str) -> String {
    let mut name = String::new();
    for letter in class.chars() {
        let follows_digit = name.ends_with(|before: char| before.is_ascii_digit());
        name.push(if follows_digit && letter == 'd' { 'D' } else { letter });
    }
    name
}

/// Something that can stand in a config.
pub trait Setting: Sized {
    /// As JSON; in words what cannot be written.
    fn to_value(&self) -> Result<Value, String>;

    /// From JSON; in words what was expected.
    fn from_value(value: &Value) -> Result<Self, String>;

    /// The generator of random numbers that the setting stands for, if it does.
    fn generator(&self) -> Option<&Generator> {
        None
    }
}

macro_rules! plain_settings {
    ($($type:ty: $words:literal, $value:ident => $read:expr;)*) => {$(
        impl Setting for $type {
            fn to_value(&self) -> Result<Value, String> {
                Ok(json!(self))
            }

            fn from_value($value: &Value) -> Result<$type, String> {
                $read.ok_or_else(|| $words.to_string())
            }
        }
    )*};
}

plain_settings! {
    usize: "a whole number from 0", value => whole(value).and_then(|whole| usize::try_from(whole).ok());
    u64: "a whole number from 0", value => whole(value).and_then(|whole| u64::try_from(whole).ok());
    isize: "a whole number", value => whole(value).and_then(|whole| isize::try_from(whole).ok());
    f64: "a number", value => value.as_f64();
    bool: "true or false", value => value.as_bool();
    String: "a text", value => value.as_str().map(str::to_string);
}

/// A whole number, also one that was written as `2.0`.
fn whole(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64))
}

impl<S: Setting> Setting for Option<S> {
    fn to_value(&self) -> Result<Value, String> {
        self.as_ref().map_or(Ok(Value::Null), S::to_value)
    }

    fn from_value(value: &Value) -> Result<Option<S>, String> {
        if value.is_null() { Ok(None) } else { S::from_value(value).map(Some) }
    }
}

impl<S: Setting> Setting for Vec<S> {
    fn to_value(&self) -> Result<Value, String> {
        self.iter().map(S::to_value).collect::<Result<Vec<Value>, String>>().map(Value::Array)
    }

    fn from_value(value: &Value) -> Result<Vec<S>, String> {
        items(value).ok_or("a list")?.iter().map(S::from_value).collect()
    }
}

impl<A: Setting, B: Setting> Setting for (A, B) {
    fn to_value(&self) -> Result<Value, String> {
        Ok(Value::Array(vec![self.0.to_value()?, self.1.to_value()?]))
    }

    fn from_value(value: &Value) -> Result<(A, B), String> {
        match items(value).map(Vec::as_slice) {
            Some([first, second]) => Ok((A::from_value(first)?, B::from_value(second)?)),
            _ => Err("a pair".to_string()),
        }
    }
}

/// The elements of a list or of a tuple.
pub(crate) fn items(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().or_else(|| {
        let is_tuple = value.get("class_name").and_then(Value::as_str) == Some("__tuple__");
        value.get("items").filter(|_| is_tuple)?.as_array()
    })
}

/// One of several words, as a setting.
macro_rules! words {
    ($type:ty: $($word:literal => $variant:expr),+ $(,)?) => {
        impl $crate::layers::Setting for $type {
            fn to_value(&self) -> Result<serde_json::Value, String> {
                $(if *self == $variant { return Ok($word.into()); })+
                Err("cannot be written in Keras's words".to_string())
            }

            fn from_value(value: &serde_json::Value) -> Result<$type, String> {
                match value.as_str() {
                    $(Some($word) => Ok($variant),)+
                    _ => Err(concat!("one of", $(" `", $word, "`"),+).to_string()),
                }
            }
        }
    };
}

pub(crate) use words;

impl Setting for Config {
    fn to_value(&self) -> Result<Value, String> {
        Ok(self.to_json("keras.layers"))
    }

    fn from_value(value: &Value) -> Result<Config, String> {
        Config::from_json(value).map_err(|error| error.rule().to_string())
    }
}

/// Takes over what every config begins with.
pub(crate) fn restore(state: &LayerState, config: &Config) -> Result<()> {
    if let Some(name) = config.setting_or::<Option<String>>("name", || None)? {
        state.set_name(name);
    }
    if let Some(regularizer) = config.setting_or::<Option<Regularizer>>("activity_regularizer", || None)? {
        state.set_activity_regularizer(Some(regularizer));
    }
    if let Some(policy) = config.get("dtype").and_then(DTypePolicy::mixed_from_json) {
        state.set_dtype_policy(Some(policy));
    }
    state.set_trainable(config.setting_or("trainable", || true)?);
    Ok(())
}
