//! Padding and cropping of the spatial axes.

use crate::layers::Layer;
use crate::layers::define::{basics, class_by_rank, layer};
use crate::layers::sizes::{ChannelsLast, Margins, attempt, image_axes, unfit};
use rushlight_core::{Result, Spec, Tensor};

layer! {
    /// Zeros before and after the spatial axes.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → [batch, spatial' …, channels]` with `spatial' = before + spatial + after`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = ZeroPadding2d::new([(1, 0), (2, 2)]).call(&Tensor::ones([1, 4, 4, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 5, 8, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ZeroPadding<N> = class_by_rank!(N: "ZeroPadding1d", "ZeroPadding2d", "ZeroPadding3d");
    /// One number for all sides, one for each axis, or a pair (before, after) for each axis.
    new(padding => Margins<N>);
    fixed {
        "data_format": ChannelsLast;
    }
}

/// Zeros before and after steps. See [`ZeroPadding`].
pub type ZeroPadding1d = ZeroPadding<1>;
/// Rows and columns of zeros around images. See [`ZeroPadding`].
pub type ZeroPadding2d = ZeroPadding<2>;
/// Zeros around volumes. See [`ZeroPadding`].
pub type ZeroPadding3d = ZeroPadding<3>;

impl<const N: usize> Layer for ZeroPadding<N> {
    basics!();

    fn build(&self, input: &Spec) -> Result<()> {
        image_axes::<N>(self.state.class(), input).map(drop)
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut padding = vec![(0, 0)];
        padding.extend(self.padding.0);
        padding.push((0, 0));
        x.pad(&padding)
    }
}

layer! {
    /// Cuts places off before and after the spatial axes.
    ///
    /// # Shapes
    /// `[batch, spatial…, channels] → [batch, spatial' …, channels]` with `spatial' = spatial - before - after`
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let y = Cropping1d::new((1, 2)).call(&Tensor::ones([1, 8, 3], DType::F32));
    /// assert_eq!(y.shape()?, [1, 5, 3]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Cropping<N> = class_by_rank!(N: "Cropping1d", "Cropping2d", "Cropping3d");
    /// One number for all sides, one for each axis, or a pair (before, after) for each axis.
    new(cropping => Margins<N>);
    fixed {
        "data_format": ChannelsLast;
    }
}

/// Cuts steps off. See [`Cropping`].
pub type Cropping1d = Cropping<1>;
/// Cuts rows and columns off images. See [`Cropping`].
pub type Cropping2d = Cropping<2>;
/// Cuts places off volumes. See [`Cropping`].
pub type Cropping3d = Cropping<3>;

impl<const N: usize> Layer for Cropping<N> {
    basics!();

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let spec = attempt!(x.spec());
        let (sizes, _) = attempt!(image_axes::<N>(self.state.class(), spec));
        let mut x = x.clone();
        for (axis, (size, (before, after))) in sizes.into_iter().zip(self.cropping.0).enumerate() {
            if before + after >= size {
                let rule = format!("cropping {before} and {after} of axis {} must leave something", axis + 1);
                return Tensor::carry(unfit(self.state.class(), rule, &[spec]));
            }
            x = x.slice_axis(axis as isize + 1, before, size - after);
        }
        x
    }
}
