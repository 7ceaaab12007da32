//! Recording what a call of a function is made of and what it takes.

use super::Writer;
use super::function_graph::{op_graph, runs};
use super::xplane::write_profile;
use rushlight_core::profile::{GraphRun, Profile, profile};
use rushlight_core::{Error, ErrorKind, Result};
use std::path::Path;

/// Runs `body` and writes the first recorded function that it calls to `logdir`, for the tabs Graphs and Profile.
///
/// The Graphs tab gets the graph as it was recorded (tag `name/recorded`) and as it was compiled (`name/compiled`), both
/// with the time and the memory that each node took in this very call: what scopes show is the sum of what is in them, and
/// all together is what the kernels took. In the compiled graph, ops that one kernel
/// computes together lie in a scope `loop_…`; the cards tell layouts and places in memory.
///
/// ```
/// use rushlight::prelude::*;
/// use rushlight::tensorboard::trace;
///
/// #[function]
/// fn step(x: &Tensor) -> Tensor {
///     (x * 2.0).exp().sum(..)
/// }
/// # let logdir = std::env::temp_dir().join(format!("rushlight-trace-{}", std::process::id()));
/// let y = trace(&logdir, "step", || step(&Tensor::from([1.0f32, 2.0])))?;
/// # assert!(y.to_f64()? > 60.0);
/// # std::fs::remove_dir_all(logdir).unwrap();
/// # Ok::<(), rushlight::Error>(())
/// ```
///
/// # Errors
/// If `body` calls no recorded function, or if a file cannot be written. A result that is an error is handed on as it is.
pub fn trace<R>(logdir: impl AsRef<Path>, name: &str, body: impl FnOnce() -> R) -> Result<R> {
    let (result, collected) = profile(body);
    if collected.graphs.is_empty() {
        let rule = "nothing was traced: the closure must call a recorded function";
        return Err(Error::outside(ErrorKind::Value, "tensorboard", rule));
    }
    let writer = Writer::create(&logdir)?;
    writer.function(name, 0, &collected, 0)?;
    writer.flush()?;
    write_profile(logdir, &collected)?;
    Ok(result)
}

impl Writer {
    /// Adds the recorded and the compiled graph of a call in a profile, with what its nodes took: tags `name/recorded`
    /// and `name/compiled`.
    ///
    /// # Errors
    /// As [`Writer::run_metadata`], and if the profile has no call of that number.
    pub fn function(&self, name: &str, step: i64, profile: &Profile, call: usize) -> Result<()> {
        let recorded = call_of(profile, call)?.plan.recorded();
        let tag = format!("{name}/recorded");
        self.run_metadata(&tag, step, &op_graph(&recorded), &runs(&recorded, profile, call))?;
        self.compiled_function(name, step, profile, call)
    }

    /// As [`Writer::function`], the compiled graph alone.
    ///
    /// # Errors
    /// As [`Writer::function`].
    pub fn compiled_function(&self, name: &str, step: i64, profile: &Profile, call: usize) -> Result<()> {
        let compiled = call_of(profile, call)?.plan.compiled();
        let tag = format!("{name}/compiled");
        self.run_metadata(&tag, step, &op_graph(&compiled), &runs(&compiled, profile, call))
    }
}

fn call_of(profile: &Profile, call: usize) -> Result<&GraphRun> {
    profile.graphs.get(call).ok_or_else(|| {
        let rule = format!("the profile has {} calls, none of number {call}", profile.graphs.len());
        Error::outside(ErrorKind::Value, "tensorboard", rule)
    })
}
