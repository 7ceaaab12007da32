//! Pictures for people: learning curves and models, light or dark as the reader's screen is, and sheets of a data
//! set's images.

mod axis;
mod curve;
mod font;
mod model;
mod scene;
mod sheet;

pub use model::{ModelPlot, plot_model};
pub use sheet::contact_sheet;

use crate::files::write_atomically;
use std::io;
use std::path::Path;

/// How measures of a model went over its training: a panel for each measure, in it a line for each run.
///
/// ```
/// use rushlight::plot::LearningCurve;
/// let svg = LearningCurve::new("DenseNet on drawn shapes")
///     .series("loss", "train", [(1.0, 1.9), (2.0, 1.1), (3.0, 0.7)])
///     .series("loss", "validation", [(1.0, 1.6), (2.0, 1.2), (3.0, 0.9)])
///     .to_svg();
/// assert!(svg.contains("best validation: 0.9 at epoch 3"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LearningCurve {
    title: String,
    subtitle: String,
    unit: String,
    panels: Vec<Panel>,
}

/// All runs of one measure.
#[derive(Clone, Debug, PartialEq)]
struct Panel {
    measure: String,
    runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq)]
struct Run {
    name: String,
    points: Vec<(f64, f64)>,
}

impl LearningCurve {
    /// Without any line yet.
    pub fn new(title: impl Into<String>) -> Self {
        LearningCurve {
            title: title.into(),
            subtitle: String::new(),
            unit: "epoch".into(),
            panels: Vec::new(),
        }
    }

    /// A second line below the title, such as the settings of the training.
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = subtitle.into();
        self
    }

    /// What the points are counted in; "epoch" otherwise.
    pub fn counted_in(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Adds the line of a run, such as "train" or "validation", to the panel of a measure, such as "loss".
    ///
    /// Each point is a position, such as the epoch, and the value there. A value that is not finite leaves a gap.
    pub fn series(
        mut self,
        measure: impl Into<String>,
        run: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let measure = measure.into();
        let run = Run { name: run.into(), points: points.into_iter().collect() };
        match self.panels.iter_mut().find(|panel| panel.measure == measure) {
            Some(panel) => panel.runs.push(run),
            None => self.panels.push(Panel { measure, runs: vec![run] }),
        }
        self
    }

    /// The picture as SVG, light or dark as the reader's screen is.
    pub fn to_svg(&self) -> String {
        curve::draw(self).to_svg()
    }

    /// The picture as a PNG file, in which a unit of the picture takes `scale` pixels.
    ///
    /// # Errors
    /// If the scale makes no sense, or the picture becomes too large.
    pub fn to_png(&self, scale: f64) -> io::Result<Vec<u8>> {
        curve::draw(self).to_png(scale)
    }

    /// Writes the picture to a file, all of it or nothing: as PNG if the file ends in `.png`, else as SVG.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let is_png = path.as_ref().extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        let content = if is_png { self.to_png(2.0)? } else { self.to_svg().into_bytes() };
        write_atomically(path, &content)
    }
}

impl Panel {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        let of_run = |run: &Run| run.points.clone();
        let points: Vec<_> =
            self.runs.iter().flat_map(of_run).filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        points.into_iter()
    }

    /// Whether small values are the good ones.
    fn falls(&self) -> bool {
        ["loss", "error", "perplexity"].iter().any(|word| self.measure.contains(word))
    }

    /// Whether values are parts of a whole, to be read in percent.
    fn percent(&self) -> bool {
        self.measure.contains("accuracy") && self.points().all(|(_, y)| (0.0..=1.0).contains(&y))
    }

    /// The run that counts, and its best point: of the run named for validation or test, else of the last one.
    fn best(&self) -> Option<(&Run, (f64, f64))> {
        let unseen = |run: &&Run| run.name.contains("valid") || run.name.contains("test");
        let run = self.runs.iter().find(unseen).or(self.runs.last())?;
        let finite = run.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
        // The first of several equal ones.
        let best = finite.reduce(|best, point| {
            let better = if self.falls() { point.1 < best.1 } else { point.1 > best.1 };
            if better { point } else { best }
        })?;
        Some((run, best))
    }

    fn format(&self, value: f64) -> String {
        if self.percent() {
            return format!("{:.2} %", value * 100.0);
        }
        if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
            return format!("{value:.3e}");
        }
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    }
}

#[cfg(test)]
mod tests;
