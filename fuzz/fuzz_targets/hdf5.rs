#![no_main]
//! Reads everything in an HDF5 file: no panic, no memory beyond the limits, an end.

use libfuzzer_sys::fuzz_target;
use rushlight_hdf5::{Limits, read_within};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { blocks: 20_000, unpacked_bytes: 1 << 20, ..Limits::default() };
    let Ok(root) = read_within(bytes, limits) else { return };
    for attribute in root.attributes() {
        let _ = attribute.texts();
    }
    for (_, data) in root.datasets() {
        let _ = data.bytes();
    }
});
