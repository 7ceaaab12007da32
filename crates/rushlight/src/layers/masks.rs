//! Masks: which steps of a sequence count. They go with tensors, from layer to layer, without being passed along.

use rushlight_core::{Tensor, WeakTensor};
use std::cell::RefCell;

thread_local! {
    static MASKS: RefCell<Vec<(WeakTensor, Tensor)>> = const { RefCell::new(Vec::new()) };
}

/// The mask of a tensor, `bool [batch, steps]`, true where a step counts; nothing if all do.
pub fn mask_of(x: &Tensor) -> Option<Tensor> {
    MASKS.with_borrow(|masks| masks.iter().find(|(tensor, _)| tensor.is(x)).map(|(_, mask)| mask.clone()))
}

/// Gives a tensor a mask, `bool [batch, steps]`, for the layers that it is passed to.
///
/// Recurrent layers keep their state where a step does not count, attention and averages leave it out. Layers that
/// keep the steps apart pass the mask on ([`Layer::passes_mask`](crate::layers::Layer::passes_mask)), ops drop it.
///
/// ```
/// use rushlight::layers::set_mask;
/// use rushlight::prelude::*;
/// let x = Tensor::new(&[1.0f32, 3.0, 100.0], [1, 3, 1]);
/// set_mask(&x, &Tensor::new(&[true, true, false], [1, 3]));
/// assert_eq!(GlobalAveragePooling1d::new().call(&x).to_vec::<f32>()?, [2.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn set_mask(x: &Tensor, mask: &Tensor) {
    MASKS.with_borrow_mut(|masks| {
        masks.retain(|(tensor, _)| !tensor.is_gone() && !tensor.is(x));
        masks.push((x.downgrade(), mask.clone()));
    });
}

/// The mask of one tensor for another one.
pub(crate) fn pass_mask(from: &Tensor, to: &Tensor) {
    if let Some(mask) = mask_of(from) {
        set_mask(to, &mask);
    }
}
