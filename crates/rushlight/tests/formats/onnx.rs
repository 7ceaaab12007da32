//! ONNX files, checked and run by others where they are at hand.

use crate::peer::{Folder, python};
use crate::{Arrays, assert_close, path};
use rushlight::formats::{Format, folded_onnx_bytes, model_from_bytes, weights_to_bytes};
use rushlight::prelude::*;

/// Those without recurrent layers, whose loops are not written.
const MODELS: [&str; 6] =
    ["sequential", "dense_block", "shared_and_nested", "operators", "attention", "mobile"];

#[test]
fn onnx_runtime_computes_the_same() {
    let folder = Folder::new("onnx");
    for name in MODELS {
        let model = Model::load(path(&format!("{name}.keras"))).unwrap();
        let bytes = weights_to_bytes(&model, Format::Onnx).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(bytes.len() > 100, "{name}");
        std::fs::write(folder.0.join(format!("{name}.onnx")), bytes).unwrap();
        std::fs::write(folder.0.join(format!("{name}-folded.onnx")), folded_onnx_bytes(&model).unwrap())
            .unwrap();
    }
    let script = r#"
import sys, onnx, onnxruntime, numpy as np
for name in sys.argv[3:]:
  for path in (f"{sys.argv[1]}/{name}.onnx", f"{sys.argv[1]}/{name}-folded.onnx"):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    arrays = np.load(f"{sys.argv[2]}/{name}.npz")
    inputs, wanted = ([arrays[k] for k in sorted(arrays) if k.startswith(p)] for p in ("input_", "output_"))
    names = [i.name for i in session.get_inputs()]
    for rows in (len(wanted[0]), 1):
        got = session.run(None, {n: x[:rows] for n, x in zip(names, inputs, strict=True)})
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b[:rows], 1e-5, 1e-5, err_msg=name)
"#;
    let files = path("");
    let mut arguments = vec![folder.0.as_os_str(), files.as_os_str()];
    arguments.extend(MODELS.iter().map(std::ffi::OsStr::new));
    python(script, &arguments);
}

#[test]
fn normalization_is_folded_on_request() {
    let model = Model::load(path("sequential.keras")).unwrap();
    let (plain, folded) =
        (weights_to_bytes(&model, Format::Onnx).unwrap(), folded_onnx_bytes(&model).unwrap());
    assert!(folded.len() < plain.len(), "{} {}", folded.len(), plain.len());
    let again = model_from_bytes(&folded, &[]).unwrap();
    let arrays = Arrays::of("sequential");
    assert_close(
        &again.predict_many(arrays.all("input")).unwrap()[0],
        &arrays.all("output")[0],
        1e-5,
        "folded",
    );
}

#[test]
fn what_is_written_is_read_again() {
    for name in ["sequential", "dense_block"] {
        let model = Model::load(path(&format!("{name}.keras"))).unwrap();
        let bytes = weights_to_bytes(&model, Format::Onnx).unwrap();
        let again = model_from_bytes(&bytes, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let arrays = Arrays::of(name);
        let outputs = again.predict_many(arrays.all("input")).unwrap();
        assert_close(&outputs[0], &arrays.all("output")[0], 1e-5, name);
    }
}

#[test]
fn what_pytorch_wrote_runs_and_trains_on() {
    let mut model = Model::load(path("torch.onnx")).unwrap();
    let arrays = Arrays::of("torch");
    let x = arrays.all("input").remove(0);
    assert_close(&model.predict(&x).unwrap(), &arrays.all("output")[0], 1e-5, "torch");
    // Six layers with weights, and two batch normalizations.
    assert_eq!(model.trainable_variables().len(), 2 + 2 * (2 + 1) + 2 + 2 + 2);
    model.compile(Sgd::new(0.1), SparseCategoricalCrossentropy::new(), ());
    let data = Dataset::from_tensors(&x, &Tensor::from([0, 1, 2, 1])).unwrap().batch(4);
    let history = model.fit(&data, Fit::epochs(5).verbose(0)).unwrap();
    let losses = history.get("loss");
    assert!(losses[4] < losses[0], "{losses:?}");
}

#[test]
fn operators_that_are_not_known_are_told_at_once() {
    // A graph of two nodes: "Mystery" called a, "Riddle" called b.
    let node = |kind: &str, name: &str| {
        let parts =
            [&[0x1a, name.len() as u8][..], name.as_bytes(), &[0x22, kind.len() as u8], kind.as_bytes()];
        let node = parts.concat();
        [&[0x0a, node.len() as u8][..], &node].concat()
    };
    let graph = [node("Mystery", "a"), node("Riddle", "b")].concat();
    let bytes = [&[8, 10, 0x3a, graph.len() as u8][..], &graph, &[0x42, 2, 0x10, 17]].concat();
    let error = model_from_bytes(&bytes, &[]).unwrap_err().to_string();
    assert_eq!(error, "[onnx] these operators are not supported: Mystery (a); Riddle (b)");
}
