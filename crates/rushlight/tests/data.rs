//! Data sets from files and programs: against what others read from the same files (goldens/make_data.py), and in the
//! same order whoever prepares them.

use rushlight::data::{Csv, Example, ImageFolder, TfRecords, read_picture};
use rushlight::prelude::*;
use rushlight::{Error, ErrorKind};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/data"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The input of each example, as one list of numbers.
fn read(data: &Dataset, epoch: u64) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for batch in data.epoch(epoch) {
        all.extend(batch?.inputs[0].reshape([-1]).to_vec::<f32>()?);
    }
    Ok(all)
}

fn count(count: usize) -> Dataset {
    let x = Tensor::arange(count as i64, DType::F32);
    Dataset::from_tensors(&x, &x).unwrap().batch(4)
}

#[test]
fn pictures_have_tensorflows_pixels() {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let data = ImageFolder::open(folder().join("pictures"), [6, 10]).unwrap();
    assert_eq!(data.classes(), ["cats", "dogs"]);
    let paths: Vec<String> = data
        .files()
        .iter()
        .map(|(path, class)| {
            format!("{}/{}", ["cats", "dogs"][*class as usize], path.file_name().unwrap().to_str().unwrap())
        })
        .collect();
    assert_eq!(paths.len(), 5);
    let batch = data.dataset().batch(5).epoch(0).next().unwrap().unwrap();
    assert_eq!(batch.inputs[0].shape().unwrap(), [5, 6, 10, 3]);
    assert_eq!(batch.targets[0].to_vec::<i32>().unwrap(), [0, 0, 1, 1, 1]);
    let all: Vec<f32> = batch.inputs[0].to_vec().unwrap();
    for (index, path) in paths.iter().enumerate() {
        // JPEG decoders round, and spread halved colours, in ways of their own.
        let tolerance = if path.ends_with("jpg") { 8.0 } else { 1e-3 };
        let wanted = numbers(&expected[path]["resized"]);
        for (a, b) in all[index * 180..(index + 1) * 180].iter().zip(&wanted) {
            assert!((f64::from(*a) - b).abs() <= tolerance, "{path}, resized: {a} and {b}");
        }
        let ([height, width, channels], pixels) = read_picture(folder().join("pictures").join(path)).unwrap();
        let dims = numbers(&expected[path]["dims"]);
        assert_eq!([height as f64, width as f64], dims[..2]);
        let wanted = numbers(&expected[path]["pixels"]);
        for (pixel, wanted) in pixels.chunks(channels).zip(wanted.chunks(3)) {
            let own = if channels >= 3 { &pixel[..3] } else { &[pixel[0]; 3][..] };
            for (a, b) in own.iter().zip(wanted) {
                assert!((f64::from(*a) - b).abs() <= tolerance, "{path}: {a} and {b}");
            }
        }
    }
    let grey = ImageFolder::open(folder().join("pictures"), [6, 10]).unwrap().grayscale().dataset();
    assert_eq!(grey.epoch(0).next().unwrap().unwrap().inputs[0].shape().unwrap(), [5, 6, 10, 1]);
}

#[test]
fn a_faulty_picture_is_named_once() {
    let scratch = std::env::temp_dir().join(format!("rushlight-data-{}", std::process::id()));
    std::fs::create_dir_all(scratch.join("a")).unwrap();
    let good = folder().join("pictures/cats/photo.jpg");
    for index in 0..12 {
        std::fs::copy(&good, scratch.join(format!("a/{index:02}.jpg"))).unwrap();
    }
    let whole = std::fs::read(&good).unwrap();
    std::fs::write(scratch.join("a/05.jpg"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    for workers in [1, 4] {
        let data = ImageFolder::open(&scratch, [4, 4]).unwrap().dataset().batch(2).workers(workers);
        let results: Vec<Result<Batch>> = data.epoch(0).collect();
        assert_eq!(results.len(), 3);
        let error = results[2].as_ref().err().unwrap().to_string();
        assert!(error.contains("05.jpg: expected a PNG picture"), "{error}");
    }
    // Cut off in the middle, or something else.
    for bytes in [&whole[..whole.len() / 2], b"GIF89a", b""] {
        std::fs::write(scratch.join("a/05.jpg"), bytes).unwrap();
        assert!(read_picture(scratch.join("a/05.jpg")).is_err(), "{} bytes", bytes.len());
    }
    let error = ImageFolder::open(scratch.join("a"), [4, 4]).err().unwrap().to_string();
    assert!(error.contains("expected folders, one for each class"), "{error}");
    assert!(ImageFolder::open(scratch.join("none"), [4, 4]).is_err());
    assert!(ImageFolder::open(&scratch, [0, 4]).is_err());
    std::fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn records_that_tensorflow_wrote_are_read() {
    let path = folder().join("examples.tfrecord");
    let records = TfRecords::open(&[&path, &path]).unwrap();
    assert_eq!(records.len(), 10);
    let example = Example::parse(&records.read(3).unwrap()).unwrap();
    assert_eq!(example.bytes("name").unwrap(), [b"example 3"]);
    let error = example.floats("y").unwrap_err().to_string();
    assert!(error.contains("no feature `y` of floats; there are name, x, y"), "{error}");
    let data = records.clone().dataset(|record| {
        let example = Example::parse(record)?;
        let x = Tensor::from(example.floats("x")?.to_vec());
        Ok(Batch::new(x, Tensor::scalar(example.integers("y")?[0] as i32)))
    });
    let batch = data.batch(10).epoch(0).next().unwrap().unwrap();
    assert_eq!(batch.inputs[0].i(2).to_vec::<f32>().unwrap(), [1.0, -2.0, 1e-3]);
    assert_eq!(batch.targets[0].to_vec::<i32>().unwrap()[..5], [-2, 998, 1998, 2998, 3998]);
    // What a parser finds wrong is told with file and record.
    let faulty = records.dataset(|_| Err(Error::outside(ErrorKind::Value, "parser", "is not amused")));
    let error = faulty.epoch(0).next().unwrap().err().unwrap().to_string();
    assert!(error.contains("examples.tfrecord: record 0: [parser] is not amused"), "{error}");
    // Damaged files.
    let scratch = std::env::temp_dir().join(format!("rushlight-records-{}", std::process::id()));
    let whole = std::fs::read(&path).unwrap();
    for (bytes, text) in [
        (whole[..whole.len() - 3].to_vec(), "one that is cut off at byte"),
        ([&[9], &whole[1..]].concat(), "another checksum at byte 0"),
    ] {
        std::fs::write(&scratch, bytes).unwrap();
        let error = TfRecords::open(&[&scratch]).err().unwrap().to_string();
        assert!(error.contains(text), "{error}");
    }
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    std::fs::write(&scratch, flipped).unwrap();
    let error = TfRecords::open(&[&scratch]).unwrap().read(0).err().unwrap().to_string();
    assert!(error.contains("another checksum in record 0"), "{error}");
    std::fs::remove_file(&scratch).unwrap();
    // No bytes make the parser panic.
    let record = TfRecords::open(&[&path]).unwrap().read(0).unwrap();
    for cut in 0..record.len() {
        let _ = Example::parse(&record[..cut]);
        let mut changed = record.clone();
        changed[cut] ^= 0x55;
        let _ = Example::parse(&changed);
    }
}

#[test]
fn numpys_archives_are_read() {
    let path = folder().join("arrays.npz");
    let data = Dataset::from_npz(&path, &["x"], &["y"]).unwrap().batch(3);
    assert_eq!(read(&data, 0).unwrap(), (0..12).map(|number| number as f32).collect::<Vec<_>>());
    let error = Dataset::from_npz(&path, &["z"], &["y"]).err().unwrap().to_string();
    assert!(error.contains("arrays.npz: expected an array `z`, found x, y"), "{error}");
    assert!(Dataset::from_npz(folder().join("expected.json"), &["x"], &[]).is_err());
}

#[test]
fn tables_are_read_and_their_faults_are_found() {
    let text = "\u{feff}a,\"b, or not\",c\r\n1,-2.5e1,\"say \"\"x\"\"\"\r\n\r\n3,,\"two\nlines\"\n";
    let table = Csv::parse("t.csv", text).unwrap();
    assert_eq!(table.columns(), ["a", "b, or not", "c"]);
    assert_eq!(table.words("c").unwrap(), ["say \"x\"", "two\nlines"]);
    let b = table.numbers("b, or not").unwrap();
    assert!(b[0] == -25.0 && b[1].is_nan());
    let data = Csv::parse("t", "x,y\n1,2\n3,4\n").unwrap().regression(&["x"], &["y"]).unwrap();
    assert_eq!(read(&data, 0).unwrap(), [1.0, 3.0]);
    for (text, wanted) in [
        ("", "a header"),
        ("a,b\n1\n", "expected 2 fields in each row, found 1 on line 2"),
        ("a\n\"open", "expected a closing quote"),
    ] {
        let error = Csv::parse("t.csv", text).err().unwrap().to_string();
        assert!(error.starts_with("t.csv: ") && error.contains(wanted), "{error}");
    }
    let error = Csv::parse("t.csv", "a\n1\nx\n").unwrap().numbers("a").err().unwrap().to_string();
    assert_eq!(error, "t.csv: expected a number in column `a`, found `x` on line 3");
    assert!(Csv::open("nowhere.csv").is_err());
}

#[test]
fn data_sets_are_put_together() {
    let (a, b) = (
        count(6),
        count(4)
            .map_examples(|example| Ok(Batch::new(&example.inputs[0] + 100.0, example.targets[0].clone()))),
    );
    assert_eq!(read(&a.clone().take(2), 0).unwrap(), [0.0, 1.0]);
    assert_eq!(read(&a.clone().skip(4), 0).unwrap(), [4.0, 5.0]);
    assert_eq!(read(&a.clone().take(2).concatenate(&b), 0).unwrap(), [0.0, 1.0, 100.0, 101.0, 102.0, 103.0]);
    let mixed = Dataset::interleave(&[a.clone().take(5), b.clone()], 2).batch(3);
    assert_eq!(read(&mixed, 0).unwrap(), [0.0, 1.0, 100.0, 101.0, 2.0, 3.0, 102.0, 103.0, 4.0]);
    let zipped = Dataset::zip(&[a.clone(), b.clone()]);
    let batch = zipped.epoch(0).next().unwrap().unwrap();
    assert_eq!((batch.inputs.len(), batch.targets.len(), zipped.len()), (2, 2, 4));
    let twice = a.clone().take(3).repeat(2);
    assert_eq!(read(&twice, 0).unwrap(), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    let shuffled = read(&twice.shuffle(3), 0).unwrap();
    let sorted = |part: &[f32]| {
        let mut part = part.to_vec();
        part.sort_by(f32::total_cmp);
        part
    };
    assert_eq!((sorted(&shuffled[..3]), sorted(&shuffled[3..])), (vec![0.0, 1.0, 2.0], vec![0.0, 1.0, 2.0]));
    assert_eq!(read(&a.clone().repeat(0), 0).unwrap(), [0.0f32; 0]);
    let (first, rest) = a.split(0.5).unwrap();
    assert_eq!((first.len(), rest.len()), (3, 3));
    let mismatched = a.concatenate(&Dataset::zip(&[count(2), count(2)])).batch(8);
    let error = mismatched.epoch(0).next().unwrap().err().unwrap().to_string();
    assert!(error.contains("as many inputs, targets and weights"), "{error}");
}

#[test]
fn a_cache_reads_each_example_once() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counter = reads.clone();
    let source = Dataset::from_fn(20, move |number, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Batch::new(Tensor::scalar(number as f32), Tensor::scalar(0)))
    });
    let plain = source.clone().shuffle(2).batch(3);
    let cached = source.cache().shuffle(2).batch(3);
    let wanted: Vec<Vec<f32>> = (0..3).map(|epoch| read(&plain, epoch).unwrap()).collect();
    assert_eq!(reads.swap(0, Ordering::SeqCst), 60);
    let got: Vec<Vec<f32>> = (0..3).map(|epoch| read(&cached, epoch).unwrap()).collect();
    assert_eq!((got, reads.load(Ordering::SeqCst)), (wanted, 20));
}

#[test]
fn the_order_is_the_same_at_any_number_of_threads() {
    let data = Dataset::from_fn(101, |number, epoch| {
        // Uneven work, so that threads overtake each other.
        std::thread::sleep(std::time::Duration::from_micros((number as u64 * 37 + epoch) % 7 * 100));
        Ok(Batch::new(Tensor::scalar((number * 10 + epoch as usize) as f32), Tensor::scalar(1)))
    });
    let data = data
        .shuffle(4)
        .batch(6)
        .map(|batch| Ok(Batch::new(&batch.inputs[0] * 2.0, batch.targets[0].clone())));
    for epoch in 0..3 {
        let wanted = read(&data.clone().prefetch(0), epoch).unwrap();
        assert_eq!(wanted.len(), 101);
        for workers in [1, 2, 5, 16] {
            assert_eq!(read(&data.clone().workers(workers), epoch).unwrap(), wanted, "{workers} workers");
        }
    }
}

#[test]
fn iterators_are_data_too() {
    let example =
        |number: usize| Ok(Batch::new(Tensor::scalar(number as f32), Tensor::scalar(number as i32)));
    let kept = Dataset::from_examples((0..5).map(example)).unwrap();
    assert_eq!(read(&kept.batch(2), 0).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    // An endless one, of which an epoch takes seven.
    let stream = Dataset::from_stream(7, move |epoch| (epoch as usize * 100..).map(example)).batch(3);
    assert_eq!(read(&stream, 0).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(read(&stream, 2).unwrap()[..2], [200.0, 201.0]);
    assert_eq!(read(&stream, 2).unwrap()[..2], [200.0, 201.0]);
    let error = read(&stream.clone().shuffle(1), 0).unwrap_err().to_string();
    assert!(error.contains("in order: it cannot be shuffled"), "{error}");
    let short = Dataset::from_stream(7, move |_| (0..3).map(example)).batch(3);
    let error = read(&short, 0).unwrap_err().to_string();
    assert!(error.contains("ended before its example 3 of 7"), "{error}");
    let faulty = Dataset::from_examples([example(1), Err(Error::outside(ErrorKind::Io, "disk", "is full"))]);
    assert_eq!(faulty.err().unwrap().to_string(), "[disk] is full");
}
