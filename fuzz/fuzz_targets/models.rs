#![no_main]
//! Reads model files: `.keras`, `.h5`, ONNX, and what describes them.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = rushlight::formats::model_description(bytes);
    let _ = rushlight::formats::model_from_bytes(bytes, &[]);
});
