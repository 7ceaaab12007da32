//! Tensors from Rust values, and back.

use crate::cpu::buffer::Buffer;
use crate::tensor::{
    DType, Dims, Element, Error, ErrorKind, Result, Spec, Tensor, Value, display_dims, element_count,
};
use crate::with_dtype;

impl Tensor {
    /// A tensor of the elements in row-major order; carries an error if there are not as many as the shape holds.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// let x = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0], [2, 2]);
    /// assert_eq!(x.shape()?, [2, 2]);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    #[track_caller]
    pub fn new<T: Element>(elements: &[T], dims: impl AsRef<[usize]>) -> Tensor {
        let spec = Spec::new(dims, T::DTYPE);
        if spec.count() != elements.len() {
            let rule =
                format!("shape {} does not hold {} elements", display_dims(&spec.dims), elements.len());
            return Tensor::carry(Error::new(ErrorKind::Shape, "Tensor::new", rule));
        }
        Tensor::from_value(Value::contiguous(Buffer::from_slice(elements), spec))
    }

    /// A tensor without axes.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor::from_value(Value::contiguous(Buffer::from_slice(&[value]), Spec::new([], T::DTYPE)))
    }

    /// A scalar of a dtype known at run time.
    pub fn scalar_of(value: f64, dtype: DType) -> Tensor {
        Tensor::from_value(Value::scalar(value, dtype))
    }

    /// A tensor with all elements equal to `value`; takes no memory until it is written out.
    #[track_caller]
    pub fn full(dims: impl AsRef<[usize]>, value: f64, dtype: DType) -> Tensor {
        Tensor::scalar_of(value, dtype).broadcast_to(dims.as_ref())
    }

    /// A tensor of zeros (`false` for `bool`).
    #[track_caller]
    pub fn zeros(dims: impl AsRef<[usize]>, dtype: DType) -> Tensor {
        Tensor::full(dims, 0.0, dtype)
    }

    /// A tensor of ones (`true` for `bool`).
    #[track_caller]
    pub fn ones(dims: impl AsRef<[usize]>, dtype: DType) -> Tensor {
        Tensor::full(dims, 1.0, dtype)
    }

    /// Zeros of this tensor's shape and dtype.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        match self.known_spec() {
            Some(spec) => Tensor::zeros(&spec.dims, spec.dtype),
            None => self.clone(),
        }
    }

    /// Ones of this tensor's shape and dtype.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        match self.known_spec() {
            Some(spec) => Tensor::ones(&spec.dims, spec.dtype),
            None => self.clone(),
        }
    }

    /// The numbers 0, 1, … below `stop`.
    #[track_caller]
    pub fn arange(stop: i64, dtype: DType) -> Tensor {
        with_dtype!(dtype, T => {
            let elements: Vec<T> = (0..stop.max(0)).map(T::from_i64).collect();
            Tensor::new(&elements, [elements.len()])
        })
    }

    /// `count` numbers from `start` to `stop`, evenly spaced, both included.
    #[track_caller]
    pub fn linspace(start: f64, stop: f64, count: usize, dtype: DType) -> Tensor {
        let step = (stop - start) / count.saturating_sub(1).max(1) as f64;
        with_dtype!(dtype, T => {
            let elements: Vec<T> = (0..count).map(|i| T::from_f64(start + step * i as f64)).collect();
            Tensor::new(&elements, [count])
        })
    }

    /// The identity matrix of `size` rows.
    #[track_caller]
    pub fn eye(size: usize, dtype: DType) -> Tensor {
        with_dtype!(dtype, T => {
            let mut elements = vec![T::default(); size * size];
            elements.iter_mut().step_by(size + 1).for_each(|element| *element = T::from_i64(1));
            Tensor::new(&elements, [size, size])
        })
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// If an error is carried, the dtype is not `T`'s, or the tensor has no value because a function is being recorded.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.elements("to_vec")
    }

    #[track_caller]
    fn elements<T: Element>(&self, reader: &str) -> Result<Vec<T>> {
        let value = self.value(reader)?;
        if value.spec.dtype != T::DTYPE {
            let rule = format!("the elements are not {} (cast the tensor first)", T::DTYPE);
            return Err(Error::with_inputs(ErrorKind::DType, reader, rule, vec![value.spec.clone()]));
        }
        let contiguous = crate::cpu::contiguous(value);
        Ok(contiguous.view().slice::<T>().to_vec())
    }

    /// The only element.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`], and if there is more or less than one element.
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        let elements = self.elements::<T>("item")?;
        match elements.as_slice() {
            [one] => Ok(*one),
            _ => {
                let rule = "the tensor must have exactly one element";
                Err(Error::with_inputs(ErrorKind::Shape, "item", rule, vec![self.spec()?.clone()]))
            }
        }
    }

    /// The only element as `f64`, whatever the dtype.
    ///
    /// # Errors
    /// As [`Tensor::item`].
    #[track_caller]
    pub fn to_f64(&self) -> Result<f64> {
        let dtype = self.dtype()?;
        with_dtype!(dtype, T => self.item::<T>().map(T::to_f64))
    }
}

impl From<&Tensor> for Tensor {
    fn from(tensor: &Tensor) -> Tensor {
        tensor.clone()
    }
}

impl<T: Element> From<T> for Tensor {
    fn from(value: T) -> Tensor {
        Tensor::scalar(value)
    }
}

impl<T: Element> From<Vec<T>> for Tensor {
    fn from(elements: Vec<T>) -> Tensor {
        Tensor::new(&elements, [elements.len()])
    }
}

impl<T: Element> From<&[T]> for Tensor {
    fn from(elements: &[T]) -> Tensor {
        Tensor::new(elements, [elements.len()])
    }
}

impl<T: Element, const A: usize> From<[T; A]> for Tensor {
    fn from(elements: [T; A]) -> Tensor {
        Tensor::new(&elements, [A])
    }
}

impl<T: Element, const A: usize, const B: usize> From<[[T; B]; A]> for Tensor {
    fn from(elements: [[T; B]; A]) -> Tensor {
        Tensor::new(elements.as_flattened(), [A, B])
    }
}

impl<T: Element, const A: usize, const B: usize, const C: usize> From<[[[T; C]; B]; A]> for Tensor {
    fn from(elements: [[[T; C]; B]; A]) -> Tensor {
        Tensor::new(elements.as_flattened().as_flattened(), [A, B, C])
    }
}

impl<T: Element, const A: usize, const B: usize, const C: usize, const D: usize> From<[[[[T; D]; C]; B]; A]>
    for Tensor
{
    fn from(elements: [[[[T; D]; C]; B]; A]) -> Tensor {
        Tensor::new(elements.as_flattened().as_flattened().as_flattened(), [A, B, C, D])
    }
}

impl<T: Element, S: ndarray::Data<Elem = T>, D: ndarray::Dimension> From<&ndarray::ArrayBase<S, D>>
    for Tensor
{
    fn from(array: &ndarray::ArrayBase<S, D>) -> Tensor {
        match array.as_slice() {
            Some(elements) => Tensor::new(elements, array.shape()),
            None => Tensor::new(&array.iter().copied().collect::<Vec<T>>(), array.shape()),
        }
    }
}

impl<T: Element, D: ndarray::Dimension> From<ndarray::Array<T, D>> for Tensor {
    fn from(array: ndarray::Array<T, D>) -> Tensor {
        Tensor::from(&array)
    }
}

impl Tensor {
    /// The elements as an `ndarray` array.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[track_caller]
    pub fn to_ndarray<T: Element>(&self) -> Result<ndarray::ArrayD<T>> {
        let elements = self.to_vec::<T>()?;
        let dims: Dims = self.spec()?.dims.clone();
        debug_assert_eq!(element_count(&dims), elements.len());
        Ok(ndarray::ArrayD::from_shape_vec(dims.as_slice(), elements)
            .expect("as many elements as the shape holds"))
    }
}
