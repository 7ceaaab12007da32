//! Graphs of recorded functions, and what one call of them took, as the Graphs tab wants them.

use super::graph::{NodeRun, OpGraph, OpNode, name_part};
use rushlight_core::profile::{KernelRun, Picture, PictureKind, PictureNode, Profile};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A picture of a function as a graph with named nodes: layers are scopes, and so are kernels that compute several ops.
pub(super) fn op_graph(picture: &Picture) -> OpGraph {
    let names = names(picture);
    let nodes = picture.nodes.iter().zip(&names).map(|(node, name)| op_node(node, name, &names)).collect();
    OpGraph { nodes }
}

/// What each node of the picture took in a call.
pub(super) fn runs(picture: &Picture, profile: &Profile, call: usize) -> Vec<NodeRun> {
    let kernels: HashMap<usize, &KernelRun> = profile
        .kernels
        .iter()
        .filter_map(|kernel| Some((kernel.place.filter(|place| place.call == call)?.step, kernel)))
        .collect();
    let named = picture.nodes.iter().zip(names(picture));
    let run = |(node, name): (&PictureNode, String)| {
        let time = time_of(node, &kernels).map(|(start, took)| (profile.began + start, took));
        let known = time.is_some() || node.bytes > 0;
        known.then(|| NodeRun { node: name, time, bytes: node.bytes, outputs: node.outputs.clone() })
    };
    named.filter_map(run).collect()
}

/// The start of a node's longest part, and the time of all of its parts: together they add up to what kernels took.
fn time_of(node: &PictureNode, kernels: &HashMap<usize, &KernelRun>) -> Option<(Duration, Duration)> {
    let parts: Vec<(Duration, Duration)> = node
        .shares
        .iter()
        .filter_map(|share| {
            let kernel = kernels.get(&share.step)?;
            let took = kernel.duration.mul_f64((share.to - share.from).clamp(0.0, 1.0));
            Some((kernel.start + kernel.duration.mul_f64(share.from.clamp(0.0, 1.0)), took))
        })
        .collect();
    let (start, _) = *parts.iter().max_by_key(|(_, took)| *took)?;
    Some((start, parts.iter().map(|(_, took)| *took).sum()))
}

/// A name for each node, unique, with its layers as scopes.
fn names(picture: &Picture) -> Vec<String> {
    let mut names = Names { taken: HashSet::new(), counts: HashMap::new() };
    // Variables first, so that they keep their own names.
    let homes = Homes::of(picture);
    let variables: HashMap<usize, String> = picture
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| match &node.kind {
            PictureKind::Variable(name) => Some((index, names.unique(homes.place(&name_part(name))))),
            _ => None,
        })
        .collect();
    let of_node = |(index, node): (usize, &PictureNode)| {
        if let Some(name) = variables.get(&index) {
            return name.clone();
        }
        let scope = scope_of(picture, node);
        let below = |name: &str| if scope.is_empty() { name.to_string() } else { format!("{scope}/{name}") };
        let wanted = match &node.kind {
            PictureKind::Argument(number) => format!("argument_{number}"),
            PictureKind::Result(number) => format!("result_{number}"),
            PictureKind::Assign(_) => {
                let variable = node.inputs.first().and_then(|input| variables.get(&input.node));
                format!("{}/assign", variable.map_or("variables", String::as_str))
            }
            _ => match node.kernel {
                Some(kernel) => below(&format!("loop_{kernel}/{}", name_part(&node.op))),
                None => below(&name_part(&node.op)),
            },
        };
        names.unique(wanted)
    };
    picture.nodes.iter().enumerate().map(of_node).collect()
}

/// The layers of a node, without the function that the whole picture is of.
fn scope_of(picture: &Picture, node: &PictureNode) -> String {
    let Some(path) = node.path.as_deref() else { return String::new() };
    let inside = match path.strip_prefix(&*picture.name) {
        Some("") => return String::new(),
        Some(inside) => inside.strip_prefix('/').unwrap_or(path),
        None => path,
    };
    name_part(inside)
}

/// The scopes of a picture by their ends, to find where a variable is at home: `model/dense` for `dense/kernel`.
struct Homes(HashMap<String, String>);

impl Homes {
    fn of(picture: &Picture) -> Homes {
        let mut homes = HashMap::new();
        for node in picture.nodes.iter().filter(|node| node.kind == PictureKind::Op) {
            let whole = scope_of(picture, node);
            let ancestors = whole.match_indices('/').map(|(end, _)| &whole[..end]).chain([whole.as_str()]);
            for scope in ancestors.filter(|scope| !scope.is_empty()) {
                let starts = scope.match_indices('/').map(|(slash, _)| slash + 1).chain([0]);
                for start in starts {
                    homes.entry(scope[start..].to_string()).or_insert_with(|| scope.to_string());
                }
            }
        }
        Homes(homes)
    }

    /// The name of a variable below the scope that its own path ends in; of several the first.
    fn place(&self, name: &str) -> String {
        let ends = name.rmatch_indices('/').map(|(end, _)| end);
        ends.into_iter()
            .find_map(|end| Some(format!("{}{}", self.0.get(&name[..end])?, &name[end..])))
            .unwrap_or_else(|| name.to_string())
    }
}

struct Names {
    taken: HashSet<String>,
    counts: HashMap<String, usize>,
}

impl Names {
    /// The name itself, or with the next free number.
    fn unique(&mut self, wanted: String) -> String {
        let mut name = wanted.clone();
        let count = self.counts.entry(wanted.clone()).or_insert(0);
        while !self.taken.insert(name.clone()) {
            *count += 1;
            name = format!("{wanted}_{count}");
        }
        name
    }
}

fn op_node(node: &PictureNode, name: &str, names: &[String]) -> OpNode {
    let mut made = OpNode::new(name, node.op.as_str());
    // Control edges last, as TensorFlow orders them.
    for input in node.inputs.iter().filter(|input| !input.is_control) {
        let source = &names[input.node];
        made =
            made.input(if input.output == 0 { source.clone() } else { format!("{source}:{}", input.output) });
    }
    for input in node.inputs.iter().filter(|input| input.is_control) {
        made = made.input(format!("^{}", names[input.node]));
    }
    for output in &node.outputs {
        made = made.output(output.clone());
    }
    let mut attribute = |name: &str, text: String| {
        if !text.is_empty() {
            made.attributes.push((name.to_string(), ascii(&text)));
        }
    };
    attribute("detail", node.detail.clone());
    attribute("layer", node.path.as_deref().unwrap_or_default().to_string());
    attribute(
        "line",
        node.location.map_or(String::new(), |place| format!("{}:{}", place.file(), place.line())),
    );
    attribute("memory", node.places.join("; "));
    let takes_none = !node.shares.is_empty() && node.shares.iter().all(|share| share.from == share.to);
    let time = match node.kernel {
        _ if takes_none => "none of its own: a view, or computed along with other ops",
        Some(_) => "its part of the loop's time, by estimated work",
        None => "",
    };
    attribute("time", time.to_string());
    made
}

/// The card shows anything else as escapes.
fn ascii(text: &str) -> String {
    let plain = |c: char| match c {
        '×' => 'x',
        c if c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\' => c,
        _ => '_',
    };
    text.replace('→', "->").replace('…', "...").chars().map(plain).collect()
}
