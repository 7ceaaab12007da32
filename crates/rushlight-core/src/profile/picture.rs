//! Graphs of functions as they can be drawn, with what connects them to the times of a profile.

use crate::cpu::lower::Lowered;
use crate::graph::Graph;
use crate::tensor::Spec;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A recorded function and what the compiler made of it.
pub struct Plan {
    pub(crate) recorded: Arc<Graph>,
    pub(crate) compiled: Graph,
    pub(crate) lowered: Arc<Lowered>,
}

impl Plan {
    /// The graph as the function's body was recorded.
    ///
    /// An op's time is that of the kernels that it became; ops that were left out, or computed once with an equal one,
    /// have none.
    pub fn recorded(&self) -> Picture {
        crate::cpu::picture_of_recorded(self)
    }

    /// The graph as it runs: kernels, the ops inside them, copies between layouts, and where everything lies.
    pub fn compiled(&self) -> Picture {
        crate::cpu::picture_of_compiled(self)
    }

    /// How many of the first kernels give what later calls keep: these run only when a variable has changed.
    pub fn kept(&self) -> usize {
        self.lowered.kept.steps
    }

    /// Temporary memory by the number of kernels run: what is needed from one kernel to another, both included.
    pub fn lifetimes(&self) -> Vec<Lifetime> {
        crate::cpu::lifetimes(&self.lowered)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Plan({}, {} kernels)", self.compiled.name, self.lowered.steps.len())
    }
}

/// What a node lies in: a loop or a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// The op, with a number of its own in the picture: `scan_1`.
    pub name: Arc<str>,
    /// Its body (`body`, `branch_0`); nothing for the op itself, behind its bodies.
    pub part: Option<Arc<str>>,
    /// The layers around the op.
    pub path: Option<Arc<str>>,
}

/// A kernel that computes several nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    /// Its number in the program.
    pub step: usize,
    /// What it is above all: a `loop`, a `conv`.
    pub name: &'static str,
    /// The layers that it is counted to.
    pub path: Option<Arc<str>>,
}

/// A piece of temporary memory.
#[derive(Clone, Debug)]
pub struct Lifetime {
    pub bytes: usize,
    /// Its place in the block of temporary memory.
    pub offset: usize,
    /// The kernel that first writes to it, by its number in the program.
    pub first: usize,
    /// The kernel that uses it last.
    pub last: usize,
    /// What the first kernel writes there.
    pub spec: Option<Spec>,
}

/// A graph as it can be drawn; nodes come after what they read.
#[derive(Clone, Debug)]
pub struct Picture {
    pub name: Arc<str>,
    pub nodes: Vec<PictureNode>,
}

/// What a node of a picture stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum PictureKind {
    /// The argument of that number.
    Argument(usize),
    /// A variable, by its name, with the value that it has before the call.
    Variable(Arc<str>),
    Constant,
    Op,
    /// The new value of a variable, by its name; its first input is the variable.
    Assign(Arc<str>),
    /// The result of that number.
    Result(usize),
}

#[derive(Clone, Debug)]
pub struct PictureNode {
    pub kind: PictureKind,
    /// Name of the op.
    pub op: String,
    /// The op with its attributes.
    pub detail: String,
    /// The path of layers, such as `model/dense_1`.
    pub path: Option<Arc<str>>,
    /// The user's line.
    pub location: Option<&'static Location<'static>>,
    pub inputs: Vec<PictureEdge>,
    pub outputs: Vec<Spec>,
    /// Where its results lie, and how.
    pub places: Vec<String>,
    /// Bytes that it fills or, for variables, arguments, assignments and results, holds; nothing for views and for what stays in registers.
    pub bytes: usize,
    /// The kernel that computes it along with other nodes.
    pub kernel: Option<Joint>,
    /// The loops and branches that it lies in, the outermost first.
    pub within: Vec<Within>,
    /// Which parts of which kernels' times are its own; a part from a moment to the same moment for what takes no time.
    pub shares: Vec<Share>,
}

/// Part of the time of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The kernel, by its number in the program. The time of a loop or a branch is what its inner kernels leave.
    pub step: usize,
    /// From this part of the kernel's time, from 0 to 1 …
    pub from: f64,
    /// … to that. What a fused kernel computes is told apart by estimated work.
    pub to: f64,
}

/// What a node reads, or what it only has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureEdge {
    pub node: usize,
    pub output: usize,
    /// Whether no value goes along it.
    pub is_control: bool,
}
