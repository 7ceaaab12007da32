//! Points for the Projector tab.

use super::Writer;
use super::event_file::at;
use super::graph::name_part;
use crate::files::write_atomically;
use rushlight_core::{DType, Error, ErrorKind, Result, Tensor, eagerly};
use std::fmt::Write;
use std::path::Path;

/// The file by which the Projector finds points.
const CONFIG: &str = "projector_config.pbtxt";

impl Writer {
    /// Adds points `[count, dimensions]` under a name for the tab Projector, which shows them in two or three dimensions;
    /// with a label for each point, or none at all. Points of the same name are replaced.
    ///
    /// # Errors
    /// If the points have another shape or no value, if there are not as many labels, if a file cannot be written.
    #[track_caller]
    pub fn embedding<T: AsRef<str>>(&self, name: &str, points: &Tensor, labels: &[T]) -> Result<()> {
        let [count, dimensions] = points.dims::<2>()?;
        if count * dimensions == 0 || (!labels.is_empty() && labels.len() != count) {
            let rule =
                format!("{} labels do not fit {count} points of {dimensions} dimensions", labels.len());
            return Err(Error::outside(ErrorKind::Value, "tensorboard", rule));
        }
        let values = eagerly(|| points.cast(DType::F32)).to_vec::<f32>()?;
        let rows = values.chunks_exact(dimensions).map(|row| {
            let cells: Vec<String> = row.iter().map(f32::to_string).collect();
            cells.join("\t") + "\n"
        });
        let folder = name_part(name);
        let run = self.path().parent().unwrap_or(Path::new("."));
        save(&run.join(&folder).join("points.tsv"), &rows.collect::<String>())?;
        let mut entry =
            format!("embeddings {{\n  tensor_name: \"{folder}\"\n  tensor_path: \"{folder}/points.tsv\"\n");
        if !labels.is_empty() {
            let line = |label: &T| label.as_ref().replace(['\t', '\n', '\r'], " ") + "\n";
            save(&run.join(&folder).join("labels.tsv"), &labels.iter().map(line).collect::<String>())?;
            let _ = writeln!(entry, "  metadata_path: \"{folder}/labels.tsv\"");
        }
        entry += "}\n";
        let config = run.join(CONFIG);
        let known = std::fs::read_to_string(&config).unwrap_or_default();
        let named = format!("tensor_name: \"{folder}\"\n");
        let others = known.split_inclusive("}\n").filter(|other| !other.contains(&named));
        save(&config, &(others.collect::<String>() + &entry))
    }
}

fn save(path: &Path, text: &str) -> Result<()> {
    let failed = |error| Error::outside(ErrorKind::Io, "tensorboard", at(path, error).to_string());
    write_atomically(path, text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use std::fs;

    #[test]
    fn points_are_found_by_the_configuration() {
        let scratch = Scratch::new("tensorboard-embedding");
        let writer = Writer::create(&scratch.0).unwrap();
        let points = Tensor::from([[1.0f32, 2.5], [0.0, -1.0]]);
        writer.embedding("digits", &points, &["one\ttwo", "three"]).unwrap();
        writer.embedding("plain", &points, &[] as &[&str]).unwrap();
        writer.embedding("digits", &(&points * 2.0), &["a", "b"]).unwrap();
        let read = |name: &str| fs::read_to_string(scratch.0.join(name)).unwrap();
        assert_eq!(read("digits/points.tsv"), "2\t5\n0\t-2\n");
        assert_eq!(
            (read("digits/labels.tsv"), read("plain/points.tsv")),
            ("a\nb\n".into(), "1\t2.5\n0\t-1\n".into())
        );
        let expected = "embeddings {\n  tensor_name: \"plain\"\n  tensor_path: \"plain/points.tsv\"\n}\n\
                        embeddings {\n  tensor_name: \"digits\"\n  tensor_path: \"digits/points.tsv\"\n  \
                        metadata_path: \"digits/labels.tsv\"\n}\n";
        assert_eq!(read(CONFIG), expected);
        assert!(writer.embedding("digits", &points, &["one"]).is_err());
        assert!(writer.embedding("digits", &Tensor::from([1.0f32]), &["one"]).is_err());
    }
}
