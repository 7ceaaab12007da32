//! Convolutions.

use crate::initializers::Initializer;
use crate::layers::{Layer, LayerState, Weight, activations};
use rushlight_core::{ConvOptions, Error, ErrorKind, Padding, PerAxis, Result, Spec, Tensor};

/// Convolution over one axis: `[batch, steps, channels] → [batch, steps', filters]`. See [`Conv`].
pub type Conv1d = Conv<1>;
/// Convolution over two axes: `[batch, height, width, channels] → [batch, height', width', filters]`. See [`Conv`].
pub type Conv2d = Conv<2>;
/// Convolution over three axes. See [`Conv`].
pub type Conv3d = Conv<3>;

/// `y = activation(x ⋆ kernel + bias)`: a convolution over `N` spatial axes.
///
/// # Shapes
/// `[batch, spatial…, channels] → [batch, spatial'…, filters]`, sizes as [`Padding`] says; variables
/// `kernel [size…, channels / groups, filters]` and `bias [filters]`.
///
/// ```
/// use rushlight::prelude::*;
/// let conv = Conv2d::new(8, 3).strides(2).padding(Same).activation(activations::Relu);
/// let y = conv.call(&Tensor::ones([1, 9, 9, 3], DType::F32));
/// assert_eq!(y.shape()?, [1, 5, 5, 8]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv<const N: usize> {
    state: LayerState,
    filters: usize,
    kernel_size: PerAxis,
    strides: PerAxis,
    dilations: PerAxis,
    padding: Padding,
    groups: usize,
    use_bias: bool,
    activation: activations::Function,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel: Weight,
    bias: Weight,
}

impl<const N: usize> Conv<N> {
    /// A convolution to `filters` channels with a kernel of this size (one number, or one for each axis), strides
    /// and dilations of 1, no padding, a bias and no activation.
    #[track_caller]
    pub fn new(filters: usize, kernel_size: impl Into<PerAxis>) -> Conv<N> {
        let class = const {
            match N {
                1 => "Conv1d",
                2 => "Conv2d",
                3 => "Conv3d",
                _ => panic!("convolutions have one to three spatial axes"),
            }
        };
        Conv {
            state: LayerState::new(class),
            filters,
            kernel_size: kernel_size.into(),
            strides: 1.into(),
            dilations: 1.into(),
            padding: Padding::Valid,
            groups: 1,
            use_bias: true,
            activation: activations::Linear,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
            kernel: Weight::new(),
            bias: Weight::new(),
        }
    }

    /// The steps from one output position to the next: one number, or one for each axis.
    pub fn strides(mut self, strides: impl Into<PerAxis>) -> Conv<N> {
        self.strides = strides.into();
        self
    }

    /// The steps from one tap of the kernel to the next: one number, or one for each axis.
    pub fn dilations(mut self, dilations: impl Into<PerAxis>) -> Conv<N> {
        self.dilations = dilations.into();
        self
    }

    /// What lies beyond the edges: `Valid` (the default), `Same`, or places given for each axis.
    pub fn padding(mut self, padding: Padding) -> Conv<N> {
        self.padding = padding;
        self
    }

    /// Channels and filters are divided into this many groups that do not see each other.
    pub fn groups(mut self, groups: usize) -> Conv<N> {
        self.groups = groups;
        self
    }

    /// Whether there is a bias.
    pub fn use_bias(mut self, use_bias: bool) -> Conv<N> {
        self.use_bias = use_bias;
        self
    }

    /// What is applied to the sums.
    pub fn activation(mut self, activation: activations::Function) -> Conv<N> {
        self.activation = activation;
        self
    }

    /// The first values of the kernel; [`Initializer::GlorotUniform`] by default.
    pub fn kernel_initializer(mut self, initializer: Initializer) -> Conv<N> {
        self.kernel_initializer = initializer;
        self
    }

    /// The first values of the bias; zeros by default.
    pub fn bias_initializer(mut self, initializer: Initializer) -> Conv<N> {
        self.bias_initializer = initializer;
        self
    }
}

impl<const N: usize> Layer for Conv<N> {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn build(&self, input: &Spec) -> Result<()> {
        let error = |rule: String| {
            let name = crate::layers::snake_case(self.state.class());
            Err(Error::with_inputs(ErrorKind::Shape, name, rule, vec![input.clone()]))
        };
        if input.rank() != N + 2 {
            return error(format!("the input must be [batch, {N} spatial axes, channels]"));
        }
        let Some(mut dims) = self.kernel_size.for_axes(N) else {
            return error(format!("the kernel's size must be one number, or {N} of them"));
        };
        let channels = input.dims[N + 1];
        let divides = |count: usize| count.is_multiple_of(self.groups);
        if self.groups == 0 || !divides(channels) || !divides(self.filters) {
            let (filters, groups) = (self.filters, self.groups);
            return error(format!("channels and {filters} filters must divide into {groups} groups"));
        }
        dims.extend([channels / self.groups, self.filters]);
        self.kernel.make("kernel", &dims, &self.kernel_initializer)?;
        if self.use_bias {
            self.bias.make("bias", &[self.filters], &self.bias_initializer)?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let options = ConvOptions::new()
            .strides(self.strides.clone())
            .dilations(self.dilations.clone())
            .padding(self.padding.clone())
            .groups(self.groups);
        let kernel = self.kernel.read();
        let mut y = match N {
            1 => x.conv1d(&kernel, &options),
            2 => x.conv2d(&kernel, &options),
            _ => x.conv3d(&kernel, &options),
        };
        if self.use_bias {
            y = y + self.bias.read();
        }
        self.activation.apply(&y)
    }
}
