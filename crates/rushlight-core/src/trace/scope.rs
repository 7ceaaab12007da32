//! Where in the model an op is applied: the path of layers, and where the user made the layer.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

struct Entry {
    path: Option<Arc<str>>,
    made_at: Option<&'static Location<'static>>,
    /// Inside are gradients of what was computed in the scope of that path.
    is_gradient: bool,
}

thread_local! {
    static SCOPES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` inside a named scope: errors, graphs and profiles show ops below `outer/…/name`.
///
/// With `made_at`, errors inside name that line (where the user made the layer) instead of the line of the op.
pub fn scope<R>(name: &str, made_at: Option<&'static Location<'static>>, body: impl FnOnce() -> R) -> R {
    SCOPES.with_borrow_mut(|scopes| {
        let path = match scopes.last() {
            Some(Entry { path: Some(outer), is_gradient: true, .. }) => {
                format!("{outer}/gradient/{name}").into()
            }
            Some(Entry { path: Some(outer), .. }) => format!("{outer}/{name}").into(),
            _ => name.into(),
        };
        scopes.push(Entry { path: Some(path), made_at, is_gradient: false });
    });
    let _leave = Leave;
    body()
}

/// Runs `body` in the current scope, with errors inside naming that line.
pub(crate) fn located<R>(made_at: &'static Location<'static>, body: impl FnOnce() -> R) -> R {
    SCOPES.with_borrow_mut(|scopes| {
        let path = scopes.last().and_then(|outer| outer.path.clone());
        let is_gradient = scopes.last().is_some_and(|outer| outer.is_gradient);
        scopes.push(Entry { path, made_at: Some(made_at), is_gradient });
    });
    let _leave = Leave;
    body()
}

/// A scope as it was when something was noted in it.
#[derive(Clone, Default)]
pub(crate) struct Noted {
    path: Option<Arc<str>>,
    made_at: Option<&'static Location<'static>>,
}

/// The current scope, to come back to.
pub(crate) fn noted() -> Noted {
    SCOPES.with_borrow(|scopes| {
        let noted = |entry: &Entry| Noted { path: entry.path.clone(), made_at: entry.made_at };
        scopes.last().map_or_else(Noted::default, noted)
    })
}

/// Runs `body`, which computes gradients of what was computed in the noted scope: they belong to the same layer.
///
/// Errors outside of layers name the caller's line: where the gradient was asked for.
#[track_caller]
pub(crate) fn gradient_scope<R>(of: &Noted, body: impl FnOnce() -> R) -> R {
    let asked_at = Location::caller();
    let path = of.path.clone();
    let made_at = Some(of.made_at.unwrap_or(asked_at));
    SCOPES.with_borrow_mut(|scopes| scopes.push(Entry { path, made_at, is_gradient: true }));
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
        Some(entry) if entry.is_gradient => {
            let path =
                entry.path.as_ref().map_or("gradient".into(), |path| format!("{path}/gradient").into());
            (Some(path), entry.made_at)
        }
        Some(entry) => (entry.path.clone(), entry.made_at),
        None => (None, None),
    })
}
