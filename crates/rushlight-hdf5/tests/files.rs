//! Files that h5py wrote (`files/make.py`), and what becomes of damaged ones.

use rushlight_hdf5::{Datatype, Group, Limits, Writer, read, read_within};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/files/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn floats(group: &Group<'_>, path: &str) -> Vec<f32> {
    let bytes = group.dataset(path).unwrap_or_else(|| panic!("{path}")).bytes().unwrap();
    bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

#[test]
fn what_h5py_wrote_is_read() {
    for name in ["old.h5", "new.h5", "ordered.h5"] {
        let bytes = file(name);
        let root = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            root.attribute("model_config").unwrap().text().unwrap(),
            r#"{"class_name": "Sequential"}"#
        );
        assert_eq!(root.attribute("names").unwrap().texts().unwrap(), ["dense", "dense_1"]);
        assert_eq!(root.attribute("texts").unwrap().texts().unwrap(), ["eins", "zwölf", ""]);
        let kernel = root.dataset("layers/dense/vars/0").unwrap();
        assert_eq!((kernel.datatype(), kernel.dims()), (&Datatype::F32, &[3, 4][..]));
        assert_eq!(floats(&root, "layers/dense/vars/0"), (0..12).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(
            root.group("layers/dense/vars").unwrap().attribute("name").unwrap().text().unwrap(),
            "dense"
        );
        let scalar = root.dataset("scalar").unwrap();
        assert_eq!((scalar.datatype(), scalar.dims().len()), (&Datatype::Int(8), 0));
        assert_eq!(&*scalar.bytes().unwrap(), (-7i64).to_le_bytes());
        assert_eq!(root.dataset("half").unwrap().datatype(), &Datatype::F16);
        assert_eq!(root.dataset("double").unwrap().datatype(), &Datatype::F64);
        let flags = root.dataset("flags").unwrap();
        assert_eq!((flags.datatype(), &*flags.bytes().unwrap()), (&Datatype::Bool, &[1, 0, 1][..]));
        assert_eq!(root.dataset("empty").unwrap().dims(), [0, 3]);
        assert!(root.dataset("empty").unwrap().bytes().unwrap().is_empty());
        assert_eq!(floats(&root, "unwritten"), [0.0; 5]);
        let opaque = root.dataset("opaque").unwrap();
        assert_eq!((opaque.datatype(), &*opaque.bytes().unwrap()), (&Datatype::Opaque(2), &b"abcd"[..]));
        assert_eq!(root.group("nothing").unwrap().members().count(), 0);
        let many = root.group("many").unwrap();
        assert_eq!(many.members().count(), 70, "{name}");
        for index in 0..70i32 {
            let value = many.dataset(&format!("x_{index}")).unwrap().bytes().unwrap();
            assert_eq!(*value, index.to_le_bytes());
        }
    }
    let bytes = file("user_block.h5");
    assert_eq!(floats(&read(&bytes).unwrap(), "x"), [0.0, 1.0, 2.0]);
}

#[test]
fn chunks_are_put_together() {
    let grid: Vec<f32> = (0..77).map(|i| (i % 13) as f32).collect();
    for name in ["old.h5", "new.h5"] {
        let bytes = file(name);
        let root = read(&bytes).unwrap();
        for kind in ["plain", "deflate", "shuffle", "checksum", "single"] {
            assert_eq!(floats(&root, &format!("chunks/{kind}")), grid, "{name}, {kind}");
        }
    }
}

/// Reads everything there is; only that it ends matters.
fn read_all(bytes: &[u8]) -> Result<(), rushlight_hdf5::Error> {
    let limits = Limits { blocks: 100_000, unpacked_bytes: 1 << 20, ..Limits::default() };
    let root = read_within(bytes, limits)?;
    root.attributes().iter().try_for_each(|attribute| attribute.texts().map(drop))?;
    root.datasets().into_iter().try_for_each(|(_, data)| data.bytes().map(drop))
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let whole = file("small.h5");
    read_all(&whole).unwrap();
    let mut accepted = Vec::new();
    for length in 0..whole.len() {
        if read_all(&whole[..length]).is_ok() {
            accepted.push(length);
        }
    }
    // h5py ends the file with space that nothing uses.
    let used = whole.len() - accepted.len();
    assert_eq!(accepted, (used..whole.len()).collect::<Vec<_>>());
    let mut written = Writer::new();
    written.dataset("vars/0", Datatype::F32, &[2], vec![0; 8]).unwrap();
    written.attribute("vars", "name", "dense").unwrap();
    let whole = written.finish().unwrap();
    let accepted = (0..whole.len()).filter(|&length| read_all(&whole[..length]).is_ok()).count();
    assert_eq!(accepted, 0);
}

#[test]
fn no_changed_byte_makes_the_reader_panic_or_take_long() {
    for name in ["small.h5", "new.h5", "old.h5"] {
        let whole = file(name);
        let stride = (whole.len() / 3000).max(1);
        for at in (0..whole.len()).step_by(stride) {
            for change in [0x00, 0xff, whole[at] ^ 1, whole[at] ^ 0x80] {
                let mut damaged = whole.clone();
                damaged[at] = change;
                let _ = read_all(&damaged);
            }
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut writer = Writer::new();
    for index in 0..1000 {
        let bytes = (index as f32).to_le_bytes().to_vec();
        writer.dataset(&format!("layers/dense_{index}/vars/0"), Datatype::F32, &[], bytes).unwrap();
        writer.attribute(&format!("layers/dense_{index}/vars"), "name", &format!("layer {index}")).unwrap();
    }
    writer.dataset("i", Datatype::Int(8), &[2], [1i64, -1].map(i64::to_le_bytes).concat()).unwrap();
    writer.dataset("none", Datatype::F64, &[0], Vec::new()).unwrap();
    writer.dataset("flag", Datatype::Bool, &[1], vec![1]).unwrap();
    writer.dataset("opaque", Datatype::Opaque(2), &[1], vec![1, 2]).unwrap();
    assert!(writer.dataset("i/below", Datatype::F32, &[], vec![0; 4]).is_err());
    assert!(writer.dataset("i", Datatype::F32, &[], vec![0; 4]).is_err());
    assert!(writer.dataset("short", Datatype::F32, &[2], vec![0; 4]).is_err());
    let bytes = writer.finish().unwrap();
    let root = read(&bytes).unwrap();
    for index in 0..1000 {
        let vars = root.group(&format!("layers/dense_{index}/vars")).unwrap();
        assert_eq!(vars.attribute("name").unwrap().text().unwrap(), format!("layer {index}"));
        assert_eq!(floats(vars, "0"), [index as f32]);
    }
    assert_eq!(*root.dataset("i").unwrap().bytes().unwrap(), [1i64, -1].map(i64::to_le_bytes).concat());
    assert_eq!(root.dataset("flag").unwrap().datatype(), &Datatype::Bool);
}

/// h5py reads what the writer wrote, where a Python with h5py is at hand (`RUSHLIGHT_PYTHON`).
#[test]
fn h5py_reads_what_is_written() {
    let Ok(python) = std::env::var("RUSHLIGHT_PYTHON") else {
        eprintln!("skipped: RUSHLIGHT_PYTHON names no Python with h5py");
        return;
    };
    let mut writer = Writer::new();
    for index in 0..700 {
        let bytes = (index as f32).to_le_bytes().to_vec();
        writer.dataset(&format!("layers/dense_{index}/vars/0"), Datatype::F32, &[], bytes).unwrap();
        writer.attribute(&format!("layers/dense_{index}/vars"), "name", &format!("lager ü {index}")).unwrap();
    }
    writer.dataset("half", Datatype::F16, &[1], vec![0, 0x3c]).unwrap();
    writer.dataset("double", Datatype::F64, &[2, 1], [0.5f64, -2.0].map(f64::to_le_bytes).concat()).unwrap();
    writer.dataset("long", Datatype::Int(8), &[], (-5i64).to_le_bytes().to_vec()).unwrap();
    writer.dataset("byte", Datatype::Uint(1), &[3], vec![1, 2, 255]).unwrap();
    writer.dataset("flag", Datatype::Bool, &[2], vec![1, 0]).unwrap();
    writer.dataset("none", Datatype::F32, &[0, 2], Vec::new()).unwrap();
    writer.dataset("opaque", Datatype::Opaque(2), &[2], vec![1, 2, 3, 4]).unwrap();
    writer.attribute("opaque", "dtype", "bfloat16").unwrap();
    writer.group("empty").unwrap();
    let path = std::env::temp_dir().join(format!("rushlight-hdf5-{}.h5", std::process::id()));
    std::fs::write(&path, writer.finish().unwrap()).unwrap();
    let script = r#"
import sys, h5py, numpy as np
f = h5py.File(sys.argv[1])
assert len(f["layers"]) == 700
for i in range(700):
    v = f[f"layers/dense_{i}/vars"]
    assert v["0"][()] == i and v.attrs["name"] == f"lager ü {i}", i
assert f["half"].dtype == "<f2" and f["half"][0] == 1
assert f["double"][:].tolist() == [[0.5], [-2.0]] and f["long"][()] == -5
assert f["byte"][:].tolist() == [1, 2, 255]
assert f["flag"].dtype == bool and f["flag"][:].tolist() == [True, False]
assert f["none"].shape == (0, 2) and len(f["empty"]) == 0
assert f["opaque"].dtype == "V2" and f["opaque"].attrs["dtype"] == "bfloat16"
assert f["opaque"][:].tobytes() == b"\1\2\3\4"
"#;
    let output = std::process::Command::new(python).arg("-c").arg(script).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
