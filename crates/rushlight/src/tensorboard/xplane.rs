//! Profiles as the Profile tab reads them: XSpace files.

use super::event_file::{at, host_name};
use super::proto::Message;
use super::timeline::{Event, EventKind, Line, lines, op_name};
use super::values::dtype_number;
use crate::files::write_atomically;
use rushlight_core::profile::{PictureKind, Profile};
use rushlight_core::{Error, ErrorKind, Result, Spec};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory events lie on a line of this number: there they do not count as ops once more.
const MEMORY_LINE: i64 = 0xdead_beef + 6;

/// Writes a profile for TensorBoard's Profile tab, below `directory/plugins/profile`; gives the file.
///
/// Shows each step, a line for each thread, kernels under their layers, data loading and waiting, statistics of ops,
/// and temporary memory over time with what holds it.
///
/// # Errors
/// If the file cannot be written.
pub fn write_profile(directory: impl AsRef<Path>, profile: &Profile) -> Result<PathBuf> {
    let parent = directory.as_ref().join("plugins").join("profile");
    let session = unused(&parent, profile.began);
    let host = host_name();
    let path = session.join(format!("{host}.xplane.pb"));
    let failed = |error| Error::outside(ErrorKind::Io, "tensorboard", at(&path, error).to_string());
    write_atomically(&path, space(profile, &host).as_bytes()).map_err(failed)?;
    Ok(path)
}

/// The folder of a session, named by its time; the page keeps files of its own there, so none is used twice.
fn unused(parent: &Path, began: Duration) -> PathBuf {
    let name = civil(began.as_secs());
    let mut path = parent.join(&name);
    let mut number = 1;
    while path.exists() {
        path = parent.join(format!("{name}_{number}"));
        number += 1;
    }
    path
}

/// Seconds since 1970 as `2026_01_02_03_04_05`, UTC (days to dates after Howard Hinnant).
fn civil(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}")
}

/// XSpace
fn space(profile: &Profile, host: &str) -> Message {
    let mut environment = Plane::default();
    let stop = profile.began + profile.duration;
    let times = [("profile_start_time", profile.began), ("profile_stop_time", stop)];
    let times: Vec<Message> = times
        .iter()
        .map(|(name, time)| environment.stat(name, &Stat::Unsigned(time.as_nanos() as u64)))
        .collect();
    Message::new()
        .message(1, &host_plane(profile).message(1, "/host:CPU"))
        .message(1, &environment.message(2, "Task Environment").messages(6, times))
        .text(4, host)
}

fn host_plane(profile: &Profile) -> Plane {
    let mut plane = Plane::default();
    for (line, number) in lines(profile).iter().zip(1..) {
        let message = plane.line(line, number);
        plane.lines.push(message);
    }
    let memory: Vec<Message> = memory_events(profile).into_iter().map(|event| plane.memory(&event)).collect();
    if !memory.is_empty() {
        plane.lines.push(Message::new().integer(1, MEMORY_LINE).text(2, "memory").messages(4, memory));
    }
    plane
}

/// The value of a statistic.
enum Stat<'a> {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    /// Kept once a plane, however often it comes.
    Text(&'a str),
}

/// XPlane
#[derive(Default)]
struct Plane {
    lines: Vec<Message>,
    events: Numbered,
    stats: Numbered,
}

/// Names with numbers from 1 on.
#[derive(Default)]
struct Numbered {
    numbers: HashMap<String, i64>,
    names: Vec<String>,
    /// What is shown instead of a name, if it is something else.
    shown: HashMap<String, String>,
}

impl Numbered {
    fn number(&mut self, name: &str) -> i64 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        self.names.push(name.to_string());
        let number = self.names.len() as i64;
        self.numbers.insert(name.to_string(), number);
        number
    }

    fn shown(&mut self, name: &str, instead: &str) {
        if name != instead && !self.shown.contains_key(name) {
            self.shown.insert(name.to_string(), instead.to_string());
        }
    }

    /// Map entries { 1 key, 2 { 1 id, 2 name, 4 display name } }.
    fn entries(&self) -> impl Iterator<Item = Message> + '_ {
        self.names.iter().zip(1..).map(|(name, number)| {
            let metadata = Message::new().integer(1, number).text(2, name);
            let metadata = match self.shown.get(name) {
                Some(shown) => metadata.text(4, shown),
                None => metadata,
            };
            Message::new().integer(1, number).message(2, &metadata)
        })
    }
}

impl Plane {
    fn message(&self, id: i64, name: &str) -> Message {
        Message::new()
            .integer(1, id)
            .text(2, name)
            .messages(3, self.lines.iter().cloned())
            .messages(4, self.events.entries())
            .messages(5, self.stats.entries())
    }

    fn stat(&mut self, name: &str, value: &Stat) -> Message {
        let stat = Message::new().integer(1, self.stats.number(name));
        match *value {
            Stat::Double(value) => stat.double(2, value),
            Stat::Unsigned(value) => stat.integer(3, value as i64),
            Stat::Signed(value) => stat.integer(4, value),
            Stat::Text(text) => stat.integer(7, self.stats.number(text)),
        }
    }

    fn line(&mut self, line: &Line, number: i64) -> Message {
        let events: Vec<Message> = line.events.iter().map(|event| self.event(event)).collect();
        Message::new().integer(1, number).text(2, &line.name).messages(4, events)
    }

    fn event(&mut self, event: &Event) -> Message {
        let mut stats = Vec::new();
        let name = match &event.kind {
            EventKind::Step(number) => {
                stats.push(self.stat("_r", &Stat::Signed(1)));
                stats.push(self.stat("step_num", &Stat::Signed(*number as i64)));
                event.name.clone()
            }
            EventKind::Kernel { op } => op.clone(),
            // By the beginning of its name the page tells what is input.
            EventKind::Data => format!("IteratorGetNext {}", event.name),
            EventKind::Other => event.name.clone(),
        };
        self.events.shown(&name, &event.name);
        for (name, text) in &event.details {
            stats.push(self.stat(name, &Stat::Text(text)));
        }
        self.timed(&name, event.start, event.duration).messages(4, stats)
    }

    /// XEvent without statistics.
    fn timed(&mut self, name: &str, start: Duration, duration: Duration) -> Message {
        let picoseconds = |time: Duration| time.as_nanos() as i64 * 1000;
        let number = self.events.number(name);
        Message::new().integer(1, number).integer(2, picoseconds(start)).integer(3, picoseconds(duration))
    }

    fn memory(&mut self, event: &MemoryEvent) -> Message {
        let (name, sign) = match event.is_allocation {
            true => ("MemoryAllocation", 1),
            false => ("MemoryDeallocation", -1),
        };
        let shape = format!("{}", event.spec);
        let stats = [
            ("allocator_name", Stat::Text("cpu")),
            ("bytes_allocated", Stat::Signed(event.in_use)),
            ("bytes_reserved", Stat::Signed(0)),
            ("bytes_available", Stat::Signed((event.capacity - event.in_use).max(0))),
            ("peak_bytes_in_use", Stat::Signed(event.peak)),
            ("fragmentation", Stat::Double(0.0)),
            ("requested_bytes", Stat::Signed(sign * event.bytes)),
            ("allocation_bytes", Stat::Signed(sign * event.bytes)),
            ("addr", Stat::Signed(event.address as i64)),
            ("tf_op", Stat::Text(&event.owner)),
            ("region_type", Stat::Text(event.region)),
            ("data_type", Stat::Signed(dtype_number(event.spec.dtype))),
            ("shape", Stat::Text(&shape)),
        ];
        let stats: Vec<Message> = stats.iter().map(|(name, value)| self.stat(name, value)).collect();
        self.timed(name, event.time, Duration::ZERO).messages(4, stats)
    }
}

/// Memory that comes into use or is free again.
struct MemoryEvent {
    time: Duration,
    is_allocation: bool,
    bytes: i64,
    address: u64,
    owner: String,
    region: &'static str,
    spec: Spec,
    /// Bytes in use after it, the most so far, and the most ever.
    in_use: i64,
    peak: i64,
    capacity: i64,
}

/// Variables from the first call that needs them on, and temporary memory while kernels need it.
fn memory_events(profile: &Profile) -> Vec<MemoryEvent> {
    let mut events = Vec::new();
    let mut variables: HashMap<String, u64> = HashMap::new();
    for (number, call) in profile.graphs.iter().enumerate() {
        let kernels: HashMap<usize, _> = profile
            .kernels
            .iter()
            .filter_map(|kernel| Some((kernel.place.filter(|place| place.call == number)?.step, kernel)))
            .collect();
        let mut event = |time, is_allocation, bytes: usize, address, owner: &str, region, spec: Spec| {
            events.push(MemoryEvent {
                time,
                is_allocation,
                bytes: bytes as i64,
                address,
                owner: owner.to_string(),
                region,
                spec,
                in_use: 0,
                peak: 0,
                capacity: 0,
            });
        };
        for node in &call.plan.recorded().nodes {
            let PictureKind::Variable(name) = &node.kind else { continue };
            let next = (1 << 48) + ((variables.len() as u64) << 32);
            if !variables.contains_key(&**name) {
                variables.insert(name.to_string(), next);
                event(
                    call.start,
                    true,
                    node.bytes,
                    next,
                    &op_name(None, name, "Variable"),
                    "persist/dynamic",
                    node.outputs[0].clone(),
                );
            }
        }
        for lifetime in call.plan.lifetimes() {
            let (Some(first), Some(last)) = (kernels.get(&lifetime.first), kernels.get(&lifetime.last))
            else {
                continue;
            };
            let owner = op_name(first.path.as_deref(), &first.kernel, "Temporary");
            let Some(spec) = lifetime.spec else { continue };
            // Calls follow each other, so that their addresses may be the same.
            let address = 1 + lifetime.offset as u64;
            event(first.start, true, lifetime.bytes, address, &owner, "temp", spec.clone());
            event(last.start + last.duration, false, lifetime.bytes, address, &owner, "temp", spec);
        }
    }
    // What ends when something else begins is freed first.
    events.sort_by_key(|event| (event.time, event.is_allocation));
    let (mut in_use, mut peak) = (0, 0);
    for event in &mut events {
        in_use += if event.is_allocation { event.bytes } else { -event.bytes };
        peak = peak.max(in_use);
        (event.in_use, event.peak) = (in_use, peak);
    }
    events.iter_mut().for_each(|event| event.capacity = peak);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_named_by_their_time() {
        // date -u -d @N +%Y_%m_%d_%H_%M_%S
        for (seconds, name) in [
            (0, "1970_01_01_00_00_00"),
            (951_782_400, "2000_02_29_00_00_00"),
            (1_700_000_000, "2023_11_14_22_13_20"),
            (4_107_542_399, "2100_02_28_23_59_59"),
        ] {
            assert_eq!(civil(seconds), name);
        }
    }
}
