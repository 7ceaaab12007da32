//! One harness for all layers: each case of `goldens/layers.json`, made by Keras, is built from Keras's own config and
//! held to Keras's numbers; see `goldens/README.md`.

#[path = "layers/case.rs"]
mod case;
#[path = "layers/checks.rs"]
mod checks;
#[path = "layers/files.rs"]
mod files;
#[path = "common/peer.rs"]
mod peer;
#[path = "layers/properties.rs"]
mod properties;

use case::Case;
use rushlight::cpu::isa::Isa;
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

/// On the lesser instruction sets of this machine too, each in a process of its own.
#[test]
fn keras_values_hold_on_every_instruction_set() {
    let best = Isa::current();
    for isa in Isa::available().into_iter().filter(|&isa| isa != best) {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child
            .args(["outputs_and_gradients_equal_keras", "recorded_layers_equal_eager_ones"])
            .env("RUSHLIGHT_ISA", isa.name())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && !text.contains(" 0 passed"), "{isa:?}: {text}");
    }
}
