//! A layer inside of another one.

use crate::layers::call::build;
use crate::layers::{Layer, Setting};
use rushlight_core::{Result, Spec};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// The layer that a wrapper is around.
#[derive(Clone)]
pub struct Inner(pub(crate) Arc<dyn Layer>);

impl Inner {
    /// Makes its weights; to be called in the wrapper's `build`.
    pub(crate) fn build(&self, input: &Spec) -> Result<()> {
        build(&*self.0, std::slice::from_ref(input))
    }
}

impl<L: Layer> From<L> for Inner {
    fn from(layer: L) -> Inner {
        Inner(layer.clone_layer())
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.state().fmt(formatter)
    }
}

impl Setting for Inner {
    fn to_value(&self) -> Result<Value, String> {
        self.0.to_value()
    }

    fn from_value(value: &Value) -> Result<Inner, String> {
        Arc::<dyn Layer>::from_value(value).map(Inner)
    }
}
