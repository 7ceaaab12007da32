//! Mixed precision: layers that compute in 16 bits and keep their weights in 32.

use crate::layers::masks::pass_mask;
use rushlight_core::{DType, Tensor};
use serde_json::{Value, json};
use std::cell::Cell;

/// In which dtypes a layer keeps its variables and computes; Keras's dtype policy.
///
/// Layers made under a policy cast their inputs and weights to its dtype of computation before they compute. Normalizations
/// compute in the dtype of their variables, and so do losses and metrics; optimizers see the variables alone.
///
/// `bf16` has the range of `f32` and needs nothing else. `f16` has less: gradients can vanish, which is why `compile` puts
/// a [`LossScaleOptimizer`](crate::optimizers::LossScaleOptimizer) around the optimizer of a model with such layers.
///
/// ```
/// use rushlight::prelude::*;
/// let model = with_dtype_policy(DTypePolicy::MIXED_BF16, || -> Result<Model> {
///     let x = Input::new([8]);
///     let hidden = x.apply(Dense::new(16).activation(activations::Relu));
///     // The last layer gives f32, so that nothing is lost in the loss.
///     let logits = hidden.apply(Dense::new(3).dtype_policy(DTypePolicy::F32));
///     assert_eq!((hidden.dtype()?, logits.dtype()?), (DType::BF16, DType::F32));
///     Model::new(&x, &logits)
/// })?;
/// assert!(model.variables().iter().all(|variable| variable.spec().dtype == DType::F32));
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DTypePolicy {
    /// Of weights and other variables.
    pub variable: DType,
    /// Of what layers compute.
    pub compute: DType,
}

impl DTypePolicy {
    /// Everything in `f32`.
    pub const F32: DTypePolicy = DTypePolicy { variable: DType::F32, compute: DType::F32 };
    /// Keras's `mixed_bfloat16`.
    pub const MIXED_BF16: DTypePolicy = DTypePolicy { variable: DType::F32, compute: DType::BF16 };
    /// Keras's `mixed_float16`.
    pub const MIXED_F16: DTypePolicy = DTypePolicy { variable: DType::F32, compute: DType::F16 };

    /// Keras's name: `mixed_bfloat16`, `mixed_float16`, or that of a dtype in which everything is.
    pub fn from_name(name: &str) -> Option<DTypePolicy> {
        match name {
            "mixed_bfloat16" => Some(DTypePolicy::MIXED_BF16),
            "mixed_float16" => Some(DTypePolicy::MIXED_F16),
            _ => DType::from_name(name)
                .filter(|dtype| dtype.is_float())
                .map(|dtype| DTypePolicy { variable: dtype, compute: dtype }),
        }
    }

    /// The name by which [`DTypePolicy::from_name`] finds it; nothing if Keras has none.
    pub fn name(self) -> Option<String> {
        if self.variable == self.compute {
            return Some(self.variable.name().to_string());
        }
        (self.variable == DType::F32 && self.compute.size() == 2)
            .then(|| format!("mixed_{}", self.compute.name()))
    }

    /// As Keras writes it in the configs of layers.
    pub(crate) fn to_json(self) -> Option<Value> {
        let name = self.name()?;
        Some(
            json!({"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": null}),
        )
    }

    /// A mixed policy in the config of a layer. Layers of other policies take on the dtype of their input.
    pub(crate) fn mixed_from_json(value: &Value) -> Option<DTypePolicy> {
        let name = value.as_str().or_else(|| value.get("config")?.get("name")?.as_str())?;
        DTypePolicy::from_name(name).filter(|policy| policy.variable != policy.compute)
    }
}

/// In which precision a layer computes under a [`DTypePolicy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In the policy's dtype of computation: inputs and weights are cast to it.
    #[default]
    Policy,
    /// In the dtype of its variables, because sums in 16 bits would lose too much; outputs are cast.
    Full,
    /// In the dtypes of whatever is inside; for layers that only call others.
    Inner,
}

thread_local! {
    static POLICY: Cell<Option<DTypePolicy>> = const { Cell::new(None) };
}

/// The policy of layers that are made on this thread from now on; `None` for layers that take on the dtype of their
/// input, as they do if nothing is said.
pub fn set_dtype_policy(policy: impl Into<Option<DTypePolicy>>) {
    POLICY.set(policy.into());
}

/// The policy of layers that are made on this thread now.
pub fn dtype_policy() -> Option<DTypePolicy> {
    POLICY.get()
}

/// Runs `body`, in which layers are made with this policy.
pub fn with_dtype_policy<R>(policy: impl Into<Option<DTypePolicy>>, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<DTypePolicy>);

    impl Drop for Restore {
        fn drop(&mut self) {
            POLICY.set(self.0);
        }
    }

    let _restore = Restore(POLICY.replace(policy.into()));
    body()
}

/// A tensor of floats in this dtype, with its mask; other tensors as they are.
#[track_caller]
pub(super) fn cast_float(x: &Tensor, dtype: DType) -> Tensor {
    match x.dtype() {
        Ok(own) if own.is_float() && own != dtype => {
            let cast = x.cast(dtype);
            pass_mask(x, &cast);
            cast
        }
        _ => x.clone(),
    }
}
