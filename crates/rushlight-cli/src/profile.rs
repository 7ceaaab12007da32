//! `rushlight profile`.

use crate::arguments::ProfileOptions;
use crate::failure::Failure;
use crate::step::profiled;
use crate::text::{headline, milliseconds};
use rushlight::applications::config_by_name;
use rushlight::cpu::threads::thread_count;
use rushlight::prelude::*;
use rushlight::profile::{KernelRun, Profile};
use rushlight::tensorboard::{Writer, write_chrome_trace, write_profile};
use std::collections::HashMap;

pub(crate) fn run(options: &ProfileOptions) -> Result<(), Failure> {
    let config = config_by_name(&options.model)?;
    random::set_seed(0);
    let batch = options.batch_size;
    let images = random::normal([&[batch], config.input()].concat(), 0.0, 1.0, DType::F32);
    let labels = random::randint([batch], 0, config.classes() as i64, DType::I32);
    images.check()?;
    let profile = profiled(&config, &images, &labels, options.inference, options.steps)?;
    write(options, &profile)?;
    let what = if options.inference { "inference" } else { "training step" };
    let title = format!("{}, {what}, batch of {batch}, {} thread(s)", options.model, thread_count());
    say!("{}", headline(&title));
    let by_kernel = Table::of(&profile, options.steps, |kernel| kernel.kernel.clone());
    say_part!("{}", by_kernel.text("kernel", options.top));
    say!("");
    let layer = |kernel: &KernelRun| kernel.path.as_deref().unwrap_or("(outside of layers)").to_string();
    say_part!("{}", Table::of(&profile, options.steps, layer).text("layer", options.top));
    Ok(())
}

/// Writes what TensorBoard and Perfetto show, where it is asked for.
fn write(options: &ProfileOptions, profile: &Profile) -> Result<(), Failure> {
    if let Some(directory) = &options.logdir {
        let writer = Writer::create(directory)?;
        writer.function(
            if options.inference { "inference" } else { "training_step" },
            0,
            profile,
            options.steps - 1,
        )?;
        writer.flush()?;
        write_profile(directory, profile)?;
    }
    if let Some(path) = &options.trace {
        write_chrome_trace(path, profile)?;
    }
    Ok(())
}

/// What kernels of one name did in one step.
#[derive(Clone, Default)]
struct Row {
    name: String,
    calls: f64,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

/// Rows, the longest first.
struct Table(Vec<Row>);

impl Table {
    fn of(profile: &Profile, steps: usize, name: impl Fn(&KernelRun) -> String) -> Table {
        let mut rows: HashMap<String, Row> = HashMap::new();
        for kernel in &profile.kernels {
            let row = rows.entry(name(kernel)).or_default();
            row.calls += 1.0 / steps as f64;
            row.seconds += kernel.duration.as_secs_f64() / steps as f64;
            row.flops += kernel.flops as f64 / steps as f64;
            row.bytes += kernel.bytes as f64 / steps as f64;
        }
        let mut rows: Vec<Row> = rows.into_iter().map(|(name, row)| Row { name, ..row }).collect();
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
        Table(rows)
    }

    fn text(&self, first: &str, top: usize) -> String {
        let sum = |rows: &[Row], name: &str| {
            rows.iter().fold(Row { name: name.to_string(), ..Row::default() }, |sum, row| Row {
                name: sum.name,
                calls: sum.calls + row.calls,
                seconds: sum.seconds + row.seconds,
                flops: sum.flops + row.flops,
                bytes: sum.bytes + row.bytes,
            })
        };
        let total = sum(&self.0, "all");
        let (shown, others) = self.0.split_at(top.min(self.0.len()));
        let mut rows = shown.to_vec();
        if !others.is_empty() {
            rows.push(sum(others, &format!("({} more)", others.len())));
        }
        rows.push(total.clone());
        let mut text =
            format!("{:>10} {:>6} {:>7} {:>8} {:>7}  {first}\n", "time", "share", "calls", "GFLOP/s", "GB/s");
        for row in &rows {
            text += &format!(
                "{:>10} {:>5.1}% {:>7.0} {:>8.1} {:>7.1}  {}\n",
                milliseconds(row.seconds * 1e3),
                row.seconds / total.seconds * 100.0,
                row.calls,
                row.flops / row.seconds / 1e9,
                row.bytes / row.seconds / 1e9,
                row.name
            );
        }
        text
    }
}
