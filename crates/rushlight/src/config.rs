//! How things are described in Keras's words: a class name, and its arguments by name, as JSON.

use rushlight_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

/// The description of an optimizer, schedule, loss, metric or layer as Keras's `get_config` gives it: the name of the
/// class in Keras, and its arguments by Keras's names.
///
/// ```
/// use rushlight::config::Config;
/// let config = Config::new("Adam").with("learning_rate", 0.001).with("amsgrad", false);
/// let again = Config::from_json(&config.to_json("keras.optimizers"))?;
/// assert_eq!((again.class(), again.float("learning_rate", 0.01)?), ("Adam", 0.001));
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    class: String,
    values: Map<String, Value>,
}

impl Config {
    /// A class of Keras without arguments.
    pub fn new(class: impl Into<String>) -> Config {
        Config { class: class.into(), values: Map::new() }
    }

    /// The same with one more argument, or another value of one.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Config {
        self.values.insert(key.to_string(), value.into());
        self
    }

    /// The name of the class in Keras.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// All arguments.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The value of an argument; nothing if it is missing or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// A number.
    ///
    /// # Errors
    /// If there is something else under this name.
    pub fn float(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.optional_float(key)?.unwrap_or(default))
    }

    /// A number, or nothing if it is missing or null.
    ///
    /// # Errors
    /// If there is something else under this name.
    pub fn optional_float(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A whole number that is not negative, or nothing if it is missing or null.
    ///
    /// # Errors
    /// If there is something else under this name.
    pub fn optional_count(&self, key: &str) -> Result<Option<usize>> {
        let whole = |value: &Value| value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0);
        Ok(self.read(key, "a whole number", whole)?.map(|number| number as usize))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// If there is something else under this name.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A text.
    ///
    /// # Errors
    /// If there is something else under this name.
    pub fn text(&self, key: &str, default: &str) -> Result<String> {
        Ok(self
            .read(key, "a text", |value| value.as_str().map(str::to_string))?
            .unwrap_or(default.to_string()))
    }

    /// A list of numbers; empty if it is missing or null.
    ///
    /// # Errors
    /// If there is something else under this name.
    pub fn floats(&self, key: &str) -> Result<Vec<f64>> {
        let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect();
        Ok(self.read(key, "a list of numbers", numbers)?.unwrap_or_default())
    }

    fn read<T>(&self, key: &str, wanted: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| {
                let rule = format!("`{key}` of {} must be {wanted}: got {value}", self.class);
                Error::outside(ErrorKind::Value, "config", rule)
            }),
        }
    }

    /// As Keras serializes objects: `{"module", "class_name", "config", "registered_name"}`.
    pub fn to_json(&self, module: &str) -> Value {
        json!({
            "module": module,
            "class_name": self.class,
            "config": self.values,
            "registered_name": null,
        })
    }

    /// Reads what [`Config::to_json`] or Keras's `serialize_keras_object` wrote.
    ///
    /// # Errors
    /// If there is no class name, or the arguments are no object.
    pub fn from_json(value: &Value) -> Result<Config> {
        let class = value.get("class_name").and_then(Value::as_str);
        let values = value.get("config").and_then(Value::as_object);
        match (class, values) {
            (Some(class), Some(values)) => Ok(Config { class: class.to_string(), values: values.clone() }),
            _ => {
                let rule = format!("an object with `class_name` and `config` was expected: got {value}");
                Err(Error::outside(ErrorKind::Value, "config", rule))
            }
        }
    }
}

/// What can be described as Keras describes it, and made again from the description.
pub trait Configured: Sized {
    /// The name of the class in Keras, or of your own.
    const CLASS: &'static str;

    /// The class with all arguments.
    fn config(&self) -> Config {
        Config::new(Self::CLASS)
    }

    /// The same thing again; missing arguments are Keras's defaults.
    ///
    /// # Errors
    /// If an argument is of another kind than expected.
    fn from_config(config: &Config) -> Result<Self> {
        let rule = format!("`{}` cannot be made from a description", config.class);
        Err(Error::outside(ErrorKind::Value, "config", rule))
    }
}

/// A type that an argument in a [`Config`] can have.
pub trait Argument: Sized {
    #[doc(hidden)]
    fn write(&self) -> Value;
    #[doc(hidden)]
    fn read(config: &Config, key: &str, default: Self) -> Result<Self>;
}

macro_rules! arguments {
    ($($type:ty: $config:ident, $key:ident, $default:ident => $read:expr;)*) => {$(
        impl Argument for $type {
            fn write(&self) -> Value {
                json!(self)
            }

            fn read($config: &Config, $key: &str, $default: $type) -> Result<$type> {
                $read
            }
        }
    )*};
}

arguments! {
    f64: config, key, default => config.float(key, default);
    bool: config, key, default => config.flag(key, default);
    usize: config, key, default => Ok(config.optional_count(key)?.unwrap_or(default));
    String: config, key, default => config.text(key, &default);
    Option<f64>: config, key, default => match config.values.contains_key(key) {
        true => config.optional_float(key),
        false => Ok(default),
    };
    Option<usize>: config, key, default => match config.values.contains_key(key) {
        true => config.optional_count(key),
        false => Ok(default),
    };
    Option<isize>: config, key, default => match config.values.contains_key(key) {
        true => config.read(key, "a whole number", |value| value.as_i64().map(|number| number as isize)),
        false => Ok(default),
    };
    isize: config, key, default => {
        let whole = config.read(key, "a whole number", |value| value.as_i64())?;
        Ok(whole.map_or(default, |number| number as isize))
    };
    Vec<f64>: config, key, default => match config.get(key) {
        Some(_) => config.floats(key),
        None => Ok(default),
    };
    Vec<String>: config, key, default => {
        let texts = |value: &Value| {
            value.as_array()?.iter().map(|text| text.as_str().map(str::to_string)).collect()
        };
        Ok(config.read(key, "a list of texts", texts)?.unwrap_or(default))
    };
}

/// A struct whose fields are Keras's arguments with Keras's defaults: makes `Default` and [`Configured`] of them.
macro_rules! configured {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident as $class:literal;) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        $visibility struct $name;

        impl $crate::config::Configured for $name {
            const CLASS: &'static str = $class;

            fn from_config(_config: &$crate::config::Config) -> rushlight_core::Result<$name> {
                Ok($name)
            }
        }
    };
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident as $class:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $default:expr),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $visibility struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type),*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default),* }
            }
        }

        impl $crate::config::Configured for $name {
            const CLASS: &'static str = $class;

            fn config(&self) -> $crate::config::Config {
                $crate::config::Config::new($class)
                    $(.with(stringify!($field), $crate::config::Argument::write(&self.$field)))*
            }

            fn from_config(config: &$crate::config::Config) -> rushlight_core::Result<$name> {
                let _ = config;
                Ok($name {
                    $($field: <$type as $crate::config::Argument>::read(config, stringify!($field), $default)?),*
                })
            }
        }
    };
}

pub(crate) use configured;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_with_defaults_and_checked() {
        let value =
            json!({"class_name": "X", "config": {"a": 2, "b": null, "c": [1, 2.5], "d": "t", "e": -1}});
        let config = Config::from_json(&value).unwrap();
        assert_eq!((config.float("a", 1.0).unwrap(), config.float("b", 1.0).unwrap()), (2.0, 1.0));
        assert_eq!(
            (config.optional_count("a").unwrap(), config.optional_count("z").unwrap()),
            (Some(2), None)
        );
        assert_eq!(
            (config.floats("c").unwrap(), config.text("d", "").unwrap()),
            (vec![1.0, 2.5], "t".into())
        );
        assert!(config.flag("z", true).unwrap());
        let error = config.float("d", 0.0).unwrap_err().to_string();
        assert_eq!(error, "[config] `d` of X must be a number: got \"t\"");
        assert!(config.optional_count("e").is_err() && config.flag("a", true).is_err());
        assert!(Config::from_json(&json!({"class_name": "X"})).is_err());
    }
}
