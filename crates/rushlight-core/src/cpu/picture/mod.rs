//! Pictures of programs: which op runs in which kernel, on what memory.
//!
//! Both pictures are drawn on a [`Canvas`], bodies of loops and branches inside of them. [`compiled`] draws kernels and tells
//! the parts of their times apart; [`recorded`] looks up what each op came to there.

mod canvas;
mod compiled;
mod recorded;
mod weights;

use crate::cpu::lower::Lowered;
use crate::cpu::lower::place::Storage;
use crate::profile::{Lifetime, Picture, PictureKind, PictureNode, Plan, Share};
use crate::tensor::Spec;

/// The compiled graph with its kernels.
pub(crate) fn picture_of_compiled(plan: &Plan) -> Picture {
    let (mut nodes, _) = compiled::draw(&plan.compiled, &plan.lowered);
    settle(&mut nodes);
    Picture { name: plan.compiled.name.clone(), nodes }
}

/// The recorded graph, with the times and the memory of what each node became.
pub(crate) fn picture_of_recorded(plan: &Plan) -> Picture {
    let (_, mut found) = compiled::draw(&plan.compiled, &plan.lowered);
    let mut nodes = recorded::draw(&plan.recorded, &mut found);
    settle(&mut nodes);
    Picture { name: plan.recorded.name.clone(), nodes }
}

/// When each piece of temporary memory is in use.
pub(crate) fn lifetimes(lowered: &Lowered) -> Vec<Lifetime> {
    let mut found: Vec<Option<Lifetime>> = vec![None; lowered.temporaries.len()];
    for (index, step) in lowered.steps.iter().enumerate() {
        for (is_output, place) in step
            .inputs
            .iter()
            .map(|place| (false, place))
            .chain(step.outputs.iter().map(|place| (true, place)))
        {
            let Storage::Temporary(number) = place.storage else { continue };
            let lifetime = found[number].get_or_insert_with(|| Lifetime {
                bytes: lowered.temporary_bytes[number],
                offset: lowered.temporaries[number],
                first: index,
                last: index,
                spec: None,
            });
            lifetime.last = index;
            if is_output && lifetime.spec.is_none() {
                lifetime.spec = Some(Spec { dims: place.dims.clone(), dtype: place.dtype });
            }
        }
    }
    found.into_iter().flatten().collect()
}

/// Gives ops without a kernel of their own a moment, but no time: views, what was folded into other ops, what was
/// computed once for several. That is when what they read was ready, or else when what reads them began.
fn settle(nodes: &mut [PictureNode]) {
    let is_open = |node: &PictureNode| {
        node.shares.is_empty() && matches!(node.kind, PictureKind::Op | PictureKind::Assign(_))
    };
    let moment = |step, part| Share { step, from: part, to: part };
    for index in 0..nodes.len() {
        if is_open(&nodes[index]) {
            let before = nodes[index].inputs.iter().filter(|input| !input.is_control);
            let last = before.flat_map(|input| &nodes[input.node].shares).max_by_key(|share| share.step);
            nodes[index].shares = last.map(|share| moment(share.step, share.to)).into_iter().collect();
        }
    }
    for index in (0..nodes.len()).rev() {
        let Some(first) = nodes[index].shares.iter().min_by_key(|share| share.step).copied() else {
            continue;
        };
        for input in nodes[index].inputs.clone() {
            if !input.is_control && is_open(&nodes[input.node]) {
                nodes[input.node].shares = vec![moment(first.step, first.from)];
            }
        }
    }
}
