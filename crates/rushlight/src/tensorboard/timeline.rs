//! A profile as lines of events, one line a thread: what the Profile tab and trace files show.

use crate::data::{LOADING, WAITING};
use rushlight_core::profile::{KernelRun, Profile};
use std::collections::BTreeMap;
use std::time::Duration;

/// What one thread did.
pub(super) struct Line {
    pub(super) name: String,
    /// By their start, those that contain others first.
    pub(super) events: Vec<Event>,
}

/// Something that took time.
pub(super) struct Event {
    pub(super) name: String,
    pub(super) start: Duration,
    pub(super) duration: Duration,
    pub(super) kind: EventKind,
    /// More about it, as name and text.
    pub(super) details: Vec<(&'static str, String)>,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EventKind {
    /// A whole step, with its number.
    Step(u64),
    /// A kernel: the op's name and type in statistics.
    Kernel { op: String },
    /// Making a batch, or waiting for one.
    Data,
    /// A layer, a call of a function, a worker's part, anything else.
    Other,
}

impl Event {
    fn other(name: impl Into<String>, start: Duration, duration: Duration) -> Event {
        Event { name: name.into(), start, duration, kind: EventKind::Other, details: Vec::new() }
    }
}

/// All lines of a profile; the first is of the thread that was profiled.
pub(super) fn lines(profile: &Profile) -> Vec<Line> {
    let mut main: Vec<Event> = steps(profile);
    for call in &profile.graphs {
        let mut event = Event::other(&*call.function, call.start, call.duration);
        event.details.push(("temporary memory", format!("{} bytes", call.temporary_bytes)));
        main.push(event);
    }
    main.extend(layers(profile));
    main.extend(profile.kernels.iter().map(kernel));
    let mut others: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for span in &profile.spans {
        let mut event = Event::other(&span.name, span.start, span.duration);
        if [WAITING, LOADING].contains(&span.name.as_str()) {
            event.kind = EventKind::Data;
        }
        match &span.thread {
            Some(thread) => others.entry(thread.clone()).or_default().push(event),
            None => main.push(event),
        }
    }
    let mut workers: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    for run in &profile.workers {
        let Some(kernel) = profile.kernels.get(run.kernel) else { continue };
        let mut event = Event::other(plain(&kernel.kernel), run.start, run.duration);
        event.details.push(("tasks", run.tasks.to_string()));
        event.details.push(("layer", kernel.path.as_deref().unwrap_or_default().to_string()));
        workers.entry(run.worker).or_default().push(event);
    }
    let mut lines = vec![Line { name: "main".into(), events: main }];
    for (worker, events) in workers {
        // The thread that calls works too.
        let name = if worker == 0 { "work of main".to_string() } else { format!("worker {worker}") };
        lines.push(Line { name, events });
    }
    lines.extend(others.into_iter().map(|(name, events)| Line { name, events }));
    for line in &mut lines {
        line.events.sort_by_key(|event| (event.start, std::cmp::Reverse(event.duration)));
    }
    lines
}

/// The steps that were told of; calls of functions if there were none.
fn steps(profile: &Profile) -> Vec<Event> {
    let step = |name: &str, number: u64, start, duration| Event {
        name: name.to_string(),
        start,
        duration,
        kind: EventKind::Step(number),
        details: Vec::new(),
    };
    if profile.steps.is_empty() {
        let calls = profile.graphs.iter().zip(0..);
        return calls.map(|(call, number)| step("train", number, call.start, call.duration)).collect();
    }
    profile.steps.iter().map(|run| step(&run.name, run.number, run.start, run.duration)).collect()
}

/// The layers of a kernel, without the function whose call has an event of its own.
fn inside_function<'a>(profile: &Profile, kernel: &'a KernelRun) -> &'a str {
    let path = kernel.path.as_deref().unwrap_or_default();
    let call = kernel.place.and_then(|place| profile.graphs.get(place.call));
    match call.and_then(|call| path.strip_prefix(&*call.function)) {
        Some("") => "",
        Some(inside) => inside.strip_prefix('/').unwrap_or(path),
        None => path,
    }
}

/// Kernels that follow each other in one layer lie inside an event of that layer, layers in those around them.
fn layers(profile: &Profile) -> Vec<Event> {
    let mut done = Vec::new();
    // The open layers, outermost first: name, start, end.
    let mut open: Vec<(String, Duration, Duration)> = Vec::new();
    let mut call = None;
    for kernel in &profile.kernels {
        let path = inside_function(profile, kernel);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let same_call = kernel.place.map(|place| place.call) == call;
        call = kernel.place.map(|place| place.call);
        let shared = open.iter().zip(&parts).take_while(|((name, ..), part)| name == *part).count();
        for (name, start, end) in open.drain(if same_call { shared } else { 0 }..) {
            done.push(Event::other(name, start, end - start));
        }
        let end = kernel.start + kernel.duration;
        for part in &parts[open.len()..] {
            open.push((part.to_string(), kernel.start, end));
        }
        open.iter_mut().for_each(|layer| layer.2 = end);
    }
    done.extend(open.into_iter().map(|(name, start, end)| Event::other(name, start, end - start)));
    done
}

fn kernel(run: &KernelRun) -> Event {
    let path = run.path.as_deref().unwrap_or_default();
    let name = plain(&run.kernel);
    let words = run.kernel.split(':').next().unwrap_or_default().split(' ').map(capitalized);
    let kind = words.collect::<String>().replace('×', "x");
    let op = op_name(run.path.as_deref(), &name, &kind);
    let seconds = run.duration.as_secs_f64().max(1e-9);
    let mut details = vec![
        ("flops", run.flops.to_string()),
        ("GFLOP/s", format!("{:.1}", run.flops as f64 / seconds / 1e9)),
        ("bytes", run.bytes.to_string()),
        ("GB/s", format!("{:.1}", run.bytes as f64 / seconds / 1e9)),
        ("results", run.outputs.iter().map(|spec| spec.to_string()).collect::<Vec<_>>().join(", ")),
    ];
    if !path.is_empty() {
        details.push(("layer", path.to_string()));
    }
    if let Some(place) = run.location {
        details.push(("line", format!("{}:{}", place.file(), place.line())));
    }
    Event { name, start: run.start, duration: run.duration, kind: EventKind::Kernel { op }, details }
}

/// `node/name:Type`, by which the Profile tab knows ops; anything but letters, digits and a few signs would hide it.
pub(super) fn op_name(path: Option<&str>, kernel: &str, kind: &str) -> String {
    let plain = |c: char| match c {
        '×' => 'x',
        c if c.is_ascii_alphanumeric() || "_.-/".contains(c) => c,
        _ => '_',
    };
    let name: String =
        path.into_iter().chain([kernel]).collect::<Vec<_>>().join("/").chars().map(plain).collect();
    let name = name.replace("__", "_");
    let end = name.char_indices().nth(150).map_or(name.len(), |(end, _)| end);
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{}:{kind}", &name[..end])
}

/// A kernel's name without the colon, behind which the Profile tab looks for a type.
fn plain(kernel: &str) -> String {
    kernel.replace(": ", " ").replace(':', " ").replace('×', "x")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
