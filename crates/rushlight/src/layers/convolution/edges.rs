//! What lies beyond the edges of a convolution.

use crate::layers::Setting;
use crate::layers::sizes::{Sizes, bad_setting};
use rushlight_core::{Padding, Result, Tensor};
use serde_json::Value;

/// Padding in front only, so that no output sees a later input: `Conv1d::new(8, 3).padding(Causal)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Causal;

/// What lies beyond the edges: a [`Padding`], or [`Causal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Padding(Padding),
    Causal,
}

impl Default for Edges {
    fn default() -> Edges {
        Edges(Kind::Padding(Padding::Valid))
    }
}

impl From<Padding> for Edges {
    fn from(padding: Padding) -> Edges {
        Edges(Kind::Padding(padding))
    }
}

impl From<Causal> for Edges {
    fn from(_: Causal) -> Edges {
        Edges(Kind::Causal)
    }
}

impl Edges {
    /// The padding that this means for a kernel `[size…, in, out]`.
    pub(super) fn of_kernel<const N: usize>(
        &self,
        layer: &str,
        kernel: &Tensor,
        dilations: &Sizes<N>,
        strides: &Sizes<N>,
    ) -> Result<Padding> {
        let dilations = dilations.each(layer, "the dilation rate")?;
        let strides = strides.each(layer, "the strides")?;
        if strides.iter().any(|&stride| stride > 1) && dilations.iter().any(|&dilation| dilation > 1) {
            return Err(bad_setting(layer, "strides and dilation rates cannot both be larger than 1"));
        }
        match &self.0 {
            Kind::Padding(padding) => Ok(padding.clone()),
            Kind::Causal if N == 1 => {
                let reach = (kernel.shape()?[0].saturating_sub(1)) * dilations[0];
                Ok(Padding::Explicit(vec![(reach, 0)]))
            }
            Kind::Causal => Err(bad_setting(layer, "causal padding is for one spatial axis")),
        }
    }
}

impl Setting for Edges {
    fn to_value(&self) -> Result<Value, String> {
        match &self.0 {
            Kind::Padding(padding) => padding.to_value(),
            Kind::Causal => Ok("causal".into()),
        }
    }

    fn from_value(value: &Value) -> Result<Edges, String> {
        match value.as_str() {
            Some("causal") => Ok(Causal.into()),
            _ => Padding::from_value(value).map(Edges::from).map_err(|words| format!("{words} or `causal`")),
        }
    }
}
