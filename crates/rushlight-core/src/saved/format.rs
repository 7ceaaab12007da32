//! What the JSON of a saved function looks like.

use crate::ops::Op;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};

/// The key of the metadata under which the JSON lies.
pub(super) const KEY: &str = "rushlight function";

/// The newest version, which is written.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) variables: Vec<SavedVariable>,
    pub(super) recordings: Vec<SavedRecording>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedVariable {
    pub(super) name: String,
    pub(super) trainable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedRecording {
    pub(super) arguments: Vec<Argument>,
    pub(super) variables: Vec<usize>,
    pub(super) nodes: Vec<SavedNode>,
    pub(super) outputs: Vec<Id>,
    pub(super) assignments: Vec<(usize, Id)>,
}

/// A value: node and number of the result.
pub(super) type Id = (u32, u32);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Argument {
    Tensor {
        name: String,
        dims: Vec<usize>,
        dtype: DType,
    },
    /// What was no tensor when the function was recorded, and is as it was then.
    Fixed {
        name: String,
        value: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedNode {
    pub(super) is: SavedKind,
    pub(super) inputs: Vec<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    pub(super) line: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SavedKind {
    Argument(usize),
    Variable(usize),
    Constant(usize),
    Op(Op),
    Loop(Box<SavedLoop>),
    Branch(Box<SavedBranch>),
}

/// The body of a loop, or a branch: a graph of its own that uses nothing of its surroundings but its inputs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedBody {
    pub(super) inputs: Vec<(Vec<usize>, DType)>,
    pub(super) nodes: Vec<SavedNode>,
    pub(super) outputs: Vec<Id>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedLoop {
    pub(super) name: String,
    /// Loops of one number compute the same, but for further stacked results.
    pub(super) family: u64,
    pub(super) turns: SavedTurns,
    pub(super) carried: usize,
    pub(super) sliced: usize,
    pub(super) stacked: usize,
    pub(super) reverse: bool,
    pub(super) body: SavedBody,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SavedTurns {
    Fixed(usize),
    Counted(usize),
    While(Option<usize>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedBranch {
    pub(super) name: String,
    pub(super) branches: Vec<SavedBody>,
}

pub(super) fn variable_name(number: usize) -> String {
    format!("variable {number}")
}

pub(super) fn constant_name(number: usize) -> String {
    format!("constant {number}")
}
