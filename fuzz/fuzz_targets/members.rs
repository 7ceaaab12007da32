#![no_main]
//! Reads `.keras` files whose members are arbitrary, in an archive that is whole: the config up to a zero byte, then
//! the weights. Checksums keep changes of whole files from getting that far.

use libfuzzer_sys::fuzz_target;
use rushlight::formats::{inference_model_from_bytes, model_from_bytes};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (config, weights) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let archive = zip(&[("config.json", config), ("model.weights.h5", weights)]);
    let _ = model_from_bytes(&archive, &[]);
    let _ = inference_model_from_bytes(&archive, &[vec![4, 4, 2], vec![3]]);
});

/// A zip archive of stored members.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let start = (file.len() as u32).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32fast::hash(content).to_le_bytes());
        common.extend([size, size].concat());
        common.extend([name.len() as u8, 0, 0, 0]);
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &start, name.as_bytes()].concat());
    }
    let (start, size) = ((file.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    let count = [members.len() as u8, 0];
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &start, &[0, 0]].concat();
    [file, directory, end].concat()
}
