//! What convolutions and pooling share: padding, and sizes given per spatial axis.

use crate::tensor::Fault;
use smallvec::SmallVec;

/// One number for each spatial axis.
pub(crate) type Sizes = SmallVec<[usize; 3]>;
/// Places before and after each spatial axis.
pub(crate) type Margins = SmallVec<[(usize, usize); 3]>;

/// What lies beyond the edges of the spatial axes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Padding {
    /// Nothing: windows stay inside. The size becomes `⌊(size - reach) / stride⌋ + 1`.
    #[default]
    Valid,
    /// As many places, half of them before and the rest after, that the size becomes `⌈size / stride⌉`.
    Same,
    /// These many places before and after each spatial axis.
    Explicit(Vec<(usize, usize)>),
}

/// Numbers for the spatial axes: one for all (`2`) or one each (`[2, 1]`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PerAxis(Sizes);

impl PerAxis {
    /// One number for each of `axes` axes; nothing if the list has another length.
    pub fn for_axes(&self, axes: usize) -> Option<SmallVec<[usize; 3]>> {
        match self.0.as_slice() {
            [one] => Some(SmallVec::from_elem(*one, axes)),
            list => (list.len() == axes).then(|| self.0.clone()),
        }
    }

    /// As [`PerAxis::for_axes`], with the rule that was broken if it gives nothing or a zero.
    pub(crate) fn positive(&self, what: &str, axes: usize) -> Result<Sizes, Fault> {
        match self.for_axes(axes) {
            Some(sizes) if sizes.iter().all(|&size| size > 0) => Ok(sizes),
            _ => {
                let rule = format!("{what} {:?} must be one positive number, or {axes} of them", self.0);
                Err(Fault::value(rule))
            }
        }
    }
}

impl From<usize> for PerAxis {
    fn from(size: usize) -> PerAxis {
        PerAxis(SmallVec::from_elem(size, 1))
    }
}

impl From<&[usize]> for PerAxis {
    fn from(sizes: &[usize]) -> PerAxis {
        PerAxis(SmallVec::from_slice(sizes))
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(sizes: [usize; N]) -> PerAxis {
        PerAxis::from(sizes.as_slice())
    }
}

impl From<Vec<usize>> for PerAxis {
    fn from(sizes: Vec<usize>) -> PerAxis {
        PerAxis::from(sizes.as_slice())
    }
}

impl Padding {
    /// The places before and after each axis. `reach` is the window's size including its dilation.
    pub(crate) fn margins(
        &self,
        inputs: &[usize],
        reach: &[usize],
        strides: &[usize],
    ) -> Result<Margins, Fault> {
        match self {
            Padding::Valid => Ok(SmallVec::from_elem((0, 0), inputs.len())),
            Padding::Same => Ok((0..inputs.len())
                .map(|axis| {
                    let windows = inputs[axis].div_ceil(strides[axis]);
                    let covered = windows.saturating_sub(1) * strides[axis] + reach[axis];
                    halves(covered.saturating_sub(inputs[axis]))
                })
                .collect()),
            Padding::Explicit(margins) if margins.len() == inputs.len() => Ok(SmallVec::from_slice(margins)),
            Padding::Explicit(margins) => {
                let rule = format!("the padding {margins:?} must have {} pairs of numbers", inputs.len());
                Err(Fault::value(rule))
            }
        }
    }
}

/// Places divided among both ends; an odd one goes behind.
pub(crate) fn halves(places: usize) -> (usize, usize) {
    (places / 2, places - places / 2)
}

/// The spatial axes as messages name them.
pub(crate) fn axes_in_words(axes: usize) -> &'static str {
    match axes {
        1 => "steps",
        2 => "height, width",
        _ => "depth, height, width",
    }
}
