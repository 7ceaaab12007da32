//! A recurrent layer in both directions.

use crate::config::Config;
use crate::layers::define::{basics, layer};
use crate::layers::masks::{mask_of, set_mask};
use crate::layers::sizes::bad_setting;
use crate::layers::{Inner, Layer, layer_from_config, words};
use rushlight_core::{Result, Spec, Tensor, concat};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How the outputs of both directions become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeMode {
    Concat,
    Sum,
    /// The mean.
    Average,
    /// The product.
    Multiply,
}

words!(MergeMode:
    "concat" => MergeMode::Concat,
    "sum" => MergeMode::Sum,
    "ave" => MergeMode::Average,
    "mul" => MergeMode::Multiply,
);

layer! {
    /// A recurrent layer that goes through sequences from the beginning, and a copy of it that does so from the end.
    ///
    /// # Shapes
    /// Those of the layer, with twice the last axis if outputs are concatenated; the states of both directions follow
    /// if the layer returns them, and both outputs come one after the other without a merge mode. Variables: those of
    /// the forward layer, then of the backward one.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let both = Bidirectional::new(LSTM::new(4).return_sequences(true));
    /// assert_eq!(both.call(&Tensor::ones([2, 5, 3], DType::F32)).shape()?, [2, 5, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Bidirectional = "Bidirectional";
    /// Both directions of this recurrent layer, which itself is only the pattern for them.
    new(layer => Inner);
    settings {
        /// How both outputs become one; side by side by default, `None` to keep them apart.
        merge_mode => Option<MergeMode> = Some(MergeMode::Concat);
        /// Another layer for the way back, which goes backwards.
        backward_layer ? Inner = None;
    }
    fields {
        directions: Directions = Directions::default();
    }
}

/// The layers of both directions, once they are made.
#[derive(Clone, Default)]
struct Directions(Arc<OnceLock<[Arc<dyn Layer>; 2]>>);

impl fmt::Debug for Directions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.get().is_some() { "made" } else { "not made" })
    }
}

impl Bidirectional {
    /// The layers for both directions.
    fn directions(&self) -> Result<&[Arc<dyn Layer>; 2]> {
        if self.directions.0.get().is_none() {
            let pattern = self.layer.0.config()?;
            let goes_backwards = pattern.setting_or("go_backwards", || false)?;
            let forward = Bidirectional::direction(&pattern, "forward", goes_backwards)?;
            let backward = match &self.backward_layer {
                Some(layer) => Bidirectional::direction(&layer.0.config()?, "backward", true)?,
                None => Bidirectional::direction(&pattern, "backward", true)?,
            };
            // Another thread may have been faster: then its layers are the ones.
            let _ = self.directions.0.set([forward, backward]);
        }
        Ok(self.directions.0.get().expect("it has just been set"))
    }

    /// A copy of the pattern. Steps that do not count give zeros, so that both directions leave the same ones empty.
    fn direction(pattern: &Config, way: &str, goes_backwards: bool) -> Result<Arc<dyn Layer>> {
        if !pattern.values().contains_key("go_backwards") {
            let rule = format!("the layer must be recurrent, not a {}", pattern.class());
            return Err(bad_setting("Bidirectional", rule));
        }
        let name: String = pattern.setting_or("name", String::new)?;
        let name =
            name.strip_prefix(way).and_then(|name| name.strip_prefix('_')).unwrap_or(&name).to_string();
        let sequences = pattern.setting_or("return_sequences", || false)?;
        let config = pattern
            .clone()
            .with("name", format!("{way}_{name}"))
            .with("go_backwards", goes_backwards)
            .with("zero_output_for_mask", sequences);
        layer_from_config(&config)
    }

    #[track_caller]
    fn outputs(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let [forward, backward] = self.directions()?;
        let pattern = forward.config()?;
        let sequences = pattern.setting_or("return_sequences", || false)?;
        let (x, states) = (inputs[0], &inputs[1..]);
        let (ours, theirs) = states.split_at(states.len() / 2);
        let run = |layer: &Arc<dyn Layer>, states: &[&Tensor]| {
            let inputs: Vec<&Tensor> = std::iter::once(x).chain(states.iter().copied()).collect();
            layer.call_many(inputs)
        };
        let (mut there, mut back) = (run(forward, ours), run(backward, theirs));
        let (y, mut reversed) = (there.remove(0), back.remove(0));
        if sequences {
            reversed = reversed.flip([1]);
        }
        let mut outputs = match self.merge_mode {
            Some(MergeMode::Concat) => vec![concat(&[&y, &reversed], -1)],
            Some(MergeMode::Sum) => vec![y + reversed],
            Some(MergeMode::Average) => vec![(y + reversed) / 2.0],
            Some(MergeMode::Multiply) => vec![y * reversed],
            None => vec![y, reversed],
        };
        if sequences && let Some(mask) = mask_of(x) {
            outputs.iter().for_each(|output| set_mask(output, &mask));
        }
        outputs.extend(there.into_iter().chain(back));
        Ok(outputs)
    }
}

impl Layer for Bidirectional {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        let [forward, backward] = self.directions()?;
        Inner(forward.clone()).build(input)?;
        Inner(backward.clone()).build(input)
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        self.outputs(inputs).unwrap_or_else(|error| vec![Tensor::carry(error)])
    }
}
