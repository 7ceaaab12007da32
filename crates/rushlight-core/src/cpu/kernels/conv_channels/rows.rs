//! Convolutions as products of matrices: for each output pixel a row of what its taps read, gathered a piece at a time.

use super::tile::{self, DEPTH, ROW, Tile};
use super::{Affine, Along, ChannelsConv, Images, ImagesMut, Panel, load, panels, store};
use crate::cpu::isa::Isa;
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads::{parallel_for, thread_count};
use crate::cpu::vector::{Real, Vector, VectorKernel};
use std::ops::Range;

/// The most tiles of rows that are gathered at once, so that they share what is read of the kernel.
const MOST_TILES: usize = 4;
/// The most such blocks that a task computes one after the other.
const MOST_BLOCKS: usize = 8;
/// Tasks that are enough to keep all threads equally busy.
const ENOUGH_TASKS: usize = 12;
/// So few tiles are gathered by each thread, which then reads only its part of the kernel: reading it takes longest.
const FEW_TILES: usize = 4;

pub(super) struct Rows<'a> {
    pub(super) isa: Isa,
    pub(super) conv: &'a ChannelsConv,
    pub(super) input: Images,
    pub(super) packed: *const f32,
    pub(super) along: &'a Along,
    pub(super) output: ImagesMut,
}

// SAFETY: what is behind its pointers is read only, but for the output, of which each task writes its own part.
unsafe impl Sync for Rows<'_> {}

/// # Safety
/// As [`super::forward`].
pub(super) unsafe fn run(job: &Rows) {
    let positions = job.conv.positions();
    let panels = panels(job.isa, job.conv.out_channels);
    let tiles = positions.div_ceil(tile::most_rows(job.isa));
    let few = tiles <= FEW_TILES;
    let groups = if few { thread_count().clamp(1, panels.len().max(1)) } else { 1 };
    let block = if few { MOST_TILES } else { (tiles / ENOUGH_TASKS).clamp(1, MOST_TILES) };
    let blocks = (tiles / block / ENOUGH_TASKS).clamp(1, MOST_BLOCKS);
    let parts = tiles.div_ceil(block * blocks);
    parallel_for(parts * groups, |task| {
        let (part, group) = (task / groups, task % groups);
        let panels = &panels[panels.len() * group / groups..panels.len() * (group + 1) / groups];
        let end = tiles.min((part + 1) * block * blocks);
        let bounds = |start: usize| -> Vec<usize> {
            (start..=end.min(start + block)).map(|tile| positions * tile / tiles).collect()
        };
        for start in (part * block * blocks..end).step_by(block) {
            let next = if start + block < end { bounds(start + block) } else { Vec::new() };
            // SAFETY: the caller's promise; tasks write to different pixels or channels.
            unsafe { job.block(&bounds(start), &next, panels) };
        }
    });
}

impl Rows<'_> {
    /// Computes some panels of the pixels between the first and the last of these bounds of tiles; those between the
    /// `next` bounds are fetched meanwhile.
    ///
    /// # Safety
    /// As [`super::forward`].
    unsafe fn block(&self, bounds: &[usize], next: &[usize], panels: &[Panel]) {
        let conv = self.conv;
        let depth = conv.depth();
        let positions = bounds[0]..bounds[bounds.len() - 1];
        let places: Vec<[usize; 3]> = positions.clone().map(|position| self.place(position)).collect();
        let next = next.first().map_or(0..0, |&first| first..next[next.len() - 1]);
        let runs = (panels.len() * (bounds.len() - 1)).max(1);
        let mut sums = Sums([0.0; tile::MOST_ROWS * 32]);
        with_scratch::<f32, _>(positions.len() * ROW, |gathered| {
            for start in (0..depth).step_by(DEPTH) {
                let piece = start..depth.min(start + DEPTH);
                let gather = Gather {
                    conv,
                    input: self.input,
                    before: &self.along.before,
                    places: &places,
                    piece: piece.clone(),
                    to: gathered,
                };
                // SAFETY: the scratch memory has a row for each place; the caller's promise.
                unsafe { f32::dispatch(self.isa, gather) };
                // What is read next: a piece of the same pixels or the first one of others.
                let ahead: Vec<*const f32> = match piece.end < depth {
                    true => places.iter().map(|&place| self.first_read(place, piece.end)).collect(),
                    false => next.clone().map(|position| self.first_read(self.place(position), 0)).collect(),
                };
                let mut ahead = ahead.chunks(ahead.len().div_ceil(runs).max(1));
                for panel in panels {
                    let vectors = panel.padded / f32::lanes(self.isa);
                    for bound in bounds.windows(2) {
                        let (first, count) = (bound[0] - positions.start, bound[1] - bound[0]);
                        let tile = Tile {
                            depth: piece.len(),
                            a: gathered.wrapping_add(first * ROW),
                            b: self.packed.wrapping_add(panel.start * depth + piece.start * panel.padded),
                            c: sums.0.as_mut_ptr(),
                            c_stride: panel.padded,
                            accumulate: false,
                            is_first: first == 0,
                            ahead: ahead.next().unwrap_or_default(),
                        };
                        let finish = Finish {
                            job: self,
                            panel,
                            places: &places[first..first + count],
                            sums: sums.0.as_ptr(),
                            first: piece.start == 0,
                            last: piece.end == depth,
                        };
                        // SAFETY: the caller's promise; the sums have room for a tile of two vectors a row.
                        unsafe {
                            tile::run(self.isa, &tile, count, vectors);
                            f32::dispatch(self.isa, finish);
                        }
                    }
                }
            }
        });
    }

    /// Where the items from `start` on of an output pixel's row lie, if all their taps are inside.
    fn first_read(&self, [image, y, x]: [usize; 3], start: usize) -> *const f32 {
        let conv = self.conv;
        let (tap, channel) = (start / conv.in_channels, start % conv.in_channels);
        let row = y * conv.strides[0] + tap / conv.kernel[1] * conv.dilations[0];
        let column = x * conv.strides[1] + tap % conv.kernel[1] * conv.dilations[1];
        let (row, column) = (row.saturating_sub(conv.padding[0]), column.saturating_sub(conv.padding[1]));
        self.input.pixel(image, row, column).wrapping_add(channel)
    }

    /// Image, row and column of an output pixel.
    fn place(&self, position: usize) -> [usize; 3] {
        let (width, height) = (self.conv.out_width, self.conv.out_height);
        [position / width / height, position / width % height, position % width]
    }
}

/// The sums of a tile, at the start of a cache line.
#[repr(align(64))]
struct Sums([f32; tile::MOST_ROWS * 32]);

/// Brings the sums of a tile to their pixels: adds them to those of earlier pieces, and completes them after the last.
struct Finish<'a> {
    job: &'a Rows<'a>,
    panel: &'a Panel,
    places: &'a [[usize; 3]],
    sums: *const f32,
    first: bool,
    last: bool,
}

impl VectorKernel<f32> for Finish<'_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        let (along, panel) = (self.job.along, self.panel);
        for (row, &[image, y, x]) in self.places.iter().enumerate() {
            let pixel = self.job.output.pixel(image, y, x);
            for column in (0..panel.count).step_by(V::LANES) {
                let (channel, count) = (panel.start + column, panel.count - column);
                // SAFETY: pixels have all channels, and sums whole vectors.
                unsafe {
                    let (from, to) = (self.sums.add(row * panel.padded + column), pixel.add(channel));
                    let mut sum = V::load(from);
                    if !self.first {
                        sum = load::<V>(to, count).add(sum);
                    }
                    if self.last {
                        let added = along.added.as_ref();
                        let added =
                            added.map(|images| load::<V>(images.pixel(image, y, x).add(channel), count));
                        sum = along.after.apply(sum, channel, count, added);
                    }
                    store(sum, to, count);
                }
            }
        }
    }
}

/// Writes for each place the items of a piece of its row, at a distance of [`ROW`].
struct Gather<'a> {
    conv: &'a ChannelsConv,
    input: Images,
    before: &'a Affine,
    places: &'a [[usize; 3]],
    piece: Range<usize>,
    to: *mut f32,
}

impl VectorKernel<f32> for Gather<'_> {
    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self) {
        let conv = self.conv;
        let plain = self.before.scale.is_none() && self.before.shift.is_none() && self.before.floor.is_none();
        // Taps side by side read what lies side by side.
        let joined = plain && conv.dilations[1] == 1 && self.input.strides[2] == conv.in_channels;
        for (number, &[image, y, x]) in self.places.iter().enumerate() {
            let to = self.to.wrapping_add(number * ROW);
            let top = (y * conv.strides[0]) as isize - conv.padding[0] as isize;
            let left = (x * conv.strides[1]) as isize - conv.padding[1] as isize;
            let inside = left >= 0 && left as usize + conv.kernel[1] <= conv.width;
            // A run is a row of taps where they lie side by side, else a tap.
            let (runs, length) = match joined && inside {
                true => (1, conv.kernel[1] * conv.in_channels),
                false => (conv.kernel[1], conv.in_channels),
            };
            let (mut run, mut start, mut at) =
                (self.piece.start / length, self.piece.start % length, self.piece.start);
            while at < self.piece.end {
                let count = (length - start).min(self.piece.end - at);
                let (y_tap, x_tap) = if runs == 1 { (run, 0) } else { (run / runs, run % runs) };
                let row = top + (y_tap * conv.dilations[0]) as isize;
                let column = left + (x_tap * conv.dilations[1]) as isize;
                let outside =
                    row < 0 || column < 0 || row as usize >= conv.height || column as usize >= conv.width;
                let target = to.wrapping_add(at - self.piece.start);
                // SAFETY: places inside the image have all channels; rows have room for a last whole vector, whose rest
                // the next run overwrites.
                unsafe {
                    if outside {
                        for item in (0..count).step_by(V::LANES) {
                            V::splat(0.0).store(target.add(item));
                        }
                    } else {
                        let from = self.input.pixel(image, row as usize, column as usize).add(start);
                        for item in (0..count).step_by(V::LANES) {
                            let x = load::<V>(from.add(item), count - item);
                            let x = if plain {
                                x
                            } else {
                                self.before.apply(x, start + item, count - item, None)
                            };
                            x.store(target.add(item));
                        }
                    }
                }
                (run, start, at) = (run + 1, 0, at + count);
            }
        }
    }
}
