//! `.keras` files: read, run, written again.

use crate::{Arrays, assert_close, file, path};
use rushlight::formats::model_from_bytes;
use rushlight::prelude::*;

const MODELS: [&str; 7] =
    ["sequential", "dense_block", "shared_and_nested", "operators", "recurrent", "attention", "mobile"];

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
    let legacy = Model::load(path("legacy.h5")).unwrap();
    check_predictions(&legacy, &Arrays::of("legacy"), "legacy");
}

#[test]
fn what_is_written_is_read_again() {
    let folder = std::env::temp_dir().join(format!("rushlight-keras-{}", std::process::id()));
    for name in MODELS {
        let model = Model::load(path(&format!("{name}.keras"))).unwrap();
        let copy = folder.join(format!("{name}.keras"));
        model.save(&copy).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = Model::load(&copy).unwrap_or_else(|error| panic!("{error}"));
        check_predictions(&again, &Arrays::of(name), name);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let whole = file("sequential.keras");
    for length in (0..whole.len()).step_by(13) {
        assert!(model_from_bytes(&whole[..length], &[]).is_err(), "{length}");
    }
}
