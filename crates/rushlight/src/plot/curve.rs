//! The layout of a learning curve.

use super::axis::Axis;
use super::font;
use super::scene::{Anchor, Colours, GREY_INK, INK, Look, NOTE, PAPER, Path, Piece, Scene};
use super::{LearningCurve, Panel, Run};

const PANEL_WIDTH: f64 = 440.0;
const PANEL_HEIGHT: f64 = 300.0;
const COLUMNS: usize = 2;
const EDGE: f64 = 24.0;
/// Between the edge of a panel and its axes: left, right, top, bottom.
const INSET: [f64; 4] = [52.0, 14.0, 58.0, 38.0];
/// Lines get these, in order; the names are those of the style sheet.
const COLOURS: usize = 6;

const MEASURE: Look = Look::letters("measure", INK, 14.0, true);
const TICK: Look = Look::letters("tick", GREY_INK, 11.0, false);
const GRID: Look = Look::line("grid", [0xe7ebef, 0x1e252d], 1.0);
const AXIS: Look = Look::line("axis", [0xafb8c1, 0x484f58], 1.0);
const GUIDE: Look = Look { dashes: Some([2.0, 3.0]), ..Look::line("guide", [0x8c959f, 0x6e7681], 1.0) };
/// By the colour of a run: its line, a value alone, and its best value.
const RUNS: [[Look; 3]; COLOURS] = [
    run(["line-0", "dot-0", "best-0"], [0x0969da, 0x58a6ff]),
    run(["line-1", "dot-1", "best-1"], [0xd4572a, 0xff8c5a]),
    run(["line-2", "dot-2", "best-2"], [0x1a7f5a, 0x3fd69a]),
    run(["line-3", "dot-3", "best-3"], [0x8250df, 0xbc8cff]),
    run(["line-4", "dot-4", "best-4"], [0x9a6700, 0xe3b341]),
    run(["line-5", "dot-5", "best-5"], [0xbf3989, 0xf778ba]),
];

const fn run([line, dot, best]: [&'static str; 3], colours: Colours) -> [Look; 3] {
    [
        Look::line(line, colours, 2.0),
        Look::filled(dot, colours),
        Look::filled(best, PAPER).stroked(colours, 2.2),
    ]
}

pub(super) fn draw(curve: &LearningCurve) -> Scene {
    let columns = curve.panels.len().clamp(1, COLUMNS);
    let rows = curve.panels.len().div_ceil(COLUMNS).max(1);
    let head = if curve.subtitle.is_empty() { 52.0 } else { 72.0 };
    let width = 2.0 * EDGE + columns as f64 * PANEL_WIDTH;
    let height = head + rows as f64 * PANEL_HEIGHT + EDGE / 2.0;
    let mut scene = Scene::page([width, height], EDGE, &curve.title, &curve.subtitle);
    for (index, panel) in curve.panels.iter().enumerate() {
        let left = EDGE + (index % COLUMNS) as f64 * PANEL_WIDTH;
        let top = head + (index / COLUMNS) as f64 * PANEL_HEIGHT;
        Frame::new(panel, left, top).draw(&mut scene, &curve.unit);
    }
    scene
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

    fn draw(&self, scene: &mut Scene, unit: &str) {
        self.draw_head(scene, unit);
        self.draw_axes(scene, unit);
        for (index, run) in self.panel.runs.iter().enumerate() {
            self.draw_run(scene, run, index % COLOURS);
        }
        self.draw_best(scene);
    }

    /// Above the axes: the measure, the names of the runs beside samples of their lines, and the best value.
    fn draw_head(&self, scene: &mut Scene, unit: &str) {
        let (left, middle) = (self.left - INSET[0], self.top - 38.0);
        scene.text((left, middle + 4.0), Anchor::Start, MEASURE, &self.panel.measure);
        let mut end = self.right;
        for (index, run) in self.panel.runs.iter().enumerate().rev() {
            scene.text((end, middle + 3.5), Anchor::End, NOTE, &run.name);
            // Fonts differ; most are not much wider than the one that measures.
            let start = end - 1.1 * font::width(&run.name, NOTE.size, NOTE.bold) - 24.0;
            scene.outline(Path::line((start, middle), (start + 16.0, middle)), RUNS[index % COLOURS][0]);
            end = start - 14.0;
        }
        if let Some((run, (x, y))) = self.panel.best() {
            let text = format!("best {}: {} at {unit} {x}", run.name, self.panel.format(y));
            scene.text((left, self.top - 15.0), Anchor::Start, NOTE, &text);
        }
    }

    fn draw_axes(&self, scene: &mut Scene, unit: &str) {
        let percent = self.panel.percent();
        for tick in self.up.ticks() {
            let y = self.y(tick);
            scene.outline(Path::line((self.left, y), (self.right, y)), GRID);
            scene.text((self.left - 7.0, y + 4.0), Anchor::End, TICK, &self.up.label(tick, percent));
        }
        for tick in self.across.ticks() {
            let x = self.x(tick);
            scene.outline(Path::line((x, self.bottom), (x, self.bottom + 4.0)), AXIS);
            scene.text((x, self.bottom + 17.0), Anchor::Middle, TICK, &self.across.label(tick, false));
        }
        scene.outline(Path::line((self.left, self.bottom), (self.right, self.bottom)), AXIS);
        scene.text(((self.left + self.right) / 2.0, self.bottom + 33.0), Anchor::Middle, TICK, unit);
    }

    /// One line for each stretch of finite values; a value alone is a dot.
    fn draw_run(&self, scene: &mut Scene, run: &Run, colour: usize) {
        for stretch in run.points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
            let [line, dot, _] = RUNS[colour];
            match stretch {
                [] => {}
                [(x, y)] => scene.outline(Path::circle((self.x(*x), self.y(*y)), 3.0), dot),
                [(x, y), rest @ ..] => {
                    let pieces = rest.iter().map(|&(x, y)| Piece::To((self.x(x), self.y(y))));
                    let path = Path { start: (self.x(*x), self.y(*y)), pieces: pieces.collect() };
                    scene.outline(path, line);
                }
            }
        }
    }

    fn draw_best(&self, scene: &mut Scene) {
        let Some((best, (x, y))) = self.panel.best() else { return };
        let colour = self.panel.runs.iter().position(|run| std::ptr::eq(run, best)).unwrap_or(0) % COLOURS;
        let (x, y) = (self.x(x), self.y(y));
        if self.bottom - y > 6.0 {
            scene.outline(Path::line((x, y + 5.0), (x, self.bottom)), GUIDE);
        }
        scene.outline(Path::circle((x, y), 4.0), RUNS[colour][2]);
    }
}
