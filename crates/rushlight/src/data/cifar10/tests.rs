use super::*;
use crate::testing::{Scratch, published};
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::Write;

const RECORDS: usize = 4;

/// A batch whose pixels tell where they came from: batch, record, channel, row and column.
fn batch(number: usize) -> Vec<u8> {
    let record = |record: usize| {
        let pixels = (0..3 * PLANE).map(move |i| value(number, record, i / PLANE, i / SIDE % SIDE, i % SIDE));
        std::iter::once(((number + record) % 10) as u8).chain(pixels)
    };
    (0..RECORDS).flat_map(record).collect()
}

fn value(batch: usize, record: usize, channel: usize, row: usize, column: usize) -> u8 {
    (batch * 101 + record * 31 + channel * 77 + row * 5 + column) as u8
}

fn files() -> Vec<(String, Vec<u8>)> {
    let names = "Airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    let batches = BATCHES.iter().enumerate().map(|(number, name)| (name.to_string(), batch(number)));
    batches.rev().chain([(NAMES.to_string(), names.into())]).collect()
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{DIRECTORY}/{name}"), content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn check(data: &ImageData) {
    let ImageData { train, test, note } = data;
    assert_eq!((train.len(), train.size(), test.len(), note), (5 * RECORDS, [32, 32, 3], RECORDS, &None));
    assert_eq!(train.classes[0], "Airplane", "names are those of the file");
    for number in 0..6 {
        for record in 0..RECORDS {
            let (set, index) =
                if number == TEST { (test, record) } else { (train, number * RECORDS + record) };
            assert_eq!(set.labels[index], ((number + record) % 10) as i32);
            for (row, column, channel) in [(0, 0, 0), (0, 1, 2), (17, 3, 1), (31, 31, 2)] {
                let pixel = set.image(index)[(row * 32 + column) * 3 + channel];
                assert_eq!(
                    pixel,
                    value(number, record, channel, row, column),
                    "{number} {record} {row} {column}"
                );
            }
        }
    }
}

#[test]
fn unpacked_files_and_archives_hold_the_same() {
    let scratch = Scratch::new("cifar-forms");
    for (name, content) in files() {
        scratch.write(&format!("here/{name}"), &content);
        scratch.write(&format!("below/{DIRECTORY}/{name}"), &content);
    }
    let packed = scratch.write(&format!("packed/{}", ARCHIVE.name), &archive(&files()));
    for path in [scratch.0.join("here"), scratch.0.join("below"), scratch.0.join("packed"), packed] {
        check(&load_records(&path, RECORDS).unwrap());
    }
}

#[test]
fn without_the_file_of_names_the_known_ones_serve() {
    let scratch = Scratch::new("cifar-names");
    files().iter().filter(|(name, _)| name != NAMES).for_each(|(name, content)| {
        scratch.write(name, content);
    });
    assert_eq!(load_records(&scratch.0, RECORDS).unwrap().test.classes, CLASSES);
}

/// The error when the file `name` holds `content`, or is missing, unpacked and in an archive.
fn errors(name: &str, content: Option<&[u8]>) -> [String; 2] {
    let scratch = Scratch::new(&format!("cifar-error-{name}-{:?}", content.map(<[u8]>::len)));
    let mut files = files();
    match content {
        Some(content) => files.iter_mut().find(|(other, _)| other == name).unwrap().1 = content.into(),
        None => files.retain(|(other, _)| other != name),
    }
    files.iter().for_each(|(name, content)| {
        scratch.write(&format!("unpacked/{name}"), content);
    });
    scratch.write(&format!("packed/{}", ARCHIVE.name), &archive(&files));
    ["unpacked", "packed"].map(|form| {
        let error = load_records(&scratch.0.join(form), RECORDS).unwrap_err().to_string();
        assert!(error.starts_with(scratch.0.to_str().unwrap()), "{error}");
        error[scratch.0.to_str().unwrap().len() + 1..].to_string()
    })
}

#[test]
fn each_fault_names_the_file_and_what_is_wrong_with_it() {
    let [unpacked, packed] = errors("data_batch_3.bin", None);
    assert_eq!(unpacked, "unpacked/data_batch_3.bin: not found, expected 12292 bytes of CIFAR-10 records");
    let text = "packed/cifar-10-binary.tar.gz: expected six files, data_batch_3.bin among them, found 5 of them, \
                not that one";
    assert_eq!(packed, text);

    let truncated = &batch(1)[..5000];
    let [unpacked, packed] = errors("data_batch_2.bin", Some(truncated));
    let text = "expected 4 records of 3073 bytes, 12292 in all, found 5000 bytes";
    assert_eq!(unpacked, format!("unpacked/data_batch_2.bin: {text}"));
    let member = "packed/cifar-10-binary.tar.gz:cifar-10-batches-bin/data_batch_2.bin";
    assert_eq!(packed, format!("{member}: {text}"));

    let mut wrong = batch(5);
    wrong[2 * RECORD] = 10;
    for error in errors("test_batch.bin", Some(&wrong)) {
        assert!(
            error.ends_with("test_batch.bin: expected labels from 0 to 9, found label 10 in record 2"),
            "{error}"
        );
    }
    for error in errors(NAMES, Some(b"cat\ndog\n")) {
        assert!(
            error.ends_with("batches.meta.txt: expected ten names, one a line, found 2 names"),
            "{error}"
        );
    }
}

#[test]
fn damaged_archives_are_told_apart() {
    let scratch = Scratch::new("cifar-damaged");
    let error = |content: &[u8]| {
        let path = scratch.write("cifar-10-binary.tar.gz", content);
        load_records(&path, RECORDS).unwrap_err().to_string()
    };
    let whole = archive(&files());
    let text = error(b"<html>not found</html>");
    assert!(text.contains("starts with 1f 8b, found [3c, 68, 74, 6d]"), "{text}");
    assert!(error(b"").contains("starts with 1f 8b, found []"));
    for length in [20, 1000, whole.len() / 2, whole.len() - 9] {
        let text = error(&whole[..length]);
        assert!(text.contains("found"), "cut to {length}: {text}");
    }
    // The last eight bytes are the checksum and the size of what was compressed.
    let mut wrong_sum = whole.clone();
    *wrong_sum.iter_mut().nth_back(7).unwrap() ^= 1;
    assert!(error(&wrong_sum).contains("expected a whole archive, found a damaged or cut one"));
    let mut other = GzEncoder::new(Vec::new(), Compression::fast());
    other.write_all(&[1; 5000]).unwrap();
    assert!(error(&other.finish().unwrap()).contains("whole archive"));
    assert!(load_records(&scratch.write(ARCHIVE.name, &whole), RECORDS).is_ok());
}

#[test]
fn nothing_there_is_told_with_what_could_be() {
    let scratch = Scratch::new("cifar-nothing");
    let error = load(scratch.0.join("nowhere")).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }));
    let text = "nowhere: not found, expected data_batch_1.bin to test_batch.bin, cifar-10-batches-bin or \
                cifar-10-binary.tar.gz there";
    assert!(error.to_string().ends_with(text), "{error}");
}

#[test]
fn a_file_that_is_there_is_not_fetched() {
    let scratch = Scratch::new("cifar-fetch");
    scratch.write("data_batch_1.bin", b"");
    let mut options = FetchOptions::new().mirror("http://127.0.0.1:9").attempts(1, Default::default());
    assert!(matches!(load_or_fetch(&scratch.0, &mut options), Err(DataError::Malformed { .. })));
    fs::remove_file(scratch.0.join("data_batch_1.bin")).unwrap();
    assert!(matches!(load_or_fetch(&scratch.0, &mut options), Err(DataError::Download { .. })));
}

#[test]
fn the_published_images_are_all_read() {
    let Some(path) = published(ARCHIVE.name) else { return };
    let start = std::time::Instant::now();
    let data = load(&path).unwrap();
    eprintln!("read in {:?}", start.elapsed());
    assert_eq!((data.train.len(), data.test.len()), (50_000, 10_000));
    for (set, count) in [(&data.train, 5000), (&data.test, 1000)] {
        for class in 0..10 {
            assert_eq!(set.labels.iter().filter(|&&label| label == class).count(), count);
        }
    }
    // The known statistics of the published bytes, with room for a copy that went through lossy compression.
    let statistics = data.train.channel_statistics();
    let near = |values: &[f32], known: [f32; 3]| {
        assert!(values.iter().zip(known).all(|(a, b)| (a - b).abs() < 3e-3), "{values:?}");
    };
    near(&statistics.mean, [0.4914, 0.4822, 0.4465]);
    near(&statistics.std, [0.2470, 0.2435, 0.2616]);
}
