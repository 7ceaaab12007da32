//! Features with mean 0 and variance 1, by what was seen of the data.

use crate::initializers::Initializer;
use crate::layers::Layer;
use crate::layers::activation::AxisList;
use crate::layers::define::{basics, layer};
use crate::layers::images::rescaling::Numbers;
use crate::layers::sizes::{attempt, bad_setting, unfit};
use rushlight_core::tensor::normalize_axis;
use rushlight_core::{DType, Result, Spec, Tensor, eagerly};

layer! {
    /// `y = (x - mean) / √variance`, with mean and variance given, or those that [`Normalization::adapt`] finds in data.
    ///
    /// # Shapes
    /// `[batch, …] → ` the same; variables, if not given, `mean` and `variance` with the sizes of the axes, and `count`.
    ///
    /// ```
    /// use rushlight::prelude::*;
    /// let norm = Normalization::new();
    /// norm.adapt([&Tensor::from([[1.0f32, 10.0], [3.0, 30.0]])])?;
    /// assert_eq!(norm.call(&Tensor::from([[2.0f32, 40.0]])).to_vec::<f32>()?, [0.0, 2.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    Normalization = "Normalization";
    /// For each feature along the last axis.
    new();
    settings {
        /// The axes that each have a mean and a variance of their own; the last one by default, `None` for one of all.
        axis => Option<AxisList> = Some(AxisList::from(-1));
        /// The mean, if it is known: a number, or one for each feature.
        mean ? Numbers = None;
        /// The variance, if it is known.
        variance ? Numbers = None;
        /// Whether the layer takes normalized data back: `y = x · √variance + mean`.
        invert: bool = false;
    }
    weights { adapted_mean, adapted_variance, count }
}

/// The smallest deviation that is divided by.
const SMALLEST_DEVIATION: f64 = 1e-7;

impl Normalization {
    /// The axes with statistics of their own, in order.
    fn kept_axes(&self, input: &Spec) -> Result<Vec<usize>> {
        let axes = self.axis.as_ref().map_or(&[][..], |list| &list.axes);
        let mut places: Vec<usize> =
            axes.iter().filter_map(|&axis| normalize_axis(axis, input.rank())).collect();
        places.sort_unstable();
        places.dedup();
        match places.len() == axes.len() {
            true => Ok(places),
            false => {
                Err(unfit("Normalization", format!("the axes {axes:?} must exist, each once"), &[input]))
            }
        }
    }

    /// The sizes of the kept axes, and 1 for the others.
    fn broadcast_dims(input: &Spec, kept: &[usize]) -> Vec<usize> {
        let size = |(axis, &size): (usize, &usize)| if kept.contains(&axis) { size } else { 1 };
        input.dims.iter().enumerate().map(size).collect()
    }

    /// Finds mean and variance of all batches together, instead of those before.
    ///
    /// # Errors
    /// If mean and variance were given, or the batches differ in their features.
    #[track_caller]
    pub fn adapt<'a>(&self, batches: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
        if self.mean.is_some() {
            return Err(bad_setting(
                "Normalization",
                "mean and variance were given: there is nothing to adapt",
            ));
        }
        eagerly(|| {
            let mut total: Option<(Tensor, Tensor, f64)> = None;
            for batch in batches {
                self.call(batch).check()?;
                let spec = batch.spec()?;
                let kept = self.kept_axes(spec)?;
                let over: Vec<isize> =
                    (0..spec.rank()).filter(|axis| !kept.contains(axis)).map(|axis| axis as isize).collect();
                let wide = batch.cast(DType::F64);
                let count: usize = over.iter().map(|&axis| spec.dims[axis as usize]).product();
                let (mean, variance) = (wide.mean(over.as_slice()), wide.variance(over.as_slice()));
                total = Some(match total {
                    None => (mean, variance, count as f64),
                    Some((old_mean, old_variance, old_count)) => {
                        let all = old_count + count as f64;
                        let share = count as f64 / all;
                        let new_mean = &old_mean * (1.0 - share) + &mean * share;
                        let old_part = (old_variance + (old_mean - &new_mean).square()) * (1.0 - share);
                        let new_part = (variance + (mean - &new_mean).square()) * share;
                        (new_mean, old_part + new_part, all)
                    }
                });
            }
            let Some((mean, variance, _)) = total else {
                return Err(bad_setting("Normalization", "there must be at least one batch to adapt to"));
            };
            let dtype = self.adapted_mean.read().dtype()?;
            let (mean, variance) = (mean.cast(dtype), variance.cast(dtype));
            mean.check()?;
            variance.check()?;
            self.adapted_mean.assign(&mean)?;
            self.adapted_variance.assign(&variance)
        })
    }
}

impl Layer for Normalization {
    basics!(passes_mask);

    fn build(&self, input: &Spec) -> Result<()> {
        let kept = self.kept_axes(input)?;
        if self.mean.is_some() != self.variance.is_some() {
            return Err(bad_setting("Normalization", "mean and variance must both be given, or neither"));
        }
        if self.mean.is_none() {
            let sizes: Vec<usize> = kept.iter().map(|&axis| input.dims[axis]).collect();
            self.adapted_mean.make_untrainable("mean", &sizes, &Initializer::Zeros)?;
            self.adapted_variance.make_untrainable("variance", &sizes, &Initializer::Ones)?;
            self.count.make_counter("count")?;
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = if attempt!(x.dtype()).is_float() { x.clone() } else { x.cast(DType::F32) };
        let spec = attempt!(x.spec());
        let kept = attempt!(self.kept_axes(spec));
        let dims = Normalization::broadcast_dims(spec, &kept);
        let statistic = |given: &Option<Numbers>, adapted: &crate::layers::Weight| match given {
            None => adapted.read().reshape_to(&dims),
            Some(numbers) => {
                let numbers = numbers.tensor(spec.dtype);
                match numbers.count() {
                    Ok(1) => numbers.reshape([]),
                    _ => numbers.reshape_to(&dims),
                }
            }
        };
        let mean = statistic(&self.mean, &self.adapted_mean);
        let deviation = statistic(&self.variance, &self.adapted_variance).sqrt().maximum(SMALLEST_DEVIATION);
        if self.invert { x * deviation + mean } else { (x - mean) / deviation }
    }
}
