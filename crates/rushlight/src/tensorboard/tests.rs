use super::*;
use crate::testing::Scratch;

#[test]
fn records_are_byte_for_byte_those_of_tensorboard() {
    let time = 1_700_000_000.5;
    let mut bytes = Vec::new();
    let events = [
        Message::new().double(1, time).text(3, "brain.Event:2"),
        scalar_event(time, "epoch_loss", 0, 0.5),
        scalar_event(time, "epoch_loss", 300, f32::NAN),
    ];
    events.iter().for_each(|event| record::frame(event.as_bytes(), &mut bytes));
    assert_eq!(bytes, include_bytes!("goldens/scalars.tfevents"));
}

/// The data of each record; every record is whole.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(rest[12..12 + length].to_vec());
        rest = &rest[12 + length + 4..];
    }
    records
}

#[test]
fn a_file_starts_with_its_version_and_holds_what_was_flushed() {
    let scratch = Scratch::new("tensorboard-file");
    let directory = scratch.0.join("logs/train");
    let mut writer = Writer::create(&directory).unwrap();
    let path = writer.path().to_path_buf();
    let name = path.file_name().unwrap().to_str().unwrap().to_string();
    assert!(name.starts_with("events.out.tfevents.1") && name.ends_with(".v2"), "{name}");
    assert_eq!(records(&path).len(), 1);
    assert!(records(&path)[0].ends_with(b"\x1a\x0dbrain.Event:2"));
    writer.scalar("loss", 0, 1.5).unwrap();
    writer.scalar("accuracy", 0, 0.25).unwrap();
    writer.flush().unwrap();
    writer.flush().unwrap();
    assert_eq!(records(&path).len(), 3);
    for step in 1..2000 {
        writer.scalar("loss", step, 1.0).unwrap();
    }
    assert!(records(&path).len() > 1000, "a full buffer is written on its own");
    drop(writer);
    assert_eq!(records(&path).len(), 2002);

    let other = Writer::create(&directory).unwrap();
    assert_ne!(other.path(), path, "two writers do not share a file");
}

#[test]
fn steps_that_tensorboard_would_drop_are_refused() {
    let scratch = Scratch::new("tensorboard-steps");
    let mut writer = Writer::create(&scratch.0).unwrap();
    writer.scalar("loss", 5, 1.0).unwrap();
    for step in [5, 4] {
        let error = writer.scalar("loss", step, 1.0).unwrap_err();
        assert_eq!(error.to_string(), format!("scalar loss: steps must rise, got step {step} after step 5"));
    }
    writer.scalar("accuracy", 0, 1.0).unwrap();
    writer.scalar("loss", 6, 1.0).unwrap();
    writer.flush().unwrap();
    assert_eq!(records(writer.path()).len(), 4);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new("tensorboard-directory");
    let file = scratch.write("file", b"");
    let error = Writer::create(file.join("logs")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}/file", scratch.0.display())), "{error}");
}
