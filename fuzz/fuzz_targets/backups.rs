#![no_main]
//! Reads backups of trainings.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = rushlight::callbacks::Backup::from_bytes(bytes);
});
