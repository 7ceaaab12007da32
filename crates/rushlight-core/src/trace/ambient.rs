//! The ambient key: a number that whoever sits above the engine keeps flags in, such as "training".

use std::cell::Cell;

thread_local! {
    static AMBIENT: Cell<u64> = const { Cell::new(0) };
}

/// The ambient key of this thread. A recorded function is recorded once for each value that it is called under.
pub fn current() -> u64 {
    AMBIENT.get()
}

/// Runs `body` under another ambient key.
pub fn with<R>(key: u64, body: impl FnOnce() -> R) -> R {
    let _restore = Restore(AMBIENT.replace(key));
    body()
}

/// Restores the key even if the body panics.
struct Restore(u64);

impl Drop for Restore {
    fn drop(&mut self) {
        AMBIENT.set(self.0);
    }
}
