//! What logging costs: the time that the callback takes for scalars of each batch, and how much longer a profiled step takes.
//!
//! `cargo run --release --example tensorboard_cost [MODEL] [STEPS]`

use rushlight::applications::config_by_name;
use rushlight::callbacks::{Callback, Progressing};
use rushlight::prelude::*;
use rushlight::profile::profile;
use rushlight::tensorboard::UpdateFreq;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A callback, and how long it has taken after batches.
struct Timed(TensorBoard, Arc<Mutex<Duration>>);

impl Callback for Timed {
    fn on_epoch_begin(&mut self, training: &Progressing) -> Result<()> {
        self.0.on_epoch_begin(training)
    }

    fn on_batch_end(&mut self, training: &Progressing, logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        let start = Instant::now();
        self.0.on_batch_end(training, logs)?;
        *self.1.lock().expect("nobody panics with it") += start.elapsed();
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &Progressing, history: &History) -> Result<()> {
        self.0.on_epoch_end(training, history)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model_name = arguments.next().unwrap_or_else(|| "small".to_string());
    let steps: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100);
    let config = config_by_name(&model_name)?;
    let images = random::normal([&[64 * 4], config.input()].concat(), 0.0, 1.0, DType::F32);
    let labels = random::randint([64 * 4], 0, config.classes() as i64, DType::I32);
    let data = Dataset::from_tensors(&images, &labels)?.batch(64);
    let mut model = config.build()?;
    model.compile(Sgd::new(0.01), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let batch = data.epoch(0).next().expect("there are batches")?;
    model.train_on_batch(&batch)?;

    // In turn, so that whatever else the machine does meets both alike.
    let (mut plain, mut profiled) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let start = Instant::now();
        model.train_on_batch(&batch)?;
        plain.push(start.elapsed());
        let start = Instant::now();
        profile(|| model.train_on_batch(&batch)).0?;
        profiled.push(start.elapsed());
    }
    let (plain, profiled) = (median(plain), median(profiled));

    let directory = std::env::temp_dir().join(format!("rushlight-tensorboard-cost-{}", std::process::id()));
    let log = TensorBoard::new(&directory).write_graph(false).update_freq(UpdateFreq::Batch);
    let taken = Arc::new(Mutex::new(Duration::ZERO));
    let epochs = steps.div_ceil(4);
    model.fit(&data, Fit::epochs(epochs).verbose(0).callback(Timed(log, taken.clone())))?;
    let scalars = taken.lock().expect("nobody panics with it").as_secs_f64() * 1e3 / (epochs * 4) as f64;

    println!("{model_name}, batches of 64, medians of {steps} training steps");
    println!("a step                  {plain:8.3} ms");
    println!("a profiled step         {profiled:8.3} ms ({:+.1} %)", (profiled / plain - 1.0) * 100.0);
    println!("scalars after a batch   {scalars:8.3} ms ({:.2} % of a step)", scalars / plain * 100.0);
    std::fs::remove_dir_all(&directory).map_err(Error::from)
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
