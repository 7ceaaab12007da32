//! A training run: from images to weights, history, learning curve and logs.

use crate::arguments::{ModeName, OptimizerName};
use crate::failure::Failure;
use crate::images::{Prepared, described};
use crate::interrupt;
use crate::places::Places;
use crate::schedule::WarmUpThenCosine;
use crate::text::{grouped, headline, list, shown};
use rushlight::applications::Config;
use rushlight::cpu::threads::thread_count;
use rushlight::data::{Augmentation, ImageData, ImageSet};
use rushlight::plot::LearningCurve;
use rushlight::prelude::*;
use rushlight::tensorboard::{HParams, UpdateFreq, Writer};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to train, on what and how.
pub(crate) struct Run {
    /// The model; its input and its classes are set by the data.
    pub(crate) config: Config,
    pub(crate) data: ImageData,
    pub(crate) data_name: &'static str,
    pub(crate) augmentation: Option<Augmentation>,
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) mode: ModeName,
    pub(crate) optimizer: OptimizerName,
    pub(crate) learning_rate: f64,
    pub(crate) places: Places,
}

/// What came of it.
pub(crate) struct Trained {
    pub(crate) config: Config,
    pub(crate) data: Prepared,
    pub(crate) places: Places,
}

impl Run {
    /// Trains, and says where the results are. After Ctrl-C what was learnt is saved as well.
    pub(crate) fn train(self) -> Result<Trained, Failure> {
        let Run { data, batch_size, epochs, seed, places, .. } = self;
        let config = self.config.with_image(data.train.size()).with_classes(data.train.classes.len());
        random::set_seed(seed);
        let mut model = config.build()?;
        let (rate, loss) = (self.learning_rate, SparseCategoricalCrossentropy::from_logits());
        let optimizer = match self.optimizer {
            OptimizerName::Sgd => {
                model.compile(sgd(rate), loss, [Accuracy::new()]);
                "sgd"
            }
            OptimizerName::Adam => {
                model.compile(Adam::new(rate), loss, [Accuracy::new()]);
                "adam"
            }
        };
        say!("{}", model.summary_with_memory(batch_size)?);
        let augmented = if self.augmentation.is_some() { "augmented" } else { "not augmented" };
        let threads = thread_count();
        say_part!(
            "{}\n{}\n",
            headline("Training"),
            list(&[
                ("data", format!("{}: {}, {augmented}", self.data_name, described(&data.train))),
                ("validation", described(&data.test)),
                (
                    "optimizer",
                    format!("{optimizer}, learning rate {rate}, {epochs} epoch(s), batches of {batch_size}")
                ),
                ("run", format!("{} mode, {threads} thread(s), seed {seed}", self.mode.name())),
            ])
        );
        let settings = format!(
            "{}, {}, {optimizer}, learning rate {rate}, batches of {batch_size}, {augmented}, seed {seed}",
            config.name(),
            self.data_name
        );
        let classes = data.train.classes.join(",");
        log_images(&data.train, &places)?;
        let prepared = crate::images::prepare(data, self.augmentation, batch_size, seed)?;
        let save = SaveWeights {
            path: places.weights.clone(),
            metadata: vec![
                ("data", self.data_name.to_string()),
                ("classes", classes),
                ("mean", joined(&prepared.statistics.mean)),
                ("std", joined(&prepared.statistics.std)),
                ("settings", settings.clone()),
            ],
            steps: Arc::default(),
        };
        let steps = save.steps.clone();
        let hparams = HParams::new()
            .with("model", config.name())
            .with("data", self.data_name)
            .with("augmented", augmented == "augmented")
            .with("optimizer", optimizer)
            .with("learning_rate", rate)
            .with("batch_size", batch_size)
            .with("seed", seed);
        let log = TensorBoard::new(places.tensorboard())
            .update_freq(UpdateFreq::Batches(10))
            .write_steps_per_second(true)
            .histogram_freq(1)
            .write_grads(true)
            .profile_batch(3..=5)
            .hparams(hparams);
        let schedule = WarmUpThenCosine { highest: rate, steps: epochs * prepared.train.batches() };
        let options = Fit::epochs(epochs)
            .validation(&prepared.validation)
            .mode(self.mode.mode())
            .unit("images")
            .stop_flag(interrupt::listen()?)
            .callback(schedule)
            .callback(FiniteLoss)
            .callback(save)
            .callback(CsvLogger::new(places.history()))
            .callback(log);
        let history = model.fit(&prepared.train, options)?;
        report(&history, &places, &config, &settings, steps.load(Ordering::Relaxed))?;
        Ok(Trained { config, data: prepared, places })
    }
}

/// Shows the first images, as they are, in the tab Images.
fn log_images(images: &ImageSet, places: &Places) -> Result<(), Failure> {
    let count = images.len().min(64);
    let [height, width, channels] = images.size();
    let bytes: Vec<u8> = (0..count).flat_map(|image| images.image(image)).copied().collect();
    let writer = Writer::create(places.tensorboard().join("train"))?;
    writer.image_grid("images/first", 0, &Tensor::new(&bytes, [count, height, width, channels]), 8)?;
    Ok(writer.flush()?)
}

fn sgd(learning_rate: f64) -> Sgd {
    Sgd::new(learning_rate).momentum(0.9).nesterov(true).weight_decay(1e-4)
}

fn joined(values: &[f32]) -> String {
    values.iter().map(f32::to_string).collect::<Vec<_>>().join(",")
}

/// Draws the learning curve and says how it went.
fn report(
    history: &History,
    places: &Places,
    config: &Config,
    settings: &str,
    steps: usize,
) -> Result<(), Failure> {
    if !history.epochs.is_empty() {
        let curve = curve(history, config.name(), settings);
        let failed = |error| Failure::Other(format!("{} cannot be written: {error}", shown(&places.curve())));
        curve.save(places.curve()).map_err(failed)?;
    }
    if !history.interrupted {
        return Ok(());
    }
    match steps {
        0 => say!("\nInterrupted before the first step: nothing was learnt, nothing is saved."),
        steps => say!(
            "\nInterrupted in epoch {}: what was learnt in {} steps is saved in {}",
            history.epochs.len() + 1,
            grouped(steps),
            shown(&places.weights)
        ),
    }
    Err(Failure::Interrupted)
}

fn curve(history: &History, model: &str, settings: &str) -> LearningCurve {
    let points = |name: &str| -> Vec<(f64, f64)> {
        let numbers = history.epochs.iter().map(|epoch| epoch.number as f64 + 1.0);
        numbers.zip(history.get(name)).collect()
    };
    let mut curve = LearningCurve::new(format!("Training of {model}")).subtitle(settings);
    for measure in ["loss", "accuracy"] {
        curve = curve.series(measure, "train", points(measure));
        curve = curve.series(measure, "validation", points(&format!("val_{measure}")));
    }
    curve
}

/// Where everything is.
pub(crate) fn files(places: &Places) -> String {
    let rows = [
        ("weights", shown(&places.weights)),
        ("learning curve", shown(&places.curve())),
        ("history", shown(&places.history())),
        ("TensorBoard logs", shown(&places.tensorboard())),
    ];
    format!("{}\n{}", headline("Saved"), list(&rows))
}

/// Saves the weights after each epoch, and where an interrupted training has come to.
struct SaveWeights {
    path: PathBuf,
    metadata: Vec<(&'static str, String)>,
    /// Steps that the saved weights have been trained for.
    steps: Arc<AtomicUsize>,
}

impl SaveWeights {
    fn save(&self, training: &Progressing) -> Result<()> {
        if training.step == self.steps.load(Ordering::Relaxed) {
            return Ok(());
        }
        let metadata: Vec<(&str, &str)> =
            self.metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        training.model.save_weights_with(&self.path, &metadata)?;
        self.steps.store(training.step, Ordering::Relaxed);
        Ok(())
    }
}

impl Callback for SaveWeights {
    fn on_epoch_end(&mut self, training: &Progressing, _history: &History) -> Result<()> {
        self.save(training)
    }

    fn on_train_end(&mut self, training: &Progressing) -> Result<()> {
        self.save(training)
    }
}

/// Ends a training that has gone astray before it overwrites good weights.
struct FiniteLoss;

impl Callback for FiniteLoss {
    fn on_epoch_end(&mut self, _training: &Progressing, history: &History) -> Result<()> {
        let Some(epoch) = history.epochs.last() else {
            return Ok(());
        };
        match epoch.logs.get("loss") {
            Some(loss) if !loss.is_finite() => {
                let rule = format!(
                    "the loss is {loss} in epoch {}: a smaller --learning-rate may help",
                    epoch.number + 1
                );
                Err(Error::outside(rushlight::ErrorKind::Value, "train", rule))
            }
            _ => Ok(()),
        }
    }
}
