//! Closures as recorded functions.

use crate::tensor::{Error, Result};
use crate::trace::recordings::Recordings;
use crate::trace::signature::Flat;
use crate::trace::structure::{Returned, Structure};
use std::marker::PhantomData;
use std::path::Path;

/// A closure that is recorded once per signature and run as a compiled graph from then on.
pub struct Function<F, A, R> {
    recordings: Recordings,
    body: F,
    types: PhantomData<fn(A) -> R>,
}

/// Makes a recorded function of a closure over tensors (or other [`Structure`]s).
///
/// The closure runs once for each signature (shapes, dtypes and static values of its arguments); variables that
/// it reads are captured by reference. The compiled graph runs without going back to the closure.
///
/// ```
/// use rushlight_core::{Tensor, Variable, function};
/// let total = Variable::new("total", &Tensor::scalar(0.0f32))?;
/// let add = function("add", {
///     let total = total.clone();
///     move |x: &Tensor| {
///         total.assign_add(&x.sum(..))?;
///         Ok(total.read())
///     }
/// });
/// assert_eq!(add.call(&Tensor::from([1.0f32, 2.0]))?.item::<f32>()?, 3.0);
/// assert_eq!(add.call(&Tensor::from([3.0f32, 4.0]))?.item::<f32>()?, 10.0);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
#[track_caller]
pub fn function<F, A, R>(name: &'static str, body: F) -> Function<F, A, R>
where
    F: Callable<A, R>,
    // Named, so that `Ok(..)` at the end of a closure needs no type.
    R: Returned<Error = Error>,
{
    Function { recordings: Recordings::new(name), body, types: PhantomData }
}

impl<F, A, R> Function<F, A, R> {
    /// Leaves the first axis of these arguments (0 is the first) open: one recording serves every batch size, and is
    /// compiled for each size that comes. All of their tensors must have the same batch size.
    ///
    /// While recording, the size has no value; `mean` and [`Tensor::axis_size`](crate::Tensor::axis_size) know it when
    /// the function runs.
    ///
    /// ```
    /// use rushlight_core::{Tensor, function};
    /// let mean = function("mean", |x: &Tensor| x.mean(0)).open_batch(&["0"]);
    /// for batch in [1, 7, 32] {
    ///     let x = Tensor::arange(batch, rushlight_core::DType::F32);
    ///     assert_eq!(mean.call(&x).item::<f32>()?, (batch - 1) as f32 / 2.0);
    /// }
    /// assert_eq!(mean.recordings().recording_count(), 1);
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    pub fn open_batch(mut self, arguments: &'static [&'static str]) -> Self {
        self.recordings = self.recordings.with_open_batch(arguments);
        self
    }

    /// Plans calls within a budget of memory in bytes: see [`Recordings::with_memory_budget`].
    ///
    /// ```
    /// use rushlight_core::{Tensor, function};
    /// let far = function("far", |x: &Tensor| x.exp().sin().sum(..)).memory_budget(1 << 20);
    /// assert!(far.call(&Tensor::from([0.0f32])).item::<f32>()? > 0.8);
    /// let near = function("near", |x: &Tensor| x.exp().sin().sum(..)).memory_budget(4);
    /// assert!(near.call(&Tensor::from([0.0f32])).check().is_err());
    /// # Ok::<(), rushlight_core::Error>(())
    /// ```
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.recordings = self.recordings.with_memory_budget(bytes);
        self
    }

    /// What was recorded, why again, and how long it took.
    pub fn explain(&self) -> String {
        self.recordings.explain()
    }

    /// Writes what was recorded to a file, from which [`SavedFunction`](crate::SavedFunction) runs it without this code.
    ///
    /// # Errors
    /// If nothing was recorded yet, a recording has a [`callback`](crate::callback()), or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.recordings.save(path)
    }

    /// The recordings made so far.
    pub fn recordings(&self) -> &Recordings {
        &self.recordings
    }
}

/// Closures that [`function`] takes: up to four references to structures.
pub trait Callable<A, R> {}

macro_rules! callables {
    ($($call:ident ($($name:ident $argument:ident $label:literal),+))*) => {$(
        impl<F, R, $($name: Structure),+> Callable<($($name,)+), R> for F where F: Fn($(&$name),+) -> R {}

        impl<F, R: Returned<Error = Error>, $($name: Structure),+> Function<F, ($($name,)+), R>
        where
            F: Fn($(&$name),+) -> R,
            R::Parts: Send + Sync + 'static,
        {
            /// Calls the function; the first time for a signature records and compiles it.
            #[track_caller]
            pub fn $call(&self, $($argument: &$name),+) -> R {
                let mut flat = Flat::default();
                $($argument.flatten(flat.argument($label));)+
                self.recordings.call(&flat, |mut inputs| {
                    $(let $argument = inputs.borrowed($argument);)+
                    (self.body)($(&$argument),+)
                })
            }
        }
    )*};
}

callables! {
    call (A a "0")
    call2 (A a "0", B b "1")
    call3 (A a "0", B b "1", C c "2")
    call4 (A a "0", B b "1", C c "2", D d "3")
}
