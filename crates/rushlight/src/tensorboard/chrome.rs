//! Profiles as files for Perfetto (ui.perfetto.dev) and chrome://tracing.

use super::timeline::{EventKind, lines};
use crate::files::write_atomically;
use rushlight_core::profile::Profile;
use rushlight_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Writes a profile as a trace in Chrome's JSON: a line for each thread, kernels under their layers.
///
/// # Errors
/// If the file cannot be written.
pub fn write_chrome_trace(path: impl AsRef<Path>, profile: &Profile) -> Result<()> {
    let path = path.as_ref();
    let failed = |error| {
        Error::outside(ErrorKind::Io, "trace", format!("{} cannot be written: {error}", path.display()))
    };
    write_atomically(path, trace(profile).to_string().as_bytes()).map_err(failed)
}

fn trace(profile: &Profile) -> Value {
    let mut events =
        vec![json!({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "rushlight"}})];
    for (line, thread) in lines(profile).iter().zip(1..) {
        let (name, sort) = (&line.name, thread);
        events
            .push(json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": {"name": name}}));
        events.push(json!({"ph": "M", "name": "thread_sort_index", "pid": 1, "tid": thread, "args": {"sort_index": sort}}));
        for event in &line.events {
            let details = event.details.iter().map(|(name, text)| (name.to_string(), json!(text)));
            let (name, category) = match &event.kind {
                EventKind::Step(number) => (format!("{} {number}", event.name), "step"),
                EventKind::Kernel { .. } => (event.name.clone(), "kernel"),
                EventKind::Data => (event.name.clone(), "data"),
                EventKind::Other => (event.name.clone(), "other"),
            };
            events.push(json!({
                "ph": "X",
                "pid": 1,
                "tid": thread,
                "name": name,
                "cat": category,
                "ts": event.start.as_nanos() as f64 / 1e3,
                "dur": event.duration.as_nanos() as f64 / 1e3,
                "args": details.collect::<Map<String, Value>>(),
            }));
        }
    }
    json!({"traceEvents": events, "displayTimeUnit": "ms"})
}
