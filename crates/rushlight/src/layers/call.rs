//! Calling a layer: building it, keeping track of where one is, recording it in a model.

use crate::layers::Layer;
use crate::layers::extra_losses::add_loss;
use crate::layers::masks::pass_mask;
use crate::layers::mode::training;
use crate::layers::precision::{Precision, cast_float};
use crate::layers::probe::look_at;
use crate::layers::state::{self, Stage};
use crate::losses::wide;
use crate::regularizers::Regularizer;
use rushlight_core::trace::Composite;
use rushlight_core::trace::model::record_composite;
use rushlight_core::{DType, Result, Spec, Tensor, eagerly, scope};
use std::sync::Arc;

/// What a layer can be called on: a tensor, a model's input, or several of them.
pub trait Inputs {
    /// The tensors in order.
    fn tensors(&self) -> Vec<&Tensor>;
}

impl Inputs for Tensor {
    fn tensors(&self) -> Vec<&Tensor> {
        vec![self]
    }
}

impl<T: Inputs + ?Sized> Inputs for &T {
    fn tensors(&self) -> Vec<&Tensor> {
        (**self).tensors()
    }
}

impl<T: Inputs> Inputs for [T] {
    fn tensors(&self) -> Vec<&Tensor> {
        self.iter().flat_map(Inputs::tensors).collect()
    }
}

impl<T: Inputs, const N: usize> Inputs for [T; N] {
    fn tensors(&self) -> Vec<&Tensor> {
        self.as_slice().tensors()
    }
}

impl<T: Inputs> Inputs for Vec<T> {
    fn tensors(&self) -> Vec<&Tensor> {
        self.as_slice().tensors()
    }
}

/// Layers applied from behind their input: `x.apply(BatchNormalization::new()).relu()`.
pub trait Apply {
    /// The output of the layer for this tensor: `layer.call(self)`. Takes the layer or a reference to it.
    fn apply<By>(&self, layer: impl IntoLayer<By>) -> Tensor;
}

impl Apply for Tensor {
    #[track_caller]
    fn apply<By>(&self, layer: impl IntoLayer<By>) -> Tensor {
        layer.call_on(self)
    }
}

/// A layer, or a reference to one. `By` only tells the two apart.
pub trait IntoLayer<By> {
    #[doc(hidden)]
    fn call_on(&self, x: &Tensor) -> Tensor;
}

#[doc(hidden)]
pub struct ByValue;

#[doc(hidden)]
pub struct ByReference;

impl<L: Layer> IntoLayer<ByValue> for L {
    #[track_caller]
    fn call_on(&self, x: &Tensor) -> Tensor {
        self.call(x)
    }
}

impl<L: Layer> IntoLayer<ByReference> for &L {
    #[track_caller]
    fn call_on(&self, x: &Tensor) -> Tensor {
        (**self).call(x)
    }
}

/// A layer's call as a node of a model.
pub(crate) struct LayerCall {
    pub(crate) layer: Arc<dyn Layer>,
    name: Arc<str>,
}

impl Composite for LayerCall {
    fn name(&self) -> &str {
        &self.name
    }

    fn call(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        run(&*self.layer, inputs)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Calls a layer: builds it the first time, then computes, or records the call if the inputs are a model's.
#[track_caller]
pub(crate) fn run<L: Layer + ?Sized>(layer: &L, inputs: &[&Tensor]) -> Vec<Tensor> {
    if let Some(carrier) = inputs.iter().find(|input| input.error().is_some()) {
        return vec![(*carrier).clone()];
    }
    let state = layer.state();
    let outer = state::active();
    if let Some((outer, _)) = &outer {
        outer.adopt(state);
    }
    let stage = match outer {
        Some((_, Stage::Trying)) => Stage::Trying,
        _ => Stage::Computing,
    };
    let name = state.name();
    scope(&name, Some(state.made_at()), || {
        if let Err(error) = state.build_once(inputs, |specs| make(layer, specs)) {
            return vec![Tensor::carry(error)];
        }
        if matches!(stage, Stage::Computing) && inputs.iter().any(|input| input.is_of_model()) {
            record(layer, name.clone(), inputs)
        } else {
            compute(layer, inputs, stage)
        }
    })
}

/// Builds a layer inside of the one that is being built.
pub(crate) fn build<L: Layer + ?Sized>(layer: &L, inputs: &[Spec]) -> Result<()> {
    let state = layer.state();
    if let Some((outer, _)) = state::active() {
        outer.adopt(state);
    }
    scope(&state.name(), Some(state.made_at()), || state.build_with(inputs, |specs| make(layer, specs)))
}

fn make<L: Layer + ?Sized>(layer: &L, inputs: &[Spec]) -> Result<()> {
    layer.state().note_generators(layer.generators());
    layer.build_many(inputs)
}

#[track_caller]
fn compute<L: Layer + ?Sized>(layer: &L, inputs: &[&Tensor], stage: Stage) -> Vec<Tensor> {
    let state = layer.state();
    let outputs = in_precision(layer, inputs, stage);
    state.note_call(inputs, &outputs);
    look_at(&outputs);
    if layer.passes_mask()
        && let ([input], [output]) = (inputs, outputs.as_slice())
    {
        pass_mask(input, output);
    }
    if let Some(regularizer) = state.activity_regularizer()
        && matches!(stage, Stage::Computing)
    {
        outputs.iter().for_each(|output| add_loss(&activity_cost(&regularizer, &wide(output))));
    }
    outputs
}

/// Runs the layer's computation in the dtypes of its policy, if it has one.
#[track_caller]
fn in_precision<L: Layer + ?Sized>(layer: &L, inputs: &[&Tensor], stage: Stage) -> Vec<Tensor> {
    let state = layer.state();
    let Some(policy) = state.dtype_policy() else {
        return state.enter(stage, None, || layer.forward_many(inputs));
    };
    let run = |dtype: DType, autocast: Option<DType>| {
        let inputs: Vec<Tensor> = inputs.iter().map(|input| cast_float(input, dtype)).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        state.enter(stage, autocast, || layer.forward_many(&inputs))
    };
    match layer.precision() {
        Precision::Inner => state.enter(stage, None, || layer.forward_many(inputs)),
        Precision::Policy => run(policy.compute, Some(policy.compute)),
        Precision::Full => {
            let outputs = run(policy.variable, None);
            outputs.iter().map(|output| cast_float(output, policy.compute)).collect()
        }
    }
}

/// What an output costs, divided by the size of the batch.
#[track_caller]
fn activity_cost(regularizer: &Regularizer, output: &Tensor) -> Tensor {
    let cost = regularizer.cost(output);
    match output.spec().map(|spec| spec.dims.first().copied()) {
        Ok(Some(batch)) if batch > 0 => cost / batch as f64,
        _ => cost,
    }
}

/// What a layer computes in inference on a model's symbols, op by op: no layer inside is recorded as such.
#[track_caller]
pub(crate) fn in_primitives<L: Layer + ?Sized>(layer: &L, inputs: &[&Tensor]) -> Vec<Tensor> {
    training(false, || eagerly(|| compute(layer, inputs, Stage::Trying)))
}

/// The calls inside of a layer that has been built, recorded on a model's symbols as in inference.
#[track_caller]
pub(crate) fn symbolic_call<L: Layer + ?Sized>(layer: &L, inputs: &[&Tensor]) -> Vec<Tensor> {
    training(false, || eagerly(|| in_precision(layer, inputs, Stage::Computing)))
}

/// Finds out the outputs' shapes by running the layer on the model's symbols, then records the call as one node.
#[track_caller]
fn record<L: Layer + ?Sized>(layer: &L, name: Arc<str>, inputs: &[&Tensor]) -> Vec<Tensor> {
    let tried = in_primitives(layer, inputs);
    if let Some(faulty) = tried.iter().find(|output| output.error().is_some()) {
        return vec![faulty.clone(); tried.len()];
    }
    let specs = tried.iter().filter_map(|output| output.spec().ok().cloned()).collect();
    record_composite(Arc::new(LayerCall { layer: layer.clone_layer(), name }), inputs, specs)
}
