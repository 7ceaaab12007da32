//! Loops and branches as steps that run programs of their own.

use super::{Emitter, lower_body};
use crate::cpu::control::{BranchProgram, LoopProgram};
use crate::cpu::lower::place::{Place, Storage};
use crate::cpu::steps::Work;
use crate::graph::{Graph, Kind, Node, ValueId};
use crate::ops::control::{Branch, Loop};
use crate::tensor::{DType, Spec};
use smallvec::SmallVec;

impl Emitter<'_> {
    /// What is carried is updated in the memory of the loop's results, or of the variables that they are assigned to.
    pub(super) fn turns(&mut self, index: usize, node: &Node, op: &Loop) {
        let inputs: SmallVec<[Place; 4]> = node.inputs.iter().map(|&id| self.contiguous(id)).collect();
        let body = lower_body(&with_carried_variables(op));
        let mut outputs: SmallVec<[Place; 2]> = SmallVec::new();
        for output in 0..op.output_count() {
            let id = ValueId { node: index as u32, output: output as u32 };
            let home = if output < op.carried {
                self.carried_home(index, id, op.leading() + output, &inputs, &outputs)
            } else {
                None
            };
            let place = match home {
                Some(place) => {
                    self.settle(id, place.clone());
                    place
                }
                None => self.allocate(id, false),
            };
            outputs.push(place);
        }
        outputs.push(self.temporary(&Spec::new([body.arena_bytes], DType::U8), false));
        self.push(Work::Turns(Box::new(LoopProgram::new(op, body))), inputs, outputs, index);
    }

    /// Memory in which a carried value can stay: that of the variable it is assigned to, or of its initial value.
    fn carried_home(
        &self,
        index: usize,
        id: ValueId,
        initial: usize,
        inputs: &[Place],
        earlier: &[Place],
    ) -> Option<Place> {
        let spec = self.graph.spec(id);
        let initial_place = &inputs[initial];
        let home = match (self.assigned_to.get(&id), initial_place.storage) {
            (Some(&variable), _) => Place::contiguous(Storage::Variable(variable), spec.dtype, &spec.dims),
            (None, Storage::Temporary(_)) if !self.result_of.contains_key(&id) => initial_place.clone(),
            _ => return None,
        };
        let is_home = |place: &Place| place.offset == home.offset && place.dims == home.dims;
        let alone = inputs
            .iter()
            .enumerate()
            .all(|(number, place)| place.storage != home.storage || number == initial && is_home(place));
        let unique = !earlier.iter().any(|place| place.storage == home.storage);
        (alone && unique && self.dead_after(index, &home)).then_some(home)
    }

    pub(super) fn choice(&mut self, index: usize, node: &Node, op: &Branch) {
        let inputs: SmallVec<[Place; 4]> = node.inputs.iter().map(|&id| self.contiguous(id)).collect();
        let branches: Vec<_> = op.branches.iter().map(lower_body).collect();
        let bytes = branches.iter().map(|branch| branch.arena_bytes).max().unwrap_or(0);
        let ids = (0..op.output_count() as u32).map(|output| ValueId { node: index as u32, output });
        let mut outputs: SmallVec<[Place; 2]> = ids.map(|id| self.allocate(id, false)).collect();
        outputs.push(self.temporary(&Spec::new([bytes], DType::U8), false));
        self.push(Work::Choice(Box::new(BranchProgram { branches })), inputs, outputs, index);
    }
}

/// The body of a loop with variables for what it carries: their new values go where the old ones were.
pub(crate) fn with_carried_variables(op: &Loop) -> Graph {
    let mut body = op.body.clone();
    for node in &mut body.nodes {
        if let Kind::Input(number @ 1..) = node.kind
            && number <= op.carried
        {
            node.kind = Kind::Variable(number - 1);
        }
    }
    let conditions = usize::from(op.has_condition());
    let carried: Vec<ValueId> = body.outputs.drain(conditions..conditions + op.carried).collect();
    body.assignments = carried.into_iter().enumerate().collect();
    body
}
