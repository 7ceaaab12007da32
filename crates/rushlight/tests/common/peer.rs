//! Python with Keras, where `RUSHLIGHT_PYTHON` names one, and folders to share files with it.

use std::ffi::OsStr;
use std::path::PathBuf;

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rushlight-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a script and gives what it prints; nothing, with a message, where there is no Python for it.
pub fn python<A: AsRef<OsStr>>(script: &str, arguments: &[A]) -> Option<String> {
    let Ok(python) = std::env::var("RUSHLIGHT_PYTHON") else {
        eprintln!("skipped: RUSHLIGHT_PYTHON names no Python with Keras");
        return None;
    };
    let mut command = std::process::Command::new(python);
    command.arg("-c").arg(script).args(arguments);
    command.env("CUDA_VISIBLE_DEVICES", "-1").env("TF_CPP_MIN_LOG_LEVEL", "3");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
