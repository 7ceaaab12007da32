//! A DenseNet as a sequence of layers, with the dense block as a layer of one's own.
//!
//! `cargo run --release --example densenet_sequential -- 5` trains for five epochs (two by default).

use rushlight::data::{Normalization, drawn_shapes};
use rushlight::prelude::*;

/// Layers that each see the outputs of all before them: `x ← concat([x, conv(relu(norm(x)))])`.
#[derive(Clone)]
struct DenseBlock {
    state: LayerState,
    layers: Vec<(BatchNormalization, Conv2d)>,
}

impl DenseBlock {
    #[track_caller]
    fn new(layers: usize, growth: usize) -> DenseBlock {
        let conv = || Conv2d::new(growth, 3).padding(Same).use_bias(false);
        let layers = (0..layers).map(|_| (BatchNormalization::new().momentum(0.9), conv())).collect();
        DenseBlock { state: LayerState::new("DenseBlock"), layers }
    }
}

impl Layer for DenseBlock {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = x.clone();
        for (norm, conv) in &self.layers {
            let y = x.apply(norm).relu().apply(conv);
            x = concat(&[&x, &y], -1);
        }
        x
    }
}

/// Half the height and width, on the way from one block to the next.
fn transition(filters: usize) -> Sequential {
    Sequential::new()
        .add(BatchNormalization::new().momentum(0.9))
        .add(ReLU::new())
        .add(Conv2d::new(filters, 1).use_bias(false))
        .add(AveragePooling2d::new(2))
}

fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let drawn = drawn_shapes(1280, 256, 1);
    let normalization = Normalization::new(&drawn.train.channel_statistics())?;
    let train = Dataset::from_images(drawn.train, normalization.clone()).shuffle(1).batch(32);
    let test = Dataset::from_images(drawn.test, normalization).batch(32);

    let mut model = Sequential::new()
        .add(Conv2d::new(24, 3).padding(Same).use_bias(false))
        .add(DenseBlock::new(4, 12))
        .add(transition(36))
        .add(DenseBlock::new(4, 12))
        .add(transition(42))
        .add(DenseBlock::new(4, 12))
        .add(BatchNormalization::new().momentum(0.9))
        .add(ReLU::new())
        .add(GlobalAveragePooling2d::new())
        .add(Dense::new(10))
        .model([32, 32, 3])?
        .named("densenet");
    model.compile(Adam::new(0.005), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    println!("{}", model.summary());
    let history = model.fit(&train, Fit::epochs(epochs).validation(&test))?;
    println!("accuracy on new images: {:.3}", history.last("val_accuracy").unwrap_or(0.0));
    Ok(())
}
