//! A page as a PNG file, as it looks on a light screen.

use super::{Anchor, Look, Path, Piece, Scene, Shape};
use crate::files::encode_png;
use crate::plot::font;
use std::io;
use tiny_skia::{Color, FillRule, LineCap, LineJoin, PathBuilder, Pixmap, Stroke, StrokeDash, Transform};

/// No side of a picture is longer.
const MOST_PIXELS: f64 = 30_000.0;

pub(super) fn write(scene: &Scene, scale: f64) -> io::Result<Vec<u8>> {
    let failed = |rule: String| io::Error::new(io::ErrorKind::InvalidInput, rule);
    let (width, height) = ((scene.width * scale).ceil(), (scene.height * scale).ceil());
    if !(scale.is_finite() && scale > 0.0 && width.max(height) <= MOST_PIXELS) {
        return Err(failed(format!(
            "at scale {scale} the picture would be {width}×{height} pixels: no side may exceed {MOST_PIXELS}"
        )));
    }
    let mut pixels = Pixmap::new(width as u32, height as u32)
        .ok_or_else(|| failed(format!("no picture of {width}×{height} pixels can be made")))?;
    pixels.fill(Color::WHITE);
    let transform = Transform::from_scale(scale as f32, scale as f32);
    for shape in &scene.shapes {
        match shape {
            Shape::Outline { path, look, .. } => paint(&mut pixels, outline(path), look, transform),
            Shape::Text { x, y, look, anchor, text } => {
                let width = font::width(text, look.size, look.bold);
                let left = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => width / 2.0,
                    Anchor::End => width,
                };
                let mut letters = Letters(PathBuilder::new());
                font::outline(text, (x - left, *y), look.size, look.bold, &mut letters);
                paint(&mut pixels, letters.0.finish(), look, transform);
            }
        }
    }
    // The page is opaque, so that opacity need not be kept.
    let colours: Vec<u8> =
        pixels.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    encode_png(&colours, [height as usize, width as usize, 3])
}

/// Draws a path, if it is one: a text of spaces alone has none.
fn paint(pixels: &mut Pixmap, path: Option<tiny_skia::Path>, look: &Look, transform: Transform) {
    let Some(path) = path else { return };
    let colour = |[light, _]: [u32; 2], opacity: f64| {
        let [_, red, green, blue] = light.to_be_bytes();
        let mut paint = tiny_skia::Paint { anti_alias: true, ..Default::default() };
        paint.set_color_rgba8(red, green, blue, (opacity * 255.0).round() as u8);
        paint
    };
    if let Some(fill) = look.fill {
        pixels.fill_path(&path, &colour(fill, look.opacity), FillRule::Winding, transform, None);
    }
    if let Some(stroke) = look.stroke {
        let line = Stroke {
            width: look.line_width as f32,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            dash: look.dashes.and_then(|[dash, gap]| StrokeDash::new(vec![dash as f32, gap as f32], 0.0)),
            ..Default::default()
        };
        pixels.stroke_path(&path, &colour(stroke, 1.0), &line, transform, None);
    }
}

fn outline(line: &Path) -> Option<tiny_skia::Path> {
    let mut path = PathBuilder::new();
    let to = |(x, y): (f64, f64)| (x as f32, y as f32);
    let (x, y) = to(line.start);
    path.move_to(x, y);
    for piece in &line.pieces {
        match *piece {
            Piece::To(end) => {
                let (x, y) = to(end);
                path.line_to(x, y);
            }
            Piece::Curve(first, second, end) => {
                let ((a, b), (c, d), (x, y)) = (to(first), to(second), to(end));
                path.cubic_to(a, b, c, d, x, y);
            }
        }
    }
    path.finish()
}

/// Letters as paths.
struct Letters(PathBuilder);

impl ttf_parser::OutlineBuilder for Letters {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
