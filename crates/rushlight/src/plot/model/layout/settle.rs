//! Where the items of each rank stand, in their order, so that lines are straight.

use super::layered::{Item, Wire};

const BETWEEN_BOXES: f64 = 26.0;
const BETWEEN_BENDS: f64 = 14.0;
const SWEEPS: usize = 32;

/// The middle of each item. Sweeps down and up go over the ranks; each rank takes the best places for the neighbours as
/// they stand, which least absolute deviations find exactly.
pub(super) fn settle(items: &[Item], wires: &[Wire], rows: &[Vec<usize>]) -> Vec<f64> {
    let mut middles = vec![0.0; items.len()];
    for row in rows {
        for pair in row.windows(2) {
            middles[pair[1]] = middles[pair[0]] + apart(&items[pair[0]], &items[pair[1]]);
        }
    }
    let mut above: Vec<Vec<&Wire>> = vec![Vec::new(); items.len()];
    let mut below: Vec<Vec<&Wire>> = vec![Vec::new(); items.len()];
    for wire in wires {
        above[wire.to].push(wire);
        below[wire.from].push(wire);
    }
    let bend = |middles: &[f64]| {
        let cost = |wire: &Wire| {
            let aside = middles[wire.from] + wire.from_offset - middles[wire.to] - wire.to_offset;
            weight(wire, items) * aside.abs()
        };
        wires.iter().map(cost).sum::<f64>()
    };
    let mut best = middles.clone();
    let mut least = f64::INFINITY;
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        // The last sweeps look both ways, which keeps what is straight already.
        let both = sweep + 8 >= SWEEPS;
        for step in 0..rows.len() {
            let row = &rows[if down { step } else { rows.len() - 1 - step }];
            let wishes: Vec<Vec<(f64, f64)>> = row
                .iter()
                .map(|&item| {
                    let mut wishes = Vec::new();
                    let (up, low) = (&above[item], &below[item]);
                    if both || down || low.is_empty() {
                        let wish = |wire: &&Wire| {
                            let place = middles[wire.from] + wire.from_offset - wire.to_offset;
                            (place, weight(wire, items))
                        };
                        wishes.extend(up.iter().map(wish));
                    }
                    if both || !down || up.is_empty() {
                        let wish = |wire: &&Wire| {
                            let place = middles[wire.to] + wire.to_offset - wire.from_offset;
                            (place, weight(wire, items))
                        };
                        wishes.extend(low.iter().map(wish));
                    }
                    if wishes.is_empty() {
                        wishes.push((middles[item], 0.1));
                    }
                    wishes
                })
                .collect();
            place_row(row, items, &wishes, &mut middles);
        }
        let cost = bend(&middles);
        if cost < least - 1e-6 {
            least = cost;
            best.clone_from(&middles);
        }
    }
    best
}

/// Lines between boxes shall be straight before others, and long lines straight on their way.
fn weight(wire: &Wire, items: &[Item]) -> f64 {
    match (items[wire.from].node, items[wire.to].node) {
        (Some(_), Some(_)) => 4.0,
        (None, None) => 8.0,
        _ => 1.0,
    }
}

/// Least distance between the middles of neighbours.
fn apart(left: &Item, right: &Item) -> f64 {
    let between = if left.node.is_some() && right.node.is_some() { BETWEEN_BOXES } else { BETWEEN_BENDS };
    (left.width + right.width) / 2.0 + between
}

/// Neighbours that stand as close as they may, moved together.
struct Block {
    count: usize,
    /// Where each wants the first of the row to be, and how much.
    wishes: Vec<(f64, f64)>,
    place: f64,
}

/// Gives the items of a row the places of least weighted distance to their wishes: neighbours whose wishes would bring
/// them too close become a block, which goes to the median of all its wishes.
fn place_row(row: &[usize], items: &[Item], wishes: &[Vec<(f64, f64)>], middles: &mut [f64]) {
    let mut offsets = vec![0.0; row.len()];
    for index in 1..row.len() {
        offsets[index] = offsets[index - 1] + apart(&items[row[index - 1]], &items[row[index]]);
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (index, wishes) in wishes.iter().enumerate() {
        let wishes: Vec<_> = wishes.iter().map(|&(place, weight)| (place - offsets[index], weight)).collect();
        let mut block = Block { count: 1, place: median(&wishes), wishes };
        while let Some(before) = blocks.pop_if(|before| before.place > block.place) {
            block.count += before.count;
            block.wishes.extend(before.wishes);
            block.place = median(&block.wishes);
        }
        blocks.push(block);
    }
    let mut index = 0;
    for block in blocks {
        for _ in 0..block.count {
            middles[row[index]] = block.place + offsets[index];
            index += 1;
        }
    }
}

/// The weighted median; where a whole interval is as good, its middle.
fn median(points: &[(f64, f64)]) -> f64 {
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = points.iter().map(|point| point.1).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    for (index, &(place, weight)) in points.iter().enumerate() {
        sum += weight;
        if (sum - half).abs() < 1e-9 && index + 1 < points.len() {
            return (place + points[index + 1].0) / 2.0;
        }
        if sum > half {
            return place;
        }
    }
    0.0
}
