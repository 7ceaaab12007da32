//! `rushlight train`.

use crate::arguments::{DataName, OptimizerName, TrainOptions};
use crate::failure::Failure;
use crate::images;
use crate::places::Places;
use crate::run::{Run, files};
use rushlight::applications::config_by_name;

pub(crate) fn run(options: &TrainOptions) -> Result<(), Failure> {
    let config = config_by_name(&options.model)?;
    let stem = format!("{}-{}", options.data.name(), options.model);
    let places = Places::choose(options.logdir.as_deref(), &stem, options.save.as_deref())?;
    let data = images::load(options.data, &options.data_dir, options.download, options.limit)?;
    images::check_not_empty(&data, &options.data_dir)?;
    let augmented = options.augment || (options.data != DataName::Drawn && !options.no_augment);
    let learning_rate = options.learning_rate.unwrap_or(match options.optimizer {
        OptimizerName::Sgd => 0.1,
        OptimizerName::Adam => 0.003,
    });
    let run = Run {
        config,
        data,
        data_name: options.data.name(),
        augmentation: augmented.then(|| images::augmentation(options.data, options.seed)),
        epochs: options.epochs,
        batch_size: options.batch_size,
        seed: options.seed,
        mode: options.mode,
        optimizer: options.optimizer,
        learning_rate,
        places,
    };
    let trained = run.train()?;
    say_part!("\n{}", files(&trained.places));
    Ok(())
}
