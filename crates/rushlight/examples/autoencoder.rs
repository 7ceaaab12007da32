//! An autoencoder: images through a narrow place and back, with noise on the way in, so that it learns what images look
//! like. Encoder and decoder are models of their own, and parts of the whole.
//!
//! `cargo run --release --example autoencoder -- picture.png` also writes images and what became of them to a file.

use rushlight::data::drawn_shapes;
use rushlight::files::{encode_png, write_atomically};
use rushlight::prelude::*;

fn main() -> Result<()> {
    let drawn = drawn_shapes(1280, 128, 1);
    let tensor = |set: &rushlight::data::ImageSet| {
        let pixels: Vec<u8> = (0..set.len()).flat_map(|index| set.image(index).to_vec()).collect();
        Tensor::new(&pixels, [set.len(), 32, 32, 3]).cast(DType::F32) / 255.0
    };
    let (train, test) = (tensor(&drawn.train), tensor(&drawn.test));

    let image = Input::new([32, 32, 3]).named("image");
    let code = image
        .apply(GaussianNoise::new(0.05))
        .apply(Conv2d::new(16, 3).strides(2).padding(Same).activation(activations::Relu))
        .apply(Conv2d::new(32, 3).strides(2).padding(Same).activation(activations::Relu))
        .apply(Conv2d::new(8, 3).strides(2).padding(Same).activation(activations::Relu))
        .apply(Flatten::new())
        .apply(Dense::new(48).named("code"));
    let encoder = Model::new(&image, &code)?.named("encoder");

    let given = Input::new([48]).named("code");
    let drawn_again = given
        .apply(Dense::new(4 * 4 * 32).activation(activations::Relu))
        .apply(Reshape::new([4, 4, 32]))
        .apply(Conv2dTranspose::new(32, 3).strides(2).padding(Same).activation(activations::Relu))
        .apply(Conv2dTranspose::new(16, 3).strides(2).padding(Same).activation(activations::Relu))
        .apply(Conv2dTranspose::new(3, 3).strides(2).padding(Same).activation(activations::Sigmoid));
    let decoder = Model::new(&given, &drawn_again)?.named("decoder");

    let mut model = Model::new(&image, decoder.call(encoder.call(&*image)))?.named("autoencoder");
    model.compile(Adam::new(0.002), MeanSquaredError, ());
    println!("{}", model.summary());
    let blind = (&test - train.mean([0])).square().mean(..).item::<f32>()?;
    let data = Dataset::from_tensors(&train, &train)?.shuffle(1).batch(64);
    let history = model.fit(&data, Fit::epochs(8).validation(&Dataset::from_tensors(&test, &test)?))?;
    println!(
        "error on new images: {:.4}; of the mean image: {blind:.4}",
        history.last("val_loss").unwrap_or(f64::NAN)
    );

    if let Some(path) = std::env::args().nth(1) {
        // Above eight images, below what comes out for them.
        let shown = test.slice_axis(0, 0, 8);
        let rows = concat(&[&shown, &model.predict(&shown)?], 0).reshape([2, 8, 32, 32, 3]);
        let sheet = (rows.transpose([0, 2, 1, 3, 4]) * 255.0).round().cast(DType::U8);
        let file =
            encode_png(&sheet.to_vec::<u8>()?, [64, 256, 3]).and_then(|file| write_atomically(&path, &file));
        match file {
            Ok(()) => println!("written: {path}"),
            Err(error) => eprintln!("{path} cannot be written: {error}"),
        }
    }
    Ok(())
}
