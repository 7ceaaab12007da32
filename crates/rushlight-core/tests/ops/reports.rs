//! What happens to errors outside of `Result`: reports on standard error, and panics on request. Each test runs
//! itself again in another process, where the environment is its own.

use rushlight_core::Tensor;
use std::process::{Command, Output};

const CHILD: &str = "RUSHLIGHT_TEST_CHILD";

/// Runs one test of this file alone in another process.
fn run_again(test: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("reports::{test}"), "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env_remove("RUSHLIGHT_ERRORS").env_remove("RUST_BACKTRACE");
    command.envs(variables.iter().copied());
    command.output().unwrap()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn faulty() -> Tensor {
    Tensor::from([1.0f32, 2.0]) + Tensor::from([1.0f32, 2.0, 3.0])
}

#[test]
fn an_error_can_panic_at_the_faulty_call() {
    if is_child() {
        let _ = faulty().check().map(|_| ()).map_err(|error| println!("delivered {error}"));
        return;
    }
    let output = run_again("an_error_can_panic_at_the_faulty_call", &[("RUSHLIGHT_ERRORS", "panic")]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("panicked at") && text.contains("[add] the shapes must be equal"), "{text}");
    assert!(
        text.contains(&format!("panicked at {}", file!())),
        "the panic is not at the faulty call: {text}"
    );
    let output = run_again("an_error_can_panic_at_the_faulty_call", &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("delivered [add]"));
}

#[test]
fn an_error_that_nobody_read_is_reported() {
    if is_child() {
        drop(faulty());
        return;
    }
    let output = run_again("an_error_that_nobody_read_is_reported", &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success());
    assert_eq!(text.matches("dropped unread: [add] the shapes must be equal").count(), 1, "{text}");
}

#[test]
fn an_error_that_was_read_or_printed_is_not_reported() {
    if is_child() {
        let read = faulty();
        let copy = read.exp();
        assert!(copy.check().is_err());
        assert!(faulty().to_string().contains("[add]"));
        return;
    }
    let output = run_again("an_error_that_was_read_or_printed_is_not_reported", &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("dropped unread"), "{text}");
}
