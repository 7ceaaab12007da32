//! `function` is one name for two things: an attribute for functions and a wrapper of closures.

use rushlight::prelude::*;
use rushlight::{random, recordings_of, run_functions_eagerly, sparse_categorical_crossentropy};

#[derive(rushlight::Structure)]
struct Batch {
    x: Tensor,
    scale: f32,
}

#[rushlight::function]
fn scaled(batch: &Batch) -> Tensor {
    &batch.x * batch.scale
}

mod with_the_prelude {
    use rushlight::prelude::*;

    #[derive(Structure)]
    pub struct Pair(pub Tensor, pub Tensor);

    #[function]
    pub fn product(pair: &Pair) -> Tensor {
        &pair.0 * &pair.1
    }

    pub fn sum(pair: &Pair) -> Tensor {
        function("sum", |pair: &Pair| &pair.0 + &pair.1).call(pair)
    }
}

#[test]
fn attribute_and_closure_share_a_name() -> Result<()> {
    let x = Tensor::from([1.0f32, 2.0]);
    let batch = Batch { x: x.clone(), scale: 3.0 };
    assert_eq!(scaled(&batch).to_vec::<f32>()?, [3.0, 6.0]);
    assert!(explain(scaled).contains("batch.scale: 3.0"), "{}", explain(scaled));
    let pair = with_the_prelude::Pair(x.clone(), x + 1.0);
    assert_eq!(with_the_prelude::product(&pair).to_vec::<f32>()?, [2.0, 6.0]);
    assert_eq!(with_the_prelude::sum(&pair).to_vec::<f32>()?, [3.0, 5.0]);
    Ok(())
}

fn times<F>(function: F) -> usize {
    recordings_of(function).iter().map(|recordings| recordings.recording_count()).sum()
}

/// The step that the README shows.
#[function]
fn train_step(model: &Model, optimizer: &Sgd, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let variables = model.trainable_variables();
    let loss = || sparse_categorical_crossentropy(y, &model.call(x)).mean(..);
    let (loss, gradients) = training(true, || value_and_grad(loss, &variables))?;
    optimizer.apply(&gradients, &variables)?;
    Ok(loss)
}

fn convolutional() -> Result<Model> {
    let image = Input::new([8, 8, 3]);
    let x = Conv2d::new(6, 3).padding(Same).call(&image).apply(BatchNormalization::new()).relu();
    let y = Conv2d::new(4, 3).padding(Same).call(&x);
    let x = concat(&[&x, &y], -1).apply(MaxPooling2d::new(2)).apply(Dropout::new(0.25));
    Model::new(&image, x.apply(GlobalAveragePooling2d::new()).apply(Dense::new(5)))
}

/// Losses of ten steps, then the weights.
fn trained(make: impl Fn() -> Result<Model>) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
    random::set_seed(11);
    let x = random::normal([32, 8, 8, 3], 0.0, 1.0, DType::F32);
    let y = random::randint([32], 0, 5, DType::I32);
    let (model, optimizer) = (make()?, Sgd::new(0.1).momentum(0.9));
    let losses = (0..10).map(|_| train_step(&model, &optimizer, &x, &y)?.item());
    let losses = losses.collect::<Result<Vec<f32>>>()?;
    let weights =
        model.variables().iter().map(|weight| weight.read().to_vec()).collect::<Result<Vec<_>>>()?;
    Ok((losses, weights))
}

fn assert_close(recorded: &(Vec<f32>, Vec<Vec<f32>>), eager: &(Vec<f32>, Vec<Vec<f32>>)) {
    let all = |(losses, weights): &(Vec<f32>, Vec<Vec<f32>>)| -> Vec<f32> {
        losses.iter().chain(weights.iter().flatten()).copied().collect()
    };
    let (recorded, eager) = (all(recorded), all(eager));
    assert_eq!(recorded.len(), eager.len());
    for (a, b) in recorded.iter().zip(&eager) {
        assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{a} recorded and {b} eagerly");
    }
}

#[test]
fn a_train_step_over_a_model_and_an_optimizer() -> Result<()> {
    let recorded = trained(convolutional)?;
    assert_eq!(times(train_step), 1, "{}", explain(train_step));
    let eager = run_functions_eagerly(|| trained(convolutional))?;
    assert_close(&recorded, &eager);
    assert!(recorded.0[9] < 0.8 * recorded.0[0], "it learns: {:?}", recorded.0);

    // A model without inputs is built by its first step, which finds nothing to train yet.
    let sequential = || Ok(Model::from_layer(Sequential::new().add(Flatten::new()).add(Dense::new(5))));
    let before = times(train_step);
    let recorded = trained(sequential)?;
    assert_eq!(times(train_step), before + 2, "{}", explain(train_step));
    assert!(explain(train_step).contains("argument `model` was unbuilt before and is built now"));
    let eager = run_functions_eagerly(|| trained(sequential))?;
    assert_close(&recorded, &eager);
    assert!(recorded.0[9] < recorded.0[1], "it learns: {:?}", recorded.0);
    Ok(())
}

/// A net as a plain struct, without being a layer.
#[derive(Structure)]
struct Net {
    hidden: Dense,
    norm: BatchNormalization,
    output: Dense,
    temperature: Tensor,
}

impl Net {
    #[function]
    fn scores(&self, x: &Tensor) -> Tensor {
        self.output.call(&self.norm.call(&self.hidden.call(x)).relu()) / &self.temperature
    }
}

#[test]
fn a_method_of_a_struct_of_layers() -> Result<()> {
    let net = |temperature: f32| Net {
        hidden: Dense::new(7),
        norm: BatchNormalization::new(),
        output: Dense::new(2),
        temperature: Tensor::scalar(temperature),
    };
    let first = net(1.0);
    let x = random::normal([16, 3], 1.0, 2.0, DType::F32);
    let once = first.scores(&x).to_vec::<f32>()?;
    let warm = Net { temperature: Tensor::scalar(2.0f32), ..first };
    let halved: Vec<f32> = once.iter().map(|score| score / 2.0).collect();
    assert_eq!(warm.scores(&x).to_vec::<f32>()?, halved);
    let recorded = times(Net::scores);
    assert_eq!(warm.scores(&x).to_vec::<f32>()?, halved);
    assert_eq!(times(Net::scores), recorded, "{}", explain(Net::scores));

    // Training is another mode: statistics of the batch are used, and kept.
    let mean = warm.norm.variables()[2].clone();
    let before = mean.read().to_vec::<f32>()?;
    let scores = training(true, || warm.scores(&x)).to_vec::<f32>()?;
    assert_ne!(scores, halved);
    assert_ne!(mean.read().to_vec::<f32>()?, before);
    assert_eq!(times(Net::scores), recorded + 1);
    training(true, || warm.scores(&x)).check()?;
    assert_ne!(warm.scores(&x).to_vec::<f32>()?, halved, "the moving statistics have changed");
    assert_eq!(times(Net::scores), recorded + 1, "{}", explain(Net::scores));
    Ok(())
}
