//! Sums over windows go before pointwise convolutions: both are linear and commute, and the convolution then meets
//! fewer pixels.
//!
//! With `P` the pooling, `Pᵀ` its gradient, and a kernel of size one that mixes channels only:
//! `P(x ⋆ k) = P(x) ⋆ k`; for the gradients `Pᵀ(g) ⋆ᵀ k = Pᵀ(g ⋆ᵀ k)`, and the kernel's gradient from `x` and `Pᵀ(g)` is
//! that from `P(x)` and `g`.

use crate::graph::{Graph, Kind, Node, Rewriter, ValueId};
use crate::ops::Op;
use crate::ops::convolution::Convolution;
use crate::ops::pooling::{Pooling, Window};

pub(super) fn run(graph: &Graph) -> Graph {
    let uses = graph.use_counts();
    let mut rewriter = Rewriter::new(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = ValueId { node: index as u32, output: 0 };
        // What is needed anyway, or would not shrink, stays where it is.
        let once = |id: ValueId| uses[id.node as usize][id.output as usize] == 1;
        match commuted(graph, &mut rewriter, node, once) {
            Some(new) => rewriter.replace(id, new),
            None => {
                rewriter.keep(index);
            }
        }
    }
    rewriter.finish()
}

fn commuted(
    graph: &Graph,
    rewriter: &mut Rewriter,
    node: &Node,
    once: impl Fn(ValueId) -> bool,
) -> Option<ValueId> {
    let Kind::Op(op) = &node.kind else { return None };
    let origin = &node.origin;
    match op {
        Op::Window(window) if shrinks(window) && once(node.inputs[0]) => {
            let inner = graph.node(node.inputs[0]);
            let Kind::Op(Op::Convolution(conv)) = &inner.kind else { return None };
            is_pointwise(conv, &graph.spec(inner.inputs[1]).dims).then_some(())?;
            let [x, kernel] = [inner.inputs[0], inner.inputs[1]].map(|id| rewriter.new_id(id));
            let pooled = rewriter.op(op.clone(), &[x], origin);
            Some(rewriter.op(Op::Convolution(conv.clone()), &[pooled, kernel], &inner.origin))
        }
        Op::ConvolutionInputGradient(conv, input) => {
            let (window, g, origin_of_window) = spread_gradient(graph, node.inputs[0])?;
            is_pointwise(conv, &graph.spec(node.inputs[1]).dims).then_some(())?;
            let [g, kernel] = [g, node.inputs[1]].map(|id| rewriter.new_id(id));
            let mut pooled = window
                .infer(&crate::tensor::Spec { dims: input.clone(), dtype: node.outputs[0].dtype })
                .ok()?
                .dims;
            let last = pooled.len() - 1;
            pooled[last] = input[last];
            let small = rewriter.op(Op::ConvolutionInputGradient(conv.clone(), pooled), &[g, kernel], origin);
            Some(rewriter.op(Op::WindowSumGradient(window, input.clone()), &[small], origin_of_window))
        }
        Op::ConvolutionKernelGradient(conv, kernel) if is_pointwise(conv, kernel) => {
            let (window, g, origin_of_window) = spread_gradient(graph, node.inputs[1])?;
            let [x, g] = [node.inputs[0], g].map(|id| rewriter.new_id(id));
            let pooled = rewriter.op(Op::Window(window), &[x], origin_of_window);
            Some(rewriter.op(
                Op::ConvolutionKernelGradient(conv.clone(), kernel.clone()),
                &[pooled, g],
                origin,
            ))
        }
        _ => None,
    }
}

/// The pooling whose gradient a value is, with the gradient of its result.
fn spread_gradient(graph: &Graph, id: ValueId) -> Option<(Window, ValueId, &crate::graph::Origin)> {
    let node = graph.node(id);
    match &node.kind {
        Kind::Op(Op::WindowSumGradient(window, _)) if shrinks(window) => {
            Some((window.clone(), node.inputs[0], &node.origin))
        }
        _ => None,
    }
}

/// Sums over windows that leave at most half of the pixels.
fn shrinks(window: &Window) -> bool {
    window.kind == Pooling::Sum && window.strides.iter().product::<usize>() >= 2
}

/// Whether a convolution mixes channels only.
fn is_pointwise(conv: &Convolution, kernel: &[usize]) -> bool {
    let ones = |sizes: &[usize]| sizes.iter().all(|&size| size == 1);
    ones(&kernel[..kernel.len() - 2]) && ones(&conv.strides) && conv.padding.iter().all(|&pad| pad == (0, 0))
}
