//! Nets that read sequences: a recurrent one, and one of attention. Images are read row by row.
//!
//! Sources: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; Vaswani et al., Attention Is All You Need, 2017.

use crate::layers::{
    Add, Apply, Dense, GlobalAveragePooling1d, LSTM, Layer, LayerNormalization, MultiHeadAttention, Reshape,
    activations,
};
use crate::models::{Input, Model};
use rushlight_core::{Error, ErrorKind, Result, Tensor};

/// The settings of a recurrent net: one layer of LSTM, whose last output is classified.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmConfig {
    /// The model's name.
    pub name: String,
    /// Shape of one input: steps and features; further axes belong to the features.
    pub input: Vec<usize>,
    pub classes: usize,
    pub units: usize,
}

impl LstmConfig {
    /// 128 units over 28 steps of 28 features.
    pub fn small() -> LstmConfig {
        LstmConfig { name: "lstm-28-128".to_string(), input: vec![28, 28], classes: 10, units: 128 }
    }
}

/// The settings of a net of attention: blocks of multi-head attention and two dense layers, each on what
/// layer normalization makes of its input and added to it; the mean over the sequence is classified.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// The model's name.
    pub name: String,
    /// Shape of one input: steps and features; further axes belong to the features.
    pub input: Vec<usize>,
    pub classes: usize,
    pub blocks: usize,
    pub heads: usize,
    /// Numbers that stand for each step; a multiple of the heads.
    pub width: usize,
    /// Units of the first of the two dense layers of a block.
    pub hidden: usize,
}

impl TransformerConfig {
    /// Two blocks of 4 heads and width 128 over 64 steps of 32 features.
    pub fn small() -> TransformerConfig {
        TransformerConfig {
            name: "transformer-64-128".to_string(),
            input: vec![64, 32],
            classes: 10,
            blocks: 2,
            heads: 4,
            width: 128,
            hidden: 512,
        }
    }
}

/// The input, and the sequence in it.
#[track_caller]
fn sequence(shape: &[usize]) -> Result<(Input, Tensor)> {
    let [steps, features @ ..] = shape else { return Err(unfit("an input must have steps and features")) };
    let input = Input::new(shape).named("sequence");
    let features: usize = features.iter().product();
    if shape.len() == 2 {
        let steps = input.clone();
        return Ok((input, steps));
    }
    let rows = input.apply(Reshape::new([*steps as isize, features as isize]).named("rows"));
    Ok((input, rows))
}

fn unfit(rule: &str) -> Error {
    Error::outside(ErrorKind::Value, "sequence", rule)
}

/// The model of these settings: sequences to logits, one a class.
///
/// # Errors
/// If a size is zero.
#[track_caller]
pub fn lstm(config: &LstmConfig) -> Result<Model> {
    if config.classes == 0 || config.units == 0 || config.input.contains(&0) {
        return Err(unfit("steps, features, classes and units must be positive"));
    }
    let (input, x) = sequence(&config.input)?;
    let last = x.apply(LSTM::new(config.units).named("lstm"));
    let logits = last.apply(Dense::new(config.classes).named("logits"));
    Ok(Model::new(&input, &logits)?.named(&*config.name))
}

/// The model of these settings: sequences to logits, one a class.
///
/// # Errors
/// If a size is zero, or the width no multiple of the heads.
#[track_caller]
pub fn transformer(config: &TransformerConfig) -> Result<Model> {
    let sizes = [config.classes, config.blocks, config.heads, config.width, config.hidden];
    if sizes.contains(&0) || config.input.contains(&0) || !config.width.is_multiple_of(config.heads) {
        return Err(unfit("all sizes must be positive, and the width a multiple of the heads"));
    }
    let (input, x) = sequence(&config.input)?;
    let dense = |units: usize, name: String| Dense::new(units).named(name);
    let mut x = x.apply(dense(config.width, "embedding".to_string()));
    for block in 1..=config.blocks {
        let named = |part: &str| format!("block{block}_{part}");
        let attention = MultiHeadAttention::new(config.heads, config.width / config.heads);
        let y = x.apply(LayerNormalization::new().named(named("norm1")));
        let y = attention.named(named("attention")).call([&y, &y]);
        x = Add::new().named(named("add1")).call([&x, &y]);
        let y = x.apply(LayerNormalization::new().named(named("norm2")));
        let y = y.apply(Dense::new(config.hidden).activation(activations::Relu).named(named("dense1")));
        let y = y.apply(dense(config.width, named("dense2")));
        x = Add::new().named(named("add2")).call([&x, &y]);
    }
    let mean = x
        .apply(LayerNormalization::new().named("last_norm"))
        .apply(GlobalAveragePooling1d::new().named("mean"));
    let logits = mean.apply(dense(config.classes, "logits".to_string()));
    Ok(Model::new(&input, &logits)?.named(&*config.name))
}
