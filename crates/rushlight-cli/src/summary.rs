//! `rushlight summary`.

use crate::arguments::SummaryOptions;
use crate::failure::Failure;
use rushlight::applications::{config_by_name, densenet};
use rushlight::models::{Model, Summary};
use rushlight::prelude::*;

pub(crate) fn run(options: &SummaryOptions) -> Result<(), Failure> {
    let mut config = config_by_name(&options.model)?;
    if let Some(classes) = options.classes {
        config = config.classes(classes);
    }
    let mut model = densenet(&config)?;
    model.compile(
        Sgd::new(0.1).momentum(0.9),
        SparseCategoricalCrossentropy::from_logits(),
        [Accuracy::new()],
    );
    say_part!("{}", with_memory(&model, options.batch_size)?);
    Ok(())
}

/// The summary of a compiled model, with the memory planned for a training step.
pub(crate) fn with_memory(model: &Model, batch_size: usize) -> Result<Summary> {
    let bytes = model.planned_training_bytes(batch_size)?;
    Ok(Summary { training_step: Some((batch_size, bytes)), ..model.summary() })
}
