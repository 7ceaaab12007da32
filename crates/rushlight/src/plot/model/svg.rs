//! A page as SVG.

use super::layout::{Line, Piece};
use super::scene::{Look, Paint, Scene, Shape};
use crate::plot::svg::{escape, push};

pub(super) fn write(scene: &Scene) -> String {
    let Scene { width, height, .. } = *scene;
    let title = escape(&scene.title);
    let mut svg = String::new();
    push(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{}</style>\n",
            style_sheet(scene)
        ),
    );
    for shape in &scene.shapes {
        match shape {
            Shape::Outline { path, look, tip } => {
                let (class, path) = (look.name(), path_data(path));
                match tip {
                    Some(tip) => {
                        let tip = escape(tip);
                        push(
                            &mut svg,
                            format_args!(
                                "<path class=\"{class}\" d=\"{path}\"><title>{tip}</title></path>\n"
                            ),
                        );
                    }
                    None => push(&mut svg, format_args!("<path class=\"{class}\" d=\"{path}\"/>\n")),
                }
            }
            Shape::Text { x, y, look, from_right, text } => {
                let anchor = if *from_right { " text-anchor=\"end\"" } else { "" };
                let (class, text) = (look.name(), escape(text));
                push(
                    &mut svg,
                    format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>\n"),
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The looks that the page uses, for light screens and for dark ones.
fn style_sheet(scene: &Scene) -> String {
    let mut looks: Vec<Look> = Vec::new();
    for shape in &scene.shapes {
        let (Shape::Outline { look, .. } | Shape::Text { look, .. }) = shape;
        if !looks.contains(look) {
            looks.push(*look);
        }
    }
    let mut sheet = String::from(
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;pointer-events:none;\
         white-space:pre}",
    );
    for look in &looks {
        let paint = look.paint();
        let mut rules = colours(&paint, 0);
        if paint.fill.is_some() && paint.opacity < 1.0 {
            push(&mut rules, format_args!(";fill-opacity:{}", paint.opacity));
        }
        if paint.line_width > 0.0 {
            push(&mut rules, format_args!(";stroke-width:{}", paint.line_width));
        }
        if paint.size > 0.0 {
            push(&mut rules, format_args!(";font-size:{}px", paint.size));
        }
        if paint.bold {
            rules.push_str(";font-weight:600");
        }
        push(&mut sheet, format_args!(".{}{{{rules}}}", look.name()));
    }
    sheet.push_str("@media(prefers-color-scheme:dark){");
    for look in &looks {
        push(&mut sheet, format_args!(".{}{{{}}}", look.name(), colours(&look.paint(), 1)));
    }
    sheet.push('}');
    sheet
}

fn colours(paint: &Paint, screen: usize) -> String {
    let mut rules = match paint.fill {
        Some(fill) => format!("fill:#{:06x}", fill[screen]),
        None => "fill:none".to_string(),
    };
    if let Some(stroke) = paint.stroke {
        push(&mut rules, format_args!(";stroke:#{:06x}", stroke[screen]));
    }
    rules
}

fn path_data(path: &Line) -> String {
    let mut data = String::new();
    push(&mut data, format_args!("M{:.1} {:.1}", path.start.0, path.start.1));
    for piece in &path.pieces {
        match piece {
            Piece::To((x, y)) => push(&mut data, format_args!("L{x:.1} {y:.1}")),
            Piece::Curve((a, b), (c, d), (x, y)) => {
                push(&mut data, format_args!("C{a:.1} {b:.1} {c:.1} {d:.1} {x:.1} {y:.1}"));
            }
        }
    }
    data
}
