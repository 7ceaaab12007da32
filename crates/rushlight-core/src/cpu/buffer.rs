//! Memory that tensors own, and borrowed typed windows on it for kernels.

use crate::cpu::recycle;
use crate::tensor::{DType, Dims, Element, Spec, Strides, Value, contiguous_strides, is_contiguous};
use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Bytes that every buffer starts at a multiple of: one cache line, one AVX-512 register.
pub(crate) const ALIGNMENT: usize = 64;

/// A block of memory on the heap. Its contents are unspecified until a kernel has written them.
pub(crate) struct Buffer {
    data: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a buffer owns its memory; shared access is read-only and exclusive access goes through `&mut`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Allocates `bytes` of unspecified content.
    pub(crate) fn new(bytes: usize) -> Buffer {
        Buffer { data: recycle::allocate(Buffer::layout(bytes)), bytes }
    }

    /// A buffer holding a copy of `values`.
    pub(crate) fn from_slice<T: Element>(values: &[T]) -> Buffer {
        let mut buffer = Buffer::new(size_of_val(values));
        // SAFETY: the new buffer has room for `values` and cannot overlap it.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), buffer.as_mut_ptr().cast::<T>(), values.len());
        }
        buffer
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes.max(1), ALIGNMENT).expect("a buffer fits in the address space")
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.data.as_ptr()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and not used any more.
        unsafe { recycle::free(self.data, Buffer::layout(self.bytes)) }
    }
}

/// The bytes of the elements of a value that lie in order.
pub(crate) fn bytes_of(value: &Value) -> Vec<u8> {
    assert!(value.is_contiguous());
    // SAFETY: as many bytes as the spec says are initialized, and not changed while the value is shared.
    unsafe { std::slice::from_raw_parts(value.address(), value.spec.bytes()) }.to_vec()
}

/// A value of the elements that the bytes are, if there are as many; those of a `bool` must be 0 or 1.
pub(crate) fn value_of_bytes(bytes: &[u8], spec: Spec) -> Option<Value> {
    let valid = spec.dtype != DType::Bool || bytes.iter().all(|&byte| byte <= 1);
    (valid && bytes.len() == spec.bytes()).then(|| {
        let buffer = Buffer::from_slice(bytes);
        Value::contiguous(buffer, spec)
    })
}

/// A read-only window on elements in memory: what kernels take as input.
#[derive(Clone)]
pub(crate) struct View<'a> {
    pub(crate) data: *const u8,
    pub(crate) dtype: DType,
    pub(crate) dims: Dims,
    /// In elements; may be zero (broadcast) or negative (reversed).
    pub(crate) strides: Strides,
    memory: PhantomData<&'a u8>,
}

// SAFETY: a view is a shared borrow of plain numbers.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    /// # Safety
    /// All elements that `dims` and `strides` reach from `data` must be initialized and stay unchanged for `'a`.
    pub(crate) unsafe fn new(data: *const u8, dtype: DType, dims: Dims, strides: Strides) -> View<'a> {
        View { data, dtype, dims, strides, memory: PhantomData }
    }

    pub(crate) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        is_contiguous(&self.dims, &self.strides)
    }

    /// The elements in row-major order.
    ///
    /// Panics unless the view is contiguous and of type `T`.
    pub(crate) fn slice<T: Element>(&self) -> &'a [T] {
        assert_eq!(self.dtype, T::DTYPE);
        assert!(self.is_contiguous());
        // SAFETY: the constructor promised that these elements are initialized and unchanged for 'a.
        unsafe { std::slice::from_raw_parts(self.data.cast::<T>(), self.count()) }
    }

    /// One element, by its place on each axis.
    ///
    /// Panics unless the view is of type `T` and has such a place.
    pub(crate) fn at<T: Element>(&self, place: &[usize]) -> T {
        assert_eq!(self.dtype, T::DTYPE);
        assert!(place.len() == self.dims.len() && place.iter().zip(&self.dims).all(|(at, dim)| at < dim));
        let offset: isize = place.iter().zip(&self.strides).map(|(&at, &stride)| at as isize * stride).sum();
        // SAFETY: the constructor promised that all elements within the dims are initialized and unchanged for 'a.
        unsafe { *self.data.cast::<T>().offset(offset) }
    }

    /// Pointer to the first element.
    pub(crate) fn pointer<T: Element>(&self) -> *const T {
        debug_assert_eq!(self.dtype, T::DTYPE);
        self.data.cast()
    }
}

/// An exclusive, contiguous window on elements in memory: what kernels write their result to.
pub(crate) struct ViewMut<'a> {
    pub(crate) data: *mut u8,
    pub(crate) dtype: DType,
    pub(crate) dims: Dims,
    memory: PhantomData<&'a mut u8>,
}

// SAFETY: a mutable view is an exclusive borrow of plain numbers.
unsafe impl Send for ViewMut<'_> {}
// SAFETY: as above; writing needs `&mut` or the promise of disjointness that `pointer` asks for.
unsafe impl Sync for ViewMut<'_> {}

impl<'a> ViewMut<'a> {
    /// # Safety
    /// `data` must point to memory for all elements of `dims`, borrowed exclusively for `'a`.
    pub(crate) unsafe fn new(data: *mut u8, dtype: DType, dims: Dims) -> ViewMut<'a> {
        ViewMut { data, dtype, dims, memory: PhantomData }
    }

    pub(crate) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn strides(&self) -> Strides {
        contiguous_strides(&self.dims)
    }

    /// The elements in row-major order. A kernel writes each of them; what it reads before is unspecified.
    ///
    /// Panics unless the view is of type `T`.
    pub(crate) fn slice<T: Element>(&mut self) -> &mut [T] {
        assert_eq!(self.dtype, T::DTYPE);
        // SAFETY: exclusive memory of the right size and alignment; kernels write before they read.
        unsafe { std::slice::from_raw_parts_mut(self.data.cast::<T>(), self.count()) }
    }

    /// Sets all elements to zero.
    pub(crate) fn zero(&mut self) {
        // SAFETY: exclusive memory for as many bytes; zeros are an element of every dtype.
        unsafe { self.data.write_bytes(0, self.count() * self.dtype.size()) }
    }

    /// Pointer to the first element, for kernels whose threads write disjoint parts.
    pub(crate) fn pointer<T: Element>(&self) -> *mut T {
        debug_assert_eq!(self.dtype, T::DTYPE);
        self.data.cast()
    }
}
