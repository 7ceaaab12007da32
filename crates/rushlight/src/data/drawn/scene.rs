//! One picture: a background, things to be overlooked, a shape, something before it, and noise.

use super::shapes::{Shape, Vector, segment};
use crate::data::random::Random;

/// Rows and columns of a picture.
pub(super) const SIDE: usize = 32;
/// Bytes of a picture.
pub(super) const BYTES: usize = SIDE * SIDE * 3;

type Colour = [f32; 3];

/// Draws the picture of that number with a shape of that class.
pub(super) fn draw(seed: u64, number: u64, class: usize, output: &mut [u8]) {
    let mut random = Random::keyed(&[seed, number]);
    let random = &mut random;
    let background = Paint::any(random);
    let mut canvas = Canvas::new(random, &background);
    for _ in 0..1 + random.below(3) {
        canvas.distract(random);
    }
    let placed = Placed::any(random, class);
    canvas.fill(placed.bounds(), &Paint::distinct(random, &background), 1.0, |at| placed.distance(at));
    if random.chance(0.4) {
        canvas.occlude(random, &placed);
    }
    canvas.finish(random, output);
}

fn between(random: &mut Random, low: f32, high: f32) -> f32 {
    low + (high - low) * random.unit()
}

/// A unit vector; drawn from a disc, as sines differ between machines and square roots do not.
fn direction(random: &mut Random) -> Vector {
    loop {
        let [x, y] = [between(random, -1.0, 1.0), between(random, -1.0, 1.0)];
        let square = x * x + y * y;
        if (0.01..=1.0).contains(&square) {
            return [x / square.sqrt(), y / square.sqrt()];
        }
    }
}

/// From hue, saturation and value, all in [0, 1].
fn colour(hue: f32, saturation: f32, value: f32) -> Colour {
    [5.0, 3.0, 1.0].map(|offset| {
        let k = offset + hue * 6.0;
        let k = k - 6.0 * (k / 6.0).floor();
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

fn any_colour(random: &mut Random) -> Colour {
    let hue = random.unit();
    // Mostly colours, some greys.
    let saturation =
        if random.chance(0.2) { between(random, 0.0, 0.15) } else { between(random, 0.35, 0.95) };
    colour(hue, saturation, between(random, 0.2, 1.0))
}

/// How far apart two colours look, from 0 to 1: brightness counts most.
fn contrast(a: Colour, b: Colour) -> f32 {
    let [red, green, blue] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    let brightness = 0.3 * red + 0.59 * green + 0.11 * blue;
    (0.6 * brightness * brightness + 0.4 * (red * red + green * green + blue * blue) / 3.0).sqrt()
}

fn mix(a: Colour, b: Colour, part: f32) -> Colour {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * part)
}

/// A gradient across the picture.
struct Paint {
    from: Colour,
    to: Colour,
    direction: Vector,
}

impl Paint {
    fn any(random: &mut Random) -> Self {
        let from = any_colour(random);
        let part = between(random, 0.0, 0.4);
        let to = mix(from, any_colour(random), part);
        Paint { from, to, direction: direction(random) }
    }

    /// One that stands out against another everywhere: the first of some that does, else the best of them.
    fn distinct(random: &mut Random, other: &Paint) -> Self {
        let mut best = (f32::MIN, Paint::any(random));
        for _ in 0..40 {
            let paint = Paint::any(random);
            let ends = [
                (paint.from, other.from),
                (paint.from, other.to),
                (paint.to, other.from),
                (paint.to, other.to),
            ];
            let least = ends.into_iter().map(|(a, b)| contrast(a, b)).fold(f32::MAX, f32::min);
            if least > best.0 {
                best = (least, paint);
            }
            if best.0 > 0.33 {
                break;
            }
        }
        best.1
    }

    fn at(&self, [x, y]: Vector) -> Colour {
        let half = SIDE as f32 / 2.0;
        let along = ((x - half) * self.direction[0] + (y - half) * self.direction[1]) / SIDE as f32;
        mix(self.from, self.to, (along + 0.5).clamp(0.0, 1.0))
    }
}

/// A shape at a place of the picture, turned and scaled.
struct Placed {
    shape: Shape,
    centre: Vector,
    radius: f32,
    turn: Vector,
    /// How much wider than high, as a factor on one axis.
    stretch: f32,
}

impl Placed {
    fn any(random: &mut Random, class: usize) -> Self {
        let radius = between(random, 9.5, 14.0);
        let margin = 0.95 * radius;
        let mut place = || between(random, margin, SIDE as f32 - margin);
        let centre = [place(), place()];
        let shape = Shape { class, variant: random.unit(), outlined: random.chance(0.3) };
        Placed { shape, centre, radius, turn: direction(random), stretch: between(random, 0.88, 1.0) }
    }

    /// In pixels.
    fn distance(&self, [x, y]: Vector) -> f32 {
        let [x, y] = [(x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius];
        let [cos, sin] = self.turn;
        let turned = [cos * x + sin * y, (cos * y - sin * x) / self.stretch];
        self.shape.distance(turned) * self.radius
    }

    fn bounds(&self) -> Bounds {
        Bounds::around(self.centre, self.radius * 1.15 + 1.0)
    }
}

/// The pixels that something can touch.
struct Bounds {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

impl Bounds {
    const ALL: Bounds = Bounds { rows: 0..SIDE, columns: 0..SIDE };

    fn around([x, y]: Vector, reach: f32) -> Self {
        // A negative number becomes 0 in the conversion.
        let range = |middle: f32| (middle - reach) as usize..((middle + reach) as usize + 1).min(SIDE);
        Bounds { rows: range(y), columns: range(x) }
    }
}

struct Canvas {
    pixels: [Colour; SIDE * SIDE],
}

impl Canvas {
    fn new(random: &mut Random, background: &Paint) -> Self {
        let mut pixels = [[0.0; 3]; SIDE * SIDE];
        // Clouds: random brightness on a coarse grid, interpolated.
        const CELLS: usize = 5;
        let strength = between(random, 0.0, 0.1);
        let mut grid = [[0.0f32; CELLS + 1]; CELLS + 1];
        grid.iter_mut().flatten().for_each(|corner| *corner = between(random, -strength, strength));
        for (index, pixel) in pixels.iter_mut().enumerate() {
            let (row, column) = (index / SIDE, index % SIDE);
            let at = |i: usize| (i as f32 + 0.5) * CELLS as f32 / SIDE as f32;
            let (y, x) = (at(row), at(column));
            let (top, left) = (y as usize, x as usize);
            let (down, right) = (y - top as f32, x - left as f32);
            let edge = |row: [f32; CELLS + 1]| row[left] + (row[left + 1] - row[left]) * right;
            let cloud = edge(grid[top]) + (edge(grid[top + 1]) - edge(grid[top])) * down;
            *pixel = background.at(centre(row, column)).map(|value| value + cloud);
        }
        Canvas { pixels }
    }

    /// Paints where the distance is negative; half a pixel on either side of the edge is blended.
    fn fill(&mut self, bounds: Bounds, paint: &Paint, opacity: f32, distance: impl Fn(Vector) -> f32) {
        for row in bounds.rows {
            for column in bounds.columns.clone() {
                let at = centre(row, column);
                let cover = (0.5 - distance(at)).clamp(0.0, 1.0) * opacity;
                if cover > 0.0 {
                    let pixel = &mut self.pixels[row * SIDE + column];
                    *pixel = mix(*pixel, paint.at(at), cover);
                }
            }
        }
    }

    /// Something in the background: a thin line or a small spot.
    fn distract(&mut self, random: &mut Random) {
        let paint = Paint::any(random);
        let opacity = between(random, 0.3, 0.75);
        let start = anywhere(random);
        if random.chance(0.5) {
            let end = anywhere(random);
            let half = between(random, 0.3, 0.7);
            self.fill(Bounds::ALL, &paint, opacity, |at| segment(at, start, end) - half);
        } else {
            let radius = between(random, 1.0, 3.2);
            self.fill(Bounds::around(start, radius + 1.0), &paint, opacity, |[x, y]| {
                let [x, y] = [x - start[0], y - start[1]];
                (x * x + y * y).sqrt() - radius
            });
        }
    }

    /// Something before the shape: a narrow bar across the picture, or a spot on the shape's edge.
    fn occlude(&mut self, random: &mut Random, shape: &Placed) {
        let paint = Paint::any(random);
        let [across, down] = direction(random);
        if random.chance(0.5) {
            let half = between(random, 0.5, 1.0);
            let offset = between(random, -0.7, 0.7) * shape.radius;
            self.fill(Bounds::ALL, &paint, 1.0, |[x, y]| {
                ((x - shape.centre[0]) * across + (y - shape.centre[1]) * down - offset).abs() - half
            });
        } else {
            let radius = between(random, 1.6, 3.0);
            let away = between(random, 0.5, 1.0) * shape.radius;
            let middle = [shape.centre[0] + away * across, shape.centre[1] + away * down];
            self.fill(Bounds::around(middle, radius + 1.0), &paint, 1.0, |[x, y]| {
                let [x, y] = [x - middle[0], y - middle[1]];
                (x * x + y * y).sqrt() - radius
            });
        }
    }

    /// Adds the noise of a camera and rounds to bytes.
    fn finish(&self, random: &mut Random, output: &mut [u8]) {
        let strength = between(random, 0.0, 0.04);
        for (pixel, output) in self.pixels.iter().zip(output.chunks_exact_mut(3)) {
            // Three sums of uniform numbers of 10 bits, two each, from one draw.
            let bits = random.bits();
            for (channel, (value, byte)) in pixel.iter().zip(output).enumerate() {
                let part = bits >> (20 * channel);
                let sum = (part & 1023) as f32 + (part >> 10 & 1023) as f32;
                let noise = (sum / 1023.0 - 1.0) * 2.0 * strength;
                *byte = ((value + noise) * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

fn anywhere(random: &mut Random) -> Vector {
    [between(random, 0.0, SIDE as f32), between(random, 0.0, SIDE as f32)]
}

/// The middle of a pixel.
fn centre(row: usize, column: usize) -> Vector {
    [column as f32 + 0.5, row as f32 + 0.5]
}
