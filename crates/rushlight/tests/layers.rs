//! One harness for all layers: each case of `goldens/layers.json`, made by Keras, is built from Keras's own config and
//! held to Keras's numbers; see `goldens/README.md`.

#[path = "layers/case.rs"]
mod case;
#[path = "layers/checks.rs"]
mod checks;
#[path = "layers/properties.rs"]
mod properties;

use case::Case;
use rushlight::layers::BUILT_IN_LAYERS;
use std::collections::BTreeSet;

/// Runs a check on every case, and tells of all that fail.
fn for_each_case(check: impl Fn(&Case) -> Result<(), String>) {
    let cases = case::all();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|failure| format!("{}: {failure}", case.name)))
        .collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn every_layer_has_a_case() {
    let seen: BTreeSet<String> = case::all().iter().flat_map(Case::classes).collect();
    let missing: Vec<&&str> = BUILT_IN_LAYERS.iter().filter(|class| !seen.contains(**class)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn layers_are_built_as_keras_builds_them() {
    for_each_case(checks::build);
}

#[test]
fn outputs_and_gradients_equal_keras() {
    for_each_case(checks::numbers);
}

#[test]
fn recorded_layers_equal_eager_ones() {
    for_each_case(checks::recorded);
}

#[test]
fn configs_go_both_ways() {
    for_each_case(checks::configs);
}

#[test]
fn carried_errors_are_passed_on() {
    for_each_case(checks::carried);
}
