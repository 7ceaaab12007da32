//! Steps whose results can be kept from call to call: those that depend on constants and on variables that the program
//! does not assign. Weights packed for a kernel, and normalizations folded into a scale and a shift, are made once, and
//! again when a variable has changed.

use crate::cpu::lower::place::Storage;
use crate::cpu::steps::{Step, Work};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is known of the steps that come first because their results are kept.
#[derive(Default)]
pub(crate) struct Kept {
    /// How many of the steps these are.
    pub(crate) steps: usize,
    /// The variables that they read.
    pub(crate) variables: Vec<usize>,
    /// The temporary memory that holds their results.
    pub(super) temporaries: Vec<usize>,
}

/// Moves steps whose results can be kept to the front.
pub(super) fn move_to_front(steps: &mut Vec<Step>, assigned: &HashSet<usize>) -> Kept {
    let mut writers: HashMap<Storage, usize> = HashMap::new();
    for output in steps.iter().flat_map(|step| &step.outputs) {
        *writers.entry(output.storage).or_default() += 1;
    }
    let mut results: BTreeSet<usize> = BTreeSet::new();
    let mut variables: BTreeSet<usize> = BTreeSet::new();
    let mut keeps: Vec<bool> = Vec::with_capacity(steps.len());
    for step in steps.iter() {
        let lasting = step.inputs.iter().all(|input| match input.storage {
            Storage::Variable(number) => !assigned.contains(&number),
            Storage::Constant(_) => true,
            Storage::Temporary(number) => results.contains(&number),
            Storage::Input(_) | Storage::Output(_) | Storage::Passing => false,
        });
        // Of what several steps write, parts may come from elsewhere.
        let temporaries: Option<Vec<usize>> = step
            .outputs
            .iter()
            .map(|output| match output.storage {
                Storage::Temporary(number) if writers[&output.storage] == 1 => Some(number),
                _ => None,
            })
            .collect();
        let pure = matches!(step.work, Work::Loop(_) | Work::Copy | Work::Move(_) | Work::PackKernel(_));
        let kept = temporaries.filter(|_| lasting && pure);
        keeps.push(kept.is_some());
        for number in kept.into_iter().flatten() {
            results.insert(number);
            variables.extend(step.inputs.iter().filter_map(|input| match input.storage {
                Storage::Variable(number) => Some(number),
                _ => None,
            }));
        }
    }
    let mut keeps = keeps.into_iter();
    let (mut first, rest): (Vec<Step>, Vec<Step>) =
        std::mem::take(steps).into_iter().partition(|_| keeps.next().unwrap_or(false));
    let count = first.len();
    first.extend(rest);
    *steps = first;
    Kept {
        steps: count,
        variables: variables.into_iter().collect(),
        temporaries: results.into_iter().collect(),
    }
}
