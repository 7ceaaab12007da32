//! Attention without projections.

use crate::initializers::Initializer;
use crate::layers::attention::{FAR_BELOW, causal_mask, dropped_weights};
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::masks::{mask_of, set_mask};
use crate::layers::sizes::{bad_setting, unfit};
use crate::layers::{Layer, words};
use rushlight_core::{Result, Spec, Tensor, where_};

/// How well a query and a key fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreMode {
    /// Their inner product.
    Dot,
    /// `w · Σ tanh(query + key)` with a trained `w`.
    Concat,
}

words!(ScoreMode: "dot" => ScoreMode::Dot, "concat" => ScoreMode::Concat);

/// Query, value and key; the value is the key if there is no other.
fn three<'a>(class: &str, inputs: &[&'a Tensor]) -> Result<[&'a Tensor; 3]> {
    match *inputs {
        [query, value] => Ok([query, value, value]),
        [query, value, key] => Ok([query, value, key]),
        _ => {
            let rule =
                format!("there must be a query, a value, and perhaps a key, not {} inputs", inputs.len());
            Err(bad_setting(class, rule))
        }
    }
}

/// Shapes `[batch, places, features]` throughout.
fn check(class: &str, inputs: &[Spec]) -> Result<()> {
    if (2..=3).contains(&inputs.len()) && inputs.iter().all(|input| input.rank() == 3) {
        return Ok(());
    }
    let rule =
        "there must be a query [batch, queries, features], a value [batch, keys, values], and perhaps a key";
    Err(unfit(class, rule, &inputs.iter().collect::<Vec<_>>()))
}

/// The weighted means of values that scores `[batch, queries, keys]` choose, then the weights if they are asked for.
#[track_caller]
fn attend(
    [query, value, _]: [&Tensor; 3],
    scores: &Tensor,
    causal: bool,
    dropout: (f64, &Noise),
    return_scores: bool,
) -> Result<Vec<Tensor>> {
    let mut mask = mask_of(value).map(|mask| mask.expand_dims(-2));
    if causal {
        let dims = scores.shape()?;
        let causal = causal_mask(dims[1], dims[2]);
        mask = Some(mask.map_or_else(|| causal.clone(), |mask| mask.logical_and(&causal)));
    }
    let scores = mask.map_or_else(|| scores.clone(), |mask| where_(&mask, scores, &(scores - FAR_BELOW)));
    let weights = dropped_weights(scores.softmax(-1), dropout.0, dropout.1);
    let mut y = weights.matmul(value);
    if let Some(mask) = mask_of(query) {
        y = where_(&mask.expand_dims(-1), &y, &y.check()?.zeros_like());
        set_mask(&y, &mask);
    }
    Ok(if return_scores { vec![y, weights] } else { vec![y] })
}

layer! {
    /// Dot-product attention (Luong et al., 2015): `softmax(query · keyᵀ) · value`.
    ///
    /// Keys that do not count by the value's mask are left out, queries that do not count give zeros.
    ///
    /// # Shapes
    /// query `[batch, queries, features]`, value `[batch, keys, values]`, key `[batch, keys, features]` (the value, if
    /// not given) `→ [batch, queries, values]`. Variables, if they are used: `scale []`, `concat_score_weight []`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let (query, value) = (Tensor::ones([2, 3, 4], DType::F32), Tensor::ones([2, 5, 4], DType::F32));
    /// assert_eq!(Attention::new().call([&query, &value]).shape()?, [2, 3, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Attention = "Attention";
    /// With inner products as scores.
    new();
    settings {
        /// Whether scores have a trained factor.
        use_scale: bool = false;
        /// How scores are made.
        score_mode: ScoreMode = ScoreMode::Dot;
        /// The part of the weights that is dropped while training.
        dropout: f64 = 0.0;
        /// The same weights are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    weights { scale, concat_score_weight }
    call {
        /// Whether each query sees the keys up to its own place only.
        use_causal_mask;
        /// Whether the weights follow the output: use `call_many`.
        return_attention_scores;
    }
}

impl Layer for Attention {
    basics!();

    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        check("Attention", inputs)?;
        if self.use_scale {
            self.scale.make("scale", &[], &Initializer::Ones)?;
        }
        if self.score_mode == ScoreMode::Concat {
            self.concat_score_weight.make("concat_score_weight", &[], &Initializer::Ones)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let outputs = three("Attention", inputs).and_then(|inputs| {
            let [query, _, key] = inputs;
            let scores = match self.score_mode {
                ScoreMode::Dot => {
                    let scores = query.matmul(&key.swap_axes(-2, -1));
                    if self.use_scale { scores * self.scale.read() } else { scores }
                }
                ScoreMode::Concat => {
                    let sums = query.expand_dims(-2) + key.expand_dims(-3);
                    let sums = if self.use_scale { sums * self.scale.read() } else { sums };
                    sums.tanh().sum(-1) * self.concat_score_weight.read()
                }
            };
            let dropout = (self.dropout, &self.seed);
            attend(inputs, &scores, self.use_causal_mask, dropout, self.return_attention_scores)
        });
        outputs.unwrap_or_else(|error| vec![Tensor::carry(error)])
    }
}

layer! {
    /// Additive attention (Bahdanau et al., 2015): `softmax(Σ scale · tanh(query + key)) · value`.
    ///
    /// Keys that do not count by the value's mask are left out, queries that do not count give zeros.
    ///
    /// # Shapes
    /// query `[batch, queries, features]`, value `[batch, keys, values]`, key `[batch, keys, features]` (the value, if
    /// not given) `→ [batch, queries, values]`; variable `scale [features]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let (query, value) = (Tensor::ones([2, 3, 4], DType::F32), Tensor::ones([2, 5, 4], DType::F32));
    /// assert_eq!(AdditiveAttention::new().call([&query, &value]).shape()?, [2, 3, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    AdditiveAttention = "AdditiveAttention";
    /// With a trained factor for each feature.
    new();
    settings {
        /// Whether features have trained factors.
        use_scale: bool = true;
        /// The part of the weights that is dropped while training.
        dropout: f64 = 0.0;
        /// The same weights are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    weights { scale }
    call {
        /// Whether each query sees the keys up to its own place only.
        use_causal_mask;
        /// Whether the weights follow the output: use `call_many`.
        return_attention_scores;
    }
}

impl Layer for AdditiveAttention {
    basics!();

    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        check("AdditiveAttention", inputs)?;
        if self.use_scale {
            self.scale.make("scale", &[inputs[0].dims[2]], &Initializer::GlorotUniform)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let outputs = three("AdditiveAttention", inputs).and_then(|inputs| {
            let [query, _, key] = inputs;
            let sums = (query.expand_dims(-2) + key.expand_dims(-3)).tanh();
            let sums = if self.use_scale { sums * self.scale.read() } else { sums };
            let dropout = (self.dropout, &self.seed);
            attend(inputs, &sums.sum(-1), self.use_causal_mask, dropout, self.return_attention_scores)
        });
        outputs.unwrap_or_else(|error| vec![Tensor::carry(error)])
    }
}
