//! `.keras` files: read, run, written again.

use crate::peer::{Folder, python};
use crate::{Arrays, assert_close, path};
use rushlight::formats::{Format, arrays_to_bytes, model_from_bytes};
use rushlight::prelude::*;

const MODELS: [&str; 8] = [
    "sequential",
    "dense_block",
    "shared_and_nested",
    "operators",
    "recurrent",
    "masks",
    "attention",
    "mobile",
];

fn check_predictions(model: &Model, arrays: &Arrays, what: &str) {
    let inputs = arrays.all("input");
    let outputs = model.predict_many(&inputs).unwrap_or_else(|error| panic!("{what}: {error}"));
    let wanted = arrays.all("output");
    assert_eq!(outputs.len(), wanted.len(), "{what}");
    for (got, wanted) in outputs.iter().zip(&wanted) {
        assert_close(got, wanted, 1e-5, what);
    }
}

#[test]
fn what_keras_saved_runs_here() {
    for name in MODELS {
        let model = Model::load(path(&format!("{name}.keras"))).unwrap_or_else(|error| panic!("{error}"));
        check_predictions(&model, &Arrays::of(name), name);
    }
    for name in ["legacy", "legacy_trained"] {
        let model = Model::load(path(&format!("{name}.h5"))).unwrap_or_else(|error| panic!("{error}"));
        check_predictions(&model, &Arrays::of(name), name);
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = Folder::new("again");
    for name in MODELS {
        let model = Model::load(path(&format!("{name}.keras"))).unwrap();
        let copy = folder.0.join(format!("{name}.keras"));
        model.save(&copy).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = Model::load(&copy).unwrap_or_else(|error| panic!("{error}"));
        check_predictions(&again, &Arrays::of(name), name);
    }
}

#[test]
fn keras_runs_what_is_saved_here() {
    let folder = Folder::new("for-keras");
    for name in MODELS {
        Model::load(path(&format!("{name}.keras")))
            .unwrap()
            .save(folder.0.join(format!("{name}.keras")))
            .unwrap();
    }
    let script = r#"
import sys, keras, numpy as np
for name in sys.argv[3:]:
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
    arrays = np.load(f"{sys.argv[2]}/{name}.npz")
    inputs, wanted = ([arrays[k] for k in sorted(arrays) if k.startswith(p)] for p in ("input_", "output_"))
    got = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    for a, b in zip(got if isinstance(got, list) else [got], wanted, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-5, err_msg=name)
"#;
    let files = path("");
    let mut arguments = vec![folder.0.as_os_str(), files.as_os_str()];
    arguments.extend(MODELS.iter().map(std::ffi::OsStr::new));
    python(script, &arguments);
}

#[test]
fn layers_that_nobody_knows_are_told_at_once() {
    let config = r#"{"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": "InputLayer", "config": {"batch_shape": [null, 3], "name": "x"}},
        {"class_name": "Mystery", "config": {"name": "first"}},
        {"class_name": "Sequential", "config": {"name": "inner", "layers": [
            {"class_name": "Mystery", "config": {"name": "second"}},
            {"class_name": "Riddle", "config": {"name": "third"}}]}},
        {"class_name": "Dense", "config": {"name": "dense", "units": -2}}]}}"#;
    let bytes = zip(&[("config.json", config.as_bytes()), ("model.weights.h5", b"\x89HDF")]);
    let error = model_from_bytes(&bytes, &[]).unwrap_err().to_string();
    assert!(error.contains("no HDF5 file"), "{error}");
    let weights = rushlight_hdf5_of_nothing();
    let bytes = zip(&[("config.json", config.as_bytes()), ("model.weights.h5", &weights)]);
    let error = model_from_bytes(&bytes, &[]).unwrap_err().to_string();
    for said in ["Mystery (first, inner/second)", "Riddle (inner/third)", "`dense`: `units` must be"] {
        assert!(error.contains(said), "{error}");
    }
}

/// An HDF5 file without anything in it.
fn rushlight_hdf5_of_nothing() -> Vec<u8> {
    arrays_to_bytes(&[], Format::Hdf5).unwrap()
}

/// A zip archive of stored members, as other programs write them.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
        }
        !crc
    };
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let start = file.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc(content).to_le_bytes());
        common.extend([size, size].concat());
        common.extend([name.len() as u8, 0, 0, 0]);
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend(
            [b"PK\x01\x02\x14\0", &common[..], &[0; 10], &start.to_le_bytes(), name.as_bytes()].concat(),
        );
    }
    let (start, size) = (file.len() as u32, directory.len() as u32);
    let count = [members.len() as u8, 0];
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size.to_le_bytes(), &start.to_le_bytes(), &[0, 0]];
    [file, directory, end.concat()].concat()
}
