//! Graphs of recorded functions, and what one call of them took, as the Graphs tab wants them.

use super::graph::{NodeRun, OpGraph, OpNode, name_part};
use rushlight_core::profile::{Picture, PictureKind, PictureNode, Profile};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A picture of a function as a graph with named nodes: layers are scopes, and so are kernels that compute several ops.
pub(super) fn op_graph(picture: &Picture) -> OpGraph {
    let names = names(picture);
    let nodes = picture.nodes.iter().zip(&names).map(|(node, name)| op_node(node, name, &names)).collect();
    OpGraph { nodes }
}

/// What each node of the picture took in a call.
///
/// The page shows the time of a scope as that from the first start to the last end of what is in it. So that this is the
/// sum of their times, nodes follow each other by their names, and not as they ran; when they ran is for the Profile tab.
pub(super) fn runs(picture: &Picture, profile: &Profile, call: usize) -> Vec<NodeRun> {
    let kernels = own_times(profile, call);
    let mut named: Vec<(String, &PictureNode)> = names(picture).into_iter().zip(&picture.nodes).collect();
    named.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
    let mut start = profile.began + profile.graphs.get(call).map_or(Duration::ZERO, |run| run.start);
    let run = |(name, node): (String, &PictureNode)| {
        let took = time_of(node, &kernels);
        let time = took.map(|took| (start, took));
        start += took.unwrap_or_default();
        // What has kernels of which none ran is in a branch that was not taken.
        let known = time.is_some() || node.shares.is_empty() && node.bytes > 0;
        known.then(|| NodeRun { node: name, time, bytes: node.bytes, outputs: node.outputs.clone() })
    };
    named.into_iter().filter_map(run).collect()
}

/// By number: how long each kernel of a call took, without the kernels inside of it.
fn own_times(profile: &Profile, call: usize) -> HashMap<usize, Duration> {
    let mut times = HashMap::new();
    if let Some(run) = profile.graphs.get(call) {
        // What was kept from earlier calls took no time in this one.
        times.extend((0..run.plan.kept()).map(|step| (step, Duration::ZERO)));
    }
    for kernel in &profile.kernels {
        if let Some(place) = kernel.place.filter(|place| place.call == call) {
            times.insert(place.step, kernel.duration);
        }
    }
    let inner = || profile.inner.iter().filter(|(place, _)| place.call == call);
    times.extend(inner().map(|(place, run)| (place.step, run.duration)));
    for (_, run) in inner() {
        if let Some(own) = times.get_mut(&run.outer) {
            *own = own.saturating_sub(run.duration);
        }
    }
    times
}

/// The time of all parts of a node: those of all nodes together are what kernels took.
fn time_of(node: &PictureNode, kernels: &HashMap<usize, Duration>) -> Option<Duration> {
    let parts = node.shares.iter().filter_map(|share| {
        let duration = kernels.get(&share.step)?;
        Some(duration.mul_f64((share.to - share.from).clamp(0.0, 1.0)))
    });
    parts.reduce(|sum, part| sum + part)
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
        let scope = full_scope(picture, node);
        let below = |name: &str| if scope.is_empty() { name.to_string() } else { format!("{scope}/{name}") };
        let wanted = match &node.kind {
            PictureKind::Argument(number) => format!("argument_{number}"),
            PictureKind::Result(number) => format!("result_{number}"),
            PictureKind::Assign(_) => {
                let variable = node.inputs.first().and_then(|input| variables.get(&input.node));
                format!("{}/assign", variable.map_or("variables", String::as_str))
            }
            _ => below(&name_part(&node.op)),
        };
        names.unique(wanted)
    };
    picture.nodes.iter().enumerate().map(of_node).collect()
}

/// Everything that a node lies in: layers, loops and branches, and the kernel that computes it with other nodes.
fn full_scope(picture: &Picture, node: &PictureNode) -> String {
    let mut scope: Vec<String> = Vec::new();
    let mut known = String::new();
    // The layers that come on top of those already named.
    let layers = |path: Option<&str>, known: &mut String| {
        let whole = scope_of(picture, path);
        let new = match whole.strip_prefix(known.as_str()) {
            Some(rest) if known.is_empty() || rest.is_empty() || rest.starts_with('/') => rest,
            _ => &whole,
        };
        let new = new.trim_start_matches('/').to_string();
        *known = whole;
        new
    };
    for within in &node.within {
        scope.push(layers(within.path.as_deref(), &mut known));
        scope.push(name_part(&within.name));
        scope.extend(within.part.as_deref().map(name_part));
    }
    match &node.kernel {
        Some(kernel) => {
            scope.push(layers(kernel.path.as_deref(), &mut known));
            scope.push(format!("{}_{}", kernel.name, kernel.step));
        }
        // The op of a loop or a branch itself lies beside its bodies.
        None if node.within.last().is_some_and(|within| within.part.is_none()) => {}
        None => scope.push(layers(node.path.as_deref(), &mut known)),
    }
    scope.retain(|part| !part.is_empty());
    scope.join("/")
}

/// The layers of a path, without the function that the whole picture is of.
fn scope_of(picture: &Picture, path: Option<&str>) -> String {
    let Some(path) = path else { return String::new() };
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
            let whole = scope_of(picture, node.path.as_deref());
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
        Some(_) => "its part of the kernel's time, by estimated work",
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
