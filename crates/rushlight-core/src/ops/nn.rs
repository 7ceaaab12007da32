//! Activations, and softmax in its two forms.

use crate::ops::elementwise::where_;
use crate::ops::require_floats;
use crate::tensor::{Fault, Tensor, normalize_axis};
use crate::trace::apply::fail;

/// Scale and saturation of [`Tensor::selu`] (Klambauer et al., 2017), exact to the last digit of `f64`.
const SELU_SCALE: f64 = 1.0507009873554804934193349852946;
const SELU_ALPHA: f64 = 1.6732632423543772848170429916717;

impl Tensor {
    /// `exp(x) / Σ exp(x)` along an axis, for floats: positive numbers that add up to one. Does not overflow.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// assert_eq!(Tensor::from([1000.0f32, 1000.0]).softmax(-1).to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Tensor {
        if let Err(carried) = self.check_softmax("softmax", axis) {
            return carried;
        }
        let exponentials = self.below_largest(axis).exp();
        &exponentials / exponentials.sum_keepdims(axis)
    }

    /// `x - ln Σ exp(x)` along an axis, for floats: the logarithm of [`Tensor::softmax`], exact also where that
    /// is nearly zero.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Tensor {
        if let Err(carried) = self.check_softmax("log_softmax", axis) {
            return carried;
        }
        let below = self.below_largest(axis);
        &below - below.exp().sum_keepdims(axis).log()
    }

    /// The distance below the largest element, which changes neither softmax nor its gradient.
    #[track_caller]
    fn below_largest(&self, axis: isize) -> Tensor {
        self - self.stop_gradient().max_keepdims(axis)
    }

    #[track_caller]
    fn check_softmax(&self, op: &str, axis: isize) -> Result<(), Tensor> {
        require_floats(op, &[self])?;
        let rank = self.known_spec().map_or(0, |spec| spec.rank());
        let size = normalize_axis(axis, rank).and_then(|axis| self.known_spec().map(|spec| spec.dims[axis]));
        match size {
            Some(size) if size > 0 => Ok(()),
            _ => Err(fail(op, Fault::shape(format!("axis {axis} must exist and not be empty")), &[self])),
        }
    }

    /// `max(x, 0)`: the rectified linear unit, for numbers. Its derivative at zero is zero.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.maximum(0.0)
    }

    /// `ln(1 + eˣ)`, without overflow.
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        self.activation("softplus", |x| {
            // With -|x| written as min(-x, x), whose slope at zero is that of x, the derivative is right there too.
            x.maximum(0.0) + (-x).minimum(x).exp().log1p()
        })
    }

    /// `x · sigmoid(x)`, also known as swish.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self.activation("silu", |x| x * x.sigmoid())
    }

    /// `x · Φ(x)` with the exact normal distribution function: `x/2 · (1 + erf(x/√2))`.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self.activation("gelu", |x| x * 0.5 * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0))
    }

    /// `x` where positive, `slope · x` elsewhere. Keras's default slope is 0.2.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        self.activation("leaky_relu", |x| where_(&x.greater(0.0), x, &(x * slope)))
    }

    /// `min(max(x, 0), 6)`.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.clip(0.0, 6.0)
    }

    /// `x` where positive, `alpha · (eˣ - 1)` elsewhere.
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor {
        // The exponential sees no positive input, so that its gradient cannot overflow either.
        self.activation("elu", |x| where_(&x.greater(0.0), x, &(x.minimum(0.0).expm1() * alpha)))
    }

    /// `elu` with the scale and saturation that keep mean and variance (Klambauer et al., 2017).
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        self.activation("selu", |x| x.elu(SELU_ALPHA) * SELU_SCALE)
    }

    /// `max(x, 0) + min(α · (e^(x/α) - 1), 0)`: the continuously differentiable [`Tensor::elu`].
    #[track_caller]
    pub fn celu(&self, alpha: f64) -> Tensor {
        self.activation("celu", |x| where_(&x.greater(0.0), x, &((x.minimum(0.0) / alpha).expm1() * alpha)))
    }

    /// `x / (1 + |x|)`.
    #[track_caller]
    pub fn softsign(&self) -> Tensor {
        self.activation("softsign", |x| x / (x.abs() + 1.0))
    }

    /// `min(max(x/6 + 1/2, 0), 1)`, as in Keras 3.
    #[track_caller]
    pub fn hard_sigmoid(&self) -> Tensor {
        self.activation("hard_sigmoid", |x| (x / 6.0 + 0.5).clip(0.0, 1.0))
    }

    /// `x · hard_sigmoid(x)`.
    #[track_caller]
    pub fn hard_silu(&self) -> Tensor {
        self.activation("hard_silu", |x| x * x.hard_sigmoid())
    }

    /// `min(max(x, -1), 1)`.
    #[track_caller]
    pub fn hard_tanh(&self) -> Tensor {
        self.activation("hard_tanh", |x| x.clip(-1.0, 1.0))
    }

    /// `ln sigmoid(x)`, without overflow.
    #[track_caller]
    pub fn log_sigmoid(&self) -> Tensor {
        self.activation("log_sigmoid", |x| -(-x).softplus())
    }

    /// `x · tanh(softplus(x))`.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self.activation("mish", |x| x * x.softplus().tanh())
    }

    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`: the approximation of [`Tensor::gelu`] by a hyperbolic tangent.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        let slope = (2.0 / std::f64::consts::PI).sqrt();
        self.activation("gelu_tanh", |x| x * 0.5 * (((x + x * x.square() * 0.044715) * slope).tanh() + 1.0))
    }

    /// `x - tanh(x)`.
    #[track_caller]
    pub fn tanh_shrink(&self) -> Tensor {
        self.activation("tanh_shrink", |x| x - x.tanh())
    }

    /// A composed function of floats, whose faulty input is reported under its own name.
    #[track_caller]
    pub(crate) fn activation(&self, op: &str, function: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        match require_floats(op, &[self]) {
            Ok(()) => function(self),
            Err(carried) => carried,
        }
    }
}
