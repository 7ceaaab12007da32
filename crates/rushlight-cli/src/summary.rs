//! `rushlight summary`.

use crate::arguments::SummaryOptions;
use crate::failure::Failure;
use rushlight::applications::config_by_name;
use rushlight::prelude::*;
use rushlight::training::Compile;

pub(crate) fn run(options: &SummaryOptions) -> Result<(), Failure> {
    let mut config = config_by_name(&options.model)?;
    if let Some(classes) = options.classes {
        config = config.with_classes(classes);
    }
    let mut model = config.build()?;
    let optimizer = Sgd::new(0.1).momentum(0.9);
    let mut settings =
        Compile::new(optimizer, SparseCategoricalCrossentropy::from_logits()).metrics([Accuracy::new()]);
    if let Some(megabytes) = options.memory_budget {
        settings = settings.memory_budget(megabytes.saturating_mul(1 << 20));
    }
    model.compile_with(settings);
    say_part!("{}", model.summary_with_memory(options.batch_size)?);
    Ok(())
}
