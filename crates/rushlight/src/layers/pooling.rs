//! Pooling over windows, over everything, and to a size.

use crate::layers::Layer;
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::masks::mask_of;
use crate::layers::sizes::{ChannelsLast, Sizes, attempt, image_axes, unfit};
use rushlight_core::{DType, Padding, PoolOptions, Result, Spec, Tensor, concat};

macro_rules! window_pooling {
    ($(#[$doc:meta])* $Name:ident: $classes:expr, $one:ident $two:ident $three:ident) => {
        layer! {
            $(#[$doc])*
            ///
            /// # Shapes
            /// `[batch, spatial…, channels] → [batch, spatial'…, channels]`, sizes as
            /// [`Padding`](rushlight_core::Padding) says.
            $Name<N> = $classes;
            /// Windows of this size (one number, or one for each axis) side by side, no padding.
            new(pool_size => Sizes<N>);
            settings {
                /// The steps from one window to the next; the window's size if not given.
                strides => Stride<N> = Stride(None);
                /// What lies beyond the edges; it never counts.
                padding: Padding = Padding::Valid;
            }
            fixed {
                "data_format": ChannelsLast;
            }
        }

        impl<const N: usize> Layer for $Name<N> {
            basics!();

            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let mut options = PoolOptions::new(self.pool_size.clone()).padding(self.padding.clone());
                if let Stride(Some(strides)) = &self.strides {
                    options = options.strides(strides.clone());
                }
                match N {
                    1 => x.$one(&options),
                    2 => x.$two(&options),
                    _ => x.$three(&options),
                }
            }
        }
    };
}

/// The steps between windows, if they are not the window's size.
#[derive(Clone, Debug)]
pub struct Stride<const N: usize>(Option<Sizes<N>>);

impl<const N: usize> From<Sizes<N>> for Stride<N> {
    fn from(strides: Sizes<N>) -> Stride<N> {
        Stride(Some(strides))
    }
}

impl<const N: usize> From<usize> for Stride<N> {
    fn from(strides: usize) -> Stride<N> {
        Stride(Some(strides.into()))
    }
}

impl<const N: usize, const M: usize> From<[usize; M]> for Stride<N> {
    fn from(strides: [usize; M]) -> Stride<N> {
        Stride(Some(strides.into()))
    }
}

impl<const N: usize> crate::layers::Setting for Stride<N> {
    fn to_value(&self) -> Result<serde_json::Value, String> {
        self.0.to_value()
    }

    fn from_value(value: &serde_json::Value) -> Result<Stride<N>, String> {
        Option::from_value(value).map(Stride)
    }
}

window_pooling! {
    /// The largest element of each window.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = MaxPooling2d::new(2).call(&Tensor::ones([1, 5, 6, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 2, 3, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    MaxPooling: class_by_rank!(N: "MaxPooling1d", "MaxPooling2d", "MaxPooling3d"),
    max_pool1d max_pool2d max_pool3d
}

window_pooling! {
    /// The mean over each window.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = AveragePooling1d::new(2).call(&Tensor::new(&[1.0f32, 3.0, 5.0, 9.0], [1, 4, 1]));
    /// assert_eq!(y.to_vec::<f32>()?, [2.0, 7.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    AveragePooling: class_by_rank!(N: "AveragePooling1d", "AveragePooling2d", "AveragePooling3d"),
    average_pool1d average_pool2d average_pool3d
}

/// The largest element of each window of steps. See [`MaxPooling`].
pub type MaxPooling1d = MaxPooling<1>;
/// The largest element of each window of an image. See [`MaxPooling`].
pub type MaxPooling2d = MaxPooling<2>;
/// The largest element of each window of a volume. See [`MaxPooling`].
pub type MaxPooling3d = MaxPooling<3>;
/// The mean over each window of steps. See [`AveragePooling`].
pub type AveragePooling1d = AveragePooling<1>;
/// The mean over each window of an image. See [`AveragePooling`].
pub type AveragePooling2d = AveragePooling<2>;
/// The mean over each window of a volume. See [`AveragePooling`].
pub type AveragePooling3d = AveragePooling<3>;

macro_rules! global_pooling {
    ($(#[$doc:meta])* $Name:ident: $classes:expr, |$layer:ident, $x:ident| $value:expr) => {
        layer! {
            $(#[$doc])*
            ///
            /// # Shapes
            /// `[batch, spatial…, channels] → [batch, channels]`, or with `keepdims` `[batch, 1…, channels]`.
            $Name<N> = $classes;
            /// Without the spatial axes.
            new();
            settings {
                /// Whether the spatial axes stay, with a size of 1.
                keepdims: bool = false;
            }
            fixed {
                "data_format": ChannelsLast;
            }
        }

        impl<const N: usize> Layer for $Name<N> {
            basics!();

            fn build(&self, input: &Spec) -> Result<()> {
                image_axes::<N>(self.state.class(), input).map(drop)
            }

            #[track_caller]
            fn forward(&self, $x: &Tensor) -> Tensor {
                let $layer = self;
                let y = $value;
                if !self.keepdims {
                    return y;
                }
                let (batch, channels) = match attempt!(y.shape()) {
                    [batch, channels] => (*batch, *channels),
                    _ => return y,
                };
                let mut dims = vec![batch];
                dims.extend([1; N]);
                dims.push(channels);
                y.reshape_to(&dims)
            }
        }
    };
}

global_pooling! {
    /// The largest element of each channel.
    GlobalMaxPooling: class_by_rank!(N: "GlobalMaxPooling1d", "GlobalMaxPooling2d", "GlobalMaxPooling3d"),
    |_layer, x| match N {
        1 => x.global_max_pool1d(),
        2 => x.global_max_pool2d(),
        _ => x.global_max_pool3d(),
    }
}

global_pooling! {
    /// The mean of each channel; over one axis only of the steps that count, where the input has a mask.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = GlobalAveragePooling2d::new().keepdims(true).call(&Tensor::ones([2, 4, 4, 3], DType::F32));
    /// assert_eq!(y.shape()?, [2, 1, 1, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    GlobalAveragePooling:
    class_by_rank!(N: "GlobalAveragePooling1d", "GlobalAveragePooling2d", "GlobalAveragePooling3d"),
    |_layer, x| match N {
        1 => match mask_of(x) {
            Some(mask) => masked_mean(x, &mask),
            None => x.global_average_pool1d(),
        },
        2 => x.global_average_pool2d(),
        _ => x.global_average_pool3d(),
    }
}

#[track_caller]
fn masked_mean(x: &Tensor, mask: &Tensor) -> Tensor {
    let weights = mask.cast(x.dtype().unwrap_or(DType::F32)).expand_dims(2);
    (x * &weights).sum(1) / weights.sum(1)
}

/// The largest element of each channel over all steps. See [`GlobalMaxPooling`].
pub type GlobalMaxPooling1d = GlobalMaxPooling<1>;
/// The largest element of each channel over the image. See [`GlobalMaxPooling`].
pub type GlobalMaxPooling2d = GlobalMaxPooling<2>;
/// The largest element of each channel over the volume. See [`GlobalMaxPooling`].
pub type GlobalMaxPooling3d = GlobalMaxPooling<3>;
/// The mean of each channel over all steps. See [`GlobalAveragePooling`].
pub type GlobalAveragePooling1d = GlobalAveragePooling<1>;
/// The mean of each channel over the image. See [`GlobalAveragePooling`].
pub type GlobalAveragePooling2d = GlobalAveragePooling<2>;
/// The mean of each channel over the volume. See [`GlobalAveragePooling`].
pub type GlobalAveragePooling3d = GlobalAveragePooling<3>;

macro_rules! adaptive_pooling {
    ($(#[$doc:meta])* $Name:ident: $classes:expr, $reduce:ident) => {
        layer! {
            $(#[$doc])*
            ///
            /// Output `i` of `m` over an axis of size `n` sees the elements from `⌊i·n/m⌋` up to, but without,
            /// `⌈(i+1)·n/m⌉`.
            ///
            /// # Shapes
            /// `[batch, spatial…, channels] → [batch, output_size…, channels]`
            $Name<N> = $classes;
            /// To this size: one number, or one for each axis.
            new(output_size => Sizes<N>);
            fixed {
                "data_format": ChannelsLast;
            }
        }

        impl<const N: usize> Layer for $Name<N> {
            basics!();

            fn build(&self, input: &Spec) -> Result<()> {
                let class = self.state.class();
                let (sizes, _) = image_axes::<N>(class, input)?;
                let wanted = self.output_size.each(class, "the output size")?;
                if sizes.iter().chain(&wanted).any(|&size| size == 0) {
                    return Err(unfit(class, "no spatial size may be zero", &[input]));
                }
                Ok(())
            }

            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let class = self.state.class();
                let (sizes, _) = attempt!(image_axes::<N>(class, attempt!(x.spec())));
                let wanted = attempt!(self.output_size.each(class, "the output size"));
                // Mean and maximum of a box are those of its rows' means and maxima, one axis after the other.
                let mut x = x.clone();
                for (axis, (size, wanted)) in sizes.into_iter().zip(wanted).enumerate() {
                    let axis = axis as isize + 1;
                    let windows: Vec<Tensor> = (0..wanted)
                        .map(|i| {
                            let (start, stop) = (i * size / wanted, ((i + 1) * size).div_ceil(wanted));
                            x.slice_axis(axis, start, stop).$reduce(axis)
                        })
                        .collect();
                    x = concat(&windows.iter().collect::<Vec<_>>(), axis);
                }
                x
            }
        }
    };
}

adaptive_pooling! {
    /// The mean over as many windows as the output has places, whatever the input's size.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = AdaptiveAveragePooling2d::new([2, 3]).call(&Tensor::ones([1, 7, 8, 4], DType::F32));
    /// assert_eq!(y.shape()?, [1, 2, 3, 4]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    AdaptiveAveragePooling:
    class_by_rank!(N: "AdaptiveAveragePooling1d", "AdaptiveAveragePooling2d", "AdaptiveAveragePooling3d"),
    mean_keepdims
}

adaptive_pooling! {
    /// The largest element of as many windows as the output has places, whatever the input's size.
    AdaptiveMaxPooling:
    class_by_rank!(N: "AdaptiveMaxPooling1d", "AdaptiveMaxPooling2d", "AdaptiveMaxPooling3d"),
    max_keepdims
}

/// The mean over windows of steps. See [`AdaptiveAveragePooling`].
pub type AdaptiveAveragePooling1d = AdaptiveAveragePooling<1>;
/// The mean over windows of an image. See [`AdaptiveAveragePooling`].
pub type AdaptiveAveragePooling2d = AdaptiveAveragePooling<2>;
/// The mean over windows of a volume. See [`AdaptiveAveragePooling`].
pub type AdaptiveAveragePooling3d = AdaptiveAveragePooling<3>;
/// The largest element of windows of steps. See [`AdaptiveMaxPooling`].
pub type AdaptiveMaxPooling1d = AdaptiveMaxPooling<1>;
/// The largest element of windows of an image. See [`AdaptiveMaxPooling`].
pub type AdaptiveMaxPooling2d = AdaptiveMaxPooling<2>;
/// The largest element of windows of a volume. See [`AdaptiveMaxPooling`].
pub type AdaptiveMaxPooling3d = AdaptiveMaxPooling<3>;
