//! Saving and loading weights.

use rushlight::models::weights_metadata;
use rushlight::prelude::*;
use std::path::PathBuf;

/// A path in a directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rushlight-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn model(units: usize) -> Model {
    let x = Input::new([6, 6, 1]);
    let y = Conv2d::new(2, 3).call(&x).apply(BatchNormalization::new()).relu();
    let y = y.apply(Flatten::new()).apply(Dense::new(4)).apply(Dense::new(units).named("scores"));
    Model::new(&x, &y).unwrap().named("net")
}

#[test]
fn weights_survive_a_file_whatever_else_was_made() {
    let scratch = Scratch::new("weights");
    let path = scratch.0.join("below/net.safetensors");
    random::set_seed(1);
    let saved = model(3);
    saved.save_weights_with(&path, &[("data", "drawn")]).unwrap();
    let names: Vec<String> = saved.named_variables().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "conv2d/kernel",
        "conv2d/bias",
        "batch_normalization/gamma",
        "batch_normalization/beta",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
        "dense/kernel",
        "dense/bias",
        "scores/kernel",
        "scores/bias",
    ];
    assert_eq!(names, expected);
    // The second model's layers are called conv2d_1 and so on: the file's names do not depend on that.
    let loaded = model(3);
    let x = random::normal([5, 6, 6, 1], 0.0, 1.0, DType::F32);
    let outputs = |model: &Model| model.predict(&x).unwrap().to_vec::<f32>().unwrap();
    assert_ne!(outputs(&loaded), outputs(&saved));
    loaded.load_weights(&path).unwrap();
    assert_eq!(outputs(&loaded), outputs(&saved));
    let metadata = weights_metadata(&path).unwrap();
    assert_eq!((metadata["model"].as_str(), metadata["data"].as_str()), ("net", "drawn"));
}

#[test]
fn files_that_do_not_fit_are_refused_whole() {
    let scratch = Scratch::new("refused");
    let path = scratch.0.join("net.safetensors");
    model(3).save_weights(&path).unwrap();
    let other = model(5);
    let before = other.variables()[0].read().to_vec::<f32>().unwrap();
    let error = |model: &Model, path: &PathBuf| model.load_weights(path).unwrap_err().to_string();
    let text = error(&other, &path);
    assert!(text.contains("`scores/kernel` is F32 [4, 3] in the file and f32[4, 5] in the model"), "{text}");
    assert_eq!(other.variables()[0].read().to_vec::<f32>().unwrap(), before);
    let smaller = Sequential::new().add(Dense::new(4)).model([64]).unwrap();
    let text = error(&smaller, &path);
    assert!(text.contains("in the file is not in the model"), "{text}");
    smaller.save_weights(&path).unwrap();
    let text = error(&other, &path);
    assert!(text.contains("of the model is not in the file"), "{text}");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let text = error(&smaller, &path);
    assert!(text.contains("is no whole safetensors file"), "{text}");
    let text = error(&smaller, &scratch.0.join("nothing"));
    assert!(text.contains("cannot be read"), "{text}");
    let text = smaller.save_weights(&scratch.0).unwrap_err().to_string();
    assert!(text.contains("cannot be written"), "{text}");
    let unbuilt = Model::from(Sequential::new().add(Dense::new(1)));
    assert!(unbuilt.save_weights(&path).unwrap_err().to_string().contains("built first"));
}

#[test]
fn every_dtype_survives() {
    #[derive(Clone)]
    struct Keep {
        state: LayerState,
        value: Weight,
    }
    impl Layer for Keep {
        fn state(&self) -> &LayerState {
            &self.state
        }
        fn build(&self, _input: &Spec) -> Result<()> {
            self.value.make("value", &[3], &Initializer::Uniform { low: -2.0, high: 2.0 })
        }
        fn forward(&self, x: &Tensor) -> Tensor {
            x * self.value.read()
        }
    }
    let scratch = Scratch::new("dtypes");
    let path = scratch.0.join("kept");
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        let make = || {
            let keep = Keep { state: LayerState::new("Keep"), value: Weight::new() };
            let x = Input::new([3]).dtype(dtype);
            Model::new(&x, keep.call(&x)).unwrap()
        };
        let (a, b) = (make(), make());
        let value = |model: &Model| model.variables()[0].read().cast(DType::F64).to_vec::<f64>().unwrap();
        assert_ne!(value(&a), value(&b), "{dtype}");
        a.save_weights(&path).unwrap();
        b.load_weights(&path).unwrap();
        assert_eq!(value(&a), value(&b), "{dtype}");
    }
}
