//! What callbacks remember, so that a training that goes on later is the one that was broken off.

use rushlight_core::{Error, ErrorKind, Result, Tensor};
use serde_json::Value;

/// What a callback must know to go on later as if nothing had happened.
#[derive(Clone, Debug, Default)]
pub struct CallbackMemory {
    /// Which callback it belongs to; those of one kind are told apart by their order.
    pub owner: String,
    /// Numbers, texts, and lists of such.
    pub values: Value,
    /// Arrays, in an order that the callback knows.
    pub arrays: Vec<Tensor>,
}

impl CallbackMemory {
    /// Values of the callback of this kind.
    pub fn new(owner: impl Into<String>, values: Value) -> CallbackMemory {
        CallbackMemory { owner: owner.into(), values, arrays: Vec::new() }
    }

    /// A number, or nothing where there is none yet.
    ///
    /// # Errors
    /// If there is something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match &self.values[key] {
            Value::Null => Ok(None),
            value => value.as_f64().map(Some).ok_or_else(|| self.wrong(key, "a number")),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// If there is none.
    pub fn count(&self, key: &str) -> Result<usize> {
        let count = self.values[key].as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| self.wrong(key, "a whole number"))
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        let rule = format!("`{key}` in the memory of {} must be {expected}", self.owner);
        Error::outside(ErrorKind::Value, "backup", rule)
    }
}
