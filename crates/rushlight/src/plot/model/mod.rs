//! A model as a picture: its layers as boxes, with shapes and dtypes, and models inside of it as frames.

mod diagram;
mod draw;
mod layout;
mod looks;
mod text;

use crate::files::write_atomically;
use crate::models::Model;
use crate::plot::scene::Scene;
use diagram::Diagram;
use rushlight_core::{Error, ErrorKind, Result};
use std::path::Path;

/// Writes a picture of a model to a file: SVG, PNG, DOT (`.dot`, `.gv`) or Mermaid (`.mmd`, `.mermaid`), by its ending.
///
/// The same as [`Model::plot`] with [`ModelPlot::save`].
///
/// ```
/// use rushlight::plot::plot_model;
/// use rushlight::prelude::*;
/// let image = Input::new([28, 28, 1]).named("image");
/// let model = Model::new(&image, &image.apply(Flatten::new()).apply(Dense::new(10).named("logits")))?;
/// let folder = std::env::temp_dir().join("rushlight-plot-model");
/// plot_model(&model, folder.join("model.svg"))?;
/// let svg = std::fs::read_to_string(folder.join("model.svg")).unwrap();
/// assert!(svg.contains("logits") && svg.contains("784"));
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), rushlight::Error>(())
/// ```
///
/// # Errors
/// As [`ModelPlot::save`].
pub fn plot_model(model: &Model, path: impl AsRef<Path>) -> Result<()> {
    model.plot().save(path)
}

impl Model {
    /// A picture of this model, to be written to a file or taken as text.
    pub fn plot(&self) -> ModelPlot {
        ModelPlot {
            model: self.clone(),
            names: true,
            nested: true,
            stacked: None,
            columns: None,
            scale: 2.0,
            title: None,
        }
    }
}

/// A picture of a model, with what it shall show. Made by [`Model::plot`].
///
/// Data flows downwards. Each box is the call of a layer or an op: its class and name, and what it gives: the shape, with
/// the batch axis left out, and the dtype. Models inside of the model, and layers of your own that call others, are
/// frames around what they consist of. A tall picture goes on in further columns, wherever only one tensor leads on.
#[derive(Clone, Debug)]
pub struct ModelPlot {
    model: Model,
    names: bool,
    nested: bool,
    stacked: Option<bool>,
    columns: Option<usize>,
    scale: f64,
    title: Option<String>,
}

/// Above so many boxes, what follows each other without branching shares one.
const STACKED_FROM: usize = 40;

impl ModelPlot {
    /// Whether boxes show the layers' names; they do otherwise. In SVG files a name then shows where the mouse rests.
    pub fn names(mut self, names: bool) -> ModelPlot {
        self.names = names;
        self
    }

    /// Whether models inside, and layers of your own that call others, are opened to frames; they are otherwise.
    pub fn nested(mut self, nested: bool) -> ModelPlot {
        self.nested = nested;
        self
    }

    /// Whether layers that follow each other without branching share a box, a line for each. Otherwise they do in models
    /// of more than forty layers. DOT and Mermaid keep a box for each layer.
    pub fn stacked(mut self, stacked: bool) -> ModelPlot {
        self.stacked = Some(stacked);
        self
    }

    /// How many columns a tall picture may take, at least one; otherwise as many as give it a handy shape.
    pub fn columns(mut self, columns: usize) -> ModelPlot {
        self.columns = Some(columns);
        self
    }

    /// How many pixels of a PNG file a unit of the picture takes; 2 otherwise.
    pub fn scale(mut self, scale: f64) -> ModelPlot {
        self.scale = scale;
        self
    }

    /// What stands above the picture; the model's name otherwise.
    pub fn title(mut self, title: impl Into<String>) -> ModelPlot {
        self.title = Some(title.into());
        self
    }

    /// The picture as SVG, light or dark as the reader's screen is.
    ///
    /// # Errors
    /// If the model is neither functional nor has been called, so that its shapes are not known.
    pub fn to_svg(&self) -> Result<String> {
        Ok(self.scene()?.to_svg())
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// As [`ModelPlot::to_svg`], and if the scale makes no sense or the picture becomes too large.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.scene()?
            .to_png(self.scale)
            .map_err(|error| Error::outside(ErrorKind::Value, "plot_model", error.to_string()))
    }

    /// The model in Graphviz's language.
    ///
    /// # Errors
    /// As [`ModelPlot::to_svg`].
    pub fn to_dot(&self) -> Result<String> {
        Ok(text::dot(&self.diagram()?, &self.heading(), self.names))
    }

    /// The model as a flowchart of Mermaid, which Markdown on many sites shows as a picture.
    ///
    /// # Errors
    /// As [`ModelPlot::to_svg`].
    pub fn to_mermaid(&self) -> Result<String> {
        Ok(text::mermaid(&self.diagram()?, self.names))
    }

    /// Writes the picture to a file, in the format that its ending names: `svg`, `png`, `dot`, `gv`, `mmd`, `mermaid`.
    ///
    /// # Errors
    /// As [`ModelPlot::to_png`], if the ending is another one, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let content = match ending.as_deref() {
            Some("svg") => self.to_svg()?.into_bytes(),
            Some("png") => self.to_png()?,
            Some("dot" | "gv") => self.to_dot()?.into_bytes(),
            Some("mmd" | "mermaid") => self.to_mermaid()?.into_bytes(),
            _ => {
                let rule = format!(
                    "the file's ending says the format: svg, png, dot, gv, mmd or mermaid; got {}",
                    path.display()
                );
                return Err(Error::outside(ErrorKind::Value, "plot_model", rule));
            }
        };
        write_atomically(path, &content).map_err(|error| {
            let rule = format!("{} cannot be written: {error}", path.display());
            Error::outside(ErrorKind::Io, "plot_model", rule)
        })
    }

    fn heading(&self) -> String {
        self.title.clone().unwrap_or_else(|| self.model.name().to_string())
    }

    fn diagram(&self) -> Result<Diagram> {
        Diagram::of_model(&self.model, self.nested)
    }

    fn scene(&self) -> Result<Scene> {
        let mut diagram = self.diagram()?;
        if self.stacked.unwrap_or(diagram.boxes() > STACKED_FROM) {
            diagram.stack();
        }
        let summary = self.model.summary();
        Ok(draw::page(&diagram, &self.heading(), &summary.totals(), self.names, self.columns))
    }
}

#[cfg(test)]
mod tests;
