//! Functions with an open batch axis: one recording, right for every batch size.

use crate::{elements, times, variable};
use rushlight_core::{
    DType, Result, SavedFunction, Tensor, Variable, check_functions, explain, function as closure, random,
    recordings_of, value_and_grad,
};
use rushlight_macros::function;

fn batch(size: usize, width: usize) -> Tensor {
    (Tensor::arange((size * width) as i64, DType::F32) * 0.37).sin().reshape([size as isize, width as isize])
}

/// A step with means, maxima and sums over the batch, in the loss and in its gradients.
fn step(weight: &Variable, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let loss = || {
        let hidden = x.matmul(&weight.read());
        let centred = &hidden - hidden.mean(0);
        let scaled = (centred.square().mean_keepdims(0) + 0.1).sqrt() + hidden.max(0) * 0.1;
        let rows = (centred / scaled - y).square().mean(-1);
        rows.mean(0) + rows.sum(0) / x.axis_size(0, DType::F32) + hidden.reshape([-1]).mean(..)
    };
    let (loss, gradients) = value_and_grad(loss, std::slice::from_ref(weight))?;
    weight.assign_sub(&(&gradients[0] * 0.1))?;
    Ok(loss)
}

#[test]
fn one_recording_does_what_one_for_each_size_does() -> Result<()> {
    let fresh = || Variable::new("weight", &batch(3, 2));
    let (open_weight, closed_weight) = (fresh()?, fresh()?);
    let open = closure("open", {
        let weight = open_weight.clone();
        move |x: &Tensor, y: &Tensor| step(&weight, x, y)
    })
    .open_batch(&["0", "1"]);
    let closed = closure("closed", {
        let weight = closed_weight.clone();
        move |x: &Tensor, y: &Tensor| step(&weight, x, y)
    });
    for size in [4, 1, 7, 64, 4, 16, 33, 1] {
        let (x, y) = (batch(size, 3), batch(size, 2) * 0.5);
        let (got, want) = (open.call2(&x, &y)?.item::<f32>()?, closed.call2(&x, &y)?.item::<f32>()?);
        assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "a batch of {size}: {got}, not {want}");
        for (got, want) in elements(&open_weight.read()).iter().zip(elements(&closed_weight.read())) {
            let same = (got - want).abs() <= 1e-5;
            assert!(same, "a batch of {size}: {got}, not {want}");
        }
    }
    assert_eq!((open.recordings().recording_count(), closed.recordings().recording_count()), (1, 6));
    let text = open.explain();
    assert!(text.contains("recording 1 (0: f32[batch, 3], 1: f32[batch, 2]), 8 call(s)"), "{text}");
    assert!(text.contains("has an open batch axis; compiled for batches of 7, 64, 4, 16, 33, 1"), "{text}");
    check_functions(|| open.call2(&batch(5, 3), &batch(5, 2)))?;
    Ok(())
}

#[function(crate = rushlight_core, batch(x, noise))]
fn noisy(x: &Tensor, noise: Option<&Tensor>, scale: &Tensor) -> (Tensor, Tensor) {
    let drawn = random::uniform(x.shape().expect("a shape"), 0.0, 1.0, DType::F32);
    let total = noise.map_or_else(|| x.clone(), |noise| x + noise);
    (total * scale, drawn)
}

#[test]
fn the_attribute_names_the_arguments() -> Result<()> {
    let scale = Tensor::from([1.0f32, 10.0]);
    for size in 1..=40 {
        let x = batch(size, 2);
        let (scaled, drawn) = noisy(&x, Some(&x), &scale);
        assert_eq!(elements(&scaled.reshape([-1])), elements(&((&x + &x) * &scale).reshape([-1])));
        assert_eq!(drawn.shape()?, [size, 2]);
        assert!(elements(&drawn.reshape([-1])).iter().all(|x| (0.0..1.0).contains(x)));
    }
    assert_eq!(times(noisy), 1);
    // Of all programs only those for the last sizes are kept.
    let text = explain(noisy);
    let sizes: Vec<String> = (25..=40).map(|size| size.to_string()).collect();
    assert!(text.contains(&format!("compiled for batches of {}\n", sizes.join(", "))), "{text}");
    noisy(&batch(3, 2), None, &scale).0.check()?;
    assert_eq!(times(noisy), 2);
    let (uneven, _) = noisy(&batch(3, 2), Some(&batch(4, 2)), &scale);
    let error = uneven.check().expect_err("batches of three and four").clone();
    assert!(error.rule().ends_with("the same batch size: `x` has 3, `noise` has 4"), "{error}");
    assert_eq!(recordings_of(noisy).len(), 1);
    Ok(())
}

#[test]
fn a_batch_size_used_as_a_number_is_an_error() -> Result<()> {
    let by_hand = closure("by_hand", |x: &Tensor| -> Result<Tensor> {
        let count = x.shape()?[0];
        Ok(x.sum(..) / count as f64)
    })
    .open_batch(&["0"]);
    let line = line!() - 3;
    let error = by_hand.call(&batch(4, 2)).expect_err("no size to divide by");
    assert!(error.rule().contains("computed from the size of an open batch axis"), "{error}");
    assert_eq!(error.location().map(|place| place.line()), Some(line));
    let inverse = closure("inverse", |x: &Tensor| x.sum(..) * (1.0 / x.shape().expect("a shape")[0] as f64));
    let inverse = inverse.open_batch(&["0"]);
    assert!(inverse.call(&batch(4, 2)).check().is_err());
    Ok(())
}

#[test]
fn a_file_keeps_the_batch_axis_open() -> Result<()> {
    let weight = variable("weight", &[2.0, -1.0]);
    let predict =
        closure("predict", move |x: &Tensor| (x * weight.read()).softmax(-1).mean(0)).open_batch(&["0"]);
    predict.call(&batch(3, 2)).check()?;
    let saved = SavedFunction::from_bytes(&predict.recordings().to_bytes()?)?;
    assert_eq!(saved.signatures(), ["0: f32[batch, 2]"]);
    for size in [1, 3, 50] {
        let x = batch(size, 2);
        assert_eq!(elements(&saved.call(&[&x])?[0]), elements(&predict.call(&x)));
    }
    saved.call(&[&batch(3, 4)]).expect_err("another width");
    Ok(())
}
