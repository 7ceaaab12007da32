//! Where a tall picture is cut into columns.

use super::layered::GAP;
use super::{GUTTER, Link, Node};
use std::collections::HashMap;

/// Pictures lower than this stay in one column.
const LOW: f64 = 1100.0;
/// Width by height that looks well.
const HANDY: f64 = 1.3;
const MOST: usize = 12;

/// The last rank of each column.
pub(super) fn cuts(nodes: &[Node], ranks: &[usize], links: &[Link], columns: Option<usize>) -> Vec<usize> {
    let last = ranks.iter().copied().max().unwrap_or(0);
    let mut heights = vec![0.0f64; last + 1];
    let mut widths = vec![0.0f64; last + 1];
    for (node, &rank) in nodes.iter().zip(ranks) {
        heights[rank] = heights[rank].max(node.height);
        widths[rank] += node.width;
    }
    let height = heights.iter().map(|height| height + GAP).sum::<f64>();
    let width = widths.iter().copied().fold(0.0, f64::max);
    let allowed = allowed(ranks, links, last);
    if let Some(columns) = columns {
        return balanced(&heights, &allowed, columns.max(1));
    }
    if height < LOW {
        return vec![last];
    }
    let unlikeness = |cuts: &Vec<usize>| {
        let columns = cuts.len() as f64;
        let tallest = tallest(&heights, cuts);
        let shape = (columns * width + (columns - 1.0) * GUTTER) / tallest;
        // Columns shall be about as high as each other.
        let uneven = tallest * columns / height - 1.0;
        (shape / HANDY).ln().abs() + 2.0 * uneven
    };
    let candidates = (1..=MOST).map(|columns| balanced(&heights, &allowed, columns));
    candidates.min_by(|a, b| unlikeness(a).total_cmp(&unlikeness(b))).unwrap_or_else(|| vec![last])
}

/// Whether the picture may be cut below each rank: if only one tensor leads from above to below.
fn allowed(ranks: &[usize], links: &[Link], last: usize) -> Vec<bool> {
    let mut reach: HashMap<(usize, usize), usize> = HashMap::new();
    for link in links {
        let end = reach.entry((link.from, link.from_port)).or_insert(0);
        *end = ranks[link.to].max(*end);
    }
    let mut crossing = vec![0usize; last + 1];
    for ((from, _), end) in reach {
        (ranks[from]..end).for_each(|rank| crossing[rank] += 1);
    }
    crossing.iter().map(|&count| count == 1).collect()
}

fn tallest(heights: &[f64], cuts: &[usize]) -> f64 {
    let mut from = 0;
    let mut tallest = 0.0f64;
    for &cut in cuts {
        tallest = tallest.max(heights[from..=cut].iter().map(|height| height + GAP).sum());
        from = cut + 1;
    }
    tallest
}

/// At most so many columns, as equally high as the allowed cuts let them be.
fn balanced(heights: &[f64], allowed: &[bool], columns: usize) -> Vec<usize> {
    let count = heights.len();
    let mut until = vec![0.0; count + 1];
    for rank in 0..count {
        until[rank + 1] = until[rank] + heights[rank] + GAP;
    }
    // best[n][rank]: the least sum of squared heights of n columns that end before `rank`, and where the last one begins.
    let mut best = vec![vec![(f64::INFINITY, 0); count + 1]; columns + 1];
    best[0][0] = (0.0, 0);
    for column in 1..=columns {
        for end in 1..=count {
            if end < count && !allowed[end - 1] {
                continue;
            }
            for start in 0..end {
                let cost = best[column - 1][start].0 + (until[end] - until[start]).powi(2);
                if cost < best[column][end].0 {
                    best[column][end] = (cost, start);
                }
            }
        }
    }
    let column = (1..=columns).min_by(|&a, &b| best[a][count].0.total_cmp(&best[b][count].0)).unwrap_or(1);
    let mut cuts = Vec::new();
    let mut end = count;
    for column in (1..=column).rev() {
        cuts.push(end - 1);
        end = best[column][end].1;
    }
    cuts.reverse();
    cuts
}
