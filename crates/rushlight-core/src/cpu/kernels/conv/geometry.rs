//! Where a convolution reads: for each position of its result and each tap of the kernel, a place or none.

use crate::ops::convolution::Convolution;

/// One spatial axis of the result of a gather: some positions of it, and the taps that meet them.
#[derive(Clone)]
pub(super) struct Axis {
    /// The positions of the result.
    pub(super) targets: Vec<usize>,
    /// The taps of the kernel.
    pub(super) taps: Vec<usize>,
    /// `[targets, taps]`: the place in the source, or [`OUTSIDE`].
    places: Vec<usize>,
}

/// The place of what counts as zero.
pub(super) const OUTSIDE: usize = usize::MAX;

impl Axis {
    fn new(targets: Vec<usize>, taps: Vec<usize>, place: impl Fn(usize, usize) -> usize) -> Axis {
        let places = targets.iter().flat_map(|&target| taps.iter().map(move |&tap| (target, tap)));
        let places = places.map(|(target, tap)| place(target, tap)).collect();
        Axis { targets, taps, places }
    }

    /// The place that the tap with that number reads for the target with that number.
    #[inline(always)]
    pub(super) fn place(&self, target: usize, tap: usize) -> usize {
        self.places[target * self.taps.len() + tap]
    }

    /// Whether each target reads just the place of its own number.
    fn is_identity(&self) -> bool {
        self.taps.len() == 1 && self.places.iter().copied().eq(self.targets.iter().copied())
    }
}

/// The sizes along one axis of a convolution.
#[derive(Clone, Copy)]
struct Sizes {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: usize,
}

impl Sizes {
    /// Outputs gather from inputs.
    fn forward(self) -> Axis {
        Axis::new((0..self.output).collect(), (0..self.kernel).collect(), |output, tap| {
            let place = (output * self.stride + tap * self.dilation).checked_sub(self.padding);
            place.filter(|&place| place < self.input).unwrap_or(OUTSIDE)
        })
    }

    /// Inputs gather from the outputs that have read them. Inputs that are a multiple of the stride apart meet the
    /// same taps; each such phase is an axis of its own.
    fn backward(self) -> Vec<Axis> {
        let phases = (0..self.stride.min(self.input)).map(|phase| {
            let meets =
                |tap: usize| (phase + self.padding) % self.stride == tap * self.dilation % self.stride;
            let taps = (0..self.kernel).filter(|&tap| meets(tap)).collect();
            Axis::new((phase..self.input).step_by(self.stride).collect(), taps, |input, tap| {
                let steps = (input + self.padding).checked_sub(tap * self.dilation);
                steps.map(|steps| steps / self.stride).filter(|&place| place < self.output).unwrap_or(OUTSIDE)
            })
        });
        phases.collect()
    }
}

/// The three spatial axes of a convolution (of which the first may be made up), and its channels.
pub(super) struct Geometry {
    axes: [Sizes; 3],
    pub(super) batch: usize,
    /// Channels of the input and of the kernel's output in each group.
    pub(super) group_inputs: usize,
    pub(super) group_outputs: usize,
    pub(super) groups: usize,
}

impl Geometry {
    pub(super) fn new(conv: &Convolution, input: &[usize], kernel: &[usize], output: &[usize]) -> Geometry {
        let spatial = conv.strides.len();
        let unit = Sizes { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, padding: 0 };
        let mut axes = [unit; 3];
        for axis in 0..spatial {
            axes[3 - spatial + axis] = Sizes {
                input: input[axis + 1],
                output: output[axis + 1],
                kernel: kernel[axis],
                stride: conv.strides[axis],
                dilation: conv.dilations[axis],
                padding: conv.padding[axis].0,
            };
        }
        Geometry {
            axes,
            batch: input[0],
            group_inputs: kernel[spatial],
            group_outputs: kernel[spatial + 1] / conv.groups,
            groups: conv.groups,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.group_inputs * self.groups
    }

    pub(super) fn filters(&self) -> usize {
        self.group_outputs * self.groups
    }

    /// How outputs gather from inputs.
    pub(super) fn forward(&self) -> Gather {
        Gather::new(
            self.axes.map(Sizes::forward),
            self.axes.map(|axis| axis.input),
            self.axes.map(|axis| axis.output),
        )
    }

    /// How inputs gather from outputs: one gather for each phase of the strides.
    pub(super) fn backward(&self) -> Vec<Gather> {
        let (outputs, inputs) = (self.axes.map(|axis| axis.output), self.axes.map(|axis| axis.input));
        let [depth, height, width] = self.axes.map(Sizes::backward);
        let mut gathers = Vec::new();
        for z in &depth {
            for y in &height {
                for x in &width {
                    gathers.push(Gather::new([z.clone(), y.clone(), x.clone()], outputs, inputs));
                }
            }
        }
        gathers
    }

    /// Sizes of the kernel's spatial axes.
    pub(super) fn kernel(&self) -> [usize; 3] {
        self.axes.map(|axis| axis.kernel)
    }
}

/// Positions of a result, and where each of them reads with each tap.
pub(super) struct Gather {
    pub(super) axes: [Axis; 3],
    /// Sizes of the spatial axes of what is read and of what is written.
    source: [usize; 3],
    target: [usize; 3],
}

impl Gather {
    fn new(axes: [Axis; 3], source: [usize; 3], target: [usize; 3]) -> Gather {
        Gather { axes, source, target }
    }

    /// Spatial places in each image of the source and of the result.
    pub(super) fn pixels(&self) -> [usize; 2] {
        [self.source.iter().product(), self.target.iter().product()]
    }

    /// Positions in each image.
    pub(super) fn positions(&self) -> usize {
        self.axes.iter().map(|axis| axis.targets.len()).product()
    }

    /// Taps of each position.
    pub(super) fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.taps.len()).product()
    }

    /// Whether results and sources are the same places, one to one.
    pub(super) fn is_identity(&self) -> bool {
        self.source == self.target && self.writes_in_order() && self.axes.iter().all(Axis::is_identity)
    }

    /// Whether the positions are all of the result, in order.
    pub(super) fn writes_in_order(&self) -> bool {
        (0..3).all(|axis| self.axes[axis].targets.len() == self.target[axis])
    }

    /// The positions of one image, in order: the index along each axis.
    fn split(&self, position: usize) -> [usize; 3] {
        let (y_count, x_count) = (self.axes[1].targets.len(), self.axes[2].targets.len());
        [position / x_count / y_count, position / x_count % y_count, position % x_count]
    }

    /// The number of a position of the result among all spatial places there.
    pub(super) fn target(&self, position: usize) -> usize {
        let [z, y, x] = self.split(position);
        let [z, y, x] = [self.axes[0].targets[z], self.axes[1].targets[y], self.axes[2].targets[x]];
        (z * self.target[1] + y) * self.target[2] + x
    }

    /// Calls `visit(place)` for each tap of a position: the number of the place in the source, or [`OUTSIDE`].
    #[inline(always)]
    pub(super) fn each_place(&self, position: usize, mut visit: impl FnMut(usize)) {
        let [z, y, x] = self.split(position);
        for z_tap in 0..self.axes[0].taps.len() {
            let z = self.axes[0].place(z, z_tap);
            for y_tap in 0..self.axes[1].taps.len() {
                let y = self.axes[1].place(y, y_tap);
                for x_tap in 0..self.axes[2].taps.len() {
                    let x = self.axes[2].place(x, x_tap);
                    let outside = z == OUTSIDE || y == OUTSIDE || x == OUTSIDE;
                    visit(if outside { OUTSIDE } else { (z * self.source[1] + y) * self.source[2] + x });
                }
            }
        }
    }

    /// The numbers of the taps in the kernel, in the order of [`Gather::each_place`].
    pub(super) fn tap_numbers(&self, kernel: [usize; 3]) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(self.taps());
        for &z in &self.axes[0].taps {
            for &y in &self.axes[1].taps {
                numbers.extend(self.axes[2].taps.iter().map(|&x| (z * kernel[1] + y) * kernel[2] + x));
            }
        }
        numbers
    }
}
