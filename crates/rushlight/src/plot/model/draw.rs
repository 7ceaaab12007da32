//! From a diagram to a page: how large boxes are, what stands in them, and the lines between them.

use super::diagram::{Diagram, Part, Row};
use super::layout::{Node, Stands, lay_out};
use super::looks::{ARROW, BORDER, CLASS, FRAME, Family, GROUND, NAME, OP, OUTPUT, RULE, WIRE};
use crate::plot::font;
use crate::plot::scene::{Anchor, Look, NOTE, Path, Piece, Scene, Shape, TITLE};

const EDGE: f64 = 28.0;
const HEAD: f64 = 84.0;
const RADIUS: f64 = 5.0;
const STRIPE: f64 = 5.0;
/// From the edge of a box to its text.
const INSET: f64 = 12.0;
/// At least so much between what stands to the left and what stands to the right.
const BETWEEN: f64 = 18.0;
/// Fonts of readers differ from the one that measures: so much wider they may be.
const SLACK: f64 = 1.06;
const ONE_LINE: f64 = 24.0;
const TWO_LINES: f64 = 38.0;
/// Between a frame and what is inside.
const FRAME_EDGE: f64 = 16.0;
const FRAME_HEAD: f64 = 30.0;

/// The page with a heading and the diagram.
pub(super) fn page(diagram: &Diagram, title: &str, note: &str, names: bool, columns: Option<usize>) -> Scene {
    let drawn = draw(diagram, names, columns);
    let heading = text_width(title, TITLE).max(text_width(note, NOTE));
    let width = (drawn.width.max(heading) + 2.0 * EDGE).ceil();
    let height = (drawn.height + HEAD + EDGE).ceil();
    let mut scene = Scene::page([width, height], EDGE, title, note);
    let left = (width - drawn.width) / 2.0;
    scene.shapes.extend(drawn.shapes.into_iter().map(|shape| shape.moved(left, HEAD)));
    scene
}

/// A diagram in its place, with where lines enter and leave it.
struct Drawn {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
    entries: Vec<f64>,
    exits: Vec<f64>,
}

/// A box or a frame whose upper left corner is (0, 0).
struct Body {
    node: Node,
    shapes: Vec<Shape>,
}

fn draw(diagram: &Diagram, names: bool, columns: Option<usize>) -> Drawn {
    let bodies = diagram.parts.iter().map(|part| match part {
        Part::Rows(rows) => rows_body(rows, names),
        Part::Frame(row, inner) => frame_body(row, inner, names),
        Part::Entry => Body { node: Node::point(Stands::Above), shapes: Vec::new() },
        Part::Exit => Body { node: Node::point(Stands::Below), shapes: Vec::new() },
    });
    let (nodes, bodies): (Vec<Node>, Vec<Vec<Shape>>) = bodies.map(|body| (body.node, body.shapes)).unzip();
    let layout = lay_out(&nodes, &diagram.links, columns);
    let mut drawn = Drawn {
        width: layout.width,
        height: layout.height,
        shapes: Vec::new(),
        entries: Vec::new(),
        exits: Vec::new(),
    };
    for ((part, body), (x, y)) in diagram.parts.iter().zip(bodies).zip(layout.places) {
        match part {
            Part::Entry => drawn.entries.push(x),
            Part::Exit => {
                drawn.exits.push(x);
                // From the end of its column to the lower edge of what is around.
                if layout.height - y > 0.5 {
                    drawn.shapes.push(outline(Path::line((x, y), (x, layout.height)), WIRE));
                }
            }
            Part::Rows(_) | Part::Frame(..) => {
                drawn.shapes.extend(body.into_iter().map(|shape| shape.moved(x, y)));
            }
        }
    }
    for line in layout.lines {
        let end = line.path.end();
        let arrow = line.arrow;
        drawn.shapes.push(outline(line.path, WIRE));
        if arrow {
            drawn.shapes.push(outline(arrow_head(end), ARROW));
        }
    }
    drawn
}

fn arrow_head((x, y): (f64, f64)) -> Path {
    let pieces = vec![Piece::To((x - 3.6, y - 7.5)), Piece::To((x + 3.6, y - 7.5)), Piece::To((x, y))];
    Path { start: (x, y), pieces }
}

/// A box: a row for each layer, with a stripe in the colour of its family.
fn rows_body(rows: &[Row], names: bool) -> Body {
    let width = rows.iter().map(|row| row_width(row, names)).fold(0.0, f64::max).ceil();
    let heights: Vec<f64> = rows.iter().map(|row| row_height(row, names)).collect();
    let height = heights.iter().sum();
    let whole = [0.0, 0.0, width, height];
    let mut shapes = vec![outline(Path::rectangle(whole, [RADIUS; 4]), GROUND)];
    let mut top = 0.0;
    for (index, (row, &height)) in rows.iter().zip(&heights).enumerate() {
        let upper = if index == 0 { RADIUS } else { 0.0 };
        let lower = if index + 1 == rows.len() { RADIUS } else { 0.0 };
        let (stripe, tint) = Family::of(&row.class).looks();
        shapes.push(Shape::Outline {
            path: Path::rectangle([0.0, top, width, height], [upper, upper, lower, lower]),
            look: tint,
            tip: Some(tip(row)),
        });
        shapes.push(outline(Path::rectangle([0.0, top, STRIPE, height], [upper, 0.0, 0.0, lower]), stripe));
        if index > 0 {
            shapes.push(outline(Path::line((STRIPE, top), (width, top)), RULE));
        }
        row_texts(row, names, [top, width], &mut shapes);
        top += height;
    }
    shapes.push(outline(Path::rectangle(whole, [RADIUS; 4]), BORDER));
    Body { node: Node::new(width, height), shapes }
}

fn tip(row: &Row) -> String {
    let shapes = row.shapes().join(", ");
    if row.name.is_empty() {
        format!("{}: {shapes}", row.class)
    } else {
        format!("{} ({}): {shapes}", row.name, row.class)
    }
}

fn class_look(row: &Row) -> Look {
    if row.is_op { OP } else { CLASS }
}

/// Whether the name has a line of its own.
fn shows_name(row: &Row, names: bool) -> bool {
    // An input's name is what tells it from others.
    !row.name.is_empty() && (names || row.class == super::diagram::INPUT)
}

fn row_height(row: &Row, names: bool) -> f64 {
    let lines = row.outputs.len().max(1 + usize::from(shows_name(row, names)));
    match lines {
        1 => ONE_LINE,
        lines => TWO_LINES + (lines - 2) as f64 * 15.0,
    }
}

fn row_width(row: &Row, names: bool) -> f64 {
    let class = text_width(&row.class, class_look(row));
    let name = if shows_name(row, names) { text_width(&row.name, NAME) } else { 0.0 };
    let outputs = row.shapes().iter().map(|shape| text_width(shape, OUTPUT)).fold(0.0, f64::max);
    STRIPE + 2.0 * INSET + class.max(name) + BETWEEN + outputs
}

/// To the left the class above the name; to the right what it gives, a line for each output.
fn row_texts(row: &Row, names: bool, [top, width]: [f64; 2], shapes: &mut Vec<Shape>) {
    let left = STRIPE + INSET;
    let height = row_height(row, names);
    let middle = top + height / 2.0 + 4.0;
    if shows_name(row, names) {
        shapes.push(text(left, middle - 7.5, class_look(row), &row.class));
        shapes.push(text(left, middle + 7.5, NAME, &row.name));
    } else {
        shapes.push(text(left, middle, class_look(row), &row.class));
    }
    let outputs = row.shapes();
    for (index, shape) in outputs.into_iter().enumerate() {
        let aside = (index as f64 - (row.outputs.len() - 1) as f64 / 2.0) * 15.0;
        let (x, y) = (width - INSET, middle + aside);
        shapes.push(Shape::Text { x, y, look: OUTPUT, anchor: Anchor::End, text: shape });
    }
}

/// A frame around what is inside of a layer. Its heading stands beside the lines that enter.
fn frame_body(row: &Row, inner: &Diagram, names: bool) -> Body {
    let drawn = draw(inner, names, None);
    let label = if row.name.is_empty() { String::new() } else { format!("  {}", row.name) };
    let class_width = text_width(&row.class, CLASS);
    let heading = class_width + text_width(&label, NAME) + 8.0;
    let first = drawn.entries.iter().copied().fold(drawn.width, f64::min);
    let last = drawn.entries.iter().copied().fold(0.0, f64::max);
    // To the left of all lines, or to their right, wherever the frame grows less.
    let (missing_left, missing_right) =
        ((heading - first).max(0.0), (heading - (drawn.width - last)).max(0.0));
    let (left, x) = if missing_left <= missing_right {
        (FRAME_EDGE + missing_left, FRAME_EDGE)
    } else {
        (FRAME_EDGE, FRAME_EDGE + last + 8.0)
    };
    let width =
        left + drawn.width.max(if missing_left <= missing_right { 0.0 } else { last + heading }) + FRAME_EDGE;
    let height = FRAME_HEAD + drawn.height + FRAME_EDGE;
    let mut shapes = vec![
        Shape::Outline {
            path: Path::rectangle([0.0, 0.0, width, height], [8.0; 4]),
            look: FRAME,
            tip: Some(tip(row)),
        },
        text(x, 19.0, CLASS, &row.class),
        text(x + class_width, 19.0, NAME, &label),
    ];
    let wire = |start, end| outline(Path::line(start, end), WIRE);
    for entry in &drawn.entries {
        shapes.push(wire((left + entry, 0.0), (left + entry, FRAME_HEAD)));
    }
    for exit in &drawn.exits {
        shapes.push(wire((left + exit, FRAME_HEAD + drawn.height), (left + exit, height)));
    }
    shapes.extend(drawn.shapes.into_iter().map(|shape| shape.moved(left, FRAME_HEAD)));
    let entries = drawn.entries.iter().map(|entry| left + entry).collect();
    let exits = drawn.exits.iter().map(|exit| left + exit).collect();
    Body { node: Node { width, height, entries, exits, stands: Stands::Anywhere }, shapes }
}

fn text_width(text: &str, look: Look) -> f64 {
    font::width(text, look.size, look.bold) * SLACK
}

fn outline(path: Path, look: Look) -> Shape {
    Shape::Outline { path, look, tip: None }
}

fn text(x: f64, y: f64, look: Look, text: &str) -> Shape {
    Shape::Text { x, y, look, anchor: Anchor::Start, text: text.to_string() }
}
