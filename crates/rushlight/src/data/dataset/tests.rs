use crate::data::{Batch, ChannelStatistics, Dataset, ImageSet, Normalization};
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn numbers(count: usize) -> Dataset {
    let x = Tensor::arange(count as i64, DType::F32).reshape([count as isize, 1]);
    Dataset::from_tensors(&x, &(&x * 10.0)).unwrap()
}

fn inputs(data: &Dataset, epoch: u64) -> Vec<Vec<f32>> {
    data.epoch(epoch).map(|batch| batch.unwrap().inputs[0].to_vec::<f32>().unwrap()).collect()
}

#[test]
fn every_example_comes_once_an_epoch_with_its_target() {
    let data = numbers(23).shuffle(4).batch(5).prefetch(3);
    let mut seen = Vec::new();
    for batch in data.epoch(2) {
        let batch = batch.unwrap();
        let (x, y) = (&batch.inputs[0], &batch.targets[0]);
        assert_eq!((x * 10.0).to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
        seen.extend(x.to_vec::<f32>().unwrap().iter().map(|&value| value as usize));
    }
    assert_eq!(data.batches(), 5);
    assert!(!seen.is_sorted());
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..23));
}

#[test]
fn the_order_depends_on_seed_and_epoch_alone() {
    let data = numbers(40).shuffle(9).batch(7);
    assert_eq!(inputs(&data, 1), inputs(&data.clone().prefetch(0), 1));
    assert_ne!(inputs(&data, 1), inputs(&data, 2));
    assert_ne!(inputs(&data, 1), inputs(&data.clone().shuffle(8), 1));
    assert_eq!(inputs(&numbers(5).batch(2), 3), [vec![0.0, 1.0], vec![2.0, 3.0], vec![4.0]]);
    assert_eq!(inputs(&numbers(5).batch(2).drop_remainder(), 3), [[0.0, 1.0], [2.0, 3.0]]);
    assert_eq!(numbers(5).batch(2).drop_remainder().batches(), 2);
}

#[test]
fn batches_are_changed_where_they_are_prepared() {
    let here = std::thread::current().id();
    let data = numbers(4).batch(2).map(move |batch| {
        assert_ne!(std::thread::current().id(), here);
        Ok(Batch::new(&batch.inputs[0] + 1.0, batch.targets[0].clone()))
    });
    assert_eq!(inputs(&data, 0), [[1.0, 2.0], [3.0, 4.0]]);
}

#[test]
fn an_error_comes_once_and_ends_the_epoch() {
    for prefetch in [0, 1, 4] {
        let data = numbers(10).batch(2).prefetch(prefetch).map(|batch| {
            let first = batch.inputs[0].to_vec::<f32>()?[0];
            match first {
                4.0 => Err(Error::outside(ErrorKind::Io, "disk", "went away")),
                _ => Ok(batch),
            }
        });
        let results: Vec<Result<Batch>> = data.epoch(0).collect();
        assert_eq!(results.len(), 3);
        assert!(results[..2].iter().all(Result::is_ok));
        assert_eq!(results[2].as_ref().err().unwrap().to_string(), "[disk] went away");
    }
}

#[test]
fn a_panic_of_the_worker_is_an_error() {
    let data = numbers(4).batch(2).map(|_| panic!("on purpose"));
    let results: Vec<Result<Batch>> = data.epoch(0).collect();
    assert_eq!(results.len(), 1);
    assert!(results[0].as_ref().err().unwrap().to_string().contains("panicked"));
}

#[test]
fn the_worker_stops_when_nobody_reads() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let data = numbers(1000).batch(1).prefetch(2).map(move |batch| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(batch)
    });
    let mut batches = data.epoch(0);
    batches.next().unwrap().unwrap();
    drop(batches);
    // At most what fits into the queue, what was read, and what was being handed over.
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(made.load(Ordering::SeqCst) <= 5, "{}", made.load(Ordering::SeqCst));
}

#[test]
fn images_become_normalized_numbers() {
    let classes = vec!["a".to_string(), "b".to_string()];
    let set = ImageSet::new(vec![0, 255, 51, 102], vec![0, 1], [1, 2, 1], classes).unwrap();
    let statistics = ChannelStatistics { mean: vec![0.5], std: vec![0.5] };
    let data = Dataset::from_images(set.clone(), Normalization::new(&statistics).unwrap());
    let batch = data.epoch(0).next().unwrap().unwrap();
    assert_eq!(batch.inputs[0].shape().unwrap(), [2, 1, 2, 1]);
    let numbers = batch.inputs[0].to_vec::<f32>().unwrap();
    assert!(numbers.iter().zip([-1.0, 1.0, -0.6, -0.2]).all(|(a, b)| (a - b).abs() < 1e-6), "{numbers:?}");
    assert_eq!(batch.targets[0].to_vec::<i32>().unwrap(), [0, 1]);
    let two = ChannelStatistics { mean: vec![0.5; 2], std: vec![0.5; 2] };
    let wrong = Dataset::from_images(set, Normalization::new(&two).unwrap());
    let error = wrong.epoch(0).next().unwrap().err().unwrap().to_string();
    assert!(error.contains("does not fit images of 1"), "{error}");
}

#[test]
fn faulty_data_is_refused() {
    let (two, three) = (Tensor::zeros([2, 1], DType::F32), Tensor::zeros([3], DType::F32));
    let error = Dataset::from_tensors(&two, &three).err().unwrap().to_string();
    assert!(error.contains("same size: got [2, 1] and [3]"), "{error}");
    let zero = numbers(4).batch(0);
    let error = zero.epoch(0).next().unwrap().err().unwrap().to_string();
    assert!(error.contains("at least 1"), "{error}");
    assert_eq!(zero.epoch(0).count(), 1);
}
