//! The writer of event files.

use super::event_file::{EventFile, now};
use super::graph::{NodeRun, OpGraph};
use super::hparams::{Experiment, HParams, SessionStatus, session_end};
use super::images::{Encoded, Pixels};
use super::proto::Message;
use super::values::{self, event, strings};
use super::{conceptual, histogram};
use crate::models::Model;
use rushlight_core::{Error, ErrorKind, Result, Tensor};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Writes one event file, in a directory that TensorBoard shows as one run.
///
/// The file only ever holds whole records, and each record is in it five seconds after it came at the latest
/// ([`Writer::flush_every`]), so that a program that is killed loses no more than that. Several writers, of one
/// program or of several, may write to one directory, each its own file. A writer may be shared by threads.
///
/// Each value has a tag, whose slashes make groups, and a step. A tag holds values of one kind, and its steps must
/// rise: TensorBoard silently drops what does not, so that is an error here.
///
/// ```
/// use rushlight::prelude::*;
/// use rushlight::tensorboard::Writer;
/// # let directory = std::env::temp_dir().join(format!("rushlight-writer-{}", std::process::id()));
/// let writer = Writer::create(directory.join("run"))?;
/// for step in 0..3 {
///     writer.scalar("loss", step, 1.0 / (1.0 + step as f64))?;
///     writer.histogram("weights", step, &random::normal([100], 0.0, 1.0, DType::F32))?;
/// }
/// writer.image_grid("samples", 0, &random::uniform([16, 8, 8, 3], 0.0, 1.0, DType::F32), 4)?;
/// writer.text("notes", 0, "A *first* try.")?;
/// writer.flush()?;
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    file: EventFile,
    tags: Arc<Mutex<Tags>>,
}

/// What has been written to the tags of a directory by this program.
type Tags = HashMap<String, Tag>;

#[derive(Debug)]
struct Tag {
    plugin: &'static str,
    step: i64,
    /// The file that had the last value: TensorBoard reads a directory file by file.
    serial: u32,
}

/// The tags of a directory, shared by the writers that are open in it.
fn tags_of(directory: &Path) -> Arc<Mutex<Tags>> {
    type Directories = Mutex<HashMap<PathBuf, Weak<Mutex<Tags>>>>;
    static DIRECTORIES: LazyLock<Directories> = LazyLock::new(Mutex::default);
    let path = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    let mut directories = DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner);
    directories.retain(|_, tags| tags.strong_count() > 0);
    if let Some(tags) = directories.get(&path).and_then(Weak::upgrade) {
        return tags;
    }
    let tags = Arc::default();
    directories.insert(path, Arc::downgrade(&tags));
    tags
}

impl Writer {
    /// Starts an event file in `directory`, which is made if need be. Files that are there already stay.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(directory: impl AsRef<Path>) -> Result<Writer> {
        let directory = directory.as_ref();
        let file = EventFile::create(directory).map_err(failed)?;
        Ok(Writer { file, tags: tags_of(directory) })
    }

    /// Writes what has come at least this often; five seconds if nothing is said.
    pub fn flush_every(self, interval: Duration) -> Writer {
        self.file.set_interval(interval);
        self
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Writes what is still buffered, so that TensorBoard finds it.
    ///
    /// # Errors
    /// If the file cannot be written; what is buffered stays so for the next try.
    pub fn flush(&self) -> Result<()> {
        self.file.flush().map_err(failed)
    }

    /// Adds a point to the curve `tag`, as `f32`, which is all that TensorBoard draws.
    ///
    /// # Errors
    /// As for all values: if the tag holds values of another kind, if the step does not rise, if the file cannot be
    /// written.
    pub fn scalar(&self, tag: &str, step: i64, value: impl Into<f64>) -> Result<()> {
        self.value(tag, step, "scalars", &[], || Ok(values::scalar(value.into() as f32)))
    }

    /// Adds the distribution of a tensor's elements, which the tabs Histograms and Distributions draw. NaN and
    /// infinities are left out.
    ///
    /// # Errors
    /// As [`Writer::scalar`], and if the tensor has no value.
    #[track_caller]
    pub fn histogram(&self, tag: &str, step: i64, tensor: &Tensor) -> Result<()> {
        tensor.check()?;
        self.value(tag, step, "histograms", &[], || Ok(values::histogram(&histogram::histogram(tensor)?)))
    }

    /// Adds images, at most so many: `[height, width]`, `[height, width, channels]` or `[count, height, width,
    /// channels]` with 1 (grey), 2 (grey, opacity), 3 (colours) or 4 channels. Floats run from 0 to 1, integers from 0
    /// to 255.
    ///
    /// # Errors
    /// As [`Writer::scalar`], and if the tensor has another shape or no value.
    #[track_caller]
    pub fn images(&self, tag: &str, step: i64, images: &Tensor, most: usize) -> Result<()> {
        self.encoded(tag, step, Pixels::of(images, most)?.encode()?)
    }

    /// Adds a batch of images as one, so many beside each other.
    ///
    /// # Errors
    /// As [`Writer::images`].
    #[track_caller]
    pub fn image_grid(&self, tag: &str, step: i64, images: &Tensor, columns: usize) -> Result<()> {
        self.encoded(tag, step, Pixels::of(images, usize::MAX)?.grid(columns).encode()?)
    }

    fn encoded(&self, tag: &str, step: i64, images: Encoded) -> Result<()> {
        let sizes = [images.width.to_string(), images.height.to_string()];
        let parts = sizes.iter().map(String::as_bytes).chain(images.files.iter().map(Vec::as_slice));
        self.value(tag, step, "images", &[], || Ok(strings(&[2 + images.files.len()], parts)))
    }

    /// Adds a text in Markdown.
    ///
    /// # Errors
    /// As [`Writer::scalar`].
    pub fn text(&self, tag: &str, step: i64, markdown: &str) -> Result<()> {
        self.value(tag, step, "text", &[], || Ok(strings(&[], [markdown.as_bytes()])))
    }

    /// Adds a table of texts in Markdown, row by row, all of one length.
    ///
    /// # Errors
    /// As [`Writer::scalar`], and if rows differ in length or there is nothing in them.
    pub fn table<T: AsRef<str>>(&self, tag: &str, step: i64, rows: &[Vec<T>]) -> Result<()> {
        let columns = rows.first().map_or(0, Vec::len);
        if columns == 0 || rows.iter().any(|row| row.len() != columns) {
            let rule = format!("the rows of table {tag} must have the same number of cells, at least one");
            return Err(invalid(rule));
        }
        let cells = rows.iter().flatten().map(|cell| cell.as_ref().as_bytes());
        self.value(tag, step, "text", &[], || Ok(strings(&[rows.len(), columns], cells)))
    }

    /// Adds the hyper-parameters of this run: the start of a session for the HParams tab.
    ///
    /// # Errors
    /// As [`Writer::scalar`]: a run has one session.
    pub fn hparams(&self, hparams: &HParams) -> Result<()> {
        self.hparams_data("_hparams_/session_start_info", hparams.session_start(now()))
    }

    /// Says that the session is over.
    ///
    /// # Errors
    /// As [`Writer::hparams`].
    pub fn session_end(&self, status: SessionStatus) -> Result<()> {
        self.hparams_data("_hparams_/session_end_info", session_end(status, now()))
    }

    /// Declares what the sessions in the runs below this directory vary and are judged by.
    ///
    /// # Errors
    /// As [`Writer::hparams`].
    pub fn experiment(&self, experiment: &Experiment) -> Result<()> {
        self.hparams_data("_hparams_/experiment", experiment.message(now()))
    }

    fn hparams_data(&self, tag: &str, data: Message) -> Result<()> {
        self.value(tag, 0, "hparams", data.as_bytes(), || Ok(values::nothing()))
    }

    /// Adds a graph of ops.
    ///
    /// # Errors
    /// As [`Writer::scalar`] and [`OpGraph::check`].
    pub fn graph(&self, tag: &str, step: i64, graph: &OpGraph) -> Result<()> {
        graph.check()?;
        let metadata = graph.run_metadata(&[]);
        self.value(tag, step, "graph_run_metadata_graph", b"1", || Ok(strings(&[], [metadata.as_bytes()])))
    }

    /// Adds a graph of ops with what one execution of its nodes took: the colours "Compute time" and "Memory".
    ///
    /// Each execution needs a tag of its own: TensorBoard reads one a tag.
    ///
    /// # Errors
    /// As [`Writer::graph`], and if a run is of a node that is not there.
    pub fn run_metadata(&self, tag: &str, step: i64, graph: &OpGraph, runs: &[NodeRun]) -> Result<()> {
        graph.check()?;
        let names: std::collections::HashSet<&str> =
            graph.nodes.iter().map(|node| node.name.as_str()).collect();
        if let Some(run) = runs.iter().find(|run| !names.contains(run.node.as_str())) {
            return Err(invalid(format!("there is no node `{}` that could have run", run.node)));
        }
        let metadata = graph.run_metadata(runs);
        self.value(tag, step, "graph_run_metadata", b"1", || Ok(strings(&[], [metadata.as_bytes()])))
    }

    /// Adds the graph of a model's layers, which the Graphs tab calls conceptual: inner models are scopes, shared
    /// layers have several inputs.
    ///
    /// # Errors
    /// As [`Writer::scalar`].
    pub fn model(&self, tag: &str, step: i64, model: &Model) -> Result<()> {
        let json = conceptual::model_json(model);
        self.value(tag, step, "graph_keras_model", b"1", || Ok(strings(&[], [json.as_bytes()])))
    }

    /// Checks tag and step, then adds the value.
    fn value(
        &self,
        tag: &str,
        step: i64,
        plugin: &'static str,
        content: &[u8],
        tensor: impl FnOnce() -> Result<Message>,
    ) -> Result<()> {
        let serial = self.file.serial();
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tags.get(tag) {
            if known.plugin != plugin {
                let rule = format!("tag {tag} holds {}, no {plugin}", known.plugin);
                return Err(invalid(rule));
            }
            if step <= known.step {
                let rule =
                    format!("{plugin} {tag}: steps must rise, got step {step} after step {}", known.step);
                return Err(invalid(rule));
            }
            if serial < known.serial {
                let rule = format!("{plugin} {tag}: a later writer in this directory has gone on with it");
                return Err(invalid(rule));
            }
        }
        if tag.is_empty() {
            return Err(invalid("a tag must not be empty".into()));
        }
        let event = event(now(), tag, step, plugin, content, &tensor()?);
        self.file.record(&event).map_err(failed)?;
        match tags.get_mut(tag) {
            Some(known) => (known.step, known.serial) = (step, serial),
            None => drop(tags.insert(tag.into(), Tag { plugin, step, serial })),
        }
        Ok(())
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::outside(ErrorKind::Io, "tensorboard", error.to_string())
}

fn invalid(rule: String) -> Error {
    Error::outside(ErrorKind::Value, "tensorboard", rule)
}
