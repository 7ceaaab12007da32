use super::*;
use crate::testing::{Scratch, published};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

fn idx(magic: u32, sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let numbers = std::iter::once(&magic).chain(sizes).flat_map(|number| number.to_be_bytes());
    numbers.chain(content.iter().copied()).collect()
}

fn images(count: u32) -> Vec<u8> {
    let content: Vec<u8> = (0..count * 784).map(|i| (i / 784) as u8 ^ (i % 251) as u8).collect();
    idx(0x803, &[count, 28, 28], &content)
}

fn labels(count: u32) -> Vec<u8> {
    idx(0x801, &[count], &(0..count).map(|i| (i % 10) as u8).collect::<Vec<_>>())
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn all_names_and_both_forms_are_read() {
    let scratch = Scratch::new("mnist-names");
    scratch.write("train-images-idx3-ubyte", &images(30));
    scratch.write("train-labels.idx1-ubyte", &labels(30));
    scratch.write("t10k-images.idx3-ubyte.gz", &gz(&images(20)));
    scratch.write("t10k-labels-idx1-ubyte.gz", &gz(&labels(20)));
    let data = load(&scratch.0).unwrap();
    assert_eq!(
        (data.train.len(), data.train.size(), data.test.len(), data.note),
        (30, [28, 28, 1], 20, None)
    );
    assert_eq!(data.test.labels[13], 3);
    assert_eq!(data.test.image(13)[100], 13 ^ ((13 * 784 + 100) % 251) as u8);
    assert_eq!(data.test.classes[9], "9");
}

#[test]
fn one_part_alone_is_split_and_said_so() {
    let scratch = Scratch::new("mnist-alone");
    scratch.write("t10k-images-idx3-ubyte", &images(100));
    scratch.write("t10k-labels-idx1-ubyte", &labels(100));
    let data = load(&scratch.0).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (90, 10));
    let note = data.note.as_deref().unwrap();
    let text = "holds only the t10k part of MNIST: split into 90 images to train with and 10 to test with";
    assert!(note.ends_with(text), "{note}");
    assert_eq!(load(&scratch.0).unwrap(), data, "the same each time");
}

/// The error when the images and labels of the test part hold this, without the path of the directory.
fn error(images: Option<&[u8]>, labels: Option<&[u8]>, ending: &str) -> String {
    let scratch =
        Scratch::new(&format!("mnist-error-{}", std::thread::current().name().unwrap().replace(':', "-")));
    for (name, content) in [("images-idx3", images), ("labels-idx1", labels)] {
        if let Some(content) = content {
            scratch.write(&format!("t10k-{name}-ubyte{ending}"), content);
        }
    }
    load(&scratch.0).unwrap_err().to_string().replace(&format!("{}/", scratch.0.display()), "")
}

#[test]
fn faults_of_plain_files() {
    let error = |images: &[u8], labels: &[u8]| error(Some(images), Some(labels), "");
    let (good_images, good_labels) = (images(5), labels(5));
    assert_eq!(
        error(&good_images[..2000], &good_labels),
        "t10k-images-idx3-ubyte: expected 5×28×28 bytes behind the header, found 1984 bytes"
    );
    let longer = [&good_labels[..], &[1]].concat();
    assert_eq!(
        error(&good_images, &longer),
        "t10k-labels-idx1-ubyte: expected 5 bytes behind the header, found 6 bytes"
    );
    assert_eq!(
        error(&good_labels, &good_images),
        "t10k-images-idx3-ubyte: expected the header of an IDX file, found an end of the file before"
    );
    assert_eq!(
        error(&idx(0x801, &[5, 28, 28], &[0; 5 * 784]), &good_labels),
        "t10k-images-idx3-ubyte: expected the magic number 0x0803 of images-idx3-ubyte, found 0x0801"
    );
    assert_eq!(
        error(&idx(0x803, &[5, 32, 28], &[0; 5 * 32 * 28]), &good_labels),
        "t10k-images-idx3-ubyte: expected images of 28×28, found images of 32×28"
    );
    assert_eq!(
        error(&good_images, &labels(4)),
        "t10k-labels-idx1-ubyte: expected 5 labels, one for each image of t10k-images-idx3-ubyte, found 4 labels"
    );
    assert_eq!(
        error(&good_images, &idx(0x801, &[5], &[0, 9, 3, 10, 1])),
        "t10k-labels-idx1-ubyte: expected labels from 0 to 9, found label 10 at position 3"
    );
    let absurd = idx(0x803, &[u32::MAX, u32::MAX, u32::MAX], &[0; 784]);
    assert!(error(&absurd, &good_labels).ends_with("bytes behind the header, found 784 bytes"));
}

#[test]
fn faults_of_compressed_files() {
    let error = |images: &[u8], labels: &[u8]| error(Some(images), Some(labels), ".gz");
    let (good_images, good_labels) = (gz(&images(5)), gz(&labels(5)));
    let text = error(&good_images[..good_images.len() / 2], &good_labels);
    assert!(
        text.starts_with("t10k-images-idx3-ubyte.gz: expected 5×28×28 bytes behind the header, found"),
        "{text}"
    );
    let mut wrong_sum = good_images.clone();
    *wrong_sum.iter_mut().nth_back(7).unwrap() ^= 1;
    assert!(error(&wrong_sum, &good_labels).contains("damaged or cut"));
    assert!(
        error(&images(5), &good_labels).contains("t10k-images-idx3-ubyte.gz"),
        "plain under the name of .gz"
    );
    let absurd = gz(&idx(0x803, &[u32::MAX, u32::MAX, u32::MAX], &[0; 784]));
    assert!(error(&absurd, &good_labels).contains("found a compressed file of"));
    let longer = gz(&[&labels(5)[..], &[1]].concat());
    assert!(error(&good_images, &longer).ends_with("expected 5 bytes behind the header, found more bytes"));
}

#[test]
fn missing_files_are_named() {
    assert_eq!(
        error(Some(&images(5)), None, ""),
        "t10k-labels-idx1-ubyte: not found, expected that file, plain or .gz, beside the images of the same part"
    );
    assert!(error(None, Some(&labels(5)), ".gz").starts_with("t10k-images-idx3-ubyte: not found"));
    assert!(error(None, None, "").contains("expected the files of MNIST there"));
}

#[test]
fn the_published_digits_are_read() {
    let (Some(images), Some(_)) = (published(FILES[2].name), published(FILES[3].name)) else { return };
    let data = load(images.parent().unwrap()).unwrap();
    let total = data.train.len() + data.test.len();
    assert!([10_000, 70_000].contains(&total), "{total}");
    let statistics = data.train.channel_statistics();
    assert!((statistics.mean[0] - 0.1307).abs() < 0.003, "{statistics:?}");
    assert!((statistics.std[0] - 0.3081).abs() < 0.003, "{statistics:?}");
}
