//! Looking at the outputs of layers while a model runs op by op.

use crate::callbacks::has_not_finite;
use rushlight_core::Tensor;
use rushlight_core::trace::scope_path;
use std::cell::RefCell;

thread_local! {
    /// Nothing where nobody looks; otherwise the path of the first layer found.
    static FOUND: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
}

/// Runs `body`; gives the path of the first layer with an output that is not finite, the innermost one.
pub(crate) fn first_not_finite(body: impl FnOnce()) -> Option<String> {
    FOUND.set(Some(None));
    body();
    FOUND.take().flatten()
}

/// Looks at what the layer that is being called gives.
pub(crate) fn look_at(outputs: &[Tensor]) {
    FOUND.with_borrow_mut(|found| {
        if let Some(place @ None) = found
            && outputs.iter().any(|output| !output.is_symbolic() && has_not_finite(output))
        {
            *place = Some(scope_path().map_or_else(String::new, |path| path.to_string()));
        }
    });
}
