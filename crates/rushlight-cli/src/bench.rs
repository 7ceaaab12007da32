//! `rushlight bench`.

use crate::arguments::{BenchOptions, Part};
use crate::failure::Failure;
use crate::step::{Measured, Timing, measure};
use crate::text::{headline, list, milliseconds};
use rushlight::applications::config_by_name;
use rushlight::cpu::threads::thread_count;
use rushlight::prelude::*;
use std::time::{Duration, Instant};

pub(crate) fn run(options: &BenchOptions, started: Instant) -> Result<(), Failure> {
    let config = config_by_name(&options.model)?;
    random::set_seed(0);
    let batch = options.batch_size;
    let inputs = random::normal([&[batch], config.input()].concat(), 0.0, 1.0, DType::F32);
    let labels = random::randint([batch], 0, config.classes() as i64, DType::I32);
    inputs.check()?;
    let timing = Timing {
        mode: options.mode.mode(),
        steps: options.steps,
        momentum: options.momentum,
        memory_budget: options
            .memory_budget
            .map_or(usize::MAX, |megabytes| megabytes.saturating_mul(1 << 20)),
        training: options.only != Some(Part::Inference),
        inference: options.only != Some(Part::Training),
    };
    let measured = measure(&config, &inputs, &labels, &timing)?;
    let first_step = measured.first_step.duration_since(started);
    if options.json {
        say!("{}", json(options, &measured, first_step));
    } else {
        say_part!("{}", table(options, &measured, first_step));
    }
    Ok(())
}

/// One line; what is not known is null.
fn json(options: &BenchOptions, measured: &Measured, first_step: Duration) -> String {
    let number = |value: Option<f64>| value.map_or("null".to_string(), |value| format!("{value:.4}"));
    let fields = [
        ("model", format!("\"{}\"", options.model)),
        ("batch_size", options.batch_size.to_string()),
        ("mode", format!("\"{}\"", options.mode.name())),
        ("threads", thread_count().to_string()),
        ("train_step_ms", number(measured.train_step_ms)),
        ("inference_ms", number(measured.inference_ms)),
        ("peak_rss_mb", number(peak_rss_mb())),
        ("compile_ms", number(measured.compile.map(in_ms))),
        ("first_step_ms", number(Some(in_ms(first_step)))),
        ("planned_mb", number(measured.planned_bytes.map(in_mb))),
        ("steps", options.steps.to_string()),
        ("version", format!("\"{}\"", env!("CARGO_PKG_VERSION"))),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn table(options: &BenchOptions, measured: &Measured, first_step: Duration) -> String {
    let throughput = |ms: f64| format!("{:.0} examples/s", options.batch_size as f64 / ms * 1e3);
    let timed = |ms: f64| format!("{}, {}", milliseconds(ms), throughput(ms));
    let mut rows = Vec::new();
    rows.extend(measured.train_step_ms.map(|ms| ("training step", timed(ms))));
    rows.extend(measured.inference_ms.map(|ms| ("inference", timed(ms))));
    rows.push(("first call, from the start of the process", milliseconds(in_ms(first_step))));
    if let Some(compile) = measured.compile {
        rows.push(("  of it recording and compiling", milliseconds(in_ms(compile))));
    }
    if let Some(bytes) = measured.planned_bytes {
        rows.push(("memory planned for this call", format!("{:.1} MB", in_mb(bytes))));
    }
    if let Some(peak) = peak_rss_mb() {
        rows.push(("peak resident memory of the process", format!("{peak:.1} MB")));
    }
    let title = format!(
        "{}, batches of {}, {} mode, {} thread(s), medians of {} calls",
        options.model,
        options.batch_size,
        options.mode.name(),
        thread_count(),
        options.steps
    );
    format!("{}\n{}", headline(&title), list(&rows))
}

fn in_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn in_mb(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// The most memory that the process ever had in RAM, where the system tells (Linux).
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}
