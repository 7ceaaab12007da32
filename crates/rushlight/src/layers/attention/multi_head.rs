//! Attention of several heads.

use crate::layers::activation::AxisList;
use crate::layers::attention::{attention_mask, dropped_weights, masked_softmax};
use crate::layers::define::{Parameter, basics, layer};
use crate::layers::dropout::Noise;
use crate::layers::einsum_dense::{EinsumDense, OutputShape};
use crate::layers::masks::{mask_of, set_mask};
use crate::layers::sizes::{Off, bad_setting, unfit};
use crate::layers::{Inner, Layer};
use rushlight_core::tensor::normalize_axis;
use rushlight_core::{Result, Spec, Tensor, einsum};
use std::sync::{Arc, OnceLock};

layer! {
    /// Attention of several heads (Vaswani et al., 2017): query, value and key are projected for each head, attended to
    /// by scaled inner products, `softmax(q · kᵀ / √key_dim) · v`, and the heads' results projected to the output.
    ///
    /// Call it on `[&query, &value]`, `[&query, &value, &key]`, or with a mask as the fourth input that says where each
    /// query may look. The masks of the inputs count as well.
    ///
    /// # Shapes
    /// query `[batch, queries…, d]`, value `[batch, keys…, e]`, key `[batch, keys…, f]` (the value, if not given), mask
    /// `[batch, queries…, keys…] → [batch, queries…, d]`. Inner layers `query`, `key`, `value` with
    /// `kernel [d, heads, key_dim]` and `bias [heads, key_dim]`, and `attention_output` with
    /// `kernel [heads, value_dim, d]` and `bias [d]`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let attention = MultiHeadAttention::new(2, 4).use_causal_mask(true);
    /// let x = Tensor::ones([3, 5, 8], DType::F32);
    /// assert_eq!(attention.call([&x, &x]).shape()?, [3, 5, 8]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    MultiHeadAttention = "MultiHeadAttention";
    /// This many heads, whose queries and keys have `key_dim` numbers each.
    new(num_heads: usize, key_dim: usize);
    settings {
        /// The numbers of each head's values; `key_dim` by default.
        value_dim => Option<usize> = None;
        /// The part of the weights that is dropped while training.
        dropout: f64 = 0.0;
        /// Whether projections have biases.
        use_bias: bool = true;
        /// The last axes of the output; the query's last one by default.
        output_shape ? OutputShape = None;
        /// The axes that are attended over; all but batch and features by default.
        attention_axes ? AxisList = None;
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

/// The inner layers, made when the inputs' shapes are known: query, key, value, output.
#[derive(Clone, Debug, Default)]
pub(super) struct Projections(Arc<OnceLock<[EinsumDense; 4]>>);

impl Projections {
    /// Makes them once, and builds each for its input.
    pub(super) fn build(&self, make: impl FnOnce() -> [EinsumDense; 4], inputs: [&Spec; 4]) -> Result<()> {
        let layers = self.0.get_or_init(make);
        layers.iter().zip(inputs).try_for_each(|(layer, input)| Inner::from(layer.clone()).build(input))
    }

    pub(super) fn get(&self, class: &str) -> Result<&[EinsumDense; 4]> {
        self.0.get().ok_or_else(|| bad_setting(class, "the layer must be built first, by calling it"))
    }
}

/// A projection with the initializers, regularizers and constraints of the layer around it.
pub(super) fn projection(
    name: &str,
    equation: String,
    shape: OutputShape,
    bias_axes: Option<String>,
    (kernel, bias): (&Parameter, &Parameter),
) -> EinsumDense {
    let dense = EinsumDense::new(equation, shape);
    let dense = match bias_axes {
        Some(axes) => dense.bias_axes(axes),
        None => dense,
    };
    dense
        .kernel_initializer(kernel.initializer.clone())
        .kernel_regularizer(kernel.regularizer.clone())
        .kernel_constraint(kernel.constraint.clone())
        .bias_initializer(bias.initializer.clone())
        .bias_regularizer(bias.regularizer.clone())
        .bias_constraint(bias.constraint.clone())
        .named(name)
}

/// The letters from `a` on.
fn letters(count: usize, skipped: usize) -> String {
    ('a'..='z').skip(skipped).take(count).collect()
}

/// Query, value, key and mask among the inputs.
pub(super) fn roles<'a>(class: &str, inputs: &[&'a Tensor]) -> Result<([&'a Tensor; 3], Option<&'a Tensor>)> {
    match *inputs {
        [query, value] => Ok(([query, value, value], None)),
        [query, value, key] => Ok(([query, value, key], None)),
        [query, value, key, mask] => Ok(([query, value, key], Some(mask))),
        _ => {
            let rule = "there must be a query, a value, and perhaps a key and a mask";
            Err(bad_setting(class, format!("{rule}, not {} inputs", inputs.len())))
        }
    }
}

impl MultiHeadAttention {
    /// The attended axes of tensors of this rank (batch and features included).
    fn axes(&self, rank: usize) -> Option<Vec<usize>> {
        match &self.attention_axes {
            None => Some((1..rank - 1).collect()),
            Some(list) => {
                let places: Option<Vec<usize>> =
                    list.axes.iter().map(|&axis| normalize_axis(axis, rank)).collect();
                places.filter(|places| places.iter().all(|&place| place > 0 && place < rank - 1))
            }
        }
    }

    /// `abc,cde->abde`: the last axis becomes heads and their numbers.
    fn to_heads(&self, name: &str, rank: usize, size: usize) -> EinsumDense {
        let (free, bound, heads) = (letters(rank - 1, 0), letters(1, rank - 1), letters(2, rank));
        let mut shape = vec![None; rank - 2];
        shape.extend([Some(self.num_heads), Some(size)]);
        let bias_axes = self.use_bias.then(|| heads.clone());
        let equation = format!("{free}{bound},{bound}{heads}->{free}{heads}");
        projection(name, equation, shape.into(), bias_axes, (&self.kernel, &self.bias))
    }

    /// `abcd,cde->abe`: heads and their numbers become the output's last axes.
    fn project_heads(&self, query: &Spec) -> EinsumDense {
        let rank = query.rank();
        let last: Vec<Option<usize>> = match &self.output_shape {
            Some(shape) => shape.sizes().to_vec(),
            None => vec![Some(query.dims[rank - 1])],
        };
        let (free, heads, outputs) =
            (letters(rank - 1, 0), letters(2, rank - 1), letters(last.len(), rank + 1));
        let mut shape = vec![None; rank - 2];
        shape.extend(last);
        let bias_axes = self.use_bias.then(|| outputs.clone());
        let equation = format!("{free}{heads},{heads}{outputs}->{free}{outputs}");
        projection("attention_output", equation, shape.into(), bias_axes, (&self.kernel, &self.bias))
    }

    /// The equations of scores and of weighted values for projected tensors of this rank: letters of the target
    /// stand for the query's axes, others for those attended to.
    fn equations(rank: usize, axes: &[usize]) -> [String; 2] {
        let target: Vec<char> = letters(rank, 0).chars().collect();
        let mut fresh = letters(axes.len(), rank).chars().collect::<Vec<char>>().into_iter();
        let source: Vec<char> = (0..rank)
            .map(|place| if axes.contains(&place) { fresh.next().unwrap_or('?') } else { target[place] })
            .collect();
        let batch = (0..rank - 1).filter(|place| !axes.contains(place));
        let product: String = batch
            .map(|place| target[place])
            .chain(axes.iter().map(|&place| target[place]))
            .chain(axes.iter().map(|&place| source[place]))
            .collect();
        let (target, source): (String, String) = (target.iter().collect(), source.iter().collect());
        [format!("{source},{target}->{product}"), format!("{product},{source}->{target}")]
    }

    #[track_caller]
    fn outputs(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let ([query, value, key], given) = roles("MultiHeadAttention", inputs)?;
        let rank = query.rank()?;
        let axes = self
            .axes(rank)
            .ok_or_else(|| bad_setting("MultiHeadAttention", "an attention axis is missing"))?;
        let sources: &[&Tensor] = if inputs.len() > 2 { &[query, value, key] } else { &[query, value] };
        let mask = attention_mask(sources, given, self.use_causal_mask, self.sliding_window)?;
        let [to_query, to_key, to_value, to_output] = self.projections.get("MultiHeadAttention")?;
        let scaled = to_query.call(query) * (1.0 / (self.key_dim as f64).sqrt());
        let [of_scores, of_values] = MultiHeadAttention::equations(rank + 1, &axes);
        let scores = einsum(&of_scores, &[&to_key.call(key), &scaled]);
        // Keras's two ways of computing this differ where a query may look nowhere.
        let absolute = self.dropout > 0.0 || self.return_attention_scores || rank != 3;
        let weights = masked_softmax(&scores, mask.as_ref(), axes.len(), absolute);
        let kept = dropped_weights(weights.clone(), self.dropout, &self.seed);
        let y = to_output.call(einsum(&of_values, &[&kept, &to_value.call(value)]));
        if let Some(mask) = mask_of(query) {
            set_mask(&y, &mask);
        }
        Ok(if self.return_attention_scores { vec![y, weights] } else { vec![y] })
    }
}

impl Layer for MultiHeadAttention {
    basics!();

    fn build_many(&self, inputs: &[Spec]) -> Result<()> {
        let (query, value, key) = match inputs {
            [query, value] => (query, value, value),
            [query, value, key, ..] => (query, value, key),
            _ => return Err(bad_setting("MultiHeadAttention", "there must be a query and a value at least")),
        };
        let rank = query.rank();
        if rank < 3 || value.rank() != rank || key.rank() != rank || self.axes(rank).is_none() {
            let rule = "query, value and key must be [batch, …, features] with the same number of axes";
            return Err(unfit("MultiHeadAttention", rule, &[query, value, key]));
        }
        if self.num_heads == 0 || self.key_dim == 0 {
            return Err(bad_setting("MultiHeadAttention", "there must be heads, and numbers for each"));
        }
        let value_dim = self.value_dim.unwrap_or(self.key_dim);
        let make = || {
            [
                self.to_heads("query", rank, self.key_dim),
                self.to_heads("key", rank, self.key_dim),
                self.to_heads("value", rank, value_dim),
                self.project_heads(query),
            ]
        };
        let mut heads = query.dims[..rank - 1].to_vec();
        heads.extend([self.num_heads, value_dim]);
        self.projections.build(make, [query, key, value, &Spec::new(heads, query.dtype)])
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        self.outputs(inputs).unwrap_or_else(|error| vec![Tensor::carry(error)])
    }
}
