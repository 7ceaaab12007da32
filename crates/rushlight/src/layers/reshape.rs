//! Layers that only change the shape, and zero padding.

use crate::layers::{Layer, LayerState};
use rushlight_core::{Error, ErrorKind, Tensor};

/// All axes behind the batch axis become one: `[batch, a, b, …] → [batch, a·b·…]`.
#[derive(Clone, Debug)]
pub struct Flatten {
    state: LayerState,
}

impl Flatten {
    #[track_caller]
    pub fn new() -> Flatten {
        Flatten { state: LayerState::new("Flatten") }
    }
}

impl Default for Flatten {
    #[track_caller]
    fn default() -> Flatten {
        Flatten::new()
    }
}

impl Layer for Flatten {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match x.shape() {
            Ok([batch, features @ ..]) => x.reshape_to(&[*batch, features.iter().product()]),
            Ok([]) => {
                Tensor::carry(Error::new(ErrorKind::Shape, "flatten", "the input must have a batch axis"))
            }
            Err(error) => Tensor::carry(error),
        }
    }
}

/// The same elements of each example in another shape: `[batch, …] → [batch, dims…]`; one size may be -1.
#[derive(Clone, Debug)]
pub struct Reshape {
    state: LayerState,
    dims: Vec<isize>,
}

impl Reshape {
    /// The new shape without the batch axis.
    #[track_caller]
    pub fn new(dims: impl AsRef<[isize]>) -> Reshape {
        Reshape { state: LayerState::new("Reshape"), dims: dims.as_ref().to_vec() }
    }
}

impl Layer for Reshape {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let [batch, features @ ..] = (match x.shape() {
            Ok(dims) => dims,
            Err(error) => return Tensor::carry(error),
        }) else {
            return Tensor::carry(Error::new(
                ErrorKind::Shape,
                "reshape",
                "the input must have a batch axis",
            ));
        };
        let available: usize = features.iter().product();
        let known: usize = self.dims.iter().filter(|&&dim| dim >= 0).map(|&dim| dim as usize).product();
        let free = self.dims.iter().filter(|&&dim| dim < 0).count();
        let rest = available.checked_div(known).unwrap_or(0);
        if free > 1 || (free == 0 && known != available) || (free == 1 && known * rest != available) {
            let rule = format!("the {available} elements of each example must fit into {:?}", self.dims);
            let got = x.spec().map(|spec| vec![spec.clone()]).unwrap_or_default();
            return Tensor::carry(Error::with_inputs(ErrorKind::Shape, "reshape", rule, got));
        }
        let sizes = self.dims.iter().map(|&dim| if dim < 0 { rest } else { dim as usize });
        x.reshape_to(&std::iter::once(*batch).chain(sizes).collect::<Vec<usize>>())
    }
}

/// Rows and columns of zeros around images: `[batch, height, width, channels]`.
#[derive(Clone, Debug)]
pub struct ZeroPadding2d {
    state: LayerState,
    rows: (usize, usize),
    columns: (usize, usize),
}

impl ZeroPadding2d {
    /// This many on each of the four sides.
    #[track_caller]
    pub fn new(padding: usize) -> ZeroPadding2d {
        ZeroPadding2d::sides((padding, padding), (padding, padding))
    }

    /// Rows (above, below) and columns (left, right).
    #[track_caller]
    pub fn sides(rows: (usize, usize), columns: (usize, usize)) -> ZeroPadding2d {
        ZeroPadding2d { state: LayerState::new("ZeroPadding2d"), rows, columns }
    }
}

impl Layer for ZeroPadding2d {
    fn state(&self) -> &LayerState {
        &self.state
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.pad(&[(0, 0), self.rows, self.columns, (0, 0)])
    }
}

/// Passes its input on; a place to name, or to keep free.
#[derive(Clone, Debug)]
pub struct Identity {
    state: LayerState,
}

impl Identity {
    #[track_caller]
    pub fn new() -> Identity {
        Identity { state: LayerState::new("Identity") }
    }
}

impl Default for Identity {
    #[track_caller]
    fn default() -> Identity {
        Identity::new()
    }
}

impl Layer for Identity {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.clone()
    }
}
