use super::*;

/// Points along a line, close to each other.
fn points(line: &Line) -> Vec<(f64, f64)> {
    let mut at = line.path.start;
    let mut points = vec![at];
    for piece in &line.path.pieces {
        let (first, second, end) = match *piece {
            Piece::To(end) => (at, end, end),
            Piece::Curve(first, second, end) => (first, second, end),
        };
        for step in 1..=40 {
            let t = f64::from(step) / 40.0;
            let u = 1.0 - t;
            let mix = |a: f64, b: f64, c: f64, d: f64| {
                u.powi(3) * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t.powi(3) * d
            };
            points.push((mix(at.0, first.0, second.0, end.0), mix(at.1, first.1, second.1, end.1)));
        }
        at = end;
    }
    points
}

/// Fails if boxes overlap, lines cross boxes, or anything is outside of the picture's width.
fn check(nodes: &[Node], layout: &Layout, what: &str) {
    let boxes: Vec<[f64; 4]> = nodes
        .iter()
        .zip(&layout.places)
        .filter(|(node, _)| node.width > 0.0)
        .map(|(node, &(x, y))| [x, y, x + node.width, y + node.height])
        .collect();
    for (index, a) in boxes.iter().enumerate() {
        assert!(a[0] > -0.01 && a[2] < layout.width + 0.01 && a[3] < layout.height + 0.01, "{what}: {a:?}");
        for b in &boxes[index + 1..] {
            let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
            assert!(apart, "{what}: {a:?} and {b:?} overlap");
        }
    }
    for line in &layout.lines {
        for (x, y) in points(line) {
            for b in &boxes {
                let inside = b[0] + 0.01 < x && x < b[2] - 0.01 && b[1] + 0.01 < y && y < b[3] - 0.01;
                assert!(!inside, "{what}: a line crosses the box {b:?} at ({x}, {y})");
            }
        }
    }
}

fn link(from: usize, to: usize) -> Link {
    Link { from, from_port: 0, to, to_port: 0 }
}

#[test]
fn lines_of_random_graphs_cross_no_box() {
    // Knuth's linear congruential generator.
    let mut state = 7u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    for case in 0..200 {
        let count = 2 + below(30);
        let nodes: Vec<Node> =
            (0..count).map(|_| Node::new(40.0 + below(200) as f64, 20.0 + below(90) as f64)).collect();
        let mut links = Vec::new();
        for to in 1..count {
            for _ in 0..1 + below(3) {
                let new = link(below(to), to);
                if !links.contains(&new) {
                    links.push(new);
                }
            }
        }
        for columns in [Some(1), Some(3)] {
            let layout = lay_out(&nodes, &links, columns);
            check(&nodes, &layout, &format!("case {case}, columns {columns:?}"));
            for link in &links {
                let end = layout.places[link.to].1;
                let start = layout.places[link.from].1 + nodes[link.from].height;
                assert!(columns == Some(3) || start < end, "case {case}: {link:?} leads upwards");
            }
        }
    }
}

#[test]
fn a_chain_is_straight_and_turns_into_columns() {
    let nodes: Vec<Node> = (0..10).map(|index| Node::new(60.0 + 10.0 * index as f64, 30.0)).collect();
    let links: Vec<Link> = (1..10).map(|to| link(to - 1, to)).collect();
    let one = lay_out(&nodes, &links, Some(1));
    let middles: Vec<f64> =
        nodes.iter().zip(&one.places).map(|(node, place)| place.0 + node.width / 2.0).collect();
    assert!(middles.iter().all(|middle| (middle - middles[0]).abs() < 0.01), "{middles:?}");
    assert!(one.lines.iter().all(|line| line.path.pieces.len() == 1 && line.arrow));

    let two = lay_out(&nodes, &links, Some(2));
    check(&nodes, &two, "two columns");
    assert!(two.height < 0.62 * one.height && two.width > one.width, "{} {}", two.height, one.height);
    assert!(two.places[..5].iter().all(|place| place.0 < two.places[5].0));
}

#[test]
fn a_shortcut_runs_beside_a_straight_chain() {
    let nodes: Vec<Node> = (0..5).map(|_| Node::new(100.0, 30.0)).collect();
    let mut links: Vec<Link> = (1..5).map(|to| link(to - 1, to)).collect();
    links.push(link(0, 4));
    let layout = lay_out(&nodes, &links, None);
    check(&nodes, &layout, "shortcut");
    assert!(layout.places.iter().all(|place| (place.0 - layout.places[0].0).abs() < 0.01));
    // The shortcut has two bends beside three boxes, and arrives beside the chain's arrow.
    let ends: Vec<f64> =
        layout.lines.iter().filter(|line| line.arrow).map(|line| line.path.end().0).collect();
    assert_eq!(ends.len(), 5);
}

#[test]
fn a_picture_is_cut_only_where_one_tensor_leads_on() {
    // 0 is read by 1 and by 4: between 1 and 4 there are two lines.
    let nodes: Vec<Node> = (0..7).map(|_| Node::new(50.0, 500.0)).collect();
    let links = [link(0, 1), link(1, 2), link(2, 3), link(3, 4), link(0, 4), link(4, 5), link(5, 6)];
    let ranks = ranks(&nodes, &links);
    for columns in 1..8 {
        for cut in columns::cuts(&nodes, &ranks, &links, Some(columns)) {
            assert!(cut == 0 || cut >= 4, "{columns} columns are cut below rank {cut}");
        }
    }
    assert_eq!(columns::cuts(&nodes, &ranks, &links, Some(3)), [0, 4, 6]);
}

#[test]
fn inputs_stand_just_above_their_readers() {
    let nodes: Vec<Node> = (0..5).map(|_| Node::new(50.0, 20.0)).collect();
    // 0 → 2 → 3 → 4, and 1 → 4.
    let links = [link(0, 2), link(2, 3), link(3, 4), link(1, 4)];
    assert_eq!(ranks(&nodes, &links), [0, 2, 1, 2, 3]);
}
