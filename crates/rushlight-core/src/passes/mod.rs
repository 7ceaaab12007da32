//! Rewrites of graphs; [`all`] lists them by name, in the order in which they run.

mod affine;
mod ask;
mod concat;
mod control;
mod cse;
mod dce;
mod fold;
mod fuse;
mod pointwise;
mod recompute;
mod simplify;

#[cfg(test)]
mod tests;

use crate::graph::{Graph, verify};

/// A rewrite that keeps what a graph computes.
pub(crate) struct Pass {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Graph) -> Graph,
}

const CONTROL: &str = "loops and branches";
const BODIES: &str = "bodies of loops and branches";
const FUSION: &str = "fuse elementwise ops";

/// Every pass, in order.
pub(crate) fn all() -> [Pass; 12] {
    [
        Pass { name: CONTROL, run: control::run },
        Pass { name: "fold constants", run: fold::run },
        Pass { name: "simplify", run: simplify::run },
        Pass { name: "pool before pointwise convolutions", run: pointwise::run },
        Pass { name: "reductions of concatenations", run: concat::run },
        Pass { name: "common subexpressions", run: cse::run },
        Pass { name: "delay affine terms of sums", run: affine::run },
        Pass { name: "common subexpressions", run: cse::run },
        Pass { name: "dead code", run: dce::run },
        Pass { name: FUSION, run: fuse::run },
        Pass { name: "dead code", run: dce::run },
        Pass { name: BODIES, run: control::finish_bodies },
    ]
}

/// The graph after all passes. `RUSHLIGHT_DEBUG=3` prints it after each.
pub(crate) fn optimize(graph: &Graph) -> Graph {
    let print = crate::trace::debug_level() >= 3;
    if print {
        eprintln!("recorded: {graph}");
    }
    run(graph, all(), print)
}

/// The graph without what neither results nor variables need.
pub(crate) fn without_dead_code(graph: &Graph) -> Graph {
    dce::run(graph)
}

/// A body without what it does not need, before it becomes a part of a larger op.
pub(crate) fn tidy(graph: &Graph) -> Graph {
    run(graph, all().into_iter().filter(|pass| ![CONTROL, FUSION, BODIES].contains(&pass.name)), false)
}

/// A body whose loops and branches are done with, after all other passes.
fn finish(graph: &Graph) -> Graph {
    run(graph, all().into_iter().filter(|pass| pass.name != CONTROL), false)
}

fn run(graph: &Graph, passes: impl IntoIterator<Item = Pass>, print: bool) -> Graph {
    let mut current: Option<Graph> = None;
    for pass in passes {
        // Without a loop or a branch these two have nothing to do, and copy nothing.
        if [CONTROL, BODIES].contains(&pass.name) && !control::is_in(current.as_ref().unwrap_or(graph)) {
            continue;
        }
        let after = (pass.run)(current.as_ref().unwrap_or(graph));
        if cfg!(debug_assertions)
            && let Err(problem) = verify(&after)
        {
            panic!("pass `{}` broke the graph: {problem}\n{after}", pass.name);
        }
        if print {
            eprintln!("after {}: {after}", pass.name);
        }
        current = Some(after);
    }
    current.unwrap_or_else(|| graph.clone())
}
