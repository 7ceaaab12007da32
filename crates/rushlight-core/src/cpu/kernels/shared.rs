//! Memory that several tasks write, each its own part.

/// A pointer that tasks share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: whoever reads or writes through `at` promises that no other task has the same part.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(pointer: *mut T) -> Shared<T> {
        Shared(pointer)
    }

    /// # Safety
    /// The position must lie within the memory; what is done there must not meet another task's part.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, position: usize) -> *mut T {
        // SAFETY: passed on to the caller.
        unsafe { self.0.add(position) }
    }
}
