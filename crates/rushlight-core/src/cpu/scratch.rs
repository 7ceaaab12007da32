//! Memory that a kernel needs for a moment, kept by each thread from call to call.

use crate::cpu::buffer::{ALIGNMENT, Buffer};
use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Lends `count` items of unspecified content, at the start of a cache line, to `body`.
///
/// Calls may nest; each level gets memory of its own.
pub(crate) fn with_scratch<T: Copy, R>(count: usize, body: impl FnOnce(*mut T) -> R) -> R {
    let bytes = count * size_of::<T>();
    if bytes == 0 {
        return body(std::ptr::without_provenance_mut(ALIGNMENT));
    }
    let free = FREE.with_borrow_mut(Vec::pop);
    let mut buffer = match free {
        Some(buffer) if buffer.bytes() >= bytes => buffer,
        _ => Buffer::new(bytes),
    };
    let result = body(buffer.as_mut_ptr().cast());
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_scratch_does_not_overlap() {
        let (outer, inner) = with_scratch::<f32, _>(100, |outer| {
            with_scratch::<f32, _>(1000, |inner| (outer as usize, inner as usize))
        });
        assert!(outer + 400 <= inner || inner + 4000 <= outer);
        assert_eq!((outer % 64, inner % 64), (0, 0));
    }
}
