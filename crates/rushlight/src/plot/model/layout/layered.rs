//! The layered layout of one column.

use super::order::order;
use super::settle::settle;
use super::{Line, Link, Node};
use crate::plot::scene::{Path, Piece};
use std::collections::HashMap;

/// Between one rank and the next.
pub(super) const GAP: f64 = 30.0;
/// The same beside points where lines begin or end.
const SHORT_GAP: f64 = 12.0;
/// So much more where a line goes far to the side, for each unit that it does.
const SLANT: f64 = 0.12;
const MOST_SLANT: f64 = 40.0;
/// Between the arrows that end at one box.
const PORT_STEP: f64 = 16.0;

/// What stands in a rank: a node, or the bend of a line that goes on.
pub(super) struct Item {
    pub(super) rank: usize,
    pub(super) node: Option<usize>,
    pub(super) width: f64,
    height: f64,
}

/// From an item to one of the next rank; offsets are from the items' middles.
#[derive(Clone, Copy)]
pub(super) struct Wire {
    pub(super) from: usize,
    pub(super) from_offset: f64,
    pub(super) to: usize,
    pub(super) to_offset: f64,
}

pub(super) struct Layered {
    pub(super) width: f64,
    pub(super) height: f64,
    places: Vec<(f64, f64)>,
    pub(super) lines: Vec<Line>,
}

impl Layered {
    /// Left and top of a node.
    pub(super) fn place(&self, node: usize) -> (f64, f64) {
        self.places[node]
    }
}

pub(super) fn layered(nodes: &[Node], ranks: &[usize], links: &[Link]) -> Layered {
    let (items, mut wires) = items(nodes, ranks, links);
    let mut rows = order(&items, &wires);
    let mut middles = settle(&items, &wires, &rows);
    let left = |item: usize, middles: &[f64]| middles[item] - items[item].width / 2.0;
    let start = (0..items.len()).map(|item| left(item, &middles)).fold(f64::INFINITY, f64::min);
    middles.iter_mut().for_each(|middle| *middle -= start);
    let width = (0..items.len()).map(|item| middles[item] + items[item].width / 2.0).fold(0.0f64, f64::max);
    spread_ends(nodes, &items, &mut wires, &middles);

    // The upper and lower edge of each rank.
    rows.retain(|row| !row.is_empty());
    let mut bands: Vec<(f64, f64)> = Vec::new();
    for (rank, row) in rows.iter().enumerate() {
        let top = match bands.last() {
            Some(&(_, bottom)) => bottom + gap_above(rank, &items, &wires, &middles),
            None => 0.0,
        };
        let height = row.iter().map(|&item| items[item].height).fold(0.0, f64::max);
        bands.push((top, top + height));
    }
    let top_of = |item: usize| {
        let (top, bottom) = bands[items[item].rank];
        (top + bottom - items[item].height) / 2.0
    };
    let mut places = vec![(0.0, 0.0); nodes.len()];
    for (item, place) in items.iter().enumerate() {
        if let Some(node) = place.node {
            places[node] = (left(item, &middles), top_of(item));
        }
    }
    let lines = wires.iter().map(|wire| {
        let (from, to) = (wire.from, wire.to);
        let (x, end_x) = (middles[from] + wire.from_offset, middles[to] + wire.to_offset);
        let (band_end, next_band) = (bands[items[from].rank].1, bands[items[to].rank].0);
        let start = match items[from].node {
            Some(_) => top_of(from) + items[from].height,
            None => band_end,
        };
        let end = match items[to].node {
            Some(_) => top_of(to),
            None => bands[items[to].rank].1,
        };
        let arrow = items[to].node.is_some_and(|node| nodes[node].height > 0.0);
        let pieces = if (x - end_x).abs() < 0.5 {
            vec![Piece::To((end_x, end))]
        } else {
            let middle = (band_end + next_band) / 2.0;
            let curve = Piece::Curve((x, middle), (end_x, middle), (end_x, next_band));
            vec![Piece::To((x, band_end)), curve, Piece::To((end_x, end))]
        };
        Line { path: Path { start: (x, start), pieces }, arrow }
    });
    let lines = lines.collect();
    Layered { width, height: bands.last().map_or(0.0, |&(_, bottom)| bottom), places, lines }
}

/// The nodes, and a bend in each rank that a line passes; lines from one port share their bends.
fn items(nodes: &[Node], ranks: &[usize], links: &[Link]) -> (Vec<Item>, Vec<Wire>) {
    let mut items: Vec<Item> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| Item {
            rank: ranks[index],
            node: Some(index),
            width: node.width,
            height: node.height,
        })
        .collect();
    let mut wires = Vec::new();
    // By node and port, the bends so far: the item in each rank from the node's on.
    let mut chains: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
    for link in links {
        let from = &nodes[link.from];
        let from_offset = from.exits[link.from_port] - from.width / 2.0;
        let offset_of = |item: usize| if item == link.from { from_offset } else { 0.0 };
        let chain = chains.entry((link.from, link.from_port)).or_insert_with(|| vec![link.from]);
        let between = ranks[link.to] - ranks[link.from] - 1;
        while chain.len() <= between {
            let last = chain[chain.len() - 1];
            items.push(Item { rank: items[last].rank + 1, node: None, width: 0.0, height: 0.0 });
            let bend = items.len() - 1;
            wires.push(Wire { from: last, from_offset: offset_of(last), to: bend, to_offset: 0.0 });
            chain.push(bend);
        }
        let last = chain[between];
        let to = &nodes[link.to];
        let to_offset = to.entries[link.to_port] - to.width / 2.0;
        wires.push(Wire { from: last, from_offset: offset_of(last), to: link.to, to_offset });
    }
    (items, wires)
}

/// Arrows that end at one box stand side by side; one that comes straight from above stays where it is.
fn spread_ends(nodes: &[Node], items: &[Item], wires: &mut [Wire], middles: &[f64]) {
    let mut ends: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, wire) in wires.iter().enumerate() {
        // The ports of frames lie where their entries do.
        if items[wire.to].node.is_some_and(|node| nodes[node].entries.len() == 1 && nodes[node].width > 0.0) {
            ends.entry(wire.to).or_default().push(index);
        }
    }
    for (item, mut arriving) in ends {
        if arriving.len() < 2 || wires[arriving[0]].to_offset != 0.0 {
            continue;
        }
        let source = |wire: usize| middles[wires[wire].from] + wires[wire].from_offset;
        arriving.sort_by(|&a, &b| source(a).total_cmp(&source(b)));
        let straight = arriving.iter().position(|&wire| (source(wire) - middles[item]).abs() < 0.5);
        let centre = straight.map_or((arriving.len() - 1) as f64 / 2.0, |position| position as f64);
        let step = PORT_STEP.min(items[item].width / (2.0 * arriving.len() as f64));
        for (position, wire) in arriving.into_iter().enumerate() {
            wires[wire].to_offset = (position as f64 - centre) * step;
        }
    }
}

/// Room between a rank and the one above: more where lines go far to the side, less where they only begin or end.
fn gap_above(rank: usize, items: &[Item], wires: &[Wire], middles: &[f64]) -> f64 {
    let here = wires.iter().filter(|wire| items[wire.to].rank == rank);
    let far = here
        .map(|wire| (middles[wire.from] + wire.from_offset - middles[wire.to] - wire.to_offset).abs())
        .fold(0.0, f64::max);
    let is_of_points = |rank: usize| items.iter().all(|item| item.rank != rank || item.height == 0.0);
    let least = if far < 0.5 && (is_of_points(rank) || is_of_points(rank - 1)) { SHORT_GAP } else { GAP };
    least + (far * SLANT).min(MOST_SLANT)
}
