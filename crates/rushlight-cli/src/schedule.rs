//! How the learning rate goes over a training.

use rushlight::Result;
use rushlight::callbacks::{Callback, Progressing};
use rushlight::training::Logs;

/// The part of all steps over which the learning rate rises.
const WARM_UP: f64 = 0.1;
/// Where it starts, as a part of the highest one.
const START: f64 = 0.1;

/// Rises in a straight line over the first tenth of all steps, then falls to zero along a cosine.
pub(crate) struct WarmUpThenCosine {
    pub(crate) highest: f64,
    pub(crate) steps: usize,
}

impl WarmUpThenCosine {
    /// The learning rate of the step of this number, from 0.
    fn at(&self, step: usize) -> f64 {
        let rising = (self.steps as f64 * WARM_UP).ceil();
        let step = step as f64;
        if step < rising {
            return self.highest * (START + (1.0 - START) * step / rising);
        }
        let part = (step - rising) / (self.steps as f64 - rising).max(1.0);
        self.highest * 0.5 * (1.0 + (std::f64::consts::PI * part.min(1.0)).cos())
    }
}

impl Callback for WarmUpThenCosine {
    fn on_train_begin(&mut self, training: &Progressing) -> Result<()> {
        training.optimizer.set_learning_rate(self.at(0))
    }

    fn on_batch_end(&mut self, training: &Progressing, _logs: &dyn Fn() -> Result<Logs>) -> Result<()> {
        training.optimizer.set_learning_rate(self.at(training.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_then_falls_to_zero() {
        let schedule = WarmUpThenCosine { highest: 0.5, steps: 100 };
        let rates: Vec<f64> = (0..=100).map(|step| schedule.at(step)).collect();
        assert!((rates[0] - 0.05).abs() < 1e-12 && rates[10] == 0.5 && rates[100].abs() < 1e-12);
        assert!(rates[..=10].is_sorted() && rates[10..].iter().rev().is_sorted());
        assert!((rates[55] - 0.25).abs() < 1e-12);
        // One step alone must not divide by zero.
        assert!(WarmUpThenCosine { highest: 0.5, steps: 1 }.at(0).is_finite());
    }
}
