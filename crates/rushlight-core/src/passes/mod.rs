//! Rewrites of graphs; [`all`] lists them by name, in the order in which they run.

mod cse;
mod dce;
mod fold;
mod fuse;
mod simplify;

#[cfg(test)]
mod tests;

use crate::graph::{Graph, verify};

/// A rewrite that keeps what a graph computes.
pub(crate) struct Pass {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Graph) -> Graph,
}

/// Every pass, in order.
pub(crate) fn all() -> [Pass; 6] {
    [
        Pass { name: "fold constants", run: fold::run },
        Pass { name: "simplify", run: simplify::run },
        Pass { name: "common subexpressions", run: cse::run },
        Pass { name: "dead code", run: dce::run },
        Pass { name: "fuse elementwise ops", run: fuse::run },
        Pass { name: "dead code", run: dce::run },
    ]
}

/// The graph after all passes. `RUSHLIGHT_DEBUG=3` prints it after each.
pub(crate) fn optimize(graph: Graph) -> Graph {
    let print = crate::trace::debug_level() >= 3;
    if print {
        eprintln!("recorded: {graph}");
    }
    all().into_iter().fold(graph, |graph, pass| {
        let after = (pass.run)(&graph);
        if cfg!(debug_assertions)
            && let Err(problem) = verify(&after)
        {
            panic!("pass `{}` broke the graph: {problem}\n{after}", pass.name);
        }
        if print {
            eprintln!("after {}: {after}", pass.name);
        }
        after
    })
}
