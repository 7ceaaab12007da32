//! The tensor: a small handle to a value, a node of a recording, or a carried error.

mod convert;
mod dtype;
mod error;
mod index;
mod print;
mod shape;

pub use dtype::{DType, Element};
pub(crate) use error::Fault;
pub use error::{Error, ErrorKind, Result};
pub use index::{Ellipsis, Index, IntoIndex, IntoIndices, NewAxis, Stop, strided};
pub(crate) use shape::copied;
pub use shape::{
    Axes, BATCH, Dims, Strides, broadcast_dims, close, contiguous_strides, display_dims, divide,
    element_count, is_contiguous, is_open, multiply, normalize_axis,
};

use crate::cpu::buffer::{Buffer, View};
use crate::trace::Node;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shape and dtype: what is known of a tensor before it has a value.
#[derive(PartialEq, Eq, Hash)]
pub struct Spec {
    /// Sizes of the axes; an axis may be open ([`BATCH`]) in a model's inputs.
    pub dims: Dims,
    pub dtype: DType,
}

impl Clone for Spec {
    /// As the derived one, but copies the sizes at once: specs are cloned several times for each op.
    #[inline]
    fn clone(&self) -> Spec {
        Spec { dims: copied(&self.dims), dtype: self.dtype }
    }
}

impl Spec {
    pub fn new(dims: impl AsRef<[usize]>, dtype: DType) -> Spec {
        Spec { dims: Dims::from_slice(dims.as_ref()), dtype }
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        element_count(&self.dims)
    }

    /// Size of the elements in bytes.
    pub fn bytes(&self) -> usize {
        self.count() * self.dtype.size()
    }
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.dtype, display_dims(&self.dims))
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, formatter)
    }
}

/// An n-dimensional array of numbers.
///
/// A small handle, cheap to clone, without type parameters. In eager execution it holds a value; while a
/// function is recorded or a model is built it stands for a node of the graph; after a faulty op it carries
/// the error to the next boundary (see [`Tensor::check`]).
#[derive(Clone)]
pub struct Tensor(pub(crate) Arc<Inner>);

pub(crate) enum Inner {
    Value(Value),
    Symbol(Symbol),
    Carried(Carried),
}

/// Elements in memory, seen through a shape and strides.
pub(crate) struct Value {
    pub(crate) buffer: Arc<Buffer>,
    /// Position of the first element, in elements.
    pub(crate) offset: usize,
    pub(crate) spec: Spec,
    pub(crate) strides: Strides,
}

/// One output of a recorded node.
#[derive(Clone)]
pub(crate) struct Symbol {
    pub(crate) node: Arc<Node>,
    pub(crate) output: usize,
}

/// An error on its way to a boundary.
pub(crate) struct Carried {
    error: Error,
    delivered: AtomicBool,
}

impl Drop for Carried {
    fn drop(&mut self) {
        if cfg!(debug_assertions) && !*self.delivered.get_mut() && !std::thread::panicking() {
            eprintln!("rushlight: a tensor that carried an error was dropped unread: {}", self.error);
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        let Value { buffer, offset, spec, strides } = self;
        let strides = copied(strides);
        Value { buffer: buffer.clone(), offset: *offset, spec: spec.clone(), strides }
    }
}

impl Value {
    pub(crate) fn contiguous(buffer: Buffer, spec: Spec) -> Value {
        let strides = contiguous_strides(&spec.dims);
        Value { buffer: Arc::new(buffer), offset: 0, spec, strides }
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        is_contiguous(&self.spec.dims, &self.strides)
    }

    /// Where the first element is.
    pub(crate) fn address(&self) -> *const u8 {
        self.buffer.as_ptr().wrapping_add(self.offset * self.spec.dtype.size())
    }

    pub(crate) fn view(&self) -> View<'_> {
        let (dims, strides) = (copied(&self.spec.dims), copied(&self.strides));
        // SAFETY: a value's buffer is written before the value is made, and not changed while shared.
        unsafe { View::new(self.address(), self.spec.dtype, dims, strides) }
    }
}

impl Tensor {
    pub(crate) fn from_value(value: Value) -> Tensor {
        Tensor(Arc::new(Inner::Value(value)))
    }

    pub(crate) fn from_symbol(node: &Arc<Node>, output: usize) -> Tensor {
        Tensor(Arc::new(Inner::Symbol(Symbol { node: node.clone(), output })))
    }

    /// A tensor that carries `error` to the next boundary.
    ///
    /// With `RUSHLIGHT_ERRORS=panic` it panics instead, at the faulty call.
    #[track_caller]
    pub fn carry(error: Error) -> Tensor {
        if panics_on_error() {
            panic!("{error}");
        }
        Tensor(Arc::new(Inner::Carried(Carried { error, delivered: AtomicBool::new(false) })))
    }

    /// The carried error, if there is one. Asking does not count as delivering it.
    pub fn error(&self) -> Option<&Error> {
        match &*self.0 {
            Inner::Carried(carried) => Some(&carried.error),
            _ => None,
        }
    }

    /// This tensor, or the error that it carries: the boundary that does nothing else.
    ///
    /// ```
    /// use rushlight_core::Tensor;
    /// let sum = Tensor::from([1.0f32, 2.0]) + Tensor::from([1.0f32, 2.0, 3.0]);
    /// assert!(sum.check().unwrap_err().to_string().starts_with("[add]"));
    /// ```
    pub fn check(&self) -> Result<&Tensor> {
        match &*self.0 {
            Inner::Carried(carried) => Err(carried.deliver()),
            _ => Ok(self),
        }
    }

    /// Shape and dtype, or the carried error.
    pub fn spec(&self) -> Result<&Spec> {
        self.check()?;
        Ok(self.known_spec().expect("only a carried error has no spec"))
    }

    /// The sizes of the axes, or the carried error.
    pub fn shape(&self) -> Result<&[usize]> {
        Ok(&self.spec()?.dims)
    }

    /// The sizes of exactly `N` axes: `let [batch, features] = x.dims()?;`
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        let spec = self.spec()?;
        match <[usize; N]>::try_from(spec.dims.as_slice()) {
            Ok(dims) => Ok(dims),
            Err(_) => {
                let rule = format!("the tensor must have {N} axes");
                Err(Error::with_inputs(ErrorKind::Shape, "dims", rule, vec![spec.clone()]))
            }
        }
    }

    /// Number of axes, or the carried error.
    pub fn rank(&self) -> Result<usize> {
        Ok(self.spec()?.rank())
    }

    /// The dtype, or the carried error.
    pub fn dtype(&self) -> Result<DType> {
        Ok(self.spec()?.dtype)
    }

    /// Number of elements, or the carried error.
    pub fn count(&self) -> Result<usize> {
        Ok(self.spec()?.count())
    }

    /// Whether this stands for a value that is not there yet: a node of a recording or of a model.
    pub fn is_symbolic(&self) -> bool {
        matches!(&*self.0, Inner::Symbol(_))
    }

    /// The spec, unless an error is carried.
    pub(crate) fn known_spec(&self) -> Option<&Spec> {
        match &*self.0 {
            Inner::Value(value) => Some(&value.spec),
            Inner::Symbol(symbol) => Some(&symbol.node.outputs[symbol.output]),
            Inner::Carried(_) => None,
        }
    }

    pub(crate) fn symbol(&self) -> Option<&Symbol> {
        match &*self.0 {
            Inner::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// The value; an error if one is carried, or if the value is not there yet.
    #[track_caller]
    pub(crate) fn value(&self, reader: &str) -> Result<&Value> {
        match &*self.0 {
            Inner::Value(value) => Ok(value),
            Inner::Carried(carried) => Err(carried.deliver()),
            Inner::Symbol(symbol) => {
                let rule = symbol.node.why_no_value();
                let spec = symbol.node.outputs[symbol.output].clone();
                Err(Error::with_inputs(ErrorKind::Recording, reader, rule, vec![spec]))
            }
        }
    }

    /// The same tensor under a new identity: gradient tapes do not see through it.
    pub(crate) fn detached(&self) -> Tensor {
        match &*self.0 {
            Inner::Value(value) => Tensor::from_value(value.clone()),
            Inner::Symbol(symbol) => Tensor::from_symbol(&symbol.node, symbol.output),
            Inner::Carried(_) => self.clone(),
        }
    }

    /// A handle that does not keep the tensor alive. No other tensor is taken for this one while it exists.
    pub fn downgrade(&self) -> WeakTensor {
        WeakTensor(Arc::downgrade(&self.0))
    }

    /// What tapes and recordings know this handle by.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0) as *const u8 as usize
    }
}

/// A handle that does not keep its tensor alive: for what is known about tensors beside them.
#[derive(Clone)]
pub struct WeakTensor(std::sync::Weak<Inner>);

impl WeakTensor {
    /// Whether this is a handle of that very tensor.
    pub fn is(&self, tensor: &Tensor) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&tensor.0))
    }

    /// Whether the last handle that keeps the tensor alive is gone.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Carried {
    fn deliver(&self) -> Error {
        self.delivered.store(true, Ordering::Relaxed);
        self.error.clone()
    }
}

fn panics_on_error() -> bool {
    static PANIC: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *PANIC.get_or_init(|| std::env::var("RUSHLIGHT_ERRORS").is_ok_and(|value| value == "panic"))
}

impl Value {
    /// A value without axes.
    pub(crate) fn scalar(number: f64, dtype: DType) -> Value {
        crate::with_dtype!(dtype, T => {
            Value::contiguous(Buffer::from_slice(&[T::from_f64(number)]), Spec::new([], dtype))
        })
    }
}
