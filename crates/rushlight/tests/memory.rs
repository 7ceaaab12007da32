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
    // The program's own code does not count; most of it is in memory once it has run.
    let small = config_by_name("small").unwrap();
    let mut model = small.build().unwrap();
    model.compile_with(settings());
    model.train_on_batch(&batch_for(&small, 16)).unwrap();
    drop(model);
    let (before, code) = (status("VmRSS:"), status("RssFile:"));
    let config = config_by_name("densenet-40-12").unwrap();
    let mut model = config.build().unwrap();
    model.compile_with(settings());
    let summary = model.summary_with_memory(64).unwrap();
    let (_, planned) = summary.training_step.unwrap();
    let batch = batch_for(&config, 64);
    for _ in 0..3 {
        model.train_on_batch(&batch).unwrap();
    }
    let more_code = status("RssFile:") - code;
    let taken = status("VmHWM:") - before - more_code;
    let ratio = taken as f64 / planned.total() as f64;
    println!("planned {planned:?}, in all {}; the process took {taken}: {ratio:.3}", planned.total());
    // Within 10 % where this was written; allocators and page sizes elsewhere get some room.
    assert!((0.9..1.15).contains(&ratio), "{taken} bytes for the {} that were planned", planned.total());
}

/// The weights after a few steps, and what was planned for them.
fn trained(
    build: impl Fn() -> Result<Model>,
    batch: &Batch,
    compile: Compile,
) -> Result<(Vec<Vec<f32>>, PlannedMemory)> {
    rushlight::random::set_seed(2);
    let mut model = build()?;
    model.compile_with(compile);
    let memory = model.planned_training_memory(batch.targets[0].shape()?[0])?;
    for _ in 0..2 {
        model.train_on_batch(batch)?;
    }
    let variables = model.variables();
    let weights = variables.iter().map(|variable| variable.read().to_vec());
    Ok((weights.collect::<Result<_>>()?, memory))
}

/// What an error says is the least.
fn least_of(error: &str) -> usize {
    let number =
        error.split("at least ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    number.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{error}"))
}

/// Within the least memory and in between, a net learns the same; and the least is at most so many hundredths of what it
/// takes when everything is kept.
fn check_budgets(build: impl Fn() -> Result<Model>, batch: &Batch, percent: usize) {
    let (wanted, most) = trained(&build, batch, settings()).unwrap();
    let least = least_of(&trained(&build, batch, settings().memory_budget(1)).unwrap_err().to_string());
    println!("{} bytes, at least {least}", most.total());
    assert!(least <= most.total() * percent / 100, "{least} of {}", most.total());
    for budget in [least.midpoint(most.total()), least] {
        let (got, memory) = trained(&build, batch, settings().memory_budget(budget)).unwrap();
        assert!(memory.total() <= budget, "{memory:?}");
        for (wanted, got) in wanted.iter().flatten().zip(got.iter().flatten()) {
            assert!((wanted - got).abs() <= 1e-5 * wanted.abs().max(1.0), "{got} for {wanted}");
        }
    }
}

#[test]
fn a_plain_net_learns_the_same_within_a_budget() {
    let build = || {
        let conv = |_| Conv2d::new(16, 3).padding(Same).activation(activations::Relu);
        let chain = (0..12).map(conv).fold(Sequential::new(), Sequential::add);
        chain.add(GlobalAveragePooling2d::new()).add(Dense::new(10)).model([16, 16, 3])
    };
    let like = config_by_name("vgg-32").unwrap().with_image([16, 16, 3]);
    // Twelve convolutions of the same size: half as many of their outputs suffice.
    check_budgets(build, &batch_for(&like, 32), 70);
    // Not a multiple of 16: another layout.
    check_budgets(build, &batch_for(&like, 20), 70);
}

#[test]
fn a_densenet_and_other_nets_learn_the_same_within_a_budget() {
    let narrow = config_by_name("densenet-bc-100-12").unwrap().with_image([16, 16, 3]);
    check_budgets(|| narrow.build(), &batch_for(&narrow, 16), 85);
    let depthwise = config_by_name("mobilenet-32").unwrap();
    check_budgets(|| depthwise.build(), &batch_for(&depthwise, 16), 95);
}

#[test]
fn too_small_a_budget_is_an_error_that_names_the_least() {
    let config = config_by_name("small").unwrap();
    let (build, batch) = (|| config.build(), batch_for(&config, 16));
    let error = trained(build, &batch, settings().memory_budget(1 << 20)).unwrap_err().to_string();
    assert!(error.contains("memory_budget") && error.contains("1048576 bytes"), "{error}");
    let least = least_of(&error);
    let (_, memory) = trained(build, &batch, settings().memory_budget(least)).unwrap();
    assert_eq!(memory.total(), least);
    let below = trained(build, &batch, settings().memory_budget(least - 1)).unwrap_err().to_string();
    assert_eq!(least_of(&below), least);
}
