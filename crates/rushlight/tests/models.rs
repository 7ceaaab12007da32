//! Models as users build them: shapes, parameter counts, sharing, custom layers, errors.

use rushlight::applications::{self, DenseNetConfig, densenet};
use rushlight::prelude::*;
use rushlight::tensor::BATCH;

fn trainable(model: &Model) -> usize {
    model.trainable_variables().iter().map(|variable| variable.spec().count()).sum()
}

#[test]
fn models_have_the_published_numbers_of_parameters() {
    // densenet-40-12 and densenet-bc-100-12: Huang et al. 2017 with Keras's BN; 121: Keras Applications;
    // resnet-18: the usual count of the variant for CIFAR; the others add up by hand.
    let expected = [
        ("small", 76_810),
        ("densenet-40-12", 1_019_722),
        ("densenet-bc-100-12", 769_162),
        ("densenet-121", 7_978_856),
        ("vgg-32", 2_196_810),
        ("resnet-18", 11_173_962),
        ("mobilenet-32", 543_050),
        ("lstm-28-128", 81_674),
        ("transformer-64-128", 402_314),
        ("mlp-784-512-512-10", 669_706),
        ("mlp-784-128-10", 101_770),
        ("mlp-16-16-4", 340),
    ];
    for (name, parameters) in expected {
        let model = applications::by_name(name).unwrap();
        assert_eq!(&*model.name(), name);
        assert_eq!(trainable(&model), parameters, "{name}");
    }
    // All parameters, moving statistics included, as Keras Applications publishes them.
    let all = |name| {
        let model = applications::by_name(name).unwrap();
        let summary = model.summary();
        summary.trainable_parameters + summary.other_parameters
    };
    assert_eq!(all("densenet-121"), 8_062_504);
    assert_eq!(all("densenet-169"), 14_307_880);
    assert_eq!(all("densenet-201"), 20_242_984);
}

#[test]
fn faulty_settings_of_a_densenet_are_explained() {
    let tiny = densenet(&DenseNetConfig::small().input([2, 2, 3])).err().unwrap().to_string();
    assert!(tiny.contains("transition2_pool"), "{tiny}");
    let none = densenet(&DenseNetConfig::small().classes(0)).err().unwrap().to_string();
    assert!(none.contains("must be positive"), "{none}");
    let unknown = applications::by_name("resnet").err().unwrap().to_string();
    assert!(unknown.contains("`resnet`") && unknown.contains("densenet-bc-100-12"), "{unknown}");
}

#[test]
fn the_summary_names_layers_shapes_and_connections() {
    rushlight::layers::reset_names();
    let image = Input::new([8, 8, 3]).named("image");
    let x = Conv2d::new(4, 3).padding(Same).call(&image);
    let y = BatchNormalization::new().call(&x).relu();
    let z = Concatenate::new().call([&x, &y]);
    let model = Model::new(&image, z.apply(Flatten::new()).apply(Dense::new(2))).unwrap().named("net");
    let expected = "\
Model: net
┌──────────────────────────────────────────┬──────────────────┬────────────┬─────────────────────┐
│ Layer (type)                             │ Output shape     │ Parameters │ Connected to        │
├──────────────────────────────────────────┼──────────────────┼────────────┼─────────────────────┤
│ image (Input)                            │ [batch, 8, 8, 3] │          0 │                     │
│ conv2d (Conv2d)                          │ [batch, 8, 8, 4] │        112 │ image               │
│ batch_normalization (BatchNormalization) │ [batch, 8, 8, 4] │         16 │ conv2d              │
│ maximum                                  │ [batch, 8, 8, 4] │          0 │ batch_normalization │
│ concatenate (Concatenate)                │ [batch, 8, 8, 8] │          0 │ conv2d, maximum     │
│ flatten (Flatten)                        │ [batch, 512]     │          0 │ concatenate         │
│ dense (Dense)                            │ [batch, 2]       │      1,026 │ flatten             │
└──────────────────────────────────────────┴──────────────────┴────────────┴─────────────────────┘
Parameters: 1,154 (4.5 KiB)
  trainable: 1,146
  not trainable: 8
";
    let text = model.summary().to_string();
    assert_eq!(text, expected);
}

#[test]
fn shapes_follow_the_layers() {
    let x = Input::new([9, 9, 3]);
    let shape = |tensor: Tensor| tensor.shape().unwrap().to_vec();
    assert_eq!(shape(Conv2d::new(8, 3).call(&x)), [BATCH, 7, 7, 8]);
    assert_eq!(shape(Conv2d::new(8, [3, 1]).strides([2, 1]).padding(Same).call(&x)), [BATCH, 5, 9, 8]);
    assert_eq!(shape(MaxPooling2d::new(2).call(&x)), [BATCH, 4, 4, 3]);
    assert_eq!(shape(AveragePooling2d::new(3).strides(2).padding(Same).call(&x)), [BATCH, 5, 5, 3]);
    assert_eq!(shape(GlobalAveragePooling2d::new().call(&x)), [BATCH, 3]);
    assert_eq!(shape(GlobalMaxPooling2d::new().call(&x)), [BATCH, 3]);
    assert_eq!(shape(ZeroPadding2d::new([(1, 2), (0, 3)]).call(&x)), [BATCH, 12, 12, 3]);
    assert_eq!(shape(Flatten::new().call(&x)), [BATCH, 243]);
    assert_eq!(shape(Reshape::new([-1, 27]).call(&x)), [BATCH, 9, 27]);
    assert_eq!(shape(Dense::new(5).call(&x)), [BATCH, 9, 9, 5]);
    assert_eq!(shape(Dropout::new(0.5).call(&x)), [BATCH, 9, 9, 3]);
    assert_eq!(shape(BatchNormalization::new().call(&x)), [BATCH, 9, 9, 3]);
    assert_eq!(shape(Softmax::new().call(&x)), [BATCH, 9, 9, 3]);
    assert_eq!(shape(Concatenate::new().axis(1).call([&*x, &x.relu()])), [BATCH, 18, 9, 3]);
    assert_eq!(shape(Add::new().call([&*x, &x.relu(), &*x])), [BATCH, 9, 9, 3]);
    let steps = Input::new([16, 2]);
    assert_eq!(shape(Conv1d::new(4, 3).dilation_rate(2).call(&steps)), [BATCH, 12, 4]);
    assert_eq!(shape(GlobalAveragePooling1d::new().call(&steps)), [BATCH, 2]);
    let volume = Input::new([4, 4, 4, 2]);
    assert_eq!(shape(Conv3d::new(4, 3).padding(Same).groups(2).call(&volume)), [BATCH, 4, 4, 4, 4]);
}

#[test]
fn a_shared_layer_is_one_layer_and_a_model_is_a_layer() {
    rushlight::layers::reset_names();
    let shared = Dense::new(4).named("shared");
    let (a, b) = (Input::new([4]), Input::new([4]));
    let inner = Model::new(&a, shared.call(shared.call(&a))).unwrap().named("inner");
    assert_eq!(inner.variables().len(), 2);
    let outer = Model::new([&a, &b], [inner.call(&a) + inner.call(&b), shared.call(&b)]).unwrap();
    assert_eq!(outer.variables().len(), 2);
    let ones = Tensor::ones([3, 4], DType::F32);
    let outputs = outer.call_many([&ones, &ones]);
    assert_eq!(outputs.len(), 2);
    assert_eq!(outputs[0].shape().unwrap(), [3, 4]);
    let names: Vec<String> = outer.summary().rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names, ["input", "input_1", "inner", "inner", "add", "shared"]);
}

/// `concat([x, dense(relu(x))])`: layers inside a layer, with no registration.
#[derive(Clone)]
struct Grow {
    state: LayerState,
    dense: Dense,
    factor: Weight,
}

impl Grow {
    #[track_caller]
    fn new(units: usize) -> Grow {
        Grow { state: LayerState::new("Grow"), dense: Dense::new(units), factor: Weight::new() }
    }
}

impl Layer for Grow {
    fn state(&self) -> &LayerState {
        &self.state
    }
    fn build(&self, _input: &Spec) -> Result<()> {
        self.factor.make("factor", &[], &Initializer::Constant(3.0))
    }
    fn forward(&self, x: &Tensor) -> Tensor {
        concat(&[x, &self.dense.call(&(x.relu() * self.factor.read()))], -1)
    }
}

#[test]
fn a_layer_of_ones_own_needs_no_registration() {
    rushlight::layers::reset_names();
    let x = Input::new([3]);
    let grow = Grow::new(2);
    let model = Model::new(&x, x.apply(&grow).apply(Grow::new(4))).unwrap();
    let names: Vec<String> = model.variables().iter().map(|variable| variable.name().to_string()).collect();
    assert_eq!(names[..3], ["grow/factor", "grow/dense/kernel", "grow/dense/bias"]);
    assert_eq!(names[3..], ["grow_1/factor", "grow_1/dense_1/kernel", "grow_1/dense_1/bias"]);
    assert_eq!(model.summary().trainable_parameters, 1 + 3 * 2 + 2 + 1 + 5 * 4 + 4);
    assert_eq!(model.variables()[1].shape(), [3, 2]);
    // The same layers eagerly: inference of the built layer, by hand.
    grow.variables()[1].assign(&Tensor::from([[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0]])).unwrap();
    let y = grow.call(Tensor::from([[1.0f32, -1.0, 2.0]]));
    assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, -1.0, 2.0, 9.0, 6.0]);
}

#[test]
fn errors_name_the_line_and_the_layer() {
    let x = Input::new([4, 4, 3]);
    let line = line!() + 1;
    let bad = Conv2d::new(8, 5).named("wide").call(&x);
    let y = bad.relu().apply(Dense::new(3));
    let error = Model::new(&x, &y).err().unwrap().to_string();
    assert!(error.starts_with("[conv2d] "), "{error}");
    assert!(error.ends_with(&format!("({}:{line}, in wide)", file!())), "{error}");

    let model =
        Sequential::new().add(Flatten::new()).add(Dense::new(3)).model([4, 4, 3]).unwrap().named("net");
    let error = model.call(Tensor::zeros([2, 4, 4, 1], DType::F32)).check().err().unwrap().to_string();
    assert!(error.contains("must be f32[batch, 4, 4, 3]: got [2, 4, 4, 1]"), "{error}");
    assert!(error.ends_with("in net)"), "{error}");

    let line = line!() + 1;
    let dense = Dense::new(3);
    dense.call(Tensor::zeros([2, 4], DType::F32)).check().unwrap();
    let error = dense.call(Tensor::zeros([2, 5], DType::F32)).check().err().unwrap().to_string();
    assert!(
        error.contains("[matmul] the last axis") && error.contains(&format!("{}:{line}", file!())),
        "{error}"
    );
}

/// A model put together in `build`, when the input's shape is known.
#[derive(Clone)]
struct Wrapped {
    state: LayerState,
    inner: std::sync::Arc<std::sync::OnceLock<Model>>,
}

impl Layer for Wrapped {
    fn state(&self) -> &LayerState {
        &self.state
    }
    fn build(&self, input: &Spec) -> Result<()> {
        let x = Input::new(&input.dims[1..]);
        let model = Model::new(&x, &(x.apply(Dense::new(2)) * 2.0))?;
        self.inner.set(model).expect("a layer is built once");
        Ok(())
    }
    fn forward(&self, x: &Tensor) -> Tensor {
        self.inner.get().expect("built before").call(x)
    }
}

#[test]
fn a_model_made_inside_a_layer_keeps_its_variables() {
    let wrapped = Wrapped { state: LayerState::new("Wrapped"), inner: Default::default() };
    let x = Input::new([3]);
    let model = Model::new(&x, x.apply(&wrapped)).unwrap();
    let variables = model.variables();
    assert_eq!(variables.len(), 2);
    let ones = Tensor::ones([1, 3], DType::F32);
    variables[0].assign(&Tensor::ones([3, 2], DType::F32)).unwrap();
    assert_eq!(model.call(&ones).to_vec::<f32>().unwrap(), [6.0, 6.0]);
    variables[0].assign(&Tensor::zeros([3, 2], DType::F32)).unwrap();
    assert_eq!(model.call(&ones).to_vec::<f32>().unwrap(), [0.0, 0.0]);
}

#[test]
fn weights_are_made_in_build_only() {
    let weight = Weight::new();
    let error = weight.make("w", &[1], &Initializer::Ones).unwrap_err().to_string();
    assert!(error.contains("made in the `build` of a layer"), "{error}");
    assert!(weight.read().check().err().unwrap().to_string().contains("must be built first"));
}

#[test]
fn what_a_densenet_says_points_at_the_users_line() {
    let line = line!() + 1;
    let error = densenet(&DenseNetConfig::small().input([2, 2, 3])).err().unwrap().to_string();
    assert!(error.contains(&format!("{}:{line}, in transition2_pool", file!())), "{error}");
}
