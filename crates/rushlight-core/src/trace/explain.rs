//! Says what was recorded and why: for people who wonder where the time goes.

use crate::tensor::{Error, ErrorKind, Result, Spec};
use crate::trace::recordings::{Entry, RecordingKey, Recordings, State};
use crate::trace::signature::{Key, Part};
use std::any::type_name;
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// So many of the arguments that differ are told one by one.
const SHOWN: usize = 3;

/// From as many kept recordings on a function is told to record too often.
const MANY: usize = 5;

/// The recordings of functions marked `#[function]`, by the path of the function.
static REGISTRY: Mutex<Vec<(&'static str, &'static Recordings)>> = Mutex::new(Vec::new());

/// Lets [`explain`] find the recordings of the function that the closure type `body` is in.
pub(crate) fn register(body: &'static str, recordings: &'static Recordings) {
    let path = body.trim_end_matches("::{{closure}}");
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    if !registry.iter().any(|&(known, other)| known == path && std::ptr::eq(other, recordings)) {
        registry.push((path, recordings));
    }
}

/// What a function marked `#[function]` has recorded: for which arguments, why again, how long it took.
///
/// ```
/// use rushlight_core::{Tensor, explain};
/// use rushlight_macros::function;
///
/// #[function(crate = rushlight_core)]
/// fn double(x: &Tensor) -> Tensor {
///     x + x
/// }
///
/// struct Scale(f32);
/// impl Scale {
///     #[function(crate = rushlight_core)]
///     fn scaled(x: &Tensor, factor: f32) -> Tensor {
///         x * factor
///     }
/// }
///
/// double(&Tensor::from([1.0f32, 2.0])).check()?;
/// assert!(explain(double).contains("it is the first call"));
/// Scale::scaled(&Tensor::from([1.0f32, 2.0]), 3.0).check()?;
/// assert!(explain(Scale::scaled).contains("factor: 3.0"));
/// # Ok::<(), rushlight_core::Error>(())
/// ```
pub fn explain<F>(function: F) -> String {
    let found = recordings_of(function);
    if found.is_empty() {
        return format!(
            "`{}` has recorded nothing: it has not been called yet, only inside of other recordings or gradient \
             tapes, or it is not marked #[function]\n",
            type_name::<F>()
        );
    }
    found.iter().map(|recordings| recordings.explain()).collect()
}

/// The recordings of a function marked `#[function]`, once it has recorded something.
///
/// More than one only if several functions inside of one function have the same name.
pub fn recordings_of<F>(_function: F) -> Vec<&'static Recordings> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let same = registry.iter().filter(|(path, _)| *path == type_name::<F>());
    same.map(|(_, recordings)| *recordings).collect()
}

/// Writes what a function marked `#[function]` has recorded to a file, from which
/// [`SavedFunction`](crate::SavedFunction) runs it without its code: one recording for each signature of tensors.
///
/// ```
/// use rushlight_core::{SavedFunction, Tensor, save_function};
/// use rushlight_macros::function;
///
/// #[function(crate = rushlight_core)]
/// fn double(x: &Tensor) -> Tensor {
///     x + x
/// }
///
/// double(&Tensor::from([1.0f32, 2.0])).check()?;
/// let path = std::env::temp_dir().join(format!("double-{}.safetensors", std::process::id()));
/// save_function(double, &path)?;
/// let saved = SavedFunction::load(&path)?;
/// assert_eq!(saved.signatures(), ["x: f32[2]"]);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If nothing was recorded yet, a recording has a [`callback`](crate::callback()), or the file cannot be written.
pub fn save_function<F>(function: F, path: impl AsRef<Path>) -> Result<()> {
    match recordings_of(function).first() {
        Some(recordings) => recordings.save(path),
        None => {
            let rule = format!("`{}` has recorded nothing: call it first", type_name::<F>());
            Err(Error::outside(ErrorKind::Value, "save", rule))
        }
    }
}

/// Why a call found no recording, and what to do about it.
pub(crate) struct Reason {
    text: String,
    remedy: Option<&'static str>,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Reason {
    /// What differs from the recording that comes nearest; the newest of several.
    pub(crate) fn of(key: &RecordingKey, entries: &[Arc<Entry>]) -> Reason {
        let nearest = entries.iter().min_by_key(|entry| {
            let parts =
                entry.key.parts.iter().zip(&key.parts).filter(|(old, new)| old.key != new.key).count();
            let length = entry.key.parts.len().abs_diff(key.parts.len());
            let mode = usize::from(entry.key.ambient != key.ambient);
            (entry.key.body != key.body, parts + length + mode, u64::MAX - entry.number)
        });
        match nearest {
            None => Reason { text: "it is the first call".to_string(), remedy: None },
            Some(entry) => Reason::between(entry, key),
        }
    }

    fn between(entry: &Entry, new: &RecordingKey) -> Reason {
        let plain = |text: String| Reason { text, remedy: None };
        let old = &entry.key;
        if old.body != new.body {
            return plain("it is the first call with arguments of these types".to_string());
        }
        let changed: Vec<(&Part, &Part)> =
            old.parts.iter().zip(&new.parts).filter(|(old, new)| old.key != new.key).collect();
        if let Some((old, new)) = changed.first() {
            let mut reason = Reason::of_part(old, new);
            for (old, new) in changed.iter().skip(1).take(SHOWN - 1) {
                reason.text += &format!("; {}", Reason::of_part(old, new).text);
            }
            if changed.len() > SHOWN {
                reason.text += &format!("; and {} more differ", changed.len() - SHOWN);
            }
            return reason;
        }
        if old.parts.len() != new.parts.len() {
            return Reason {
                text: format!(
                    "the arguments had {} parts before and have {} now",
                    old.parts.len(),
                    new.parts.len()
                ),
                remedy: Some("pass lists of the same length"),
            };
        }
        if old.ambient != new.ambient {
            return plain("the mode of layers (training or inference) is another one".to_string());
        }
        if old.result != new.result {
            return plain(format!("the result was a {} before and is a {} now", old.result, new.result));
        }
        if entry.thread.is_some_and(|thread| thread != std::thread::current().id()) {
            let text = "the last recording draws from the default generator of another thread";
            return plain(text.to_string());
        }
        for (variable, was_trainable) in &entry.variables {
            let name = variable.name();
            match variable.upgrade().map(|variable| variable.is_trainable()) {
                None => {
                    return Reason {
                        text: format!("variable `{name}`, which the last recording uses, is gone"),
                        remedy: Some("make variables, layers and models once, outside the function"),
                    };
                }
                Some(trainable) if trainable != *was_trainable => {
                    let now = if trainable { "trainable" } else { "not trainable" };
                    return plain(format!("variable `{name}` is {now} now"));
                }
                Some(_) => {}
            }
        }
        plain("an equal recording was dropped in the meantime".to_string())
    }

    fn of_part(old: &Part, new: &Part) -> Reason {
        let label = new.label();
        let mut text = format!("argument `{label}` was {} before and is {} now", old.key, new.key);
        let remedy = match (&old.key, &new.key) {
            (Key::Tensor(old), Key::Tensor(new)) if old.dtype != new.dtype => {
                "cast the argument to one dtype"
            }
            (Key::Tensor(old), Key::Tensor(new)) => {
                text.push_str(&changed_axes(old, new));
                let batch_alone =
                    old.rank() == new.rank() && old.dims.iter().skip(1).eq(new.dims.iter().skip(1));
                if batch_alone {
                    "leave the batch axis open, with #[function(batch(argument))] or open_batch on a closure, or drop \
                     or pad the last, smaller batch"
                } else {
                    "keep shapes the same from call to call, for instance by padding"
                }
            }
            (Key::Identity(..), Key::Identity(..)) => {
                "make the object once and pass the same one to every call"
            }
            (Key::Length(_), Key::Length(_)) => "pass lists of the same length",
            _ => "pass what changes from call to call as a tensor, such as Tensor::scalar(value)",
        };
        Reason { text, remedy: Some(remedy) }
    }
}

/// ` (axis 0: 32, now 16)`; nothing if the ranks differ.
fn changed_axes(old: &Spec, new: &Spec) -> String {
    if old.rank() != new.rank() {
        return String::new();
    }
    let axes = old.dims.iter().zip(&new.dims).enumerate().filter(|(_, (old, new))| old != new);
    let axes: Vec<String> = axes.map(|(axis, (old, new))| format!("axis {axis}: {old}, now {new}")).collect();
    format!(" ({})", axes.join("; "))
}

/// What to do if a function is recorded too often.
pub(crate) fn advice(recordings: &Recordings, state: &State) -> Option<String> {
    let last = state.newest()?;
    let remedy = last.reason.remedy?;
    if state.entries.len() < MANY {
        return None;
    }
    Some(format!(
        "function `{}` ({}:{}) was recorded {} times, at last because {} (called at {}:{}). \
         Each recording costs time and memory: {remedy}.",
        recordings.name,
        recordings.made_at.file(),
        recordings.made_at.line(),
        state.total,
        last.reason,
        last.called_from.file(),
        last.called_from.line(),
    ))
}

/// The whole text of [`explain`].
pub(crate) fn describe(recordings: &Recordings, state: &State) -> String {
    let mut text = format!(
        "function `{}` ({}:{}): {} recorded, {} kept\n",
        recordings.name,
        recordings.made_at.file(),
        recordings.made_at.line(),
        state.total,
        state.entries.len()
    );
    let mut entries: Vec<&Arc<Entry>> = state.entries.iter().collect();
    entries.sort_by_key(|entry| entry.number);
    entries.iter().for_each(|entry| text.push_str(&entry.describe()));
    if let Some(advice) = advice(recordings, state) {
        let _ = writeln!(text, "  {advice}");
    }
    text
}

/// `512 B`, `1.5 kB`, `2.0 MB`.
fn amount(bytes: usize) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1000.0;
    let mut unit = 0;
    while amount >= 999.95 && unit + 1 < units.len() {
        amount /= 1000.0;
        unit += 1;
    }
    format!("{amount:.1} {}", units[unit])
}

impl Entry {
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        let parts: Vec<String> = self.key.parts.iter().map(|part| part.to_string()).collect();
        let calls = self.calls.load(std::sync::atomic::Ordering::Relaxed);
        let place = self.called_from;
        let _ = writeln!(text, "  recording {} ({}), {calls} call(s)", self.number, parts.join(", "));
        let _ = writeln!(text, "    because {} ({}:{})", self.reason, place.file(), place.line());
        let _ = writeln!(
            text,
            "    recorded {} nodes in {:.1} ms, compiled to {} in {:.1} ms",
            self.recorded_nodes,
            self.recording_time.as_secs_f64() * 1e3,
            self.compiled_nodes,
            self.compile_time.as_secs_f64() * 1e3,
        );
        if let Some(batches) = self.programs.batches() {
            let sizes: Vec<String> = batches.iter().map(usize::to_string).collect();
            let sizes = if sizes.is_empty() { "none yet".to_string() } else { sizes.join(", ") };
            let _ = writeln!(text, "    has an open batch axis; compiled for batches of {sizes}");
        }
        let variable_bytes: usize = self.variables.iter().map(|(variable, _)| variable.spec().bytes()).sum();
        let _ = writeln!(
            text,
            "    plans {} of memory besides {} variable(s) of {}",
            amount(self.programs.newest().map_or(0, |program| program.planned_memory().temporary)),
            self.variables.len(),
            amount(variable_bytes),
        );
        text
    }
}
