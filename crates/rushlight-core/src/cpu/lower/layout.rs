//! Which values are kept in lanes: those that convolutions meet, and all that is computed along with them.

use crate::cpu::kernels::conv_lanes::LanesConv;
use crate::cpu::kernels::window_lanes::LanesWindow;
use crate::cpu::lower::place::LANES;
use crate::graph::{Graph, Kind, Node, ValueId};
use crate::ops::Op;
use crate::tensor::{DType, Dims, Spec};
use smallvec::SmallVec;

/// For each value whether it is kept in lanes.
pub(super) struct Layouts {
    in_lanes: Vec<SmallVec<[bool; 1]>>,
}

impl Layouts {
    pub(super) fn is_lanes(&self, id: ValueId) -> bool {
        self.in_lanes[id.node as usize][id.output as usize]
    }

    /// Starts at the convolutions and spreads over what can work in either layout, until nothing changes.
    pub(super) fn choose(graph: &Graph) -> Layouts {
        let in_lanes =
            graph.nodes.iter().map(|node| SmallVec::from_elem(false, node.outputs.len())).collect();
        let mut layouts = Layouts { in_lanes };
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Some(ends) = lanes_convolution(graph, node) {
                for &id in &ends.inputs {
                    layouts.mark(graph, id);
                }
                if ends.output {
                    layouts.mark(graph, ValueId { node: index as u32, output: 0 });
                }
            }
        }
        while layouts.spread(graph) {}
        layouts
    }

    /// Marks a value that a node computes; arguments, variables and constants stay as they come.
    fn mark(&mut self, graph: &Graph, id: ValueId) -> bool {
        let node = graph.node(id);
        let computed = match &node.kind {
            Kind::Fused(_) => true,
            Kind::Op(_) => {
                lanes_convolution(graph, node).is_some_and(|ends| ends.output) || is_flexible(graph, node)
            }
            _ => false,
        };
        let known = &mut self.in_lanes[id.node as usize][id.output as usize];
        let changed = computed && !*known && fits(graph.spec(id));
        *known |= changed;
        changed
    }

    fn spread(&mut self, graph: &Graph) -> bool {
        let mut changed = false;
        for (index, node) in graph.nodes.iter().enumerate() {
            if !is_flexible(graph, node) {
                continue;
            }
            let Some(space) = space_of(graph, node) else { continue };
            let outputs = (0..node.outputs.len() as u32).map(|output| ValueId { node: index as u32, output });
            let ends: SmallVec<[ValueId; 6]> = node
                .inputs
                .iter()
                .copied()
                .chain(outputs)
                .filter(|&id| spans(graph.spec(id), &space, node))
                .collect();
            if ends.iter().any(|&id| self.is_lanes(id)) {
                ends.iter().for_each(|&id| changed |= self.mark(graph, id));
            }
        }
        changed
    }
}

/// Whether a fused node runs over its elements in lanes: when anything full-sized that it reads or writes lies so.
pub(super) fn fused_runs_in_lanes(graph: &Graph, layouts: &Layouts, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Some(space) = space_of(graph, node) else { return false };
    let outputs = (0..node.outputs.len() as u32).map(|output| ValueId { node: index as u32, output });
    node.inputs.iter().copied().chain(outputs).any(|id| graph.spec(id).dims == space && layouts.is_lanes(id))
}

fn fits(spec: &Spec) -> bool {
    spec.rank() == 4 && spec.dims[0] > 0 && spec.dims[0].is_multiple_of(LANES)
}

/// Whether a node can work in lanes as well as in strides.
fn is_flexible(graph: &Graph, node: &Node) -> bool {
    match &node.kind {
        Kind::Fused(_) => true,
        Kind::Op(Op::Concat(axis)) => *axis == 3,
        Kind::Op(Op::Slice(slice)) => {
            slice.step.len() == 4
                && slice.step.iter().all(|&step| step == 1)
                && slice.start[..3].iter().all(|&start| start == 0)
        }
        _ => lanes_window(graph, node).is_some(),
    }
}

/// The sizes of a pooling op that runs in lanes if what it works on lies there.
pub(super) fn lanes_window(graph: &Graph, node: &Node) -> Option<LanesWindow> {
    let Kind::Op(op) = &node.kind else { return None };
    let input = |number: usize| &graph.spec(node.inputs[number]).dims;
    let output = &node.outputs[0];
    let (window, from, to) = match op {
        Op::Window(window) | Op::WindowMaxSelect(window) => (window, input(0), &output.dims),
        Op::WindowSumGradient(window, dims) => (window, dims, input(0)),
        Op::WindowMaxGradient(window) => (window, input(0), input(1)),
        _ => return None,
    };
    if output.dtype != DType::F32 || from[0] == 0 {
        return None;
    }
    LanesWindow::new(window, from, to)
}

/// The image batch shape that a flexible node works over.
fn space_of(graph: &Graph, node: &Node) -> Option<Dims> {
    let dims = match &node.kind {
        Kind::Fused(fused) => fused.space(|input| &graph.spec(node.inputs[input]).dims).clone(),
        Kind::Op(Op::Slice(_)) => {
            let input = &graph.spec(node.inputs[0]).dims;
            (input[..3] == node.outputs[0].dims[..3]).then(|| input.clone())?
        }
        _ => node.outputs[0].dims.clone(),
    };
    let spec = Spec { dims, dtype: node.outputs[0].dtype };
    (fits(&spec) && (matches!(node.kind, Kind::Fused(_)) || spec.dtype == DType::F32)).then_some(spec.dims)
}

/// Whether a value takes part in full: has the node's shape, but for the channels of views and concatenations.
fn spans(spec: &Spec, space: &Dims, node: &Node) -> bool {
    match &node.kind {
        Kind::Fused(_) => spec.dims == *space,
        _ => fits(spec),
    }
}

/// How a convolution or one of its gradients runs in lanes.
pub(super) struct LanesEnds {
    pub(super) sizes: LanesConv,
    /// Which inputs lie in lanes; the others are kernels.
    pub(super) inputs: SmallVec<[ValueId; 2]>,
    /// Whether the result lies in lanes.
    pub(super) output: bool,
}

/// Says how a convolution or one of its gradients runs in lanes, if it can.
pub(super) fn lanes_convolution(graph: &Graph, node: &Node) -> Option<LanesEnds> {
    let Kind::Op(op) = &node.kind else { return None };
    let dims = |number: usize| &graph.spec(node.inputs[number]).dims;
    let (conv, input, kernel, lanes_inputs, output) = match op {
        Op::Convolution(conv) => (conv, dims(0), dims(1), 1, true),
        Op::ConvolutionInputGradient(conv, input) => (conv, input, dims(1), 1, true),
        Op::ConvolutionKernelGradient(conv, kernel) => (conv, dims(0), kernel, 2, false),
        _ => return None,
    };
    if node.outputs[0].dtype != DType::F32 || input[0] == 0 {
        return None;
    }
    let sizes = LanesConv::new(conv, input, kernel)?;
    Some(LanesEnds { sizes, inputs: node.inputs[..lanes_inputs].iter().copied().collect(), output })
}
