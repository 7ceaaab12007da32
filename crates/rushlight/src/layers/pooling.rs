//! Pooling over windows, and over everything.

use crate::layers::{Layer, LayerState};
use rushlight_core::{Padding, PerAxis, PoolOptions, Tensor};

macro_rules! pooling_layers {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Shapes
        /// `[batch, spatial…, channels] → [batch, spatial'…, channels]`, sizes as [`Padding`] says.
        #[derive(Clone, Debug)]
        pub struct $name {
            state: LayerState,
            options: PoolOptions,
        }

        impl $name {
            /// Windows of this size (one number, or one for each axis) side by side, no padding.
            #[track_caller]
            pub fn new(size: impl Into<PerAxis>) -> $name {
                $name { state: LayerState::new(stringify!($name)), options: PoolOptions::new(size) }
            }

            /// The steps from one window to the next; the window's size if not given.
            pub fn strides(mut self, strides: impl Into<PerAxis>) -> $name {
                self.options = self.options.strides(strides);
                self
            }

            /// What lies beyond the edges; it never counts.
            pub fn padding(mut self, padding: Padding) -> $name {
                self.options = self.options.padding(padding);
                self
            }
        }

        impl Layer for $name {
            fn state(&self) -> &LayerState {
                &self.state
            }

            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$op(&self.options)
            }
        }
    )*};
}

pooling_layers! {
    /// The largest element of each window of steps.
    MaxPooling1d => max_pool1d;
    /// The largest element of each window of an image.
    MaxPooling2d => max_pool2d;
    /// The largest element of each window of a volume.
    MaxPooling3d => max_pool3d;
    /// The mean over each window of steps.
    AveragePooling1d => average_pool1d;
    /// The mean over each window of an image.
    AveragePooling2d => average_pool2d;
    /// The mean over each window of a volume.
    AveragePooling3d => average_pool3d;
}

macro_rules! global_pooling_layers {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Shapes
        /// `[batch, spatial…, channels] → [batch, channels]`
        #[derive(Clone, Debug)]
        pub struct $name {
            state: LayerState,
        }

        impl $name {
            #[track_caller]
            pub fn new() -> $name {
                $name { state: LayerState::new(stringify!($name)) }
            }
        }

        impl Default for $name {
            #[track_caller]
            fn default() -> $name {
                $name::new()
            }
        }

        impl Layer for $name {
            fn state(&self) -> &LayerState {
                &self.state
            }

            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$op()
            }
        }
    )*};
}

global_pooling_layers! {
    /// The largest element of each channel over all steps.
    GlobalMaxPooling1d => global_max_pool1d;
    /// The largest element of each channel over the image.
    GlobalMaxPooling2d => global_max_pool2d;
    /// The largest element of each channel over the volume.
    GlobalMaxPooling3d => global_max_pool3d;
    /// The mean of each channel over all steps.
    GlobalAveragePooling1d => global_average_pool1d;
    /// The mean of each channel over the image.
    GlobalAveragePooling2d => global_average_pool2d;
    /// The mean of each channel over the volume.
    GlobalAveragePooling3d => global_average_pool3d;
}
