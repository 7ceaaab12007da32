//! What is drawn, before it is written in a format: outlines and lines of text, and how each kind of them looks.

mod png;
mod svg;

use std::io;

/// A page with what is drawn on it, the hindmost first.
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

pub(super) enum Shape {
    Outline {
        path: Path,
        look: Look,
        /// What an SVG file shows where the mouse rests.
        tip: Option<String>,
    },
    Text {
        x: f64,
        y: f64,
        look: Look,
        anchor: Anchor,
        text: String,
    },
}

/// What of a text lies at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

pub(super) type Point = (f64, f64);

/// Lines and curves, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) start: Point,
    pub(super) pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    To(Point),
    /// Two points that pull, and the end.
    Curve(Point, Point, Point),
}

/// A colour on light and on dark screens.
pub(super) type Colours = [u32; 2];

/// How something looks, under a name of its own for style sheets; what is not there is not drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) name: &'static str,
    pub(super) fill: Option<Colours>,
    pub(super) opacity: f64,
    pub(super) stroke: Option<Colours>,
    pub(super) line_width: f64,
    /// Lengths of dashes and of the gaps between.
    pub(super) dashes: Option<[f64; 2]>,
    /// Of letters.
    pub(super) size: f64,
    pub(super) bold: bool,
}

/// The ground of pages.
pub(super) const PAPER: Colours = [0xffffff, 0x0d1117];
/// Letters, from the most to the least important ones.
pub(super) const INK: Colours = [0x1f2328, 0xe6edf3];
pub(super) const GREY_INK: Colours = [0x57606a, 0x8b949e];

pub(super) const PAGE: Look = Look::filled("page", PAPER).stroked([0xd8dee4, 0x30363d], 1.0);
pub(super) const TITLE: Look = Look::letters("title", INK, 18.0, true);
pub(super) const NOTE: Look = Look::letters("note", GREY_INK, 12.0, false);

impl Look {
    pub(super) const fn filled(name: &'static str, colours: Colours) -> Look {
        Look {
            name,
            fill: Some(colours),
            opacity: 1.0,
            stroke: None,
            line_width: 0.0,
            dashes: None,
            size: 0.0,
            bold: false,
        }
    }

    pub(super) const fn line(name: &'static str, colours: Colours, width: f64) -> Look {
        Look { fill: None, ..Look::filled(name, colours) }.stroked(colours, width)
    }

    pub(super) const fn letters(name: &'static str, colours: Colours, size: f64, bold: bool) -> Look {
        Look { size, bold, ..Look::filled(name, colours) }
    }

    pub(super) const fn stroked(self, colours: Colours, width: f64) -> Look {
        Look { stroke: Some(colours), line_width: width, ..self }
    }
}

impl Scene {
    /// A page of this size with a frame and a title, and maybe a line below it.
    pub(super) fn page([width, height]: [f64; 2], left: f64, title: &str, note: &str) -> Scene {
        let mut scene = Scene { width, height, title: title.to_string(), shapes: Vec::new() };
        scene.outline(Path::rectangle([0.5, 0.5, width - 1.0, height - 1.0], [8.0; 4]), PAGE);
        scene.text((left, 36.0), Anchor::Start, TITLE, title);
        if !note.is_empty() {
            scene.text((left, 56.0), Anchor::Start, NOTE, note);
        }
        scene
    }

    pub(super) fn outline(&mut self, path: Path, look: Look) {
        self.shapes.push(Shape::Outline { path, look, tip: None });
    }

    pub(super) fn text(&mut self, (x, y): Point, anchor: Anchor, look: Look, text: &str) {
        self.shapes.push(Shape::Text { x, y, look, anchor, text: text.to_string() });
    }

    /// As SVG, light or dark as the reader's screen is.
    pub(super) fn to_svg(&self) -> String {
        svg::write(self)
    }

    /// As a PNG file that looks as on a light screen, with `scale` pixels to a unit.
    pub(super) fn to_png(&self, scale: f64) -> io::Result<Vec<u8>> {
        png::write(self, scale)
    }
}

impl Shape {
    pub(super) fn moved(self, right: f64, down: f64) -> Shape {
        match self {
            Shape::Outline { path, look, tip } => Shape::Outline { path: path.moved(right, down), look, tip },
            Shape::Text { x, y, look, anchor, text } => {
                Shape::Text { x: x + right, y: y + down, look, anchor, text }
            }
        }
    }
}

impl Path {
    pub(super) fn line(start: Point, end: Point) -> Path {
        Path { start, pieces: vec![Piece::To(end)] }
    }

    pub(super) fn moved(&self, right: f64, down: f64) -> Path {
        let to = |(x, y): Point| (x + right, y + down);
        let pieces = self.pieces.iter().map(|piece| match *piece {
            Piece::To(end) => Piece::To(to(end)),
            Piece::Curve(first, second, end) => Piece::Curve(to(first), to(second), to(end)),
        });
        Path { start: to(self.start), pieces: pieces.collect() }
    }

    /// Where it ends.
    pub(super) fn end(&self) -> Point {
        match self.pieces.last() {
            Some(Piece::To(end) | Piece::Curve(_, _, end)) => *end,
            None => self.start,
        }
    }

    /// A circle around a point.
    pub(super) fn circle((x, y): Point, radius: f64) -> Path {
        Path::rectangle([x - radius, y - radius, 2.0 * radius, 2.0 * radius], [radius; 4])
    }

    /// A rectangle (left, top, width, height) with round corners: top left, top right, bottom right, bottom left.
    pub(super) fn rectangle([x, y, width, height]: [f64; 4], radii: [f64; 4]) -> Path {
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
        Path { start: (x + a, y), pieces }
    }
}

/// Appends to a string.
pub(super) fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = std::fmt::Write::write_fmt(text, more);
}
