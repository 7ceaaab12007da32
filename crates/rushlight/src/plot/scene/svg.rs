//! A page as SVG.

use super::{Anchor, Look, Path, Piece, Scene, Shape, push};

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
                let (class, path) = (look.name, path_data(path));
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
            Shape::Text { x, y, look, anchor, text } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let (class, text) = (look.name, escape(text));
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
        if !looks.iter().any(|known| known.name == look.name) {
            looks.push(*look);
        }
    }
    let mut sheet = String::from(
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;pointer-events:none;\
         white-space:pre}",
    );
    for look in &looks {
        let mut rules = colours(look, 0);
        if look.fill.is_some() && look.opacity < 1.0 {
            push(&mut rules, format_args!(";fill-opacity:{}", look.opacity));
        }
        if look.line_width > 0.0 {
            push(
                &mut rules,
                format_args!(";stroke-width:{};stroke-linejoin:round;stroke-linecap:round", look.line_width),
            );
        }
        if let Some([dash, gap]) = look.dashes {
            push(&mut rules, format_args!(";stroke-dasharray:{dash} {gap}"));
        }
        if look.size > 0.0 {
            push(&mut rules, format_args!(";font-size:{}px", look.size));
        }
        if look.bold {
            rules.push_str(";font-weight:600");
        }
        push(&mut sheet, format_args!(".{}{{{rules}}}", look.name));
    }
    sheet.push_str("@media(prefers-color-scheme:dark){");
    for look in &looks {
        push(&mut sheet, format_args!(".{}{{{}}}", look.name, colours(look, 1)));
    }
    sheet.push('}');
    sheet
}

fn colours(look: &Look, screen: usize) -> String {
    let mut rules = match look.fill {
        Some(fill) => format!("fill:#{:06x}", fill[screen]),
        None => "fill:none".to_string(),
    };
    if let Some(stroke) = look.stroke {
        push(&mut rules, format_args!(";stroke:#{:06x}", stroke[screen]));
    }
    rules
}

fn path_data(path: &Path) -> String {
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

/// Text as XML may hold it: marks as references, and no control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
