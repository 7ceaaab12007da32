//! Where boxes and lines lie: data flows downwards, rank by rank, and no line crosses a box.
//!
//! The layered method of Sugiyama, Tagawa and Toda: each box gets a rank below all that it reads; a line over several
//! ranks bends in each of them and takes up room there; boxes and bends of a rank are ordered so that few lines cross,
//! and placed so that lines are straight. A tall picture is cut where only one tensor leads on, into columns.

mod columns;
mod layered;
mod order;
mod settle;

use super::diagram::Link;
use crate::plot::scene::{Path, Piece};
use layered::{Layered, layered};

/// A box of the picture, or a point where lines enter or leave it.
pub(super) struct Node {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Where lines come in and go out, from the left edge, by port.
    pub(super) entries: Vec<f64>,
    pub(super) exits: Vec<f64>,
    pub(super) stands: Stands,
}

/// Where a node must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    Anywhere,
    Above,
    Below,
}

impl Node {
    /// A box whose lines come in and go out in its middle.
    pub(super) fn new(width: f64, height: f64) -> Node {
        Node { width, height, entries: vec![width / 2.0], exits: vec![width / 2.0], stands: Stands::Anywhere }
    }

    /// A point where lines enter or leave the picture.
    pub(super) fn point(stands: Stands) -> Node {
        Node { stands, ..Node::new(0.0, 0.0) }
    }
}

/// Everything in its place.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Left and top of each node.
    pub(super) places: Vec<(f64, f64)>,
    pub(super) lines: Vec<Line>,
}

/// A line from box to box, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) path: Path,
    /// Whether it ends at a box.
    pub(super) arrow: bool,
}

/// Between two columns: room for the line from the end of one to the start of the next.
const GUTTER: f64 = 44.0;
/// How far that line stays from what is above and below.
const TURN: f64 = 16.0;

/// Lays nodes out; each link must lead to a later node. At most `columns` columns, or as many as look well.
pub(super) fn lay_out(nodes: &[Node], links: &[Link], columns: Option<usize>) -> Layout {
    let ranks = ranks(nodes, links);
    let cuts = columns::cuts(nodes, &ranks, links, columns);
    let mut layout =
        Layout { width: 0.0, height: 0.0, places: vec![(0.0, 0.0); nodes.len()], lines: Vec::new() };
    let mut from = 0;
    // Where the line from the column before goes on: right end of that column, and the end of the line.
    let mut before: Option<(f64, f64)> = None;
    for to in cuts {
        let part = Part::new(nodes, &ranks, links, from, to);
        let placed = layered(&part.nodes, &part.ranks, &part.links);
        let left = if from == 0 { 0.0 } else { layout.width + GUTTER };
        layout.take(&part, &placed, left);
        if let (Some((x, y)), Some(entry)) = (before, part.entry) {
            let (end, _) = placed.place(entry);
            layout.lines.push(turn((x, y), left - GUTTER / 2.0, left + end));
        }
        before = part.exit.map(|exit| {
            let (x, y) = placed.place(exit);
            (left + x, y)
        });
        layout.width = left + placed.width;
        layout.height = layout.height.max(placed.height);
        from = to + 1;
    }
    layout
}

impl Layout {
    fn take(&mut self, part: &Part, placed: &Layered, left: f64) {
        for (index, &node) in part.original.iter().enumerate() {
            if let Some(node) = node {
                let (x, y) = placed.place(index);
                self.places[node] = (left + x, y);
            }
        }
        self.lines.extend(
            placed.lines.iter().map(|line| Line { path: line.path.moved(left, 0.0), arrow: line.arrow }),
        );
    }
}

/// The line from the lower end of a column, up through the gutter at `across`, and to the top of the next column.
fn turn((x, y): (f64, f64), across: f64, end: f64) -> Line {
    let radius = TURN / 2.0;
    let bottom = y + TURN;
    // A quarter of a circle as a curve: its points pull a little over half of the way to the corner.
    let corner = |from: (f64, f64), corner: (f64, f64), to: (f64, f64)| {
        let near = |point: (f64, f64)| {
            (point.0 + (corner.0 - point.0) * 0.55, point.1 + (corner.1 - point.1) * 0.55)
        };
        Piece::Curve(near(from), near(to), to)
    };
    let pieces = vec![
        Piece::To((x, bottom - radius)),
        corner((x, bottom - radius), (x, bottom), (x + radius, bottom)),
        Piece::To((across - radius, bottom)),
        corner((across - radius, bottom), (across, bottom), (across, bottom - radius)),
        Piece::To((across, -TURN + radius)),
        corner((across, -TURN + radius), (across, -TURN), (across + radius, -TURN)),
        Piece::To((end - radius, -TURN)),
        corner((end - radius, -TURN), (end, -TURN), (end, -TURN + radius)),
        Piece::To((end, 0.0)),
    ];
    Line { path: Path { start: (x, y), pieces }, arrow: false }
}

/// The rank of each node: below all that it reads. What reads nothing is just above its first reader.
fn ranks(nodes: &[Node], links: &[Link]) -> Vec<usize> {
    let mut ranks = vec![0; nodes.len()];
    let mut reads = vec![false; nodes.len()];
    let mut of_node: Vec<Vec<&Link>> = nodes.iter().map(|_| Vec::new()).collect();
    for link in links {
        of_node[link.from].push(link);
        reads[link.to] = true;
    }
    for node in 0..nodes.len() {
        for link in &of_node[node] {
            ranks[link.to] = ranks[link.to].max(ranks[node] + 1);
        }
    }
    let last = ranks.iter().copied().max().unwrap_or(0);
    // Outputs share the last rank; it is theirs alone.
    let is_below = |node: &Node| node.stands == Stands::Below;
    let taken = nodes.iter().zip(&ranks).any(|(node, &rank)| rank == last && !is_below(node));
    for (index, node) in nodes.iter().enumerate() {
        let first_reader = of_node[index].iter().map(|link| ranks[link.to]).min();
        match (node.stands, first_reader) {
            (Stands::Below, _) => ranks[index] = last + usize::from(taken),
            (Stands::Anywhere, Some(reader)) if !reads[index] => ranks[index] = reader - 1,
            _ => {}
        }
    }
    ranks
}

/// The nodes of some ranks, with points where the line comes in from the ranks above and leaves to those below.
struct Part {
    nodes: Vec<Node>,
    ranks: Vec<usize>,
    links: Vec<Link>,
    /// Which node of the whole each is, unless it is one of the points.
    original: Vec<Option<usize>>,
    entry: Option<usize>,
    exit: Option<usize>,
}

impl Part {
    fn new(nodes: &[Node], ranks: &[usize], links: &[Link], from: usize, to: usize) -> Part {
        let is_inside = |node: usize| (from..=to).contains(&ranks[node]);
        let mut part = Part {
            nodes: Vec::new(),
            ranks: Vec::new(),
            links: Vec::new(),
            original: Vec::new(),
            entry: None,
            exit: None,
        };
        let comes_in = links.iter().any(|link| ranks[link.from] < from && ranks[link.to] >= from);
        let goes_on = links.iter().any(|link| ranks[link.from] <= to && ranks[link.to] > to);
        let shift = usize::from(comes_in);
        if comes_in {
            part.entry = Some(part.add(Node::point(Stands::Above), 0, None));
        }
        let mut index = vec![usize::MAX; nodes.len()];
        for node in (0..nodes.len()).filter(|&node| is_inside(node)) {
            let Node { width, height, stands, .. } = nodes[node];
            let (entries, exits) = (nodes[node].entries.clone(), nodes[node].exits.clone());
            let copy = Node { width, height, entries, exits, stands };
            index[node] = part.add(copy, ranks[node] - from + shift, Some(node));
        }
        if goes_on {
            part.exit = Some(part.add(Node::point(Stands::Below), to + 1 - from + shift, None));
        }
        for link in links {
            if ranks[link.from] > to || ranks[link.to] < from {
                continue;
            }
            let (start, start_port) = match part.entry {
                Some(entry) if ranks[link.from] < from => (entry, 0),
                _ => (index[link.from], link.from_port),
            };
            let (end, end_port) = match part.exit {
                Some(exit) if ranks[link.to] > to => (exit, 0),
                _ => (index[link.to], link.to_port),
            };
            let link = Link { from: start, from_port: start_port, to: end, to_port: end_port };
            if !part.links.contains(&link) {
                part.links.push(link);
            }
        }
        part
    }

    fn add(&mut self, node: Node, rank: usize, original: Option<usize>) -> usize {
        self.nodes.push(node);
        self.ranks.push(rank);
        self.original.push(original);
        self.nodes.len() - 1
    }
}

#[cfg(test)]
mod tests;
