//! Layers that make one tensor of several.

use crate::layers::{Layer, LayerState};
use rushlight_core::{Error, ErrorKind, Tensor, concat};

/// Joins its inputs along an axis: `concat([a, b], axis)`; all other axes agree.
#[derive(Clone, Debug)]
pub struct Concatenate {
    state: LayerState,
    axis: isize,
}

impl Concatenate {
    /// Along the last axis.
    #[track_caller]
    pub fn new() -> Concatenate {
        Concatenate { state: LayerState::new("Concatenate"), axis: -1 }
    }

    /// Along another axis.
    pub fn axis(mut self, axis: isize) -> Concatenate {
        self.axis = axis;
        self
    }
}

impl Default for Concatenate {
    #[track_caller]
    fn default() -> Concatenate {
        Concatenate::new()
    }
}

impl Layer for Concatenate {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        vec![concat(inputs, self.axis)]
    }
}

/// The sum of its inputs, which broadcast to each other.
#[derive(Clone, Debug)]
pub struct Add {
    state: LayerState,
}

impl Add {
    #[track_caller]
    pub fn new() -> Add {
        Add { state: LayerState::new("Add") }
    }
}

impl Default for Add {
    #[track_caller]
    fn default() -> Add {
        Add::new()
    }
}

impl Layer for Add {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward_many(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let mut rest = inputs.iter();
        let Some(&first) = rest.next() else {
            let rule = "there must be at least one tensor to add";
            return vec![Tensor::carry(Error::new(ErrorKind::Value, "add", rule))];
        };
        let mut sum = first.clone();
        for &other in rest {
            sum = sum + other;
        }
        vec![sum]
    }
}
