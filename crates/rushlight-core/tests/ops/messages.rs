//! The texts of error messages, as they stand in `messages.txt`: one a line, with the number of the line masked.
//!
//! After a change that is meant, `UPDATE_MESSAGES=1 cargo test -p rushlight-core --test ops messages` writes the file.

use rushlight_core::Padding::Explicit;
use rushlight_core::random::Generator;
use rushlight_core::{
    ConvOptions, DType, Ellipsis, PoolOptions, Spec, Tensor, binary_crossentropy, categorical_crossentropy,
    concat, einsum, scope, sparse_categorical_crossentropy, stack, strided, trace, where_,
};

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims, DType::F32)
}

fn integers(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims, DType::I32)
}

/// Faulty calls, by family.
#[expect(clippy::reversed_empty_ranges, clippy::eq_op, reason = "the calls are to be faulty")]
fn faulty() -> Vec<Tensor> {
    let x = zeros(&[64, 32]);
    let image = zeros(&[8, 28, 28, 3]);
    let open = trace::model_input("image", Spec::new([rushlight_core::tensor::BATCH, 4], DType::F32));
    vec![
        // elementwise
        &x + zeros(&[16, 10]),
        &x * Tensor::zeros([64, 32], DType::F64),
        integers(&[3]) + 0.5,
        Tensor::zeros([3], DType::U8) * -1,
        &Tensor::from([true]) / &Tensor::from([true]),
        integers(&[3]).exp(),
        Tensor::from([true]).abs(),
        x.logical_not(),
        &x & &x,
        x.less(zeros(&[5])),
        where_(&x, &x, &x),
        where_(&Tensor::from([true, false]), &x, &zeros(&[3])),
        x.clip(zeros(&[7]), 1.0),
        x.floor_div(zeros(&[7])),
        integers(&[3]).silu(),
        integers(&[3]).gelu(),
        integers(&[3]).softplus(),
        integers(&[3]).elu(1.0),
        // reductions
        x.sum(2),
        x.mean([0, 0]),
        integers(&[3]).mean(..),
        zeros(&[0, 3]).max(0),
        x.any(..),
        Tensor::from([true]).prod(..),
        integers(&[3]).variance(..),
        x.std(5),
        x.logsumexp([1, -1]),
        x.argmax(2),
        x.cumsum(-3),
        x.cumprod(2),
        // products
        x.matmul(&zeros(&[16, 10])),
        x.matmul(&zeros(&[16])),
        x.matmul(&integers(&[32, 10])),
        x.matmul(&Tensor::scalar(1.0f32)),
        zeros(&[3, 4, 5]).matmul(&zeros(&[2, 5, 6])),
        x.dot(&zeros(&[16, 10])),
        x.tensordot(&zeros(&[16, 10]), &[1], &[0]),
        x.tensordot(&zeros(&[16, 10]), &[1, 1], &[0, 1]),
        einsum("ij,jk->ik", &[&x]),
        einsum("ij,jk->ik", &[&x, &zeros(&[16, 10])]),
        einsum("ijk->ij", &[&x]),
        einsum("ij->ijk", &[&x]),
        einsum("i1->i", &[&x]),
        einsum("...i,...i", &[&zeros(&[2, 4]), &zeros(&[3, 4])]),
        einsum("ij,ij", &[&x, &integers(&[64, 32])]),
        // convolutions
        image.conv2d(&zeros(&[3, 3, 4, 8]), &ConvOptions::new()),
        image.conv2d(&zeros(&[3, 3, 8]), &ConvOptions::new()),
        image.conv2d(&zeros(&[3, 3, 3, 8]), &ConvOptions::new().strides([1, 0])),
        image.conv2d(&zeros(&[3, 3, 3, 8]), &ConvOptions::new().dilations([1, 1, 1])),
        image.conv2d(&zeros(&[3, 3, 3, 8]), &ConvOptions::new().padding(Explicit(vec![(1, 1)]))),
        image.conv2d(&zeros(&[3, 3, 3, 8]), &ConvOptions::new().groups(2)),
        image.conv2d(&zeros(&[31, 3, 3, 8]), &ConvOptions::new()),
        image.conv2d(&integers(&[3, 3, 3, 8]), &ConvOptions::new()),
        image.conv1d(&zeros(&[3, 3, 8]), &ConvOptions::new()),
        image.depthwise_conv2d(&zeros(&[3, 3, 1, 8]), &ConvOptions::new()),
        image.conv2d_transpose(&zeros(&[3, 3, 3, 8]), &ConvOptions::new()),
        image.conv2d_transpose(&zeros(&[3, 3, 8, 3]), &ConvOptions::new().output_padding(2)),
        image.conv2d_transpose(&zeros(&[3, 3, 8, 3]), &ConvOptions::new().output_padding([1, 1, 1])),
        // pooling
        x.max_pool2d(&PoolOptions::new(2)),
        image.max_pool2d(&PoolOptions::new(0)),
        image.max_pool2d(&PoolOptions::new(29)),
        image.average_pool2d(&PoolOptions::new(2).padding(Explicit(vec![(2, 0), (0, 0)]))),
        integers(&[1, 4, 4, 1]).average_pool2d(&PoolOptions::new(2)),
        image.global_max_pool1d(),
        // views
        x.reshape([3, -1]),
        x.reshape([-1, -1]),
        x.reshape([64, 33]),
        x.transpose([0, 0]),
        x.transpose([0, 2]),
        zeros(&[3]).t(),
        x.swap_axes(0, 2),
        x.move_axis(2, 0),
        x.broadcast_to(&[64, 3]),
        x.expand_dims(4),
        x.squeeze(0),
        x.flip([2]),
        x.slice_axis(0, 60, 70),
        x.slice_axis(3, 0, 1),
        x.slice_with(&[0], &[1], &[1]),
        x.pad(&[(1, 1)]),
        x.pad_with(&[(1, 1), (0, 0)], zeros(&[2])),
        x.repeat(2, 2),
        x.roll(1, 5),
        zeros(&[3]).tril(0),
        x.diagonal(0, 0),
        x.split(&[1, 2], 0).remove(0),
        x.unstack(2).remove(0),
        concat(&[&x, &zeros(&[64])], 0),
        concat(&[&x, &integers(&[64, 32])], 0),
        concat(&[&x, &x], 2),
        stack(&[&x, &zeros(&[64, 31])], 0),
        stack(&[], 0),
        // indexing
        x.i((0, 64)),
        x.i((0, 0, 0)),
        x.i((Ellipsis, Ellipsis)),
        x.i(5..70),
        x.i(5..2),
        x.i(strided(.., 0)),
        open.i(0),
        x.take(&zeros(&[2]), 0),
        x.take(&Tensor::from([1, 64]), 0),
        x.take(&Tensor::from([-65i64]), 0),
        x.take(&integers(&[2]), 2),
        x.take_along_axis(&integers(&[3]), 0),
        x.scatter_add(&integers(&[2, 32]), &zeros(&[3, 32]), 0),
        x.scatter(&integers(&[2, 32]), &zeros(&[3, 32]), 0),
        x.take_add(&integers(&[2]), &zeros(&[3, 32]), 0),
        x.gather(&integers(&[5, 3])),
        x.gather(&Tensor::from([[0, 32]])),
        x.one_hot(3, DType::F32),
        Tensor::iota([2, 3], 2, DType::I32),
        Tensor::range(0.0, 1.0, 0.0, DType::F32),
        // sorting
        x.sort(2),
        x.argsort_descending(-3),
        x.top_k(33).0,
        // networks
        x.softmax(2),
        integers(&[3]).log_softmax(0),
        sparse_categorical_crossentropy(&integers(&[64]), &zeros(&[32, 10])),
        sparse_categorical_crossentropy(&zeros(&[64]), &zeros(&[64, 10])),
        categorical_crossentropy(&zeros(&[64, 10]), &zeros(&[64, 11])),
        binary_crossentropy(&integers(&[64]), &zeros(&[64])),
        x.batch_normalization(Some(&zeros(&[31])), None, -1, 1e-3).0,
        x.batch_normalization_with(None, None, &zeros(&[32]), &zeros(&[64]), -1, 1e-3),
        x.layer_normalization(None, Some(&zeros(&[3])), &[1], 1e-3),
        x.layer_normalization(None, None, &[2], 1e-3),
        integers(&[3]).moments(..).0,
        // random numbers
        Generator::new(1).uniform([3], 0.0, 1.0, DType::I32),
        Generator::new(1).normal([3], 0.0, 1.0, DType::Bool),
        Generator::new(1).bernoulli([3], 1.5, DType::Bool),
        Generator::new(1).randint([3], 5, 5, DType::I32),
        Generator::new(1).randint([3], 0, 300, DType::U8),
        Generator::new(1).uniform([rushlight_core::tensor::BATCH], 0.0, 1.0, DType::F32),
        Generator::new(1).shuffle(&Tensor::scalar(1.0f32)),
        // tensors
        Tensor::new(&[1.0, 2.0], [3]),
        scope("model", None, || scope("dense_1", None, || x.matmul(&zeros(&[16, 10])))),
        Tensor::zeros([1 << 40, 1 << 40], DType::U8),
        zeros(&[2]).tile(&[1 << 40, 1 << 40]),
        x.pad(&[(usize::MAX, 1), (0, 0)]),
        // open axes
        open.matmul(&zeros(&[5, 2])),
        open.reshape([-1, 3]),
        concat(&[&open, &open], 0),
    ]
}

/// Errors of what returns a `Result`.
fn delivered() -> Vec<rushlight_core::Error> {
    let x = zeros(&[64, 32]);
    let open = trace::model_input("image", Spec::new([rushlight_core::tensor::BATCH, 4], DType::F32));
    vec![
        x.dims::<3>().unwrap_err(),
        x.to_vec::<f64>().unwrap_err(),
        x.item::<f32>().unwrap_err(),
        open.to_vec::<f32>().unwrap_err(),
        rushlight_core::Tape::new().gradient(&integers(&[2]), &[]).unwrap_err(),
    ]
}

#[test]
fn messages_stay_as_they_are() {
    let mut errors: Vec<String> =
        faulty().iter().map(|tensor| tensor.check().map(|_| ()).unwrap_err().to_string()).collect();
    errors.extend(delivered().iter().map(ToString::to_string));
    let here = file!();
    let mut text = String::new();
    for error in &errors {
        let place = error.rfind(here).unwrap_or_else(|| panic!("no line of this file in {error}"));
        let (rule, location) = error.split_at(place);
        let after = location[here.len()..]
            .trim_start_matches(|letter: char| letter == ':' || letter.is_ascii_digit());
        text += &format!("{rule}messages.rs:LINE{after}\n");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ops/messages.txt");
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    for (got, want) in text.lines().zip(stored.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(text.lines().count(), stored.lines().count());
    println!("messages: {} texts", errors.len());
}
