//! The ten shapes as signed distances: negative within, positive outside, in the unit of the coordinates.
//!
//! Only addition, multiplication, division and square roots are used, which every processor rounds alike, so
//! that a seed draws the same pictures everywhere.

/// A point or a direction: right, down.
pub(super) type Vector = [f32; 2];

/// The ten classes, in the order of their labels.
pub const DRAWN_CLASSES: [&str; 10] =
    ["disc", "ring", "square", "triangle", "star", "cross", "crescent", "spiral", "stripes", "checkerboard"];

/// A shape of radius about 1 around the origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Index in [`DRAWN_CLASSES`].
    pub(super) class: usize,
    /// Varies proportions, in [0, 1).
    pub(super) variant: f32,
    /// Draws squares, triangles, stars and crosses as lines.
    pub(super) outlined: bool,
}

impl Shape {
    pub(super) fn distance(&self, at: Vector) -> f32 {
        let Shape { variant, outlined, .. } = *self;
        let maybe_outlined =
            |distance: f32| if outlined { outline(distance, 0.13 + 0.06 * variant) } else { distance };
        match self.class {
            0 => length(at) - 0.86,
            1 => (length(at) - 0.74).abs() - (0.12 + 0.1 * variant),
            2 => maybe_outlined(rectangle(at, [0.76, 0.76])),
            3 => maybe_outlined(triangle(at, 0.52)),
            4 => maybe_outlined(star(at, 1.0)),
            5 => maybe_outlined(cross(at, 0.95, 0.24 + 0.1 * variant)),
            6 => crescent(at, 0.95, 0.42 + 0.12 * variant),
            7 => spiral(at) - (0.105 + 0.03 * variant),
            8 => (length(at) - 0.98).max(stripes(at, 0.46 + 0.1 * variant)),
            _ => rectangle(at, [0.86, 0.86]).max(checks(at, 0.43)),
        }
    }
}

fn length([x, y]: Vector) -> f32 {
    (x * x + y * y).sqrt()
}

fn dot([a, b]: Vector, [c, d]: Vector) -> f32 {
    a * c + b * d
}

/// A line of half the width `half`, whose outer edge is the edge of the shape.
fn outline(distance: f32, half: f32) -> f32 {
    (distance + half).abs() - half
}

fn rectangle([x, y]: Vector, [half_width, half_height]: Vector) -> f32 {
    let (x, y) = (x.abs() - half_width, y.abs() - half_height);
    length([x.max(0.0), y.max(0.0)]) + x.max(y).min(0.0)
}

/// The distance to the part of a line between two points.
pub(super) fn segment(at: Vector, from: Vector, to: Vector) -> f32 {
    let [along, way] = [[at[0] - from[0], at[1] - from[1]], [to[0] - from[0], to[1] - from[1]]];
    let part = (dot(along, way) / dot(way, way)).clamp(0.0, 1.0);
    length([along[0] - part * way[0], along[1] - part * way[1]])
}

/// Equilateral, with sides at distance `inner` from the centre: the largest distance to a side, which beyond a
/// corner is less than the true one and so makes corners sharp.
fn triangle(at: Vector, inner: f32) -> f32 {
    const NORMALS: [Vector; 3] = [[0.0, 1.0], [0.866_025_4, -0.5], [-0.866_025_4, -0.5]];
    NORMALS.iter().map(|&normal| dot(at, normal)).fold(f32::MIN, f32::max) - inner
}

/// Five-pointed, with points at distance `outer`: by symmetry one half of one point decides.
fn star([x, y]: Vector, outer: f32) -> f32 {
    // Mirror lines at 36° and 108°: (sin 36°, cos 36°) and (sin 18°, cos 18°).
    const FIRST: Vector = [0.809_017, -0.587_785_24];
    const SECOND: Vector = [-0.809_017, -0.587_785_24];
    let mirrored = |[x, y]: Vector, normal: Vector| {
        let beyond = 2.0 * dot([x, y], normal).max(0.0);
        [x - beyond * normal[0], y - beyond * normal[1]]
    };
    let folded = mirrored(mirrored([x.abs(), y], FIRST), SECOND);
    let [x, y] = [folded[0].abs(), folded[1] - outer];
    // The edge from the point to the inner corner, at 0.42 of the radius.
    let edge = [0.42 * 0.587_785_24 * outer, 0.42 * 0.809_017 * outer - outer];
    let part = (dot([x, y], edge) / dot(edge, edge)).clamp(0.0, 1.0);
    let distance = length([x - part * edge[0], y - part * edge[1]]);
    if y * edge[0] - x * edge[1] > 0.0 { distance } else { -distance }
}

fn cross(at: Vector, length: f32, half: f32) -> f32 {
    rectangle(at, [length, half]).min(rectangle(at, [half, length]))
}

/// A disc without another disc of nearly the same size, moved by `shift`.
fn crescent([x, y]: Vector, radius: f32, shift: f32) -> f32 {
    (length([x, y]) - radius).max(0.88 * radius - length([x - shift, y]))
}

/// The distance to the middle of a line that winds outwards one and three quarters of a turn.
fn spiral(at: Vector) -> f32 {
    const STEPS: usize = 21;
    let mut direction = [1.0f32, 0.0];
    let (mut from, mut nearest) = ([0.06f32, 0.0f32], f32::MAX);
    for step in 1..=STEPS {
        // One twelfth of a turn: cos 30° and sin 30°.
        direction = [
            direction[0] * 0.866_025_4 - direction[1] * 0.5,
            direction[0] * 0.5 + direction[1] * 0.866_025_4,
        ];
        let radius = 0.06 + 0.84 * step as f32 / STEPS as f32;
        let to = [direction[0] * radius, direction[1] * radius];
        nearest = nearest.min(segment(at, from, to));
        from = to;
    }
    nearest
}

/// The distance of `x` to the nearest middle between two stripes, as a wave between -period/4 and period/4.
fn wave(x: f32, period: f32) -> f32 {
    let phase = x / period;
    ((phase - phase.floor() - 0.5).abs() - 0.25) * period
}

fn stripes([x, _]: Vector, period: f32) -> f32 {
    wave(x, period)
}

/// Within where both waves have the same sign.
fn checks([x, y]: Vector, side: f32) -> f32 {
    let (across, down) = (wave(x + side / 2.0, 2.0 * side), wave(y + side / 2.0, 2.0 * side));
    let nearest = across.abs().min(down.abs());
    if (across < 0.0) == (down < 0.0) { -nearest } else { nearest }
}
