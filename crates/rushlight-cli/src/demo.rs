//! What `rushlight` does without being told: shows that a network learns, and what graph mode is worth.

use crate::arguments::{DataName, DemoOptions, ModeName, OptimizerName};
use crate::failure::Failure;
use crate::images;
use crate::places::Places;
use crate::run::{Run, Trained, files};
use crate::step::{Timing, measure};
use crate::text::{headline, milliseconds};
use rushlight::applications::{Config, DenseNetConfig};
use rushlight::training::Mode;
use std::path::Path;

const EPOCHS: usize = 8;
const BATCH_SIZE: usize = 32;
const LEARNING_RATE: f64 = 0.1;
/// Images to train with, enough for the net to generalize and few enough for a minute.
const IMAGES: usize = 4_000;
/// Timed steps of each mode.
const TIMED_STEPS: usize = 5;

pub(crate) fn run(options: &DemoOptions) -> Result<(), Failure> {
    let places = Places::choose(options.logdir.as_deref(), "demo", None)?;
    let limit = options.limit.unwrap_or(IMAGES);
    let run = Run {
        config: Config::DenseNet(DenseNetConfig::small()),
        data: images::load(DataName::Drawn, Path::new(""), false, Some(limit))?,
        data_name: DataName::Drawn.name(),
        augmentation: None,
        epochs: options.epochs.unwrap_or(EPOCHS),
        batch_size: BATCH_SIZE,
        seed: 0,
        mode: ModeName::Graph,
        optimizer: OptimizerName::Sgd,
        learning_rate: LEARNING_RATE,
        places,
    };
    let trained = run.train()?;
    say_part!("\n{}\n{}", comparison(&trained)?, files(&trained.places));
    Ok(())
}

/// A table of both modes, measured on the same batch with a new model each.
fn comparison(trained: &Trained) -> Result<String, Failure> {
    let Some(batch) = trained.data.train.epoch(0).next().transpose()? else {
        return Ok(String::new());
    };
    let (images, labels) = (&batch.inputs[0], &batch.targets[0]);
    let size = batch.size()?;
    let time = |mode| -> Result<f64, Failure> {
        let timing = Timing {
            mode,
            steps: TIMED_STEPS,
            momentum: 0.9,
            memory_budget: usize::MAX,
            training: true,
            inference: false,
        };
        Ok(measure(&trained.config, images, labels, &timing)?.train_step_ms.unwrap_or(f64::NAN))
    };
    let (eager, graph) = (time(Mode::Eager)?, time(Mode::Graph)?);
    let row = |name: &str, ms: f64| {
        let speed = format!("{:.0} images/s", size as f64 / ms * 1e3);
        format!("  {name:<6} {:>9} a step {speed:>16}\n", milliseconds(ms))
    };
    Ok(format!(
        "{}\n{}{}  The same code, recorded and compiled: {:.1} times as fast.\n",
        headline(&format!("A training step on {size} images")),
        row("eager", eager),
        row("graph", graph),
        eager / graph
    ))
}
