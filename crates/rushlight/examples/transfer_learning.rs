//! Transfer learning: a trunk that was trained on some classes is frozen, and a new head learns others from few images;
//! then the trunk is thawed and everything trains on, slowly.
//!
//! `cargo run --release --example transfer_learning`

use rushlight::data::{ImageSet, Normalization, drawn_shapes};
use rushlight::prelude::*;

/// The images of some classes, numbered from 0.
fn of_classes(set: &ImageSet, classes: std::ops::Range<i32>) -> Result<ImageSet> {
    let chosen: Vec<usize> = (0..set.len()).filter(|&index| classes.contains(&set.labels[index])).collect();
    let part = set.select(&chosen);
    let labels = part.labels.iter().map(|label| label - classes.start).collect();
    let names = set.classes[classes.start as usize..classes.end as usize].to_vec();
    let pixels = (0..part.len()).flat_map(|index| part.image(index).to_vec()).collect();
    Ok(ImageSet::new(pixels, labels, set.size(), names)?)
}

fn main() -> Result<()> {
    let drawn = drawn_shapes(2400, 600, 1);
    let normalization = Normalization::new(&drawn.train.channel_statistics())?;
    let data = |set: &ImageSet, classes| -> Result<Dataset> {
        Ok(Dataset::from_images(of_classes(set, classes)?, normalization.clone()).batch(32))
    };

    // The trunk: images to features. With a head on top it learns the first six classes.
    let image = Input::new([32, 32, 3]).named("image");
    let mut x = image.clone();
    for filters in [16, 32, 48] {
        x = x.apply(Conv2d::new(filters, 3).padding(Same).use_bias(false));
        x = x.apply(BatchNormalization::new().momentum(0.9)).relu().apply(MaxPooling2d::new(2));
    }
    let trunk = Model::new(&image, x.apply(GlobalAveragePooling2d::new()))?.named("trunk");
    let mut first = Model::new(&image, trunk.call(&*image).apply(Dense::new(6)))?.named("first");
    first.compile(Adam::new(0.005), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let history = first.fit(
        &data(&drawn.train, 0..6)?.shuffle(1),
        Fit::epochs(4).validation(&data(&drawn.test, 0..6)?).verbose(0),
    )?;
    println!("six classes, from scratch: accuracy {:.3}", history.last("val_accuracy").unwrap_or(0.0));

    // The other four classes, ten images of each: only the head trains.
    trunk.set_trainable(false);
    let mut second = Model::new(&image, trunk.call(&*image).apply(Dense::new(4)))?.named("second");
    let few = data(&drawn.train, 6..10)?.take(40).shuffle(2).batch(8);
    let test = data(&drawn.test, 6..10)?;
    let before: Vec<f32> = trunk.variables()[0].read().to_vec()?;
    second.compile(Adam::new(0.02), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    println!("{}", second.summary());
    let history = second.fit(&few, Fit::epochs(15).validation(&test).verbose(0))?;
    println!("four new classes, frozen trunk: accuracy {:.3}", history.last("val_accuracy").unwrap_or(0.0));
    assert_eq!(before, trunk.variables()[0].read().to_vec::<f32>()?, "what is frozen does not move");

    // A model must be compiled again for what is thawed to train.
    trunk.set_trainable(true);
    second.compile(Adam::new(0.0005), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    let history = second.fit(&few, Fit::epochs(5).validation(&test).verbose(0))?;
    println!("after fine-tuning: accuracy {:.3}", history.last("val_accuracy").unwrap_or(0.0));
    Ok(())
}
