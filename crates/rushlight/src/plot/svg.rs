//! The layout of a learning curve, written as SVG.

use super::axis::Axis;
use super::{LearningCurve, Panel, Run};
use std::fmt::Write;

const PANEL_WIDTH: f64 = 440.0;
const PANEL_HEIGHT: f64 = 300.0;
const COLUMNS: usize = 2;
const EDGE: f64 = 24.0;
/// Between the edge of a panel and its axes: left, right, top, bottom.
const INSET: [f64; 4] = [52.0, 14.0, 58.0, 38.0];
/// Lines get these, in order; the names are those of the style sheet.
const COLOURS: usize = 6;

const STYLE: &str = "\
.page{fill:#fff;stroke:#d8dee4}\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#57606a;font-size:11px}\
.title{font-size:18px;font-weight:600;fill:#1f2328}\
.measure{font-size:14px;font-weight:600;fill:#1f2328}\
.note{font-size:12px}\
.grid{stroke:#e7ebef}.axis{stroke:#afb8c1}\
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
.best{fill:#fff;stroke-width:2.2}.guide{stroke-dasharray:2 3;stroke:#8c959f}\
.s0{stroke:#0969da}.s1{stroke:#d4572a}.s2{stroke:#1a7f5a}.s3{stroke:#8250df}.s4{stroke:#9a6700}.s5{stroke:#bf3989}\
@media(prefers-color-scheme:dark){\
.page{fill:#0d1117;stroke:#30363d}text{fill:#8b949e}.title,.measure{fill:#e6edf3}\
.grid{stroke:#1e252d}.axis{stroke:#484f58}.best{fill:#0d1117}.guide{stroke:#6e7681}\
.s0{stroke:#58a6ff}.s1{stroke:#ff8c5a}.s2{stroke:#3fd69a}.s3{stroke:#bc8cff}.s4{stroke:#e3b341}.s5{stroke:#f778ba}}";

pub(super) fn draw(curve: &LearningCurve) -> String {
    let columns = curve.panels.len().clamp(1, COLUMNS);
    let rows = curve.panels.len().div_ceil(COLUMNS).max(1);
    let head = if curve.subtitle.is_empty() { 52.0 } else { 72.0 };
    let width = 2.0 * EDGE + columns as f64 * PANEL_WIDTH;
    let height = head + rows as f64 * PANEL_HEIGHT + EDGE / 2.0;
    let mut svg = Svg(String::new());
    let (title, subtitle) = (escape(&curve.title), escape(&curve.subtitle));
    svg.line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{STYLE}</style>"
    ));
    let (inner_width, inner_height) = (width - 1.0, height - 1.0);
    svg.line(format_args!(
        "<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{inner_width}\" height=\"{inner_height}\" rx=\"8\"/>"
    ));
    svg.text(EDGE, 34.0, "title", "start", &title);
    if !subtitle.is_empty() {
        svg.text(EDGE, 54.0, "note", "start", &subtitle);
    }
    for (index, panel) in curve.panels.iter().enumerate() {
        let left = EDGE + (index % COLUMNS) as f64 * PANEL_WIDTH;
        let top = head + (index / COLUMNS) as f64 * PANEL_HEIGHT;
        Frame::new(panel, left, top).draw(&mut svg, &curve.unit);
    }
    svg.line(format_args!("</svg>"));
    svg.0
}

/// A panel with its place on the page.
struct Frame<'a> {
    panel: &'a Panel,
    across: Axis,
    up: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl<'a> Frame<'a> {
    fn new(panel: &'a Panel, left: f64, top: f64) -> Self {
        let whole = panel.points().all(|(x, _)| x.fract() == 0.0);
        Frame {
            across: Axis::new(panel.points().map(|(x, _)| x), 7, whole, false),
            up: Axis::new(panel.points().map(|(_, y)| y), 5, false, true),
            left: left + INSET[0],
            right: left + PANEL_WIDTH - INSET[1],
            top: top + INSET[2],
            bottom: top + PANEL_HEIGHT - INSET[3],
            panel,
        }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.across.part(value)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.up.part(value)
    }

    fn draw(&self, svg: &mut Svg, unit: &str) {
        self.draw_head(svg, unit);
        self.draw_axes(svg, unit);
        for (index, run) in self.panel.runs.iter().enumerate() {
            self.draw_run(svg, run, index % COLOURS);
        }
        self.draw_best(svg);
    }

    /// Above the axes: the measure, the names of the runs beside samples of their lines, and the best value.
    fn draw_head(&self, svg: &mut Svg, unit: &str) {
        let (left, middle) = (self.left - INSET[0], self.top - 38.0);
        svg.text(left, middle + 4.0, "measure", "start", &escape(&self.panel.measure));
        let mut end = self.right;
        for (index, run) in self.panel.runs.iter().enumerate().rev() {
            svg.text(end, middle + 3.5, "note", "end", &escape(&run.name));
            // Fonts differ; 6.5 is a little more than a letter of this size takes.
            let start = end - 6.5 * run.name.chars().count() as f64 - 24.0;
            svg.stroke(&format!("line s{}", index % COLOURS), [start, middle, start + 16.0, middle]);
            end = start - 14.0;
        }
        if let Some((run, (x, y))) = self.panel.best() {
            let text = format!("best {}: {} at {unit} {x}", run.name, self.panel.format(y));
            svg.text(left, self.top - 15.0, "note", "start", &escape(&text));
        }
    }

    fn draw_axes(&self, svg: &mut Svg, unit: &str) {
        let percent = self.panel.percent();
        for tick in self.up.ticks() {
            let y = self.y(tick);
            svg.stroke("grid", [self.left, y, self.right, y]);
            svg.text(self.left - 7.0, y + 4.0, "tick", "end", &self.up.label(tick, percent));
        }
        for tick in self.across.ticks() {
            let x = self.x(tick);
            svg.stroke("axis", [x, self.bottom, x, self.bottom + 4.0]);
            svg.text(x, self.bottom + 17.0, "tick", "middle", &self.across.label(tick, false));
        }
        svg.stroke("axis", [self.left, self.bottom, self.right, self.bottom]);
        svg.text((self.left + self.right) / 2.0, self.bottom + 33.0, "tick", "middle", &escape(unit));
    }

    /// One line for each stretch of finite values; a value alone is a dot.
    fn draw_run(&self, svg: &mut Svg, run: &Run, colour: usize) {
        for stretch in run.points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
            let mut path = String::new();
            for &(x, y) in stretch {
                let step = if path.is_empty() { 'M' } else { 'L' };
                push(&mut path, format_args!("{step}{:.1} {:.1}", self.x(x), self.y(y)));
            }
            if stretch.len() == 1 {
                path.push_str("h0");
            }
            if !path.is_empty() {
                let width = if stretch.len() == 1 { " style=\"stroke-width:6\"" } else { "" };
                svg.line(format_args!("<path class=\"line s{colour}\"{width} d=\"{path}\"/>"));
            }
        }
    }

    fn draw_best(&self, svg: &mut Svg) {
        let Some((best, (x, y))) = self.panel.best() else { return };
        let colour = self.panel.runs.iter().position(|run| std::ptr::eq(run, best)).unwrap_or(0) % COLOURS;
        let (x, y) = (self.x(x), self.y(y));
        if self.bottom - y > 6.0 {
            svg.stroke("guide", [x, y + 5.0, x, self.bottom]);
        }
        svg.line(format_args!("<circle class=\"best s{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"));
    }
}

struct Svg(String);

impl Svg {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        push(&mut self.0, line);
        self.0.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        self.line(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn stroke(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        self.line(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }
}

pub(super) fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(more);
}

/// Text as XML may hold it: marks as references, and no control characters.
pub(super) fn escape(text: &str) -> String {
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
