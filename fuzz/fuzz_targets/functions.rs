#![no_main]
//! Reads functions that were saved, and compiles them.

use libfuzzer_sys::fuzz_target;
use rushlight::SavedFunction;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(function) = SavedFunction::from_bytes(bytes) {
        let _ = function.signatures();
    }
});
