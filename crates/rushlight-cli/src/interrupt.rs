//! Ctrl-C while training.

use crate::failure::{Failure, INTERRUPTED};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// From now on Ctrl-C raises the flag that is returned; a second one ends the process at once.
pub(crate) fn listen() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    };
    match ctrlc::set_handler(handler) {
        Ok(()) => Ok(flag),
        Err(error) => Err(Failure::Other(format!("Ctrl-C cannot be listened to: {error}"))),
    }
}
