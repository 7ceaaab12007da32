//! Settings that all optimizers have: weight decay, clipping, averages of weights, accumulation, loss scaling.

use crate::config::Config;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, Variable, where_};
use serde_json::Value;

/// What can be asked of any optimizer, whatever its rule; set through the methods of
/// [`Descent`](super::Descent).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub(crate) weight_decay: Option<f64>,
    pub(crate) undecayed: Vec<String>,
    pub(crate) clipnorm: Option<f64>,
    pub(crate) clipvalue: Option<f64>,
    pub(crate) global_clipnorm: Option<f64>,
    pub(crate) ema_momentum: Option<f64>,
    pub(crate) ema_overwrite_frequency: Option<usize>,
    pub(crate) loss_scale_factor: Option<f64>,
    pub(crate) accumulation_steps: Option<usize>,
}

/// Keras's, where an average is asked for.
pub(crate) const EMA_MOMENTUM: f64 = 0.99;

impl Settings {
    pub(crate) fn check(&self, owner: &str) -> Result<()> {
        let wrong = |rule: String| Err(Error::new(ErrorKind::Value, owner, rule));
        let clips = [self.clipnorm, self.clipvalue, self.global_clipnorm];
        if clips.iter().flatten().count() > 1 {
            return wrong("only one of clipnorm, clipvalue and global_clipnorm can be set".to_string());
        }
        if let Some(clip) = clips.iter().flatten().find(|clip| clip.is_nan() || **clip <= 0.0) {
            return wrong(format!("gradients are clipped to something above 0, not {clip}"));
        }
        if let Some(momentum) = self.ema_momentum.filter(|momentum| !(0.0..=1.0).contains(momentum)) {
            return wrong(format!("the momentum of averaged weights must be in [0, 1], not {momentum}"));
        }
        if self.ema_overwrite_frequency == Some(0) {
            return wrong(
                "averaged weights can overwrite the weights every 1 or more steps, not 0".to_string(),
            );
        }
        if let Some(steps) = self.accumulation_steps.filter(|steps| *steps < 2) {
            return wrong(format!("gradients can be accumulated over 2 or more steps, not {steps}"));
        }
        if let Some(factor) = self.loss_scale_factor.filter(|factor| factor.is_nan() || *factor <= 0.0) {
            return wrong(format!("the loss scale factor must be above 0, not {factor}"));
        }
        Ok(())
    }

    /// Whether weight decay is to spare this variable.
    pub(crate) fn spares(&self, variable: &Variable) -> bool {
        let leaf = variable.name().rsplit('/').next().unwrap_or_default();
        self.undecayed.iter().any(|part| leaf.contains(part.as_str()))
    }

    /// The gradients after clipping.
    #[track_caller]
    pub(crate) fn clip(&self, gradients: Vec<Tensor>) -> Vec<Tensor> {
        let each = |change: &dyn Fn(&Tensor) -> Tensor| gradients.iter().map(change).collect();
        if let Some(limit) = self.clipnorm {
            return each(&|gradient| {
                let norm = gradient.square().sum(..).sqrt();
                gradient * limit / norm.maximum(limit)
            });
        }
        if let Some(limit) = self.clipvalue {
            return each(&|gradient| gradient.clip(-limit, limit));
        }
        let Some(limit) = self.global_clipnorm else { return gradients };
        let squares = gradients.iter().map(|gradient| gradient.square().sum(..).cast(DType::F64));
        let Some(sum) = squares.reduce(|sum, square| sum + square) else { return gradients };
        let norm = sum.sqrt();
        let scale = limit * norm.reciprocal().minimum(1.0 / limit);
        // As in Keras: a norm that is no finite number makes everything NaN, rather than zero.
        let scale = where_(&norm.is_finite(), &scale, &Tensor::scalar(f64::NAN));
        each(&|gradient| match gradient.spec() {
            Ok(spec) => gradient * scale.cast(spec.dtype),
            Err(_) => gradient.clone(),
        })
    }

    /// Keras's arguments.
    pub(crate) fn write(&self, config: Config) -> Config {
        config
            .with("weight_decay", self.weight_decay)
            .with("clipnorm", self.clipnorm)
            .with("global_clipnorm", self.global_clipnorm)
            .with("clipvalue", self.clipvalue)
            .with("use_ema", self.ema_momentum.is_some())
            .with("ema_momentum", self.ema_momentum.unwrap_or(EMA_MOMENTUM))
            .with("ema_overwrite_frequency", self.ema_overwrite_frequency.map_or(Value::Null, Value::from))
            .with("loss_scale_factor", self.loss_scale_factor)
            .with("gradient_accumulation_steps", self.accumulation_steps.map_or(Value::Null, Value::from))
    }

    pub(crate) fn read(config: &Config) -> Result<Settings> {
        let averaged = config.flag("use_ema", false)?;
        Ok(Settings {
            weight_decay: config.optional_float("weight_decay")?,
            undecayed: Vec::new(),
            clipnorm: config.optional_float("clipnorm")?,
            clipvalue: config.optional_float("clipvalue")?,
            global_clipnorm: config.optional_float("global_clipnorm")?,
            ema_momentum: if averaged { Some(config.float("ema_momentum", EMA_MOMENTUM)?) } else { None },
            ema_overwrite_frequency: config.optional_count("ema_overwrite_frequency")?.filter(|_| averaged),
            loss_scale_factor: config.optional_float("loss_scale_factor")?,
            accumulation_steps: config.optional_count("gradient_accumulation_steps")?,
        })
    }
}
