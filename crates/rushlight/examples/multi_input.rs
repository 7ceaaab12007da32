//! A model with three inputs and two outputs: a picture, a sequence of words and some numbers go in, a class and a price
//! come out. The data are made up, so that each input is needed.
//!
//! `cargo run --release --example multi_input -- model.svg` also draws the model (svg, png, dot or mmd).

use rushlight::plot::plot_model;
use rushlight::prelude::*;
use rushlight::random::Generator;
use rushlight::training::Compile;

const WORDS: usize = 6;
const VOCABULARY: usize = 20;

/// Bright pictures and the word 7 make class 1; the price is linear in the numbers, and higher for class 1.
fn made_up(count: usize, seed: u64) -> Result<Batch> {
    let generator = Generator::new(seed);
    let brightness = generator.uniform([count, 1, 1, 1], 0.0, 1.0, DType::F32);
    let picture = &brightness + generator.normal([count, 16, 16, 3], 0.0, 0.2, DType::F32);
    let words = generator.randint([count, WORDS], 1, VOCABULARY as i64, DType::I32);
    let numbers = generator.uniform([count, 3], -1.0, 1.0, DType::F32);
    let says_seven = words.equal(7).any([-1]);
    let class = brightness.reshape([-1]).greater(0.5).logical_and(&says_seven).cast(DType::I32);
    let price = (&numbers * Tensor::from([1.0f32, -2.0, 0.5])).sum([-1]) + class.cast(DType::F32);
    Ok(Batch {
        inputs: vec![picture, words, numbers],
        targets: vec![class, price.expand_dims(-1)],
        weights: vec![],
    })
}

fn model() -> Result<Model> {
    let picture = Input::new([16, 16, 3]).named("picture");
    let words = Input::new([WORDS]).dtype(DType::I32).named("words");
    let numbers = Input::new([3]).named("numbers");

    let looked = Input::new([16, 16, 3]).named("looked_at");
    let mut x = looked.clone();
    for filters in [8, 16] {
        x = x
            .apply(Conv2d::new(filters, 3).padding(Same).activation(activations::Relu))
            .apply(MaxPooling2d::new(2));
    }
    let eye = Model::new(&looked, x.apply(GlobalAveragePooling2d::new()))?.named("eye");

    let seen = eye.call(&*picture);
    let read = words
        .apply(Embedding::new(VOCABULARY, 8).named("vocabulary"))
        .apply(Bidirectional::new(LSTM::new(8)).named("reader"));
    let all = Concatenate::new().named("together").call([&seen, &read, &*numbers]);
    let thought = all.apply(Dense::new(32).activation(activations::Relu).named("thought"));
    let class = thought.apply(Dense::new(2).named("class"));
    let price = Concatenate::new()
        .named("with_numbers")
        .call([&thought, &*numbers])
        .apply(Dense::new(1).named("price"));
    Ok(Model::new([&*picture, &*words, &*numbers], [&class, &price])?.named("listing"))
}

fn main() -> Result<()> {
    random::set_seed(3);
    let mut model = model()?;
    model.compile_with(
        Compile::new(Adam::new(0.01), (SparseCategoricalCrossentropy::from_logits(), MeanSquaredError))
            .loss_weights(&[1.0, 0.5])
            .metrics_of(0, [Accuracy::new()]),
    );
    println!("{}", model.summary());
    let train = Dataset::from_batch(made_up(1024, 1)?)?.shuffle(1).batch(32);
    let test = Dataset::from_batch(made_up(256, 2)?)?.batch(64);
    model.fit(&train, Fit::epochs(8).validation(&test))?;
    println!("on new data: {}", model.evaluate(&test)?);
    if let Some(path) = std::env::args().nth(1) {
        plot_model(&model, &path)?;
        println!("written: {path}");
    }
    Ok(())
}
