//! What logging costs: the time of training steps without a log, with scalars of each batch, and with every step profiled.
//!
//! `cargo run --release --example tensorboard_cost [MODEL] [BATCHES]`

use rushlight::applications::config_by_name;
use rushlight::prelude::*;
use rushlight::tensorboard::UpdateFreq;
use std::time::Instant;

/// Rounds of each kind, of which the fastest counts: other programs only ever make them slower.
const ROUNDS: usize = 8;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model_name = arguments.next().unwrap_or_else(|| "small".to_string());
    let batches: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(20);
    let config = config_by_name(&model_name)?;
    let images = random::normal([&[64 * batches], config.input()].concat(), 0.0, 1.0, DType::F32);
    let labels = random::randint([64 * batches], 0, config.classes() as i64, DType::I32);
    let data = Dataset::from_tensors(&images, &labels)?.batch(64);
    let mut model = config.build()?;
    model.compile(Sgd::new(0.01), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let directory = std::env::temp_dir().join(format!("rushlight-tensorboard-cost-{}", std::process::id()));
    let log = || TensorBoard::new(&directory).write_graph(false);
    let options = || Fit::epochs(1).verbose(0);
    model.fit(&data, options())?;

    let mut fastest = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        let kinds = [
            options(),
            options().callback(log().update_freq(UpdateFreq::Batch)),
            options().callback(log().profile_batch(1..=batches)),
        ];
        for (fastest, options) in fastest.iter_mut().zip(kinds) {
            let start = Instant::now();
            let history = model.fit(&data, options)?;
            // Writing the profile comes after its last step; a step itself is what must not become slower.
            let steps = history.epochs[0].training_time.min(start.elapsed());
            *fastest = fastest.min(steps.as_secs_f64() * 1e3 / batches as f64);
        }
    }
    let [plain, scalars, profiled] = fastest;
    let more = |time: f64| (time / plain - 1.0) * 100.0;
    println!("{model_name}, batches of 64, the fastest of {ROUNDS} epochs of {batches} steps");
    println!("no log            {plain:8.3} ms a step");
    println!("scalars, batchwise {scalars:7.3} ms a step ({:+.2} %)", more(scalars));
    println!("every step profiled {profiled:6.3} ms a step ({:+.2} %)", more(profiled));
    std::fs::remove_dir_all(&directory).map_err(Error::from)
}
