//! The font that pictures are measured with, and drawn with where a file brings none of its own.

use std::sync::OnceLock;
use ttf_parser::{Face, OutlineBuilder};

/// A face that is read once.
fn face(bold: bool) -> &'static Face<'static> {
    static FACES: OnceLock<[Face<'static>; 2]> = OnceLock::new();
    let faces = FACES.get_or_init(|| {
        let read = |bytes| Face::parse(bytes, 0).expect("the fonts beside this file are fonts");
        [
            read(include_bytes!("fonts/DejaVuSansCondensed.ttf")),
            read(include_bytes!("fonts/DejaVuSansCondensed-Bold.ttf")),
        ]
    });
    &faces[usize::from(bold)]
}

/// How long a line of text is, in the unit of `size`.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let face = face(bold);
    let advance = |letter| f64::from(face.glyph_hor_advance(glyph(face, letter)).unwrap_or(0));
    text.chars().map(advance).sum::<f64>() * size / f64::from(face.units_per_em())
}

/// Gives the outlines of a line of text that begins at (`x`, `y`), the left end of its base line; `y` grows downwards.
pub(super) fn outline(text: &str, (x, y): (f64, f64), size: f64, bold: bool, to: &mut dyn OutlineBuilder) {
    let face = face(bold);
    let scale = size / f64::from(face.units_per_em());
    let mut placed = Placed { x, y, scale, to };
    for letter in text.chars() {
        let glyph = glyph(face, letter);
        face.outline_glyph(glyph, &mut placed);
        placed.x += f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
    }
}

/// The letter's shape; that of an unknown letter is a box.
fn glyph(face: &Face<'_>, letter: char) -> ttf_parser::GlyphId {
    face.glyph_index(letter).unwrap_or_default()
}

/// From the units of the font to places on a page.
struct Placed<'a> {
    x: f64,
    y: f64,
    scale: f64,
    to: &'a mut dyn OutlineBuilder,
}

impl Placed<'_> {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        ((self.x + f64::from(x) * self.scale) as f32, (self.y - f64::from(y) * self.scale) as f32)
    }
}

impl OutlineBuilder for Placed<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.to.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.to.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.to.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.to.curve_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.to.close();
    }
}
