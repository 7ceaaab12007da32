//! What recurrent layers share: going through the steps of a sequence.

use crate::layers::define::Parameter;
use crate::layers::dropout::{Noise, drop_out};
use crate::layers::is_training;
use crate::layers::masks::{mask_of, set_mask};
use crate::layers::sizes::unfit;
use rushlight_core::tensor::is_open;
use rushlight_core::{DType, Result, Spec, Tensor, scan, stack, where_};

/// How a recurrent layer goes through its sequence, and what it gives.
pub(super) struct Recurrence<'a> {
    pub(super) class: &'static str,
    pub(super) units: usize,
    /// How many states of `units` numbers there are; the first one is the output.
    pub(super) states: usize,
    pub(super) dropout: f64,
    pub(super) recurrent_dropout: f64,
    pub(super) noise: &'a Noise,
    pub(super) return_sequences: bool,
    pub(super) return_state: bool,
    pub(super) go_backwards: bool,
    pub(super) unroll: bool,
    pub(super) zero_output_for_mask: bool,
}

/// The weights that all recurrent layers have, each with `gates` times the units as its last axis.
pub(super) fn make_weights(
    input: &Spec,
    (class, units, gates): (&str, usize, usize),
    kernel: &Parameter,
    recurrent: &Parameter,
) -> Result<()> {
    let [_, _, features] = *input.dims.as_slice() else {
        return Err(unfit(class, "the input must be [batch, steps, features]", &[input]));
    };
    kernel.make("kernel", &[features, gates * units])?;
    recurrent.make("recurrent_kernel", &[units, gates * units])
}

/// Zeros `[batch, size]` for the batch of `x`. On the inputs of a model, whose batch is open, they depend on `x`,
/// so that nothing is computed of a size that is not known yet.
#[track_caller]
fn zeros_for(x: &Tensor, batch: usize, size: usize) -> Tensor {
    let dtype = x.dtype().unwrap_or(DType::F32);
    if !is_open(batch) {
        return Tensor::zeros([batch, size], dtype);
    }
    let column = x.slice_axis(-1, 0, 1);
    column.not_equal(&column).logical_and(column.equal(&column)).cast(dtype).broadcast_to(&[batch, size])
}

impl Recurrence<'_> {
    /// The outputs: the sequence or its last element, then the states if they are asked for.
    ///
    /// `project` takes the whole sequence to what each step needs of it, `step` takes one step of that, the states, and
    /// the factor that recurrent dropout puts on the first state, to the new states.
    #[track_caller]
    pub(super) fn run(
        &self,
        inputs: &[&Tensor],
        project: impl Fn(&Tensor) -> Tensor,
        step: impl Fn(&Tensor, &[Tensor], Option<&Tensor>) -> Vec<Tensor>,
    ) -> Vec<Tensor> {
        match self.outputs(inputs, project, step) {
            Ok(outputs) => outputs,
            Err(error) => vec![Tensor::carry(error)],
        }
    }

    #[track_caller]
    fn outputs(
        &self,
        inputs: &[&Tensor],
        project: impl Fn(&Tensor) -> Tensor,
        step: impl Fn(&Tensor, &[Tensor], Option<&Tensor>) -> Vec<Tensor>,
    ) -> Result<Vec<Tensor>> {
        let (x, given) = (inputs[0], &inputs[1..]);
        let spec = x.spec()?;
        let [batch, steps, features] = *spec.dims.as_slice() else {
            return Err(unfit(self.class, "the input must be [batch, steps, features]", &[spec]));
        };
        if steps == 0 || features == 0 {
            return Err(unfit(self.class, "there must be at least one step and one feature", &[spec]));
        }
        if !given.is_empty() && given.len() != self.states {
            let rule = format!("there must be {} initial states, or none", self.states);
            return Err(unfit(self.class, rule, &[spec]));
        }
        let mask = mask_of(x);
        let mut sequence = x.clone();
        if is_training() && self.dropout > 0.0 {
            // The same features are dropped at every step.
            sequence = drop_out(x, self.dropout, &[batch, 1, features], self.noise.generator());
        }
        let recurrent_mask = (is_training() && self.recurrent_dropout > 0.0).then(|| {
            let ones = Tensor::ones([batch, self.units], spec.dtype);
            drop_out(&ones, self.recurrent_dropout, &[batch, self.units], self.noise.generator())
        });
        let mut projected = project(&sequence);
        let mut step_mask = mask.clone();
        if self.go_backwards {
            projected = projected.flip([1]);
            step_mask = step_mask.map(|mask| mask.flip([1]));
        }
        let first = projected.slice_axis(1, 0, 1).squeeze(1);
        let zeros = zeros_for(&first, batch, self.units);
        let mut state: Vec<Tensor> = match given.is_empty() {
            true => vec![zeros.clone(); self.states],
            false => given.iter().map(|&state| state.clone()).collect(),
        };
        let advance = |state: &[Tensor], row: &Tensor| step(row, state, recurrent_mask.as_ref());
        let (output, states) = if is_open(batch) {
            // Only shapes are asked for: one step has them.
            let states = advance(&state, &first);
            let output = match self.return_sequences {
                true => states[0].expand_dims(1).broadcast_to(&[batch, steps, self.units]),
                false => states[0].clone(),
            };
            (output, states)
        } else {
            if step_mask.is_some() {
                state.push(zeros);
            }
            let turn = |state: Vec<Tensor>, row: Vec<Tensor>| self.turn(state, &row, advance);
            let mut rows = vec![projected];
            rows.extend(step_mask);
            let (mut states, outputs) = self.go_through(state, &rows, steps, turn)?;
            let last = if rows.len() == 2 { states.pop() } else { None };
            let output = match outputs {
                Some(outputs) => outputs,
                None => last.unwrap_or_else(|| states[0].clone()),
            };
            (output, states)
        };
        if let Some(mask) = mask.filter(|_| self.return_sequences) {
            set_mask(&output, &mask);
        }
        let states = if self.return_state { states } else { Vec::new() };
        Ok(std::iter::once(output).chain(states).collect())
    }

    /// One step: new states and the output. With a mask, `row` has a second tensor and the last state is the output
    /// of the step before.
    #[track_caller]
    fn turn(
        &self,
        mut state: Vec<Tensor>,
        row: &[Tensor],
        advance: impl Fn(&[Tensor], &Tensor) -> Vec<Tensor>,
    ) -> (Vec<Tensor>, Tensor) {
        let [row, mask] = row else {
            let states = advance(&state, &row[0]);
            let output = states[0].clone();
            return (states, output);
        };
        let previous = state.pop().unwrap_or_else(|| row.clone());
        let counts = mask.expand_dims(-1);
        let states = advance(&state, row);
        let idle = if self.zero_output_for_mask { previous.zeros_like() } else { previous };
        let output = where_(&counts, &states[0], &idle);
        let kept = states.iter().zip(&state).map(|(new, old)| where_(&counts, new, old));
        (kept.chain([output.clone()]).collect(), output)
    }

    /// All steps: the last states, and the outputs if they are asked for.
    #[track_caller]
    fn go_through(
        &self,
        mut state: Vec<Tensor>,
        rows: &[Tensor],
        steps: usize,
        turn: impl Fn(Vec<Tensor>, Vec<Tensor>) -> (Vec<Tensor>, Tensor),
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        if self.unroll || rows.iter().all(|row| !row.is_symbolic()) {
            let mut outputs = Vec::new();
            for place in 0..steps {
                let row = rows.iter().map(|row| row.slice_axis(1, place, place + 1).squeeze(1)).collect();
                let output;
                (state, output) = turn(state, row);
                if self.return_sequences {
                    outputs.push(output);
                }
            }
            let outputs = self.return_sequences.then(|| stack(&outputs.iter().collect::<Vec<_>>(), 1));
            return Ok((state, outputs));
        }
        let rows: Vec<Tensor> = rows.iter().map(|row| row.swap_axes(0, 1)).collect();
        if self.return_sequences {
            let turn = |state, row| -> Result<(Vec<Tensor>, Tensor)> { Ok(turn(state, row)) };
            let (state, outputs) = scan(state, &rows, turn)?;
            return Ok((state, Some(outputs.swap_axes(0, 1))));
        }
        let turn = |state, row| -> Result<(Vec<Tensor>, ())> { Ok((turn(state, row).0, ())) };
        let (state, ()) = scan(state, &rows, turn)?;
        Ok((state, None))
    }
}

/// The first state, as the recurrent kernel sees it.
#[track_caller]
pub(super) fn dropped(state: &Tensor, factor: Option<&Tensor>) -> Tensor {
    factor.map_or_else(|| state.clone(), |factor| state * factor)
}

/// The settings that all recurrent layers have besides their own, and what follows from them.
macro_rules! recurrence {
    ($layer:ident, $class:literal, $states:literal) => {
        $crate::layers::recurrent::steps::Recurrence {
            class: $class,
            units: $layer.units,
            states: $states,
            dropout: $layer.dropout,
            recurrent_dropout: $layer.recurrent_dropout,
            noise: &$layer.seed,
            return_sequences: $layer.return_sequences,
            return_state: $layer.return_state,
            go_backwards: $layer.go_backwards,
            unroll: $layer.unroll,
            zero_output_for_mask: $layer.zero_output_for_mask,
        }
    };
}

pub(super) use recurrence;
