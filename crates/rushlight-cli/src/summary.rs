//! `rushlight summary`.

use crate::arguments::SummaryOptions;
use crate::failure::Failure;
use rushlight::applications::config_by_name;
use rushlight::prelude::*;

pub(crate) fn run(options: &SummaryOptions) -> Result<(), Failure> {
    let mut config = config_by_name(&options.model)?;
    if let Some(classes) = options.classes {
        config = config.with_classes(classes);
    }
    let mut model = config.build()?;
    model.compile(
        Sgd::new(0.1).momentum(0.9),
        SparseCategoricalCrossentropy::from_logits(),
        [Accuracy::new()],
    );
    say_part!("{}", model.summary_with_memory(options.batch_size)?);
    Ok(())
}
