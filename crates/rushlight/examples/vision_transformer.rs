//! A small vision transformer: images as sequences of patches, with places to learn, and blocks of attention and dense
//! layers, each added to what it read. The block is a layer of one's own.
//!
//! `cargo run --release --example vision_transformer -- 10` trains for ten epochs (five by default).

use rushlight::data::{Normalization, drawn_shapes};
use rushlight::prelude::*;

const SIDE: usize = 32;
const PATCH: usize = 4;
const PLACES: usize = (SIDE / PATCH) * (SIDE / PATCH);
const WIDTH: usize = 48;

/// Adds to each patch a learnt vector of its place.
#[derive(Clone)]
struct Places {
    state: LayerState,
    table: Weight,
}

impl Layer for Places {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn build(&self, input: &Spec) -> Result<()> {
        self.table.make("table", &input.dims[1..], &Initializer::Normal { mean: 0.0, stddev: 0.02 })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x + self.table.read()
    }
}

/// `x ← x + attention(norm(x))`, then `x ← x + dense(norm(x))`.
#[derive(Clone)]
struct Block {
    state: LayerState,
    norms: [LayerNormalization; 2],
    attention: MultiHeadAttention,
    wide: Dense,
    narrow: Dense,
}

impl Block {
    #[track_caller]
    fn new() -> Block {
        Block {
            state: LayerState::new("Block"),
            norms: [LayerNormalization::new(), LayerNormalization::new()],
            attention: MultiHeadAttention::new(4, WIDTH / 4),
            wide: Dense::new(2 * WIDTH).activation(activations::Gelu),
            narrow: Dense::new(WIDTH),
        }
    }
}

impl Layer for Block {
    fn state(&self) -> &LayerState {
        &self.state
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let y = x.apply(&self.norms[0]);
        let x = x + self.attention.call([&y, &y]);
        let y = x.apply(&self.norms[1]).apply(&self.wide).apply(&self.narrow);
        x + y
    }
}

fn model(classes: usize) -> Result<Model> {
    let image = Input::new([SIDE, SIDE, 3]).named("image");
    // A convolution whose steps are as long as its kernel is wide cuts patches and projects them.
    let patches = image.apply(Conv2d::new(WIDTH, PATCH).strides(PATCH).named("patches"));
    let mut x = patches.apply(Reshape::new([PLACES as isize, WIDTH as isize]));
    x = x.apply(Places { state: LayerState::new("Places"), table: Weight::new() });
    for _ in 0..3 {
        x = x.apply(Block::new());
    }
    let features = x.apply(LayerNormalization::new()).apply(GlobalAveragePooling1d::new());
    Ok(Model::new(&image, features.apply(Dense::new(classes)))?.named("vision_transformer"))
}

fn main() -> Result<()> {
    random::set_seed(1);
    let epochs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let drawn = drawn_shapes(1920, 320, 1);
    let normalization = Normalization::new(&drawn.train.channel_statistics())?;
    let classes = drawn.train.classes.len();
    let train =
        Dataset::from_images(drawn.train, normalization.clone()).shuffle(1).batch(32).drop_remainder();
    let test = Dataset::from_images(drawn.test, normalization).batch(32);

    let mut model = model(classes)?;
    let steps = epochs * train.batches();
    let rate = CosineDecay::new(0.0, steps).warmup(0.003, steps / 10);
    model.compile(AdamW::new(rate), SparseCategoricalCrossentropy::from_logits(), [Accuracy::new()]);
    println!("{}", model.summary());
    let history = model.fit(&train, Fit::epochs(epochs).validation(&test))?;
    println!(
        "accuracy on new images: {:.3}; by guessing {:.3}",
        history.last("val_accuracy").unwrap_or(0.0),
        1.0 / classes as f64
    );
    Ok(())
}
