//! DenseNets under the names that torchvision and Keras Applications give to their weights.

use rushlight::applications::{DenseNetConfig, densenet};
use rushlight::formats::{Format, arrays_to_bytes};
use rushlight::formats::{Layout, keras_densenet, own_names, torchvision_densenet, weights_from_bytes};
use rushlight::prelude::*;
use std::collections::BTreeSet;

/// Blocks of the published sizes, but narrow, so that the test is quick.
fn narrow() -> Model {
    let config = DenseNetConfig {
        input: [32, 32, 3],
        first_filters: 4,
        growth: 2,
        epsilon: 1e-5,
        ..DenseNetConfig::imagenet([6, 12, 24, 16])
    };
    densenet(&config.classes(3)).unwrap()
}

#[test]
fn torchvision_s_names_are_known() {
    let model = narrow();
    let arrays = model.to_arrays(torchvision_densenet).unwrap();
    // As many as `len([n for n in torchvision.models.densenet121().state_dict() if "num_batches" not in n])`.
    assert_eq!(arrays.len(), 606);
    let names: BTreeSet<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "features.conv0.weight",
        "features.norm0.running_var",
        "features.denseblock1.denselayer1.norm1.weight",
        "features.denseblock1.denselayer6.conv2.weight",
        "features.denseblock4.denselayer16.conv1.weight",
        "features.transition3.norm.bias",
        "features.transition3.conv.weight",
        "features.norm5.running_mean",
        "classifier.weight",
        "classifier.bias",
    ] {
        assert!(names.contains(name), "{name}");
    }
    let shape = |name: &str| {
        let (_, array) = arrays.iter().find(|(known, _)| known == name).unwrap();
        array.shape().unwrap().to_vec()
    };
    assert_eq!(shape("features.conv0.weight"), [4, 3, 7, 7]);
    assert_eq!(shape("features.denseblock1.denselayer1.conv1.weight"), [8, 4, 1, 1]);
    assert_eq!(shape("classifier.weight")[0], 3);
}

#[test]
fn keras_applications_names_are_known() {
    let arrays = narrow().to_arrays(keras_densenet).unwrap();
    assert_eq!(arrays.len(), 606);
    let names: BTreeSet<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "conv1_conv/kernel",
        "conv1_bn/moving_variance",
        "conv2_block1_0_bn/gamma",
        "conv2_block1_1_conv/kernel",
        "conv2_block1_1_bn/beta",
        "conv2_block1_2_conv/kernel",
        "conv5_block16_2_conv/kernel",
        "pool2_bn/gamma",
        "pool4_conv/kernel",
        "bn/gamma",
        "predictions/kernel",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn weights_under_any_of_the_names_are_read() {
    random::set_seed(3);
    let model = narrow();
    let x = random::uniform([2, 32, 32, 3], 0.0, 1.0, DType::F32);
    let wanted = model.predict(&x).unwrap().to_vec::<f32>().unwrap();
    for names in [torchvision_densenet, keras_densenet, own_names] {
        let bytes = arrays_to_bytes(&model.to_arrays(names).unwrap(), Format::Safetensors).unwrap();
        let other = narrow();
        assert_ne!(other.predict(&x).unwrap().to_vec::<f32>().unwrap(), wanted);
        weights_from_bytes(&other, &bytes).unwrap();
        assert_eq!(other.predict(&x).unwrap().to_vec::<f32>().unwrap(), wanted);
    }
    assert_eq!(Layout::of_torch("kernel", 4), Layout::ChannelsFirst);
}
