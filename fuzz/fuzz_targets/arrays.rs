#![no_main]
//! Reads arrays: `.npy`, `.npz`, safetensors, HDF5.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = rushlight::formats::arrays_from_bytes(bytes);
});
