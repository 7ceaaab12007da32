//! What the tests of several modules share.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory of its own for each test, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rushlight-test-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    /// The names of what is in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file of the published data sets, if this machine has it: in the directory that RUSHLIGHT_TEST_DATA names, or
/// in `shared/data` beside the workspace. Says so where there is none, and the test that asks ends there.
pub(crate) fn published(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let directory = std::env::var_os("RUSHLIGHT_TEST_DATA").map_or_else(beside, PathBuf::from);
    let path = directory.join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: no {}; RUSHLIGHT_TEST_DATA may name the directory that holds it", path.display());
    None
}
