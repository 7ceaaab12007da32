//! Damaged files: cut off at every byte they are an error, changed anywhere they are no panic.

use crate::file;
use crate::keras::zip;
use rushlight::callbacks::Backup;
use rushlight::formats::{
    Format, arrays_from_bytes, arrays_to_bytes, model_from_bytes, read_npy, read_npz, write_npy,
};
use rushlight::prelude::*;

type Reader = fn(&[u8]) -> Result<()>;

fn arrays(format: Format) -> Vec<u8> {
    let arrays = [
        ("a".to_string(), Tensor::new(&[1.0f32, 2.0, 3.0, 4.0], [2, 2])),
        ("b".to_string(), Tensor::from([1i64, 2, 3])),
    ];
    arrays_to_bytes(&arrays, format).unwrap()
}

/// One small file for each reader.
fn files() -> Vec<(&'static str, Vec<u8>, Reader)> {
    let read_model: Reader = |bytes| model_from_bytes(bytes, &[]).map(drop);
    let read_arrays: Reader = |bytes| arrays_from_bytes(bytes).map(drop);
    let npy = write_npy(&Tensor::new(&[1.0f32, 2.0, 3.0], [3, 1])).unwrap();
    vec![
        (".keras", file("sequential.keras"), read_model),
        (".h5", file("legacy_trained.h5"), read_model),
        (".onnx", file("torch.onnx"), read_model),
        (".weights.h5", file("legacy.weights.h5"), read_arrays),
        ("our .h5", arrays(Format::Hdf5), read_arrays),
        (".safetensors", arrays(Format::Safetensors), read_arrays),
        (".npz", arrays(Format::Npz), |bytes| read_npz(bytes).map(drop)),
        ("NumPy's .npz", file("legacy.npz"), |bytes| read_npz(bytes).map(drop)),
        (".npy", npy, |bytes| read_npy(bytes).map(drop)),
        ("backup", file("checkpoint-v1.safetensors"), |bytes| Backup::from_bytes(bytes).map(drop)),
    ]
}

#[test]
fn files_that_are_cut_off_anywhere_are_errors() {
    for (name, whole, read) in files() {
        read(&whole).unwrap_or_else(|error| panic!("{name}: {error}"));
        let accepted: Vec<usize> =
            (0..whole.len()).filter(|&length| read(&whole[..length]).is_ok()).collect();
        assert!(accepted.is_empty(), "{name} of {} bytes cut off at {accepted:?} is read", whole.len());
    }
}

#[test]
fn bytes_that_are_changed_anywhere_are_no_panic() {
    for (_, whole, read) in files() {
        let mut damaged = whole.clone();
        // All bytes of small files, some of larger ones: the fuzz targets do the rest.
        for at in (0..whole.len()).step_by(whole.len().div_ceil(400)) {
            for flip in [0x01, 0xff] {
                damaged[at] ^= flip;
                let _ = read(&damaged);
                damaged[at] ^= flip;
            }
        }
    }
}

/// Checksums keep damage from what is inside an archive: here they are right.
#[test]
fn members_that_are_cut_off_anywhere_are_errors() {
    let config = r#"{"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": "InputLayer", "config": {"batch_shape": [null, 3], "name": "x"}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 2}}]}}"#;
    let dense = [
        ("layers/dense/vars/0".to_string(), Tensor::ones([3, 2], DType::F32)),
        ("layers/dense/vars/1".to_string(), Tensor::ones([2], DType::F32)),
    ];
    let weights = arrays_to_bytes(&dense, Format::Hdf5).unwrap();
    let read = |config: &[u8], weights: &[u8]| {
        model_from_bytes(&zip(&[("config.json", config), ("model.weights.h5", weights)]), &[])
    };
    read(config.as_bytes(), &weights).unwrap();
    for length in 0..config.len() {
        assert!(read(&config.as_bytes()[..length], &weights).is_err(), "config of {length} bytes");
    }
    for length in 0..weights.len() {
        assert!(read(config.as_bytes(), &weights[..length]).is_err(), "weights of {length} bytes");
    }
}
