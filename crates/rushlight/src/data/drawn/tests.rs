use super::*;
use crate::data::Normalization;
use sha2::{Digest, Sha256};

#[test]
fn classes_are_balanced_and_in_random_order() {
    let ImageData { train, test, .. } = drawn_shapes(500, 105, 3);
    for class in 0..10 {
        let count = |set: &ImageSet| set.labels.iter().filter(|&&label| label == class).count();
        assert_eq!(count(&train), 50);
        assert!((10..=11).contains(&count(&test)));
    }
    assert_ne!(train.labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((train.image_bytes(), train.images.len()), (3072, 500 * 3072));
    assert!(drawn_shapes(0, 0, 3).train.is_empty());
}

#[test]
fn a_seed_draws_the_same_pictures_on_every_machine() {
    let data = drawn_shapes(200, 20, 7);
    let digest = |set: &ImageSet| {
        let labels: Vec<u8> = set.labels.iter().map(|&label| label as u8).collect();
        format!("{:x?}", &Sha256::new().chain_update(&set.images).chain_update(labels).finalize()[..4])
    };
    assert_eq!([digest(&data.train), digest(&data.test)], ["[c7, 5, 6d, 79]", "[bd, d6, 2a, 5d]"]);
    assert_ne!(drawn_shapes(200, 20, 8).train.images, data.train.images);
    assert_ne!(data.train.images[..20 * BYTES], data.test.images, "the parts differ");
}

#[test]
fn each_picture_shows_something() {
    let data = drawn_shapes(1000, 0, 1).train;
    for index in 0..data.len() {
        let (low, high) =
            data.image(index).iter().fold((255, 0), |(low, high), &v| (v.min(low), v.max(high)));
        assert!(high - low > 50, "picture {index} is flat: {low} to {high}");
    }
}

/// The accuracy of softmax regression on the pixels, on what it learnt from and on what it did not.
fn linear_accuracy(train: &ImageSet, test: &ImageSet, epochs: usize) -> [f64; 2] {
    let (features, classes, batch) = (train.image_bytes(), train.classes.len(), 10);
    let normalization = Normalization::new(&train.channel_statistics()).unwrap();
    let (mut weights, mut bias) = (vec![0.0f32; classes * features], vec![0.0f32; classes]);
    let scores = |weights: &[f32], bias: &[f32], image: &[f32]| -> Vec<f32> {
        let of_class = |row: &[f32]| row.iter().zip(image).map(|(w, x)| w * x).sum::<f32>();
        weights.chunks_exact(features).map(of_class).zip(bias).map(|(score, b)| score + b).collect()
    };
    let images = normalization.apply(&train.images);
    for epoch in 0..epochs {
        let order = Random::keyed(&[epoch as u64]).permutation(train.len());
        let rate = 0.001 * (1.0 - epoch as f32 / epochs as f32);
        for indices in order.chunks(batch) {
            let errors: Vec<Vec<f32>> = indices
                .iter()
                .map(|&index| {
                    let scores = scores(&weights, &bias, &images[index * features..][..features]);
                    let highest = scores.iter().copied().fold(f32::MIN, f32::max);
                    let powers: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
                    let sum: f32 = powers.iter().sum();
                    let hit = |class| f32::from(train.labels[index] == class as i32);
                    powers.iter().enumerate().map(|(class, power)| power / sum - hit(class)).collect()
                })
                .collect();
            for (&index, errors) in indices.iter().zip(&errors) {
                let image = &images[index * features..][..features];
                for ((row, bias), error) in weights.chunks_exact_mut(features).zip(&mut bias).zip(errors) {
                    let step = rate * error / batch as f32;
                    row.iter_mut().zip(image).for_each(|(w, x)| *w -= step * x);
                    *bias -= step;
                }
            }
        }
    }
    [train, test].map(|set| {
        let images = normalization.apply(&set.images);
        let right = images.chunks_exact(features).zip(&set.labels).filter(|(image, label)| {
            let scores = scores(&weights, &bias, image);
            (0..classes).all(|class| scores[class] <= scores[**label as usize])
        });
        right.count() as f64 / set.len() as f64
    })
}

#[test]
fn a_linear_model_stays_below_sixty_percent() {
    let data = drawn_shapes(1500, 500, 1);
    let [learnt, new] = linear_accuracy(&data.train, &data.test, 6);
    eprintln!("linear model: {learnt:.3} on what it learnt from, {new:.3} on new pictures");
    assert!(learnt > 0.3, "it did learn: {learnt}");
    assert!(new < 0.6, "{new}");
}
