//! A DenseNet by the functional API: layers are called on tensors, and ops may stand in between.
//!
//! `cargo run --release --example densenet_functional -- 5` trains for five epochs (two by default).
//! The same net: `densenet_sequential` (a layer of one's own), `densenet_loop` (a training loop of one's own).

use rushlight::data::{Normalization, drawn_shapes};
use rushlight::prelude::*;

const BLOCKS: [usize; 3] = [4, 4, 4];
const GROWTH: usize = 12;

fn model() -> Result<Model> {
    let image = Input::new([32, 32, 3]).named("image");
    let mut x = image.apply(Conv2d::new(24, 3).padding(Same).use_bias(false));
    for (block, layers) in BLOCKS.into_iter().enumerate() {
        for _ in 0..layers {
            let y = x.apply(BatchNormalization::new().momentum(0.9)).relu();
            let y = y.apply(Conv2d::new(GROWTH, 3).padding(Same).use_bias(false));
            x = concat(&[&x, &y], -1);
        }
        if block + 1 < BLOCKS.len() {
            let half = x.shape()?[3] / 2;
            x = x
                .apply(BatchNormalization::new().momentum(0.9))
                .relu()
                .apply(Conv2d::new(half, 1).use_bias(false));
            x = x.apply(AveragePooling2d::new(2));
        }
    }
    let features =
        x.apply(BatchNormalization::new().momentum(0.9)).relu().apply(GlobalAveragePooling2d::new());
    Model::new(&image, features.apply(Dense::new(10)))
}

fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let drawn = drawn_shapes(1280, 256, 1);
    let normalization = Normalization::new(&drawn.train.channel_statistics())?;
    let train = Dataset::from_images(drawn.train, normalization.clone()).shuffle(1).batch(32);
    let test = Dataset::from_images(drawn.test, normalization).batch(32);

    let mut model = model()?.named("densenet");
    model.compile(Adam::new(0.005), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    println!("{}", model.summary_with_memory(32)?);
    let history = model.fit(&train, Fit::epochs(epochs).validation(&test))?;
    println!("accuracy on new images: {:.3}", history.last("val_accuracy").unwrap_or(0.0));
    Ok(())
}
