//! Where in the model an op is applied: the path of layers, and where the user made the layer.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

struct Entry {
    path: Option<Arc<str>>,
    made_at: Option<&'static Location<'static>>,
}

thread_local! {
    static SCOPES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` inside a named scope: errors, graphs and profiles show ops below `outer/…/name`.
///
/// With `made_at`, errors inside name that line (where the user made the layer) instead of the line of the op.
pub fn scope<R>(name: &str, made_at: Option<&'static Location<'static>>, body: impl FnOnce() -> R) -> R {
    SCOPES.with_borrow_mut(|scopes| {
        let path = match scopes.last().and_then(|outer| outer.path.as_deref()) {
            Some(outer) => format!("{outer}/{name}").into(),
            None => name.into(),
        };
        scopes.push(Entry { path: Some(path), made_at });
    });
    let _leave = Leave;
    body()
}

/// Runs `body` in the current scope, with errors inside naming that line.
pub(crate) fn located<R>(made_at: &'static Location<'static>, body: impl FnOnce() -> R) -> R {
    SCOPES.with_borrow_mut(|scopes| {
        let path = scopes.last().and_then(|outer| outer.path.clone());
        scopes.push(Entry { path, made_at: Some(made_at) });
    });
    let _leave = Leave;
    body()
}

/// Leaves the scope even if the body panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        SCOPES.with_borrow_mut(|scopes| scopes.pop());
    }
}

/// Path of the current scope, such as `model/dense_1`; nothing outside of any.
pub fn scope_path() -> Option<Arc<str>> {
    current().0
}

/// Path of the current scope, and the line on which its layer was made.
pub(crate) fn current() -> (Option<Arc<str>>, Option<&'static Location<'static>>) {
    SCOPES.with_borrow(|scopes| match scopes.last() {
        Some(entry) => (entry.path.clone(), entry.made_at),
        None => (None, None),
    })
}
