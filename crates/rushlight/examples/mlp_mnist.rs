//! A multilayer perceptron on MNIST: layers in a sequence, compile, fit, evaluate.
//!
//! `cargo run --release --example mlp_mnist -- folder` reads MNIST from a folder; without one, shapes are drawn.

use rushlight::data::{ImageData, Normalization, drawn_shapes, mnist};
use rushlight::prelude::*;

fn images() -> Result<ImageData> {
    match std::env::args().nth(1) {
        Some(folder) => Ok(mnist::load(folder)?),
        None => Ok(drawn_shapes(2000, 400, 1)),
    }
}

fn main() -> Result<()> {
    let images = images()?;
    let (size, classes) = (images.train.size(), images.train.classes.len());
    let normalization = Normalization::new(&images.train.channel_statistics())?;
    let train = Dataset::from_images(images.train, normalization.clone()).shuffle(1).batch(64);
    let test = Dataset::from_images(images.test, normalization).batch(64);

    let mut model = Sequential::new()
        .add(Flatten::new())
        .add(Dense::new(256).activation(activations::Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(128).activation(activations::Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(classes))
        .model(size)?
        .named("mlp");
    model.compile(Adam::new(0.001), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    println!("{}", model.summary());

    let patience = EarlyStopping::new("val_accuracy", 3).restore_best_weights();
    model.fit(&train, Fit::epochs(6).validation(&test).callback(patience))?;
    println!("the best epoch's weights on new images: {}", model.evaluate(&test)?);
    Ok(())
}
