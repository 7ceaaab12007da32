//! What is drawn, before it is written in a format: outlines and lines of text, and how each kind of them looks.

use super::layout::{Line, Piece};

/// A page with what is drawn on it, the hindmost first.
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

pub(super) enum Shape {
    Outline {
        path: Line,
        look: Look,
        /// What an SVG file shows where the mouse rests.
        tip: Option<String>,
    },
    Text {
        x: f64,
        y: f64,
        look: Look,
        /// Whether `x` is the right end.
        from_right: bool,
        text: String,
    },
}

impl Shape {
    pub(super) fn moved(self, right: f64, down: f64) -> Shape {
        match self {
            Shape::Outline { path, look, tip } => Shape::Outline { path: path.moved(right, down), look, tip },
            Shape::Text { x, y, look, from_right, text } => {
                Shape::Text { x: x + right, y: y + down, look, from_right, text }
            }
        }
    }
}

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

/// How something looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Page,
    Frame,
    /// The ground of a box, on which the tint lies.
    Ground,
    Tint(Family),
    Stripe(Family),
    Border,
    Rule,
    Wire,
    Arrow,
    Title,
    Note,
    Class,
    Op,
    Name,
    Output,
}

/// A colour on light and on dark screens.
type Colours = [u32; 2];

/// What a look consists of; what is not there is not drawn.
#[derive(Clone, Copy, Default)]
pub(super) struct Paint {
    pub(super) fill: Option<Colours>,
    pub(super) opacity: f64,
    pub(super) stroke: Option<Colours>,
    pub(super) line_width: f64,
    /// Of letters.
    pub(super) size: f64,
    pub(super) bold: bool,
}

impl Look {
    /// The class in a style sheet.
    pub(super) fn name(self) -> String {
        match self {
            Look::Tint(family) => format!("tint-{family:?}").to_lowercase(),
            Look::Stripe(family) => format!("stripe-{family:?}").to_lowercase(),
            look => format!("{look:?}").to_lowercase(),
        }
    }

    pub(super) fn paint(self) -> Paint {
        let fill = |colours| Paint { fill: Some(colours), opacity: 1.0, ..Paint::default() };
        let stroke = |colours, line_width| Paint { stroke: Some(colours), line_width, ..Paint::default() };
        let text = |colours, size, bold| Paint { size, bold, ..fill(colours) };
        match self {
            Look::Page => {
                Paint { stroke: Some([0xd8dee4, 0x30363d]), line_width: 1.0, ..fill([0xffffff, 0x0d1117]) }
            }
            Look::Frame => {
                Paint { stroke: Some([0xafb8c1, 0x484f58]), line_width: 1.2, ..fill([0xf6f8fa, 0x151b23]) }
            }
            Look::Ground => fill([0xffffff, 0x0d1117]),
            Look::Tint(family) => Paint { opacity: 0.1, ..fill(family.colours()) },
            Look::Stripe(family) => fill(family.colours()),
            Look::Border => stroke([0x8c959f, 0x6e7681], 1.0),
            Look::Rule => stroke([0xd8dee4, 0x30363d], 1.0),
            Look::Wire => stroke([0x6e7781, 0x8b949e], 1.4),
            Look::Arrow => fill([0x6e7781, 0x8b949e]),
            Look::Title => text([0x1f2328, 0xe6edf3], 18.0, true),
            Look::Note => text([0x57606a, 0x8b949e], 12.0, false),
            Look::Class => text([0x1f2328, 0xe6edf3], 12.0, true),
            Look::Op => text([0x1f2328, 0xe6edf3], 12.0, false),
            Look::Name => text([0x57606a, 0x8b949e], 11.0, false),
            Look::Output => text([0x32383f, 0xc9d1d9], 11.0, false),
        }
    }
}

impl Family {
    fn colours(self) -> Colours {
        match self {
            Family::Input => [0x24292f, 0xe6edf3],
            Family::Convolution => [0x0969da, 0x58a6ff],
            Family::Linear => [0x8250df, 0xbc8cff],
            Family::Normalization => [0x1a7f5a, 0x3fd69a],
            Family::Activation => [0xbf8700, 0xe3b341],
            Family::Pooling => [0xcf222e, 0xff7b72],
            Family::Recurrent => [0xd4572a, 0xff8c5a],
            Family::Attention => [0xbf3989, 0xf778ba],
            Family::Other => [0x6e7781, 0x8b949e],
        }
    }
}

/// A rectangle with round corners: top left, top right, bottom right, bottom left.
pub(super) fn rectangle([x, y, width, height]: [f64; 4], radii: [f64; 4]) -> Line {
    let (right, bottom) = (x + width, y + height);
    let [a, b, c, d] = radii;
    // So far towards the corner a curve is pulled that it comes near a circle.
    const PULL: f64 = 0.45;
    let pieces = vec![
        Piece::To((right - b, y)),
        Piece::Curve((right - b * PULL, y), (right, y + b * PULL), (right, y + b)),
        Piece::To((right, bottom - c)),
        Piece::Curve((right, bottom - c * PULL), (right - c * PULL, bottom), (right - c, bottom)),
        Piece::To((x + d, bottom)),
        Piece::Curve((x + d * PULL, bottom), (x, bottom - d * PULL), (x, bottom - d)),
        Piece::To((x, y + a)),
        Piece::Curve((x, y + a * PULL), (x + a * PULL, y), (x + a, y)),
    ];
    Line { start: (x + a, y), pieces, arrow: false }
}
