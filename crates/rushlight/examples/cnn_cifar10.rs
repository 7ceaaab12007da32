//! A convolutional net on CIFAR-10, with images that are shifted and mirrored at random, a learning rate that falls, and
//! the best weights kept in a file.
//!
//! `cargo run --release --example cnn_cifar10 -- folder` reads CIFAR-10 from a folder or its archive; without, shapes are
//! drawn.

use rushlight::data::{Augmentation, ImageData, Normalization, cifar10, drawn_shapes};
use rushlight::prelude::*;

fn images() -> Result<ImageData> {
    match std::env::args().nth(1) {
        Some(folder) => Ok(cifar10::load(folder)?),
        None => Ok(drawn_shapes(1280, 320, 1)),
    }
}

/// Two convolutions with normalization and activation, then half the size.
fn block(x: &Tensor, filters: usize) -> Tensor {
    let mut x = x.clone();
    for _ in 0..2 {
        x = x
            .apply(Conv2d::new(filters, 3).padding(Same).use_bias(false))
            .apply(BatchNormalization::new().momentum(0.9));
        x = x.relu();
    }
    x.apply(MaxPooling2d::new(2))
}

fn main() -> Result<()> {
    const EPOCHS: usize = 4;
    let images = images()?;
    let (size, classes) = (images.train.size(), images.train.classes.len());
    let normalization = Normalization::new(&images.train.channel_statistics())?;
    let augmentation = Augmentation::standard(1);
    let train = Dataset::from_augmented_images(images.train, normalization.clone(), augmentation);
    let train = train.shuffle(1).batch(64).drop_remainder().workers(2);
    let test = Dataset::from_images(images.test, normalization).batch(64);

    let image = Input::new(size).named("image");
    let mut x = image.clone();
    for filters in [16, 32, 64] {
        x = block(&x, filters);
    }
    let logits = x.apply(GlobalAveragePooling2d::new()).apply(Dropout::new(0.3)).apply(Dense::new(classes));
    let mut model = Model::new(&image, &logits)?.named("cnn");
    let rate = CosineDecay::new(0.01, EPOCHS * train.batches());
    model.compile(
        AdamW::new(rate).weight_decay(0.01),
        SparseCategoricalCrossentropy::from_logits(),
        [Accuracy::new()],
    );
    println!("{}", model.summary_with_memory(64)?);

    let best = std::env::temp_dir().join(format!("rushlight-cnn-{}.safetensors", std::process::id()));
    let keep = ModelCheckpoint::new(&best).best("val_accuracy");
    let history = model.fit(&train, Fit::epochs(EPOCHS).validation(&test).callback(keep))?;
    println!("last accuracy on new images: {:.3}", history.last("val_accuracy").unwrap_or(0.0));
    model.load_weights(&best)?;
    println!("with the best weights: {}", model.evaluate(&test)?);
    std::fs::remove_file(best).ok();
    Ok(())
}
