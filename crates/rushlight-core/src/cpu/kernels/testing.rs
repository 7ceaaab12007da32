//! What the tests of several kernels need.

use super::conv_lanes::{LANES, Planes, PlanesMut};
use crate::cpu::buffer::{View, ViewMut};
use crate::tensor::{Dims, Element, Strides, contiguous_strides};

/// A simple source of test numbers: the same ones for the same seed (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A whole number from 0 to `limit - 1`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 32) * limit as u64) >> 32) as usize
    }

    /// A number from -1 to 1, or for integers and booleans one of a few small ones.
    pub(crate) fn one<T: Element>(&mut self) -> T {
        if T::DTYPE.is_float() {
            T::from_f64((self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        } else {
            T::from_i64(self.below(7) as i64)
        }
    }

    pub(crate) fn take<T: Element>(&mut self, count: usize) -> Vec<T> {
        (0..count).map(|_| self.one()).collect()
    }
}

/// A tensor in memory, in any layout that a view can have.
pub(crate) struct Sample<T> {
    memory: Vec<T>,
    start: usize,
    pub(crate) dims: Dims,
    strides: Strides,
}

impl<T: Element> Sample<T> {
    /// A tensor of random numbers with its axes stored in random order, direction and density, or repeated.
    pub(crate) fn new(numbers: &mut Numbers, dims: &[usize]) -> Sample<T> {
        let mut order: Vec<usize> = (0..dims.len()).collect();
        for i in (1..dims.len()).rev() {
            order.swap(i, numbers.below(i + 1));
        }
        if numbers.below(3) == 0 {
            order = (0..dims.len()).collect();
        }
        let mut strides = Strides::from_elem(0, dims.len());
        let (mut step, mut start) = (1, 0);
        for &axis in order.iter().rev() {
            match numbers.below(8) {
                0 => {}
                1 => {
                    start += (dims[axis].max(1) - 1) * step;
                    strides[axis] = -(step as isize);
                    step *= dims[axis].max(1);
                }
                2 => {
                    strides[axis] = 2 * step as isize;
                    step *= 2 * dims[axis].max(1);
                }
                _ => {
                    strides[axis] = step as isize;
                    step *= dims[axis].max(1);
                }
            }
        }
        Sample { memory: numbers.take(step), start, dims: Dims::from_slice(dims), strides }
    }

    /// A tensor stored row by row, filled with random numbers (so that what a kernel leaves out shows).
    pub(crate) fn contiguous(numbers: &mut Numbers, dims: &[usize]) -> Sample<T> {
        Sample::from_values(dims, numbers.take(dims.iter().product()))
    }

    pub(crate) fn from_values(dims: &[usize], values: Vec<T>) -> Sample<T> {
        let strides = contiguous_strides(dims);
        Sample { memory: values, start: 0, dims: Dims::from_slice(dims), strides }
    }

    pub(crate) fn view(&self) -> View<'_> {
        let data = self.memory[self.start.min(self.memory.len())..].as_ptr();
        // SAFETY: the memory was made to hold what the strides reach.
        unsafe { View::new(data.cast(), T::DTYPE, self.dims.clone(), self.strides.clone()) }
    }

    pub(crate) fn view_mut(&mut self) -> ViewMut<'_> {
        assert_eq!(self.strides, contiguous_strides(&self.dims));
        // SAFETY: the memory holds all elements of this shape.
        unsafe { ViewMut::new(self.memory.as_mut_ptr().cast(), T::DTYPE, self.dims.clone()) }
    }

    /// All elements in row-major order.
    pub(crate) fn values(&self) -> Vec<T> {
        let count = self.dims.iter().product();
        let offset = |number| super::widen::offset_of(number, &self.dims, &self.strides);
        (0..count).map(|number| self.memory[(self.start as isize + offset(number)) as usize]).collect()
    }
}

/// Numbers in lanes layout in some channels of a larger buffer.
#[derive(Clone)]
pub(crate) struct Lanes {
    pub(crate) memory: Vec<f32>,
    /// Batch, height, width, channels.
    pub(crate) dims: [usize; 4],
    first_channel: usize,
    all_channels: usize,
}

impl Lanes {
    pub(crate) fn new(numbers: &mut Numbers, dims: [usize; 4]) -> Lanes {
        let (first_channel, more) = (numbers.below(3), numbers.below(3));
        let all_channels = first_channel + dims[3] + more;
        let memory = numbers.take(dims[0] * dims[1] * dims[2] * all_channels);
        Lanes { memory, dims, first_channel, all_channels }
    }

    fn plane(&self) -> usize {
        self.dims[1] * self.dims[2] * LANES
    }

    pub(crate) fn planes(&self) -> Planes {
        Planes {
            on_load: None,
            data: self.memory.as_ptr().wrapping_add(self.first_channel * self.plane()),
            block_stride: self.all_channels * self.plane(),
            channel_stride: self.plane(),
        }
    }

    pub(crate) fn planes_mut(&mut self) -> PlanesMut {
        let Planes { block_stride, channel_stride, .. } = self.planes();
        let start = self.first_channel * self.plane();
        PlanesMut { data: self.memory.as_mut_ptr().wrapping_add(start), block_stride, channel_stride }
    }

    /// Where the item with that row-major number in `dims` lies.
    fn offset(&self, number: usize) -> usize {
        let [_, height, width, channels] = self.dims;
        let (pixel, channel) = (number / channels, self.first_channel + number % channels);
        let (image, pixel) = (pixel / (height * width), pixel % (height * width));
        ((image / LANES * self.all_channels + channel) * height * width + pixel) * LANES + image % LANES
    }

    /// The same numbers in the layout of the ops.
    pub(crate) fn sample(&self) -> Sample<f32> {
        let count = self.dims.iter().product();
        Sample::from_values(&self.dims, (0..count).map(|number| self.memory[self.offset(number)]).collect())
    }

    /// Asserts that the numbers are those of `wanted`, and that all others are still those of `before`.
    pub(crate) fn assert_close(&self, wanted: &[f32], before: &Lanes, tolerance: f32, what: &str) {
        let mut expected = before.memory.clone();
        for (number, &value) in wanted.iter().enumerate() {
            expected[self.offset(number)] = value;
        }
        for (at, (&got, &wanted)) in self.memory.iter().zip(&expected).enumerate() {
            assert!((got - wanted).abs() <= tolerance, "{what}: {got} instead of {wanted} at {at}");
        }
    }
}
