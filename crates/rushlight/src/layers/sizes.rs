//! Numbers for spatial axes, and padding, as settings.

use crate::layers::Setting;
use crate::layers::config::items;
use rushlight_core::{Error, ErrorKind, Padding, PerAxis, Result, Spec};
use serde_json::Value;

/// One number for each of `N` spatial axes: given as one number for all, or as one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes<const N: usize>(PerAxis);

impl<const N: usize> Sizes<N> {
    /// The numbers, or the rule that was broken: `what` names them.
    pub(crate) fn each(&self, layer: &str, what: &str) -> Result<[usize; N]> {
        let sizes = self.0.for_axes(N).and_then(|sizes| <[usize; N]>::try_from(sizes.as_slice()).ok());
        sizes.ok_or_else(|| {
            let rule = match N {
                1 => format!("{what} must be one number"),
                _ => format!("{what} must be one number, or {N} of them"),
            };
            Error::new(ErrorKind::Value, layer, rule)
        })
    }
}

impl<const N: usize> From<Sizes<N>> for PerAxis {
    fn from(sizes: Sizes<N>) -> PerAxis {
        sizes.0
    }
}

impl<const N: usize> From<usize> for Sizes<N> {
    fn from(size: usize) -> Sizes<N> {
        Sizes(size.into())
    }
}

impl<const N: usize, const M: usize> From<[usize; M]> for Sizes<N> {
    fn from(sizes: [usize; M]) -> Sizes<N> {
        Sizes(sizes.into())
    }
}

impl<const N: usize> From<&[usize]> for Sizes<N> {
    fn from(sizes: &[usize]) -> Sizes<N> {
        Sizes(sizes.into())
    }
}

impl<const N: usize> From<Vec<usize>> for Sizes<N> {
    fn from(sizes: Vec<usize>) -> Sizes<N> {
        Sizes(sizes.into())
    }
}

impl<const N: usize> From<PerAxis> for Sizes<N> {
    fn from(sizes: PerAxis) -> Sizes<N> {
        Sizes(sizes)
    }
}

impl<const N: usize> Setting for Sizes<N> {
    fn to_value(&self) -> Result<Value, String> {
        let sizes = self.0.for_axes(N).ok_or_else(|| format!("there must be {N} numbers"))?;
        Ok(sizes.as_slice().into())
    }

    fn from_value(value: &Value) -> Result<Sizes<N>, String> {
        let expected = || format!("a whole number from 0, or {N} of them");
        let sizes = match items(value) {
            Some(_) => PerAxis::from(Vec::<usize>::from_value(value).map_err(|_| expected())?),
            None => PerAxis::from(usize::from_value(value).map_err(|_| expected())?),
        };
        sizes.for_axes(N).ok_or_else(expected)?;
        Ok(Sizes(sizes))
    }
}

/// Places before and after each of `N` spatial axes: `2` for all sides, `[1, 2]` the same on both sides of each
/// axis, `[(1, 2), (0, 1)]` each side by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Margins<const N: usize>(pub(crate) [(usize, usize); N]);

impl<const N: usize> From<usize> for Margins<N> {
    fn from(places: usize) -> Margins<N> {
        Margins([(places, places); N])
    }
}

impl<const N: usize> From<[usize; N]> for Margins<N> {
    fn from(places: [usize; N]) -> Margins<N> {
        Margins(places.map(|places| (places, places)))
    }
}

impl<const N: usize> From<[(usize, usize); N]> for Margins<N> {
    fn from(places: [(usize, usize); N]) -> Margins<N> {
        Margins(places)
    }
}

impl From<(usize, usize)> for Margins<1> {
    fn from(places: (usize, usize)) -> Margins<1> {
        Margins([places])
    }
}

impl<const N: usize> Setting for Margins<N> {
    fn to_value(&self) -> Result<Value, String> {
        let pairs: Vec<Value> = self.0.iter().map(|&(low, high)| [low, high].as_slice().into()).collect();
        // Keras writes the only pair of one axis without a list around it.
        Ok(if N == 1 { pairs.into_iter().next().unwrap_or_default() } else { Value::Array(pairs) })
    }

    fn from_value(value: &Value) -> Result<Margins<N>, String> {
        let expected = || format!("a whole number from 0, or a pair of them for each of {N} axes");
        if value.is_number() {
            return usize::from_value(value).map(Margins::from).map_err(|_| expected());
        }
        let items = items(value).ok_or_else(expected)?;
        let margins: Option<Vec<(usize, usize)>> = if N == 1 && items.iter().all(Value::is_number) {
            match items.as_slice() {
                [_] => usize::from_value(&items[0]).ok().map(|places| vec![(places, places)]),
                _ => <(usize, usize)>::from_value(value).ok().map(|pair| vec![pair]),
            }
        } else {
            let sides = |item: &Value| match item.is_number() {
                true => usize::from_value(item).ok().map(|places| (places, places)),
                false => <(usize, usize)>::from_value(item).ok(),
            };
            items.iter().map(sides).collect()
        };
        margins.and_then(|margins| margins.try_into().ok()).map(Margins).ok_or_else(expected)
    }
}

impl Setting for Padding {
    fn to_value(&self) -> Result<Value, String> {
        match self {
            Padding::Valid => Ok("valid".into()),
            Padding::Same => Ok("same".into()),
            Padding::Explicit(_) => {
                Err("Keras has no explicit padding here, but a ZeroPadding layer".to_string())
            }
        }
    }

    fn from_value(value: &Value) -> Result<Padding, String> {
        match value.as_str() {
            Some("valid") => Ok(Padding::Valid),
            Some("same") => Ok(Padding::Same),
            _ => Err("`valid` or `same`".to_string()),
        }
    }
}

/// Where the channels are. The engine knows one place; Keras writes it down all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelsLast;

impl Setting for ChannelsLast {
    fn to_value(&self) -> Result<Value, String> {
        Ok("channels_last".into())
    }

    fn from_value(value: &Value) -> Result<ChannelsLast, String> {
        match value.as_str() {
            None if value.is_null() => Ok(ChannelsLast),
            Some("channels_last") => Ok(ChannelsLast),
            _ => Err("`channels_last` (move the channels to the last axis first)".to_string()),
        }
    }
}

/// What Keras has and the engine does not: may only be off.
#[derive(Default)]
pub(crate) struct Off;

impl Setting for Off {
    fn to_value(&self) -> Result<Value, String> {
        Ok(false.into())
    }

    fn from_value(value: &Value) -> Result<Off, String> {
        match value.as_bool() {
            Some(true) => Err("false: it is not supported".to_string()),
            _ => Ok(Off),
        }
    }
}

/// An error of a layer about its input.
pub(crate) fn unfit(layer: &str, rule: impl Into<String>, inputs: &[&Spec]) -> Error {
    let inputs = inputs.iter().map(|&input| input.clone()).collect();
    Error::with_inputs(ErrorKind::Shape, crate::layers::snake_case(layer), rule, inputs)
}

/// An error of a layer about a setting.
pub(crate) fn bad_setting(layer: &str, rule: impl Into<String>) -> Error {
    Error::new(ErrorKind::Value, crate::layers::snake_case(layer), rule)
}

/// Checks that there are a batch axis, `N` spatial ones and channels; gives the spatial sizes and the channels.
pub(crate) fn image_axes<const N: usize>(layer: &str, input: &Spec) -> Result<([usize; N], usize)> {
    match input.dims.as_slice() {
        [_, spatial @ .., channels] if spatial.len() == N => {
            let mut sizes = [0; N];
            sizes.copy_from_slice(spatial);
            Ok((sizes, *channels))
        }
        _ => {
            let axes = match N {
                1 => "steps",
                2 => "height, width",
                _ => "depth, height, width",
            };
            Err(unfit(layer, format!("the input must be [batch, {axes}, channels]"), &[input]))
        }
    }
}

/// A tensor that carries the error, where there is one: for `forward`, which gives tensors.
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return rushlight_core::Tensor::carry(error),
        }
    };
}

pub(crate) use attempt;
