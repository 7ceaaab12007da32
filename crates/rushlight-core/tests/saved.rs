//! Functions in files: what comes back, and what is said of files that are no good.

use rushlight_core::{
    DType, Result, SavedFunction, Tensor, Variable, assert_that, callback, cond, function, scan,
    value_and_grad, while_loop,
};
use safetensors::SafeTensors;

fn x() -> Tensor {
    Tensor::from([[1.0f32, 2.0, 3.0], [-1.0, 0.5, 0.25]])
}

/// A function with variables, an assignment, a condition, a constant and a plain argument, and its file.
fn trained() -> Result<(Variable, Vec<u8>, Vec<Vec<f32>>)> {
    let weight = Variable::new("dense/kernel", &Tensor::full([3, 2], 0.25, DType::F32))?;
    let step = function("step", {
        let weight = weight.clone();
        move |x: &Tensor, rate: &f32| -> Result<(Tensor, Tensor)> {
            assert_that(&x.is_finite(), "the inputs must be finite")?;
            let loss = || (x.matmul(&weight.read()) - Tensor::from([1.0f32, -1.0])).square().mean(..);
            let (loss, gradients) = value_and_grad(loss, std::slice::from_ref(&weight))?;
            weight.assign_sub(&(&gradients[0] * *rate))?;
            Ok((loss, x.argmax(-1)))
        }
    });
    step.call2(&x(), &0.1)?;
    let bytes = step.recordings().to_bytes()?;
    let losses = (0..3).map(|_| step.call2(&x(), &0.1)?.0.to_vec::<f32>());
    let losses = losses.collect::<Result<Vec<_>>>()?;
    Ok((weight, bytes, losses))
}

#[test]
fn a_saved_training_step_goes_on_where_it_was_saved() -> Result<()> {
    let (weight, bytes, losses) = trained()?;
    let saved = SavedFunction::from_bytes(&bytes)?;
    assert_eq!(saved.name(), "step");
    assert_eq!(saved.signatures(), ["0: f32[2, 3], 1 = 0.1"]);
    let names: Vec<(&str, bool)> = saved.variables().map(|v| (v.name(), v.is_trainable())).collect();
    assert_eq!(names, [("dense/kernel", true)]);
    for loss in &losses {
        let results = saved.call(&[&x()])?;
        assert_eq!(&results[0].to_vec::<f32>()?, loss);
        assert_eq!(results[1].to_vec::<i32>()?, [2, 1]);
    }
    assert_eq!(saved.variable("dense/kernel")?.read().to_vec::<f32>()?, weight.read().to_vec::<f32>()?);
    assert!(saved.variable("bias").is_err_and(|error| error.to_string().contains("no variable `bias`")));
    Ok(())
}

#[test]
fn wrong_arguments_and_conditions_are_errors() -> Result<()> {
    let (_, bytes, _) = trained()?;
    let saved = SavedFunction::from_bytes(&bytes)?;
    let error = saved.call(&[&Tensor::zeros([3, 3], DType::F32)]).expect_err("another batch");
    assert!(error.rule().ends_with("it takes (0: f32[2, 3], 1 = 0.1)"), "{error}");
    saved.call(&[]).expect_err("no argument");
    let before = saved.variable("dense/kernel")?.read().to_vec::<f32>()?;
    let error = saved.call(&[&(x() / 0.0)]).expect_err("infinite inputs");
    assert!(error.rule().starts_with("the inputs must be finite"), "{error}");
    assert!(error.layer_path().is_some_and(|path| path.contains("recorded at")), "{error}");
    assert_eq!(saved.variable("dense/kernel")?.read().to_vec::<f32>()?, before);
    Ok(())
}

#[test]
fn there_is_a_recording_for_each_signature() -> Result<()> {
    let double = function("double", |x: &Tensor| x + x);
    let error = double.save("never.safetensors").expect_err("nothing recorded");
    assert!(error.to_string().contains("call the function first"), "{error}");
    double.call(&Tensor::from([1.0f32])).check()?;
    double.call(&Tensor::from([1i32, 2])).check()?;
    let path = std::env::temp_dir().join(format!("rushlight-double-{}.safetensors", std::process::id()));
    double.save(&path)?;
    let saved = SavedFunction::load(&path)?;
    std::fs::remove_file(&path)?;
    assert_eq!(saved.signatures(), ["0: f32[1]", "0: i32[2]"]);
    assert_eq!(saved.call(&[&Tensor::from([4i32, 5])])?[0].to_vec::<i32>()?, [8, 10]);
    assert!(SavedFunction::load(&path).is_err_and(|error| error.to_string().contains("cannot be read")));
    Ok(())
}

#[test]
fn loops_and_branches_come_back() -> Result<()> {
    let weight = Variable::new("weight", &Tensor::from([0.5f32, 0.25]))?;
    let settle = function("settle", {
        let weight = weight.clone();
        move |x: &Tensor| -> Result<(Tensor, Tensor)> {
            let tape = rushlight_core::Tape::new();
            tape.watch(x);
            let rows = Tensor::ones([5, 2], DType::F32);
            let (state, rows) = scan(x.clone(), &rows, |state: Tensor, row: Tensor| {
                let next = (state * weight.read() + row).tanh();
                (next.clone(), next)
            });
            let gradient = tape.gradient(&rows.sum(..), &[x])?.remove(0);
            let grown = while_loop(state, |s: &Tensor| s.sum(..).less(10.0), |s: Tensor| s * 1.5);
            let chosen = cond(&gradient.sum(..).greater(0.0), || grown.print("grown"), || -&grown);
            weight.assign_add(&gradient)?;
            Ok((chosen, gradient))
        }
    });
    let x = Tensor::from([0.1f32, 0.2]);
    settle.call(&x)?;
    let saved = SavedFunction::from_bytes(&settle.recordings().to_bytes()?)?;
    for _ in 0..2 {
        let (chosen, gradient) = settle.call(&x)?;
        let results = saved.call(&[&x])?;
        assert_eq!(results[0].to_vec::<f32>()?, chosen.to_vec::<f32>()?);
        assert_eq!(results[1].to_vec::<f32>()?, gradient.to_vec::<f32>()?);
        assert_eq!(saved.variable("weight")?.read().to_vec::<f32>()?, weight.read().to_vec::<f32>()?);
    }
    Ok(())
}

#[test]
fn a_callback_cannot_be_saved() -> Result<()> {
    let calling = function("calling", |x: &Tensor| -> Result<Tensor> {
        callback(&[x], |_| Ok(()))?;
        Ok(x.clone())
    });
    let line = line!() - 3;
    calling.call(&x())?;
    let error = calling.recordings().to_bytes().expect_err("Rust code in it");
    assert!(
        error.to_string().contains(&format!("the callback at {}:{line} is Rust code", file!())),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_file_of_version_1_runs_without_the_code_that_made_it() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/step-v1.safetensors");
    let saved = SavedFunction::load(path)?;
    assert_eq!(saved.signatures().len(), 1);
    let y = Tensor::from([[0.0f32, 1.0], [1.0, 0.0]]);
    let results = saved.call(&[&x(), &y])?;
    // Printed by `examples/save_function.rs` when it made the file.
    let expected = [0.29948527f32, -0.3473954, 0.9994376, 0.7023629, 0.71294236];
    let got: Vec<f32> = results.iter().flat_map(|result| result.to_vec::<f32>().unwrap()).collect();
    for (got, want) in got.iter().zip(expected) {
        assert!((got - want).abs() < 1e-5, "{got} instead of {want}");
    }
    assert_eq!(got.len(), expected.len());
    Ok(())
}

/// The file with another description of the function.
fn with_description(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let mut metadata = metadata.metadata().clone().unwrap();
    let json = metadata.get_mut("rushlight function").unwrap();
    *json = change(std::mem::take(json));
    safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()
}

#[test]
fn bad_files_give_one_clear_error() -> Result<()> {
    let (_, bytes, _) = trained()?;
    let says = |bytes: &[u8], expected: &str| {
        let error = SavedFunction::from_bytes(bytes).expect_err(expected).to_string();
        assert!(error.starts_with("[load] the function cannot be used: "), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    says(b"", "no whole safetensors file");
    says(b"PK\x03\x04 something else entirely", "no whole safetensors file");
    for length in 0..bytes.len() {
        says(&bytes[..length], "no whole safetensors file");
    }
    let changed = |from: &str, to: &str| {
        with_description(&bytes, |json| {
            assert!(json.contains(from), "{from} is not in {json}");
            json.replacen(from, to, 1)
        })
    };
    says(&changed("\"version\":1", "\"version\":2"), "of version 2, and this program reads up to version 1");
    says(&changed("\"version\":1", "\"version\":\"new\""), "its version is missing");
    says(&changed("{\"version\"", "{\"surprise\":1,\"version\""), "unknown field `surprise`");
    says(&changed("\"variable\":0", "\"variable\":9"), "there is no variable 9");
    says(&changed("\"constant\":0", "\"constant\":99"), "the tensor `constant 99` is missing");
    says(&changed("[2,3]", "[2,9007199254740993]"), "no whole number up to");
    says(&changed("[2,3]", "[2,-3]"), "no whole number up to");
    says(&changed("[2,3]", "[1073741824,1073741824]"), "too large");
    says(&changed("\"square\"", "\"cube\""), "its description is damaged");
    says(&changed("\"outputs\":[[", "\"outputs\":[[4000,0],["), "there is no value [4000, 0]");
    says(&changed("\"inputs\":[[0,0]", "\"inputs\":[[77,0]"), "there is no value [77, 0]");
    says(&with_description(&bytes, |_| "{".repeat(100_000)), "its description is damaged");
    says(&with_description(&bytes, |json| json[..json.len() / 2].to_string()), "its description is damaged");
    let other = safetensors::serialize(SafeTensors::deserialize(&bytes).unwrap().tensors(), None).unwrap();
    says(&other, "not of a recorded function");
    Ok(())
}

/// Numbers that look random, the same at each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn whatever_a_file_holds_reading_and_calling_it_ends() -> Result<()> {
    let (_, bytes, _) = trained()?;
    let mut numbers = Numbers(7);
    let (mut read, mut called) = (0, 0);
    for round in 0..1500 {
        let file = if round % 3 == 0 {
            let mut file = bytes.clone();
            for _ in 0..1 + numbers.below(3) {
                let place = numbers.below(file.len());
                file[place] = numbers.below(256) as u8;
            }
            file
        } else {
            // Other numbers, other ops, other wires.
            let seed = numbers.below(1 << 30) as u64;
            with_description(&bytes, |json| mutated(&json, &mut Numbers(seed)))
        };
        let Ok(saved) = SavedFunction::from_bytes(&file) else { continue };
        read += 1;
        for arguments in [vec![x()], vec![x(), x()], vec![]] {
            called += usize::from(saved.call(&arguments.iter().collect::<Vec<_>>()).is_ok());
        }
    }
    println!("of 1500 damaged files {read} could be read, {called} calls worked");
    assert!(read > 20, "the damage was so great that hardly any file was read");
    Ok(())
}

/// The description with a few numbers and names exchanged for others.
fn mutated(json: &str, numbers: &mut Numbers) -> String {
    let mut words: Vec<String> = vec![String::new()];
    for letter in json.chars() {
        let last = words.last_mut().expect("one word at least");
        let digit = letter.is_ascii_digit();
        if last.chars().next().is_some_and(|first| first.is_ascii_digit() != digit) {
            words.push(letter.to_string());
        } else {
            last.push(letter);
        }
    }
    let numeric: Vec<usize> =
        (0..words.len()).filter(|&i| words[i].starts_with(|c: char| c.is_ascii_digit())).collect();
    for _ in 0..1 + numbers.below(2) {
        words[numeric[numbers.below(numeric.len())]] = numbers.below(12).to_string();
    }
    let mut json = words.concat();
    let ops = ["add", "sub", "neg", "square", "tanh", "sum", "mean", "max", "mul", "div", "is_finite"];
    if numbers.below(2) == 0 {
        let (from, to) = (ops[numbers.below(ops.len())], ops[numbers.below(ops.len())]);
        json = json.replacen(&format!("\"{from}\""), &format!("\"{to}\""), 1 + numbers.below(3));
    }
    json
}
