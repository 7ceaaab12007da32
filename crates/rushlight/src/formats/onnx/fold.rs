//! Biases and batch normalization behind convolutions, taken into their kernels.

use rushlight_core::ops::Op;
use rushlight_core::ops::elementwise::Binary;
use rushlight_core::trace::model::{ModelGraph, Source, Step};
use rushlight_core::{DType, Tensor, eagerly};
use std::collections::{HashMap, HashSet};

/// What a convolution takes in: its result becomes `y · scale + shift`, one number a filter, in another slot.
pub(super) struct Folded {
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
    pub(super) slot: usize,
}

/// Convolutions that take something in, and the steps that are not needed then, by their places in the graph.
#[derive(Default)]
pub(super) struct Folds {
    pub(super) convolutions: HashMap<usize, Folded>,
    pub(super) dropped: HashSet<usize>,
}

impl Folds {
    pub(super) fn of(graph: &ModelGraph) -> Folds {
        let steps = graph.steps();
        let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut makers: HashMap<usize, usize> = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            makers.insert(step.slot(), index);
            for source in step.inputs() {
                if let Source::Slot(slot) = source {
                    readers.entry(*slot).or_default().push(index);
                }
            }
        }
        // Outputs of the model are read by nobody here, and stay as they are.
        for (slot, _) in graph.outputs() {
            readers.entry(*slot).or_default().push(usize::MAX);
        }
        let only_reader = |slot: usize| match readers.get(&slot).map(Vec::as_slice) {
            Some([reader]) if *reader != usize::MAX => Some(*reader),
            _ => None,
        };
        let mut folds = Folds::default();
        for (index, step) in steps.iter().enumerate() {
            let (Some(Op::Convolution(_)), [_, Source::Constant(_)]) = (step.op(), step.inputs()) else {
                continue;
            };
            let spec = &step.outputs()[0];
            let Some(&filters) = spec.dims.last().filter(|_| spec.dtype == DType::F32) else { continue };
            let full = |value: f64| Tensor::full([filters], value, DType::F32);
            let mut folded = Folded { scale: full(1.0), shift: full(0.0), slot: step.slot() };
            while let Some(reader) = only_reader(folded.slot) {
                let next = &steps[reader];
                let Some((left, constant, through)) = other_side(next, folded.slot, steps, &makers) else {
                    break;
                };
                let Some(numbers) = per_filter(constant, filters) else { break };
                if next.outputs()[0].dims != spec.dims || !folded.take(next, left, &numbers) {
                    break;
                }
                folds.dropped.insert(reader);
                let is_only_for_it = |through: &usize| only_reader(steps[*through].slot()).is_some();
                folds.dropped.extend(through.filter(is_only_for_it));
                folded.slot = next.slot();
            }
            if folded.slot != step.slot() {
                folds.convolutions.insert(index, folded);
            }
        }
        folds
    }
}

impl Folded {
    /// Takes in one more step; false if it is another op. `left`: the convolution is the left side.
    fn take(&mut self, step: &Step, left: bool, numbers: &Tensor) -> bool {
        let (scale, shift) = (&self.scale, &self.shift);
        let (scale, shift) = match (step.op(), left) {
            (Some(Op::Binary(Binary::Add)), _) => (scale.clone(), shift + numbers),
            (Some(Op::Binary(Binary::Mul)), _) => (scale * numbers, shift * numbers),
            (Some(Op::Binary(Binary::Sub)), true) => (scale.clone(), shift - numbers),
            (Some(Op::Binary(Binary::Sub)), false) => (-scale, numbers - shift),
            _ => return false,
        };
        (self.scale, self.shift) = (scale, shift);
        true
    }
}

/// The constant beside a slot in a step with two inputs, whether the slot is the left one, and the step that spreads
/// the constant out.
fn other_side<'a>(
    step: &'a Step,
    slot: usize,
    steps: &'a [Step],
    makers: &HashMap<usize, usize>,
) -> Option<(bool, &'a Tensor, Option<usize>)> {
    let (left, other) = match step.inputs() {
        [Source::Slot(one), other] if *one == slot => (true, other),
        [other, Source::Slot(one)] if *one == slot => (false, other),
        _ => return None,
    };
    match other {
        Source::Constant(value) => Some((left, value, None)),
        Source::Slot(spread) => {
            let maker = *makers.get(spread)?;
            match (steps[maker].op(), steps[maker].inputs()) {
                (Some(Op::Broadcast(_)), [Source::Constant(value)]) => Some((left, value, Some(maker))),
                _ => None,
            }
        }
    }
}

/// A constant as one number for each filter, if it is that.
fn per_filter(constant: &Tensor, filters: usize) -> Option<Tensor> {
    let dims = constant.shape().ok()?;
    let last = dims.last().copied().unwrap_or(1);
    let is_flat = dims.iter().rev().skip(1).all(|&dim| dim == 1) && (last == 1 || last == filters);
    is_flat.then(|| eagerly(|| constant.reshape_to(&[last]).broadcast_to(&[filters])))
}
