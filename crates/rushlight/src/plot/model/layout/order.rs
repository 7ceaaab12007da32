//! In which order the items of each rank stand, so that few lines cross.

use super::layered::{Item, Wire};

const SWEEPS: usize = 24;

/// The items of each rank from left to right: swept down and up, each item goes to the mean of its neighbours' places.
pub(super) fn order(items: &[Item], wires: &[Wire]) -> Vec<Vec<usize>> {
    let ranks = items.iter().map(|item| item.rank + 1).max().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); ranks];
    for (index, item) in items.iter().enumerate() {
        rows[item.rank].push(index);
    }
    let mut above: Vec<Vec<&Wire>> = vec![Vec::new(); items.len()];
    let mut below: Vec<Vec<&Wire>> = vec![Vec::new(); items.len()];
    for wire in wires {
        above[wire.to].push(wire);
        below[wire.from].push(wire);
    }
    let mut places = vec![0.0; items.len()];
    number(&rows, &mut places);
    let mut best = rows.clone();
    let mut fewest = crossings(&rows, items, &below, &places);
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        let down = sweep % 2 == 0;
        for step in 0..ranks {
            let rank = if down { step } else { ranks - 1 - step };
            let mean = |&item: &usize| {
                let neighbours = if down { &above[item] } else { &below[item] };
                if neighbours.is_empty() {
                    return places[item];
                }
                let place = |wire: &&Wire| match down {
                    true => end_place(wire.from, wire.from_offset, items, &places),
                    false => end_place(wire.to, wire.to_offset, items, &places),
                };
                neighbours.iter().map(place).sum::<f64>() / neighbours.len() as f64
            };
            let mut keyed: Vec<(f64, usize)> = rows[rank].iter().map(|item| (mean(item), *item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[rank] = keyed.into_iter().map(|(_, item)| item).collect();
            number(&rows[rank..=rank], &mut places);
        }
        let crossed = crossings(&rows, items, &below, &places);
        if crossed < fewest {
            fewest = crossed;
            best.clone_from(&rows);
        }
    }
    best
}

fn number(rows: &[Vec<usize>], places: &mut [f64]) {
    for row in rows {
        row.iter().enumerate().for_each(|(place, &item)| places[item] = place as f64);
    }
}

/// Where a line ends in a rank: the item's place, and a part of it for a port to the side.
fn end_place(item: usize, offset: f64, items: &[Item], places: &[f64]) -> f64 {
    places[item] + if offset == 0.0 { 0.0 } else { 0.9 * offset / items[item].width }
}

/// How often lines between neighbouring ranks cross.
fn crossings(rows: &[Vec<usize>], items: &[Item], below: &[Vec<&Wire>], places: &[f64]) -> usize {
    let mut count = 0;
    for row in rows {
        let mut ends: Vec<(f64, f64)> = Vec::new();
        for wire in row.iter().flat_map(|&item| &below[item]) {
            let start = end_place(wire.from, wire.from_offset, items, places);
            ends.push((start, end_place(wire.to, wire.to_offset, items, places)));
        }
        for (index, a) in ends.iter().enumerate() {
            count += ends[index + 1..].iter().filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0).count();
        }
    }
    count
}
