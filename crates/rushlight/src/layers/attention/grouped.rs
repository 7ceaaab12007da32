//! Attention of several heads, of which groups share keys and values.

use crate::layers::Layer;
use crate::layers::attention::multi_head::{Projections, projection, roles};
use crate::layers::attention::{attention_mask, dropped_weights, masked_softmax};
use crate::layers::define::{basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::masks::{mask_of, set_mask};
use crate::layers::sizes::{Off, bad_setting, unfit};
use rushlight_core::{Result, Spec, Tensor, einsum};

layer! {
    /// Attention of several heads, of which groups share keys and values (Ainslie et al., 2023):
    /// `softmax(q · kᵀ / √head_dim) · v` for each query head, with the key and value head of its group.
    ///
    /// Call it on `[&query, &value]`, `[&query, &value, &key]`, or with a mask as the fourth input that says where each
    /// query may look. The masks of the inputs count as well.
    ///
    /// # Shapes
    /// query `[batch, queries, d]`, value and key `[batch, keys, e]`, mask `[batch, queries, keys] → [batch, queries, d]`.
    /// Inner layers `query`, `key`, `value` with `kernel [d, heads, head_dim]` and `bias [heads, head_dim]`, and
    /// `attention_output` with `kernel [heads, head_dim, d]` and `bias [d]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let attention = GroupQueryAttention::new(4, 6, 2);
    /// let x = Tensor::ones([3, 5, 8], DType::F32);
    /// assert_eq!(attention.call([&x, &x]).shape()?, [3, 5, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    GroupQueryAttention = "GroupQueryAttention";
    /// `num_query_heads` heads of `head_dim` numbers, which share `num_key_value_heads` heads of keys and values.
    new(head_dim: usize, num_query_heads: usize, num_key_value_heads: usize);
    settings {
        /// The part of the weights that is dropped while training.
        dropout: f64 = 0.0;
        /// Whether projections have biases.
        use_bias: bool = true;
        /// How far from its own place a query sees; everywhere by default.
        sliding_window => Option<usize> = None;
        /// The same weights are dropped whenever the program runs.
        seed => Noise = Noise::from(None);
    }
    parameters {
        kernel = GlorotUniform, kernel_initializer kernel_regularizer kernel_constraint;
        bias = Zeros, bias_initializer bias_regularizer bias_constraint;
    }
    fields {
        projections: Projections = Projections::default();
    }
    fixed {
        "use_gate": Off;
    }
    call {
        /// Whether each query sees the keys up to its own place only.
        use_causal_mask;
        /// Whether the weights follow the output: use `call_many`.
        return_attention_scores;
    }
}

impl GroupQueryAttention {
    #[track_caller]
    fn outputs(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let ([query, value, key], given) = roles("GroupQueryAttention", inputs)?;
        let sources: &[&Tensor] = if inputs.len() > 2 { &[query, value, key] } else { &[query, value] };
        let mask = attention_mask(sources, given, self.use_causal_mask, self.sliding_window)?;
        let [to_query, to_key, to_value, to_output] = self.projections.get("GroupQueryAttention")?;
        let shared = self.num_query_heads / self.num_key_value_heads;
        let scaled = to_query.call(query) * (1.0 / (self.head_dim as f64).sqrt());
        let scores = einsum("bquh,bkuh->buqk", &[&scaled, &to_key.call(key).repeat(shared, 2)]);
        let absolute = self.dropout > 0.0 || self.return_attention_scores;
        let weights = masked_softmax(&scores, mask.as_ref(), 1, absolute);
        let kept = dropped_weights(weights.clone(), self.dropout, &self.seed);
        let y = einsum("buqk,bkuh->bquh", &[&kept, &to_value.call(value).repeat(shared, 2)]);
        let y = to_output.call(y);
        if let Some(mask) = mask_of(query) {
            set_mask(&y, &mask);
        }
        Ok(if self.return_attention_scores { vec![y, weights] } else { vec![y] })
    }
}

impl Layer for GroupQueryAttention {
    basics!();

    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        let (query, value, key) = match inputs {
            [query, value] => (query, value, value),
            [query, value, key, ..] => (query, value, key),
            _ => {
                return Err(bad_setting("GroupQueryAttention", "there must be a query and a value at least"));
            }
        };
        if [query, value, key].iter().any(|input| input.rank() != 3) {
            let rule = "query, value and key must be [batch, places, features]";
            return Err(unfit("GroupQueryAttention", rule, &[query, value, key]));
        }
        let (heads, shared) = (self.num_query_heads, self.num_key_value_heads);
        if heads == 0 || shared == 0 || !heads.is_multiple_of(shared) || self.head_dim == 0 {
            let rule = format!("{heads} query heads must divide into {shared} groups, and have numbers");
            return Err(bad_setting("GroupQueryAttention", rule));
        }
        let features = query.dims[2];
        let make = |name: &str, equation: &str, shape: Vec<Option<usize>>, axes: &str| {
            let bias_axes = self.use_bias.then(|| axes.to_string());
            projection(name, equation.to_string(), shape.into(), bias_axes, (&self.kernel, &self.bias))
        };
        let to_heads = |name: &str, heads: usize| {
            make(name, "bqm,muh->bquh", vec![None, Some(heads), Some(self.head_dim)], "uh")
        };
        let layers = || {
            [
                to_heads("query", heads),
                to_heads("key", shared),
                to_heads("value", shared),
                make("attention_output", "bquh,uhm->bqm", vec![None, Some(features)], "m"),
            ]
        };
        let dims = [query.dims[0], query.dims[1], heads, self.head_dim];
        self.projections.build(layers, [query, key, value, &Spec::new(dims, query.dtype)])
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        self.outputs(inputs).unwrap_or_else(|error| vec![Tensor::carry(error)])
    }
}
