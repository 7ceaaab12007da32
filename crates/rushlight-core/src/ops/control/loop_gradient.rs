//! The gradient of a loop: the same turns from the last to the first, on what the forward loop kept of each turn.

use crate::graph::{Graph, Kind};
use crate::ops::Op;
use crate::ops::control::branch_gradient::is_float;
use crate::ops::control::split::{Role, Split, depends, split};
use crate::ops::control::{Loop, Turns, replay};
use crate::ops::gradient::{Context, InputGradients, none};
use crate::passes;
use crate::tensor::{Error, ErrorKind, Result, Spec, Tensor};
use crate::trace::apply::apply_all;
use crate::trace::control::next_family;
use crate::trace::{Tape, body};
use std::sync::Arc;

/// The gradients of what a loop starts from, goes through and uses.
///
/// A forward loop of the same family keeps what the way back needs; a pass makes one loop of the two.
#[track_caller]
pub(crate) fn gradient(op: &Arc<Loop>, context: &Context, from: &[Option<Tensor>]) -> InputGradients {
    let mut gradients = none(context.inputs.len());
    let wanted: Vec<bool> =
        context.wanted.iter().zip(context.inputs).map(|(&wanted, input)| wanted && is_float(input)).collect();
    let found = if op.turns.most().is_none() {
        let rule = "no gradient flows through a loop that may go on for any time: give it a bound, \
                    with while_loop_at_most(max_iterations, ..)";
        Err(Error::new(ErrorKind::Value, op.name, rule))
    } else {
        backward(op, context, from, &wanted)
    };
    match found {
        Ok(found) => found.into_iter().for_each(|(at, gradient)| gradients[at] = Some(gradient)),
        Err(error) => {
            for at in (0..wanted.len()).filter(|&at| wanted[at]) {
                gradients[at] = Some(Tensor::carry(error.clone()));
            }
        }
    }
    gradients
}

/// Which values take part in the gradient, by number among the inputs or results of their kind.
struct Active {
    carried: Vec<usize>,
    /// Stacked results that have a gradient.
    stacked: Vec<usize>,
    /// Sliced inputs whose gradient is wanted.
    sliced: Vec<usize>,
    /// Captured inputs whose gradient is wanted.
    captured: Vec<usize>,
}

/// Carried values that depend on something wanted, and on which something with a gradient depends.
fn active(op: &Loop, from: &[Option<Tensor>], wanted: &[bool]) -> Active {
    let body = &op.body;
    let is_wanted = |number: usize| number > 0 && wanted[op.leading() + number - 1];
    let results = &body.outputs[usize::from(op.has_condition())..];
    let mut reached: Vec<bool> = (0..op.carried).map(|at| is_wanted(1 + at)).collect();
    loop {
        let depends = depends(body, |number| {
            is_wanted(number) || (1..=op.carried).contains(&number) && reached[number - 1]
        });
        let next: Vec<bool> = (0..op.carried)
            .map(|at| {
                let is_float = body.spec(results[at]).dtype.is_float();
                reached[at] || is_float && depends[results[at].node as usize]
            })
            .collect();
        if next == reached {
            break;
        }
        reached = next;
    }
    let mut useful: Vec<bool> = from.iter().take(op.carried + op.stacked).map(Option::is_some).collect();
    loop {
        let mut needed = vec![false; body.nodes.len()];
        let roots = results.iter().zip(&useful).filter(|(_, useful)| **useful);
        roots.for_each(|(id, _)| needed[id.node as usize] = true);
        let mut next = useful.clone();
        for (index, node) in body.nodes.iter().enumerate().rev() {
            if !needed[index] {
                continue;
            }
            if let Kind::Input(number @ 1..) = node.kind
                && number <= op.carried
            {
                next[number - 1] = true;
            }
            node.inputs.iter().for_each(|id| needed[id.node as usize] = true);
        }
        if next == useful {
            break;
        }
        useful = next;
    }
    let first_sliced = 1 + op.carried;
    let first_captured = first_sliced + op.sliced;
    Active {
        carried: (0..op.carried).filter(|&at| reached[at] && useful[at]).collect(),
        stacked: (0..op.stacked).filter(|&at| from[op.carried + at].is_some()).collect(),
        sliced: (0..op.sliced).filter(|&at| is_wanted(first_sliced + at)).collect(),
        captured: (0..op.captured()).filter(|&at| is_wanted(first_captured + at)).collect(),
    }
}

/// The gradients of wanted inputs, by number.
#[track_caller]
fn backward(
    op: &Loop,
    context: &Context,
    from: &[Option<Tensor>],
    wanted: &[bool],
) -> Result<Vec<(usize, Tensor)>> {
    let active = active(op, from, wanted);
    let (joint, captured) = joint_body(op, &active)?;
    let gradients = active.carried.len() + captured.len() + active.stacked.len();
    let mut roles = vec![Role::Turn];
    roles.resize(1 + op.carried, Role::Carried);
    roles.resize(1 + op.carried + op.sliced, Role::Sliced);
    roles.resize(op.body.inputs.len(), Role::Captured);
    roles.resize(op.body.inputs.len() + gradients, Role::Gradient);
    let Split { forward, rows, captured: used, kept, backward } =
        split(&joint, &roles, op.body.outputs.len());
    let stacks = if kept == 0 {
        Vec::new()
    } else {
        let forward = Loop { body: passes::tidy(&forward), stacked: op.stacked + kept, ..op.clone() };
        let inputs: Vec<&Tensor> = context.inputs.iter().collect();
        let results = apply_all(Op::Loop(Arc::new(forward)), &inputs);
        results[op.carried + op.stacked..][..kept].to_vec()
    };
    let (turns, count) = match op.turns {
        Turns::Fixed(count) => (Turns::Fixed(count), None),
        Turns::Counted(most) => (Turns::Counted(most), Some(context.inputs[0].clone())),
        Turns::While(most) => (Turns::Counted(most.unwrap_or(0)), context.outputs.last().cloned()),
    };
    let input = |number: usize| context.inputs[op.leading() + number - 1].clone();
    let zeros = |input: &Tensor| input.zeros_like();
    let mut inputs: Vec<Tensor> = count.into_iter().collect();
    for &at in &active.carried {
        inputs.push(from[at].clone().unwrap_or_else(|| zeros(&input(1 + at))));
    }
    let captured_number = |at: usize| 1 + op.carried + op.sliced + at;
    inputs.extend(captured.iter().map(|&at| zeros(&input(captured_number(at)))));
    inputs.extend(active.stacked.iter().filter_map(|&at| from[op.carried + at].clone()));
    inputs.extend(rows.iter().map(|&number| input(number)));
    inputs.extend(stacks);
    inputs.extend(used.iter().map(|&number| input(number)));
    let back = Loop {
        name: op.name,
        family: next_family(),
        turns,
        carried: active.carried.len() + captured.len(),
        sliced: active.stacked.len() + rows.len() + kept,
        stacked: active.sliced.len(),
        reverse: !op.reverse,
        body: passes::tidy(&backward),
    };
    if back.output_count() == 0 {
        return Ok(Vec::new());
    }
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let results = apply_all(Op::Loop(Arc::new(back)), &inputs);
    let numbers = active.carried.iter().map(|&at| 1 + at);
    let numbers = numbers.chain(captured.iter().map(|&at| captured_number(at)));
    let numbers = numbers.chain(active.sliced.iter().map(|&at| 1 + op.carried + at));
    Ok(numbers.map(|number| op.leading() + number - 1).zip(results).collect())
}

/// The body with its gradient:
/// `turn, carried…, rows…, captured…, gradients of carried…, sums for captured…, gradients of stacked rows… →
/// results of the body…, gradients of carried…, sums for captured…, gradients of rows…`, and the captured inputs
/// that a gradient reaches.
#[track_caller]
fn joint_body(op: &Loop, active: &Active) -> Result<(Graph, Vec<usize>)> {
    let body = &op.body;
    let results = &body.outputs[usize::from(op.has_condition())..];
    let spec = |number: usize| body.spec(body.inputs[number]).clone();
    let captured_number = |at: usize| 1 + op.carried + op.sliced + at;
    let mut specs: Vec<Spec> = (0..body.inputs.len()).map(spec).collect();
    specs.extend(active.carried.iter().map(|&at| spec(1 + at)));
    specs.extend(active.captured.iter().map(|&at| spec(captured_number(at))));
    specs.extend(active.stacked.iter().map(|&at| body.spec(results[op.carried + at]).clone()));
    let (reached, recorded) = body::record(op.name, &specs, |symbols| {
        let (inputs, gradients) = symbols.split_at(body.inputs.len());
        let (of_carried, gradients) = gradients.split_at(active.carried.len());
        let (sums, of_rows) = gradients.split_at(active.captured.len());
        let carried = active.carried.iter().map(|&at| inputs[1 + at].clone());
        let captured = active.captured.iter().map(|&at| inputs[captured_number(at)].clone());
        let rows = active.sliced.iter().map(|&at| inputs[1 + op.carried + at].clone());
        let sources: Vec<Tensor> = carried.chain(captured).chain(rows).collect();
        let tape = Tape::new();
        sources.iter().for_each(|source| tape.watch(source));
        let mut outputs = replay(body, inputs);
        let results = &outputs[usize::from(op.has_condition())..];
        let targets = active.carried.iter().map(|&at| results[at].clone()).zip(of_carried.iter().cloned());
        let stacked = active.stacked.iter().map(|&at| results[op.carried + at].clone());
        let targets = targets.chain(stacked.zip(of_rows.iter().cloned()));
        let found = tape.gradients_of_all(targets, &sources)?;
        let mut reached = Vec::new();
        for (number, (source, gradient)) in sources.iter().zip(found).enumerate() {
            let sum = number.checked_sub(active.carried.len()).filter(|&at| at < active.captured.len());
            match (sum, gradient) {
                (Some(at), Some(gradient)) => {
                    reached.push(active.captured[at]);
                    outputs.push(&sums[at] + gradient);
                }
                (Some(_), None) => {}
                (None, gradient) => outputs.push(gradient.unwrap_or_else(|| source.zeros_like())),
            }
        }
        Ok((reached, outputs))
    })?;
    // Sums that nothing is added to are left out of the signature.
    let first_sum = body.inputs.len() + active.carried.len();
    let is_idle = |number: usize| {
        number
            .checked_sub(first_sum)
            .and_then(|at| active.captured.get(at))
            .is_some_and(|at| !reached.contains(at))
    };
    let inputs = recorded.inputs.iter().enumerate().filter(|(number, _)| !is_idle(*number));
    let inputs: Vec<Tensor> = inputs.map(|(_, input)| input.clone()).collect();
    let outputs = recorded.outputs.clone();
    Ok((passes::tidy(&recorded.into_graph(op.name, &inputs, &outputs)), reached))
}
