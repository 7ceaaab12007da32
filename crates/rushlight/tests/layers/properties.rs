//! What goldens cannot hold: layers that draw random numbers, and what users do with layers.

use rushlight::config::Config;
use rushlight::layers::{layer_from_config, set_mask};
use rushlight::prelude::*;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.cast(DType::F64).to_vec::<f64>().unwrap()
}

fn number(tensor: &Tensor) -> f64 {
    tensor.to_f64().unwrap()
}

fn ramp(dims: &[usize]) -> Tensor {
    let count: usize = dims.iter().product();
    Tensor::arange(count as i64, DType::F32).reshape_to(dims)
}

/// A layer with a seed gives the same twice, another call something else, and inference nothing random.
#[test]
fn seeds_repeat_and_calls_differ() {
    let x = ramp(&[4, 6, 6, 3]) / 432.0;
    let classes = [
        ("Dropout", vec![("rate", 0.5)]),
        ("GaussianNoise", vec![("stddev", 0.5)]),
        ("GaussianDropout", vec![("rate", 0.5)]),
        ("AlphaDropout", vec![("rate", 0.5)]),
        ("SpatialDropout2D", vec![("rate", 0.5)]),
        ("RandomFlip", vec![]),
        ("RandomTranslation", vec![("height_factor", 0.4), ("width_factor", 0.4)]),
        ("RandomRotation", vec![("factor", 0.4)]),
        ("RandomZoom", vec![("height_factor", 0.4)]),
        ("RandomContrast", vec![("factor", 0.4)]),
        ("RandomBrightness", vec![("factor", 0.4)]),
    ];
    for (class, settings) in classes {
        let config = settings
            .into_iter()
            .fold(Config::new(class).with("seed", 7), |config, (key, value)| config.with(key, value));
        let config = if class.ends_with("ness") || class.ends_with("Contrast") {
            config.with("value_range", vec![0.0, 1.0])
        } else {
            config
        };
        let layer = || layer_from_config(&config).unwrap();
        let (one, other) = (layer(), layer());
        let draw = |layer: &dyn Fn() -> Tensor| numbers(&training(true, layer));
        let first = draw(&|| one.call(&x));
        assert_eq!(first, draw(&|| other.call(&x)), "{class}");
        assert_ne!(first, draw(&|| one.call(&x)), "{class}");
        assert_eq!(numbers(&one.call(&x)), numbers(&x), "{class}");
        assert!(first.iter().all(|number| number.is_finite()), "{class}");
        // A recorded function draws anew at each call.
        let recorded = function("random", |x: &Tensor| one.call(x));
        let call = || numbers(&training(true, || recorded.call(&x)));
        assert_ne!(call(), call(), "{class}");
    }
}

#[test]
fn noise_keeps_the_moments_that_it_should() {
    let x = rushlight::random::Generator::new(3).normal([200_000], 0.0, 1.0, DType::F64);
    let moments = |y: &Tensor| (number(&y.mean(..)), number(&y.variance(..)));
    let (mean, variance) = moments(&training(true, || AlphaDropout::new(0.3).seed(1).call(&x)));
    assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    let ones = x.ones_like();
    let (mean, variance) = moments(&training(true, || GaussianDropout::new(0.2).seed(1).call(&ones)));
    assert!((mean - 1.0).abs() < 0.01 && (variance - 0.25).abs() < 0.01, "{mean} {variance}");
    let (mean, variance) = moments(&training(true, || GaussianNoise::new(0.5).seed(1).call(&ones)));
    assert!((mean - 1.0).abs() < 0.01 && (variance - 0.25).abs() < 0.01, "{mean} {variance}");
    let y =
        training(true, || SpatialDropout1d::new(0.25).seed(1).call(Tensor::ones([2000, 3, 4], DType::F32)));
    // A channel is dropped at all steps or at none.
    assert_eq!(number(&y.variance(1).max(..)), 0.0);
    assert!((number(&y.mean(..)) - 1.0).abs() < 0.03);
    let (low, high) = (training(true, || Dropout::new(1.0).call(&ones)), Dropout::new(1.5).call(&ones));
    assert_eq!(number(&low.abs().max(..)), 0.0);
    assert!(high.check().is_err());
}

#[test]
fn recurrent_dropout_drops_while_training_only() {
    let x = ramp(&[3, 4, 5]);
    for class in ["SimpleRNN", "LSTM", "GRU"] {
        for key in ["dropout", "recurrent_dropout"] {
            let config = Config::new(class).with("units", 6).with(key, 0.5).with("seed", 3);
            let layer = layer_from_config(&config).unwrap();
            let inference = numbers(&layer.call(&x));
            assert_eq!(inference, numbers(&layer.call(&x)), "{class} {key}");
            assert_ne!(inference, numbers(&training(true, || layer.call(&x))), "{class} {key}");
        }
    }
}

#[test]
fn transformed_images_are_where_they_should_be() {
    let x = ramp(&[1, 4, 4, 1]);
    let moved = |fill_mode| {
        let shift =
            RandomTranslation::new((0.25, 0.25), (-0.25, -0.25)).fill_mode(fill_mode).fill_value(-1.0);
        numbers(&training(true, || shift.call(&x)))
    };
    let expected = |first: [f64; 4], last: [f64; 3]| {
        let mut rows = first.to_vec();
        for (row, last) in [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0], [9.0, 10.0, 11.0]].iter().zip(last) {
            rows.extend(row);
            rows.push(last);
        }
        rows
    };
    assert_eq!(moved(FillMode::Constant), expected([-1.0; 4], [-1.0; 3]));
    assert_eq!(moved(FillMode::Nearest), expected([1.0, 2.0, 3.0, 3.0], [3.0, 7.0, 11.0]));
    assert_eq!(moved(FillMode::Reflect), expected([1.0, 2.0, 3.0, 3.0], [3.0, 7.0, 11.0]));
    assert_eq!(moved(FillMode::Wrap), expected([13.0, 14.0, 15.0, 12.0], [0.0, 4.0, 8.0]));
    // A quarter of a turn counter-clockwise.
    let turned = training(true, || RandomRotation::new((0.25, 0.25)).call(&x));
    let expected = numbers(&x.transpose([0, 2, 1, 3]).flip([1]));
    let error = numbers(&turned).iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(error < 1e-4, "{error}");
    // Zoomed out by two, the middle of the image stays the middle.
    let zoomed = training(true, || RandomZoom::new((1.0, 1.0)).fill_mode(FillMode::Constant).call(&x));
    assert_eq!(number(&zoomed.i((0, 0, .., 0)).sum(..)), 0.0);
    assert_eq!(numbers(&zoomed.i((0, 1..3, 1..3, 0))), [2.5, 4.5, 10.5, 12.5]);
    let crop = training(true, || RandomCrop::new(2, 3).call(&x));
    let first = number(&crop.i((0, 0, 0, 0)));
    let expected: Vec<f64> = [0.0, 1.0, 2.0, 4.0, 5.0, 6.0].iter().map(|place| place + first).collect();
    assert_eq!(numbers(&crop), expected);
}

#[test]
fn adapting_equals_statistics_of_all_batches() {
    let data = rushlight::random::Generator::new(5).normal([30, 4, 3], 2.0, 3.0, DType::F64);
    let norm = Normalization::new();
    let batches: Vec<Tensor> = [(0, 7), (7, 20), (20, 30)].map(|(a, b)| data.slice_axis(0, a, b)).to_vec();
    norm.adapt(&batches).unwrap();
    let y = norm.call(&data);
    let (mean, variance) = y.moments([0, 1]);
    assert!(number(&mean.abs().max(..)) < 1e-12 && number(&(variance - 1.0).abs().max(..)) < 1e-12);
    let back = Normalization::new().invert(true);
    back.adapt(&batches).unwrap();
    assert!(number(&(back.call(&y) - &data).abs().max(..)) < 1e-12);
    assert!(Normalization::new().mean(0.0).variance(1.0).adapt(&batches).is_err());
    assert!(norm.adapt(&[]).is_err());
}

/// Regularizers count in the loss that `fit` reports and minimizes, constraints hold after each step.
#[test]
fn fit_regularizes_and_constrains() {
    let dense = Dense::new(2)
        .use_bias(false)
        .kernel_initializer(Initializer::Constant(1.0))
        .kernel_regularizer(Regularizer::L2(0.5))
        .kernel_constraint(Constraint::MaxNorm { max_value: 0.5, axes: vec![0] })
        .activity_regularizer(Regularizer::L1(0.25));
    let mut model = Sequential::new().add(dense).model([3]).unwrap();
    let kernel = model.variables()[0].clone();
    model.compile(Sgd::new(0.1), MeanSquaredError, [] as [Accuracy; 0]);
    let x = Tensor::ones([4, 3], DType::F32);
    let data = Dataset::from_tensors(&x, &Tensor::zeros([4, 2], DType::F32)).unwrap().batch(4);
    // y = 3: squares 9, L2 0.5 · 6, L1 0.25 · (4 · 2 · 3) / 4.
    let loss = model.evaluate(&data).unwrap().get("loss").unwrap();
    assert!((loss - (9.0 + 3.0 + 1.5)).abs() < 1e-5, "{loss}");
    model.fit(&data, Fit::epochs(1)).unwrap();
    let norms = numbers(&kernel.read().square().sum(0).sqrt());
    assert!(norms.iter().all(|norm| (norm - 0.5).abs() < 1e-4), "{norms:?}");
}

#[test]
fn frozen_layers_cost_nothing_and_stay() {
    let norm = BatchNormalization::new().gamma_regularizer(Regularizer::L2(1.0));
    let x = ramp(&[4, 3]);
    training(true, || norm.call(&x)).check().unwrap();
    assert_eq!(norm.regularization_losses().len(), 1);
    norm.set_trainable(false);
    assert!(norm.regularization_losses().is_empty() && norm.trainable_variables().is_empty());
    let before: Vec<Vec<f64>> = norm.variables().iter().map(|variable| numbers(&variable.read())).collect();
    let frozen = numbers(&training(true, || norm.call(&x)));
    assert_eq!(frozen, numbers(&norm.call(&x)));
    let after: Vec<Vec<f64>> = norm.variables().iter().map(|variable| numbers(&variable.read())).collect();
    assert_eq!(before, after);
    let config = norm.config().unwrap();
    assert!(!layer_from_config(&config).unwrap().state().is_trainable());
}

#[test]
fn attention_scores_are_weights() {
    let x = ramp(&[2, 4, 6]) / 48.0;
    let layers: [&dyn Fn() -> Vec<Tensor>; 3] = [
        &|| {
            MultiHeadAttention::new(2, 3)
                .use_causal_mask(true)
                .return_attention_scores(true)
                .call_many([&x, &x])
        },
        &|| Attention::new().use_causal_mask(true).return_attention_scores(true).call_many([&x, &x]),
        &|| {
            GroupQueryAttention::new(3, 4, 2)
                .use_causal_mask(true)
                .return_attention_scores(true)
                .call_many([&x, &x])
        },
    ];
    for layer in layers {
        let outputs = layer();
        let weights = &outputs[1];
        assert!(number(&(weights.sum(-1) - 1.0).abs().max(..)) < 1e-5);
        assert_eq!(number(&weights.triu(1).abs().max(..)), 0.0);
    }
    // A window of one place sees itself only.
    let near = MultiHeadAttention::new(2, 3).sliding_window(1).return_attention_scores(true);
    let weights = &near.call_many([&x, &x])[1];
    assert_eq!(numbers(&weights.i((0, 0))), numbers(&Tensor::eye(4, DType::F32)));
    // A mask as an input counts as well.
    let mask = Tensor::eye(4, DType::Bool).reshape([1, 4, 4]);
    let masked = MultiHeadAttention::new(2, 3).return_attention_scores(true);
    let weights = &masked.call_many([&x, &x, &x, &mask])[1];
    assert_eq!(numbers(&weights.i((1, 1))), numbers(&Tensor::eye(4, DType::F32)));
}

#[test]
fn masks_end_where_layers_mix_steps() {
    let x = ramp(&[2, 3, 4]);
    set_mask(&x, &Tensor::ones([2, 3], DType::Bool));
    let has_mask = |y: Tensor| rushlight::layers::mask_of(&y).is_some();
    assert!(has_mask(Dense::new(2).call(&x)) && has_mask(LayerNormalization::new().call(&x)));
    assert!(has_mask(LSTM::new(2).return_sequences(true).call(&x)));
    assert!(!has_mask(LSTM::new(2).call(&x)) && !has_mask(Flatten::new().call(&x)));
    assert!(!has_mask(Conv1d::new(2, 2).call(&x)) && !has_mask(&x + 1.0));
}

#[test]
fn faulty_settings_are_explained() {
    let x = ramp(&[2, 6, 6, 4]);
    let message = |y: Tensor| y.check().err().unwrap().to_string();
    let cases = [
        (message(Conv2d::new(3, [2, 2, 2]).call(&x)), "or 2 of them"),
        (message(Conv2d::new(3, 2).strides(2).dilation_rate(2).call(&x)), "cannot both be larger than 1"),
        (message(Conv2d::new(3, 2).padding(rushlight::layers::Causal).call(&x)), "one spatial axis"),
        (message(DepthwiseConv1d::new(2).call(&x)), "[batch, steps, channels]"),
        (message(GroupNormalization::new().groups(3).call(&x)), "divide into 3 groups"),
        (message(LayerNormalization::new().axis(0).call(&x)), "not be the batch's"),
        (message(EinsumDense::new("abc,cd", 4).call(ramp(&[2, 3, 4]))), "must be like"),
        (message(Dot::new(1).call([&x, &ramp(&[2, 5])])), "agree in size"),
        (message(Permute::new(vec![1, 3, 3]).call(&x)), "each once"),
        (message(Cropping2d::new(3).call(&x)), "must leave something"),
        (message(LSTM::new(3).call([&ramp(&[2, 3, 4]), &ramp(&[2, 3])])), "2 initial states"),
        (message(Bidirectional::new(Dense::new(3)).call(ramp(&[2, 3, 4]))), "must be recurrent"),
        (message(SpectralNormalization::new(Flatten::new()).call(&x)), "no weight called kernel"),
        (message(MultiHeadAttention::new(2, 3).call(ramp(&[2, 3, 4]))), "a query and a value"),
        (message(GroupQueryAttention::new(3, 4, 3).call([&ramp(&[2, 3, 4]), &ramp(&[2, 3, 4])])), "3 groups"),
    ];
    for (message, part) in &cases {
        assert!(message.contains(part), "{message} should say {part}");
    }
}

#[test]
fn faulty_configs_are_explained() {
    let message = |config: Config| layer_from_config(&config).err().unwrap().to_string();
    let dense = || Config::new("Dense").with("name", "head");
    let missing = message(dense());
    assert!(missing.contains("Dense `head`") && missing.contains("`units` is missing"), "{missing}");
    let wrong = message(dense().with("units", "many"));
    assert!(wrong.contains("`units` must be a whole number from 0, not \"many\""), "{wrong}");
    let activation = message(dense().with("units", 3).with("activation", "rule"));
    assert!(activation.contains("an activation of Keras's") && activation.contains("rule"), "{activation}");
    let padding = Config::new("Conv2D").with("filters", 1).with("kernel_size", 1).with("padding", "full");
    assert!(message(padding).contains("`valid` or `same` or `causal`"));
    let first = Config::new("Flatten").with("data_format", "channels_first");
    assert!(message(first).contains("channels_last"));
    assert!(message(Config::new("Nonsense")).contains("register_layer"));
    let custom = Dense::new(2).activation(activations::Function::custom(|x| x.square()));
    assert!(custom.config().err().unwrap().to_string().contains("is not data"));
}
