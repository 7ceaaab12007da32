//! The `#[function]` attribute and the derives of Rushlight.

mod engine;
mod function;
mod receiver;
mod structure;

use proc_macro::TokenStream;

/// Records a function once per signature and runs it as a compiled graph from then on.
///
/// The attribute keeps the function's signature: it is called as before, and without the attribute the same code
/// runs eagerly. The first call with a new signature (shapes and dtypes of tensors, plain values such as numbers and
/// flags, the identity of models and variables) runs the body once on symbols and compiles what it did. Variables are
/// read and assigned in program order, by reference. Calls inside another recorded function or inside of a gradient
/// tape become part of what surrounds them.
///
/// - Parameters are `&T` or `T` of any `Structure` (tensors, numbers, flags, strings, tuples, `Vec`, variables,
///   derived structs), `&[T]`, `&str` and `Option<&T>`; methods take `&self` or `self`. What holds no tensors reaches
///   the body as it is; every other value of it is recorded anew, so pass what changes from call to call as a tensor.
/// - The result is a tensor, a tuple of tensors, or a `Result` of any `Structure`. An error of the body is returned,
///   nothing is recorded then and no variable changes.
/// - `explain(train_step)`, or `explain(Net::train_step)` for a method, says what was recorded and why.
/// - `#[function(batch(x, y))]` leaves the first axis of the arguments `x` and `y` open: one recording serves every
///   batch size, and is compiled for each size that comes.
/// - `#[function(crate = path)]` if the crate `rushlight` is not called that.
///
/// ```
/// use rushlight_core::{Result, Tensor, Variable, value_and_grad};
/// use rushlight_macros::function;
///
/// #[function(crate = rushlight_core)]
/// fn descend(weight: &Variable, target: &Tensor, rate: f32) -> Result<Tensor> {
///     let distance = || (weight.read() - target).square().sum(..);
///     let (loss, gradients) = value_and_grad(distance, &[weight.clone()])?;
///     weight.assign_sub(&(&gradients[0] * rate))?;
///     Ok(loss)
/// }
///
/// let weight = Variable::new("weight", &Tensor::from([0.0f32, 4.0]))?;
/// let target = Tensor::from([2.0f32, 2.0]);
/// assert_eq!(descend(&weight, &target, 0.25)?.item::<f32>()?, 8.0);
/// assert_eq!(weight.read().to_vec::<f32>()?, [1.0, 3.0]);
/// assert_eq!(descend(&weight, &target, 0.25)?.item::<f32>()?, 2.0);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
///
/// What cannot be recorded does not compile:
/// ```compile_fail
/// # use rushlight_core::Tensor;
/// #[rushlight_macros::function(crate = rushlight_core)]
/// fn add_to(total: &mut Tensor, x: &Tensor) -> Tensor { &*total + x }
/// ```
/// ```compile_fail
/// #[rushlight_macros::function(crate = rushlight_core)]
/// async fn load() -> rushlight_core::Tensor { rushlight_core::Tensor::scalar(1.0f32) }
/// ```
/// ```compile_fail
/// #[rushlight_macros::function(crate = rushlight_core)]
/// fn nothing() {}
/// ```
/// ```compile_fail
/// # use rushlight_core::Tensor;
/// #[rushlight_macros::function(crate = rushlight_core)]
/// fn hidden(x: &Tensor) -> impl Clone { x + x }
/// ```
/// ```compile_fail
/// # use rushlight_core::Tensor;
/// struct NoStructure;
/// #[rushlight_macros::function(crate = rushlight_core)]
/// fn unknown(x: &NoStructure) -> Tensor { Tensor::scalar(1.0f32) }
/// ```
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(options.into(), item.into()).into()
}

/// Lets a struct or an enum be an argument or a result of recorded functions, field by field.
///
/// Every field must be a `Structure`; an enum's variant is part of the signature. `#[structure(crate = path)]` on the
/// type if the crate `rushlight` is not called that.
///
/// ```
/// use rushlight_core::{Tensor, Structure};
/// use rushlight_macros::{Structure, function};
///
/// #[derive(Structure)]
/// #[structure(crate = rushlight_core)]
/// struct Batch {
///     images: Tensor,
///     labels: Tensor,
///     weighted: bool,
/// }
///
/// #[function(crate = rushlight_core)]
/// fn total(batch: &Batch) -> Tensor {
///     if batch.weighted { &batch.images * &batch.labels } else { batch.images.clone() }
/// }
///
/// let images = Tensor::from([1.0f32, 2.0]);
/// let batch = Batch { labels: images.clone(), images, weighted: true };
/// assert_eq!(total(&batch).to_vec::<f32>()?, [1.0, 4.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
/// ```compile_fail
/// #[derive(rushlight_macros::Structure)]
/// #[structure(crate = rushlight_core)]
/// struct Opaque { thread: std::thread::Thread }
/// ```
#[proc_macro_derive(Structure, attributes(structure))]
pub fn derive_structure(item: TokenStream) -> TokenStream {
    structure::expand(item.into()).into()
}
