//! Axes: a range of numbers, and where it gets its ticks.

/// The part of the number line that a panel shows, with ticks at round numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
}

impl Axis {
    /// An axis that holds all finite `values`, with about `ticks` ticks; with `whole` only at whole numbers.
    ///
    /// `margin` widens the ends to the next tick.
    pub(super) fn new(
        values: impl Iterator<Item = f64> + Clone,
        ticks: usize,
        whole: bool,
        margin: bool,
    ) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let mut low = finite.clone().fold(f64::INFINITY, f64::min);
        let mut high = finite.fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            // One number alone: show some of what lies around it.
            let around = if low == 0.0 || whole { 0.5 } else { low.abs() * 0.1 };
            (low, high) = (low - around, high + around);
        }
        let step = round_step((high - low) / ticks as f64);
        let step = if whole { step.max(1.0).round() } else { step };
        if margin {
            // A value within a hundredth of a tick of it needs no further one.
            low = (low / step + 0.01).floor() * step;
            high = (high / step - 0.01).ceil() * step;
        }
        Axis { low, high, step }
    }

    /// Where `value` lies between the ends, as a number from 0 to 1.
    pub(super) fn part(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil() as i64;
        let last = (self.high / self.step + 1e-6).floor() as i64;
        (first..=last).map(|tick| tick as f64 * self.step).collect()
    }

    /// A tick as text, with as many decimals as tell it from the next.
    pub(super) fn label(&self, tick: f64, percent: bool) -> String {
        let (tick, step) = if percent { (tick * 100.0, self.step * 100.0) } else { (tick, self.step) };
        if tick.abs() >= 1e6 || (step < 1e-4 && tick != 0.0) {
            return format!("{tick:e}");
        }
        let decimals =
            (0..6).find(|&d| (step * 10f64.powi(d)).fract().min(1.0 - (step * 10f64.powi(d)).fract()) < 1e-6);
        let tick = if tick == 0.0 { 0.0 } else { tick };
        let unit = if percent { " %" } else { "" };
        format!("{tick:.*}{unit}", decimals.unwrap_or(6) as usize)
    }
}

/// The least of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| step <= factor * power * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[f64]) -> Axis {
        Axis::new(values.iter().copied(), 5, false, true)
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        assert_eq!(axis(&[0.03, 2.2]).ticks(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(
            axis(&[0.31, 0.93]).ticks(),
            [0.2, 0.4, 0.6, 0.8, 1.0].map(|t: f64| (t * 5.0).round() * 0.2)
        );
        assert_eq!(axis(&[-7.0, 12.0]).ticks(), [-10.0, -5.0, 0.0, 5.0, 10.0, 15.0]);
        let epochs = Axis::new([1.0, 10.0].into_iter(), 6, true, false);
        assert_eq!((epochs.ticks(), epochs.low, epochs.high), (vec![2.0, 4.0, 6.0, 8.0, 10.0], 1.0, 10.0));
        assert_eq!(Axis::new([1.0, 3.0].into_iter(), 6, true, false).ticks(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn any_values_make_an_axis() {
        for values in
            [&[][..], &[f64::NAN], &[0.0], &[5.0, 5.0], &[-3.0], &[1e-30, 2e-30], &[1e30], &[0.0, 1e12]]
        {
            let axis = axis(values);
            let ticks = axis.ticks();
            assert!((2..12).contains(&ticks.len()), "{values:?}: {ticks:?}");
            assert!(axis.low < axis.high && (0.0..=1.0).contains(&axis.part(axis.low)));
            for value in values.iter().filter(|value| value.is_finite()) {
                assert!(axis.low <= *value && *value <= axis.high, "{values:?}: {axis:?}");
            }
        }
    }

    #[test]
    fn labels_have_the_decimals_they_need() {
        let label = |values: &[f64], percent| {
            let axis = axis(values);
            axis.ticks().iter().map(|&tick| axis.label(tick, percent)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(label(&[0.0, 2.5], false), "0.0 0.5 1.0 1.5 2.0 2.5");
        assert_eq!(label(&[0.2, 1.0], true), "20 % 40 % 60 % 80 % 100 %");
        assert_eq!(label(&[0.0, 1.25], false), "0.00 0.25 0.50 0.75 1.00 1.25");
        assert_eq!(label(&[-1.0, 1.0], false), "-1.0 -0.5 0.0 0.5 1.0");
        assert_eq!(label(&[0.0, 5e6], false), "0 1e6 2e6 3e6 4e6 5e6");
    }
}
