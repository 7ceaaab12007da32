//! How the parts of a model's picture look.

use crate::plot::scene::{Colours, GREY_INK, INK, Look, PAPER};

/// The kinds of layers that colours tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Input,
    Convolution,
    Linear,
    Normalization,
    Activation,
    Pooling,
    Recurrent,
    Attention,
    Other,
}

impl Family {
    pub(super) fn of(class: &str) -> Family {
        let has = |words: &[&str]| words.iter().any(|word| class.contains(word));
        if class == super::diagram::INPUT {
            Family::Input
        } else if has(&["Attention"]) {
            Family::Attention
        } else if has(&["Conv"]) {
            Family::Convolution
        } else if has(&["Normalization"]) {
            Family::Normalization
        } else if has(&["Pooling"]) {
            Family::Pooling
        } else if has(&["LSTM", "GRU", "RNN", "Bidirectional", "TimeDistributed"]) {
            Family::Recurrent
        } else if has(&["Dense", "Embedding"]) && !has(&["DenseBlock", "DenseNet"]) {
            Family::Linear
        } else if has(&["LU", "Activation", "Softmax", "relu", "sigmoid", "tanh", "softmax", "gelu"]) {
            Family::Activation
        } else {
            Family::Other
        }
    }
}

pub(super) const FRAME: Look = Look::filled("frame", [0xf6f8fa, 0x151b23]).stroked([0xafb8c1, 0x484f58], 1.2);
/// The ground of a box, on which the tint lies.
pub(super) const GROUND: Look = Look::filled("ground", PAPER);
pub(super) const BORDER: Look = Look::line("border", [0x8c959f, 0x6e7681], 1.0);
pub(super) const RULE: Look = Look::line("rule", [0xd8dee4, 0x30363d], 1.0);
pub(super) const WIRE: Look = Look::line("wire", WIRE_COLOURS, 1.4);
pub(super) const ARROW: Look = Look::filled("arrow", WIRE_COLOURS);
pub(super) const CLASS: Look = Look::letters("class", INK, 12.0, true);
pub(super) const OP: Look = Look::letters("op", INK, 12.0, false);
pub(super) const NAME: Look = Look::letters("name", GREY_INK, 11.0, false);
pub(super) const OUTPUT: Look = Look::letters("output", [0x32383f, 0xc9d1d9], 11.0, false);
const WIRE_COLOURS: Colours = [0x6e7781, 0x8b949e];

impl Family {
    /// The stripe at the left of a row, and the tint of the row.
    pub(super) fn looks(self) -> (Look, Look) {
        let (stripe, tint, colours) = match self {
            Family::Input => ("stripe-input", "tint-input", [0x24292f, 0xe6edf3]),
            Family::Convolution => ("stripe-convolution", "tint-convolution", [0x0969da, 0x58a6ff]),
            Family::Linear => ("stripe-linear", "tint-linear", [0x8250df, 0xbc8cff]),
            Family::Normalization => ("stripe-normalization", "tint-normalization", [0x1a7f5a, 0x3fd69a]),
            Family::Activation => ("stripe-activation", "tint-activation", [0xbf8700, 0xe3b341]),
            Family::Pooling => ("stripe-pooling", "tint-pooling", [0xcf222e, 0xff7b72]),
            Family::Recurrent => ("stripe-recurrent", "tint-recurrent", [0xd4572a, 0xff8c5a]),
            Family::Attention => ("stripe-attention", "tint-attention", [0xbf3989, 0xf778ba]),
            Family::Other => ("stripe-other", "tint-other", [0x6e7781, 0x8b949e]),
        };
        (Look::filled(stripe, colours), Look { opacity: 0.1, ..Look::filled(tint, colours) })
    }
}
