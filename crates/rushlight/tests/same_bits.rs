//! The same bits from run to run, and for any number of threads: whole nets, in training and inference.

use rushlight::applications::{Config, config_by_name};
use rushlight::cpu::threads::{set_thread_count, thread_count};
use rushlight::prelude::*;
use rushlight::training::Compile;

/// All weights after a few steps, the loss, and predictions of the trained net.
fn outcome(config: &Config, size: usize, steps: usize) -> Result<Vec<Vec<u32>>> {
    rushlight::random::set_seed(4);
    let mut model = config.build()?;
    let loss = SparseCategoricalCrossentropy::from_logits();
    model.compile_with(Compile::new(Adam::new(0.01), loss).metrics([Accuracy::new()]));
    let generator = rushlight::random::Generator::new(6);
    let x = generator.normal([&[size], config.input()].concat(), 0.0, 1.0, DType::F32);
    let y = generator.randint([size], 0, config.classes() as i64, DType::I32);
    let batch = Batch { inputs: vec![x.clone()], targets: vec![y], ..Batch::default() };
    let mut all = Vec::new();
    for _ in 0..steps {
        let logs = model.train_on_batch(&batch)?;
        all.extend(logs.0.iter().map(|(_, value)| vec![*value as f32]));
    }
    for variable in model.variables() {
        all.push(variable.read().cast(DType::F32).to_vec()?);
    }
    all.push(model.predict(&x)?.to_vec()?);
    // A single example takes other kernels.
    all.push(model.predict(x.slice_axis(0, 0, 1))?.to_vec()?);
    Ok(all.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect())
}

fn check(name: &str, size: usize, steps: usize, threads: &[usize]) {
    let config = config_by_name(name).unwrap();
    set_thread_count(1);
    let first = outcome(&config, size, steps).unwrap();
    for &count in threads {
        set_thread_count(count);
        assert_eq!(thread_count(), count);
        assert!(outcome(&config, size, steps).unwrap() == first, "{name} with {count} threads");
    }
}

/// One test, for the number of threads belongs to the whole process.
#[test]
fn whole_nets_compute_the_same_bits_with_any_number_of_threads() {
    check("small", 32, 3, &[1, 2, 3, 4, 8]);
    check("mlp-784-128-10", 32, 5, &[1, 2, 3, 4, 8]);
    check("lstm-28-128", 16, 3, &[1, 2, 3, 4, 8]);
    check("transformer-64-128", 8, 3, &[1, 2, 3, 4, 8]);
    check("mobilenet-32", 16, 2, &[1, 2, 3, 4, 8]);
    check("vgg-32", 20, 2, &[1, 2, 3, 4, 8]);
    check("resnet-18", 16, 2, &[2, 3, 8]);
    check("densenet-40-12", 32, 2, &[2, 3, 4, 8]);
    set_thread_count(0);
}
