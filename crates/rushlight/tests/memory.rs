//! The memory of training: planned before the first step, what the process then takes, and budgets for it.

use rushlight::applications::{Config, config_by_name};
use rushlight::cpu::PlannedMemory;
use rushlight::prelude::*;
use rushlight::training::Compile;
use std::process::Command;

const CHILD: &str = "RUSHLIGHT_TEST_MEMORY";

/// A line of what the system tells of this process, in bytes.
fn status(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    found.trim().strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() * 1024
}

fn batch_for(config: &Config, batch: usize) -> Batch {
    let generator = rushlight::random::Generator::new(5);
    let x = generator.normal([&[batch], config.input()].concat(), 0.0, 1.0, DType::F32);
    let y = generator.randint([batch], 0, config.classes() as i64, DType::I32);
    Batch { inputs: vec![x], targets: vec![y], ..Batch::default() }
}

fn settings() -> Compile {
    Compile::new(Sgd::new(0.05).momentum(0.9), SparseCategoricalCrossentropy::from_logits())
}

/// What the process takes for training, measured in a process that does nothing else.
#[test]
#[cfg(target_os = "linux")]
fn the_process_takes_what_is_planned() {
    let name = "the_process_takes_what_is_planned";
    if std::env::var_os(CHILD).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        print!("{}", String::from_utf8_lossy(&child.stdout));
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    let before = status("VmRSS:");
    let config = config_by_name("densenet-40-12").unwrap();
    let mut model = config.build().unwrap();
    model.compile_with(settings());
    let summary = model.summary_with_memory(64).unwrap();
    let (_, planned) = summary.training_step.unwrap();
    let batch = batch_for(&config, 64);
    for _ in 0..3 {
        model.train_on_batch(&batch).unwrap();
    }
    let taken = status("VmHWM:") - before;
    let ratio = taken as f64 / planned.total() as f64;
    println!("planned {planned:?}, in all {}; the process took {taken}: {ratio:.3}", planned.total());
    assert!((ratio - 1.0).abs() < 0.1, "{taken} bytes for the {} that were planned", planned.total());
}

/// The weights after a few steps, and what was planned for them.
fn trained(config: &Config, size: usize, compile: Compile) -> Result<(Vec<Vec<f32>>, PlannedMemory)> {
    rushlight::random::set_seed(2);
    let mut model = config.build()?;
    model.compile_with(compile);
    let memory = model.planned_training_memory(size)?;
    let batch = batch_for(config, size);
    for _ in 0..2 {
        model.train_on_batch(&batch)?;
    }
    let variables = model.variables();
    let weights = variables.iter().map(|variable| variable.read().to_vec());
    Ok((weights.collect::<Result<_>>()?, memory))
}

/// With so many hundredths of the memory that it takes when everything is kept, a net learns the same.
fn check_budget(config: &Config, size: usize, percent: usize) {
    let (wanted, most) = trained(config, size, settings()).unwrap();
    let budget = most.total() * percent / 100;
    let (got, memory) = trained(config, size, settings().memory_budget(budget)).unwrap();
    println!("{}: {} bytes, within a budget {}", config.name(), most.total(), memory.total());
    assert!(memory.total() <= budget, "{memory:?}");
    for (wanted, got) in wanted.iter().flatten().zip(got.iter().flatten()) {
        assert!(
            (wanted - got).abs() <= 1e-5 * wanted.abs().max(1.0),
            "{}: {got} for {wanted}",
            config.name()
        );
    }
}

#[test]
fn a_densenet_learns_the_same_within_a_budget() {
    check_budget(&config_by_name("small").unwrap(), 16, 90);
    check_budget(&config_by_name("densenet-bc-100-12").unwrap().with_image([16, 16, 3]), 16, 70);
}

#[test]
fn a_plain_net_and_a_residual_one_learn_the_same_within_a_budget() {
    check_budget(&config_by_name("vgg-32").unwrap().with_image([16, 16, 3]), 16, 90);
    check_budget(&config_by_name("mobilenet-32").unwrap(), 16, 70);
    check_budget(&config_by_name("resnet-18").unwrap().with_image([16, 16, 3]), 16, 95);
}

#[test]
fn too_small_a_budget_is_an_error_that_names_the_least() {
    let config = config_by_name("small").unwrap();
    let error = trained(&config, 16, settings().memory_budget(1 << 20)).unwrap_err().to_string();
    let least: usize = error
        .split("at least ")
        .nth(1)
        .and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok())
        .unwrap_or_else(|| panic!("{error}"));
    assert!(error.contains("memory_budget") && error.contains("1048576 bytes"), "{error}");
    let (_, memory) = trained(&config, 16, settings().memory_budget(least)).unwrap();
    assert_eq!(memory.total(), least);
    let below = trained(&config, 16, settings().memory_budget(least - 1)).unwrap_err().to_string();
    assert!(below.contains(&format!("at least {least}")), "{below}");
}
