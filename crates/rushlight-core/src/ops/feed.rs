//! Tensors that somebody hands over while a program runs: the effect that takes the next ones, in order.

use crate::cpu::buffer::ViewMut;
use crate::cpu::kernels::layout;
use crate::ops::effect::{Action, Effect, perform};
use crate::tensor::{DType, Error, ErrorKind, Result, Spec, Tensor};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a running program takes tensors from, see [`fetch`]: a queue that another thread fills, for instance.
pub trait Feed: Send + Sync {
    /// Shapes and dtypes of what [`Feed::take`] gives each time.
    fn specs(&self) -> &[Spec];

    /// The next tensors, or nothing if there are no more; waits until they are there.
    ///
    /// # Errors
    /// What went wrong in making them: the call of the function ends with it.
    fn take(&self) -> Result<Option<Vec<Tensor>>>;
}

/// The next tensors of a feed, and whether there were any (`bool []`): behind the end they are zeros.
///
/// In a recorded function they are taken at each call, and in each turn of a loop, in program order with all other
/// effects; so a loop in the graph goes on with data that are being made meanwhile. If the feed fails, the call returns
/// its error, and no variable changes.
///
/// ```
/// use rushlight_core::{DType, Feed, Result, Spec, Tensor, fetch, function, while_loop};
/// use std::sync::mpsc::{Receiver, sync_channel};
/// use std::sync::{Arc, Mutex};
/// struct Numbers(Mutex<Receiver<f32>>, [Spec; 1]);
/// impl Feed for Numbers {
///     fn specs(&self) -> &[Spec] {
///         &self.1
///     }
///     fn take(&self) -> Result<Option<Vec<Tensor>>> {
///         Ok(self.0.lock().unwrap().recv().ok().map(|number| vec![Tensor::scalar(number)]))
///     }
/// }
/// // Two numbers wait at most; then the thread that makes them does.
/// let (sender, receiver) = sync_channel(2);
/// let feed: Arc<dyn Feed> = Arc::new(Numbers(Mutex::new(receiver), [Spec::new([], DType::F32)]));
/// std::thread::spawn(move || (1..=10).try_for_each(|number| sender.send(number as f32)));
/// let sum = function("sum", |start: &Tensor| -> Result<Tensor> {
///     let (more, mut first) = fetch(&feed)?;
///     let state = (start.clone(), more, first.remove(0));
///     let (sum, ..) = while_loop(state, |(_, more, _)| more.clone(), |(sum, _, number)| {
///         let (more, mut next) = fetch(&feed)?;
///         Ok((sum + number, more, next.remove(0)))
///     })?;
///     Ok(sum)
/// });
/// assert_eq!(sum.call(&Tensor::scalar(100.0f32))?.item::<f32>()?, 155.0);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
///
/// # Errors
/// If the feed fails, or gives other shapes or dtypes than it said.
#[track_caller]
pub fn fetch(feed: &Arc<dyn Feed>) -> Result<(Tensor, Vec<Tensor>)> {
    let mut results = perform(Action::Fetch(feed.clone()), &[])?;
    let more = results.remove(0);
    Ok((more, results.into_vec()))
}

/// What [`fetch`] gives, behind the number of effects.
pub(super) fn specs(feed: &dyn Feed) -> impl Iterator<Item = Spec> {
    std::iter::once(Spec::new([], DType::Bool)).chain(feed.specs().iter().cloned())
}

type Taken = Result<Option<Vec<Tensor>>>;

thread_local! {
    /// What a run op by op has taken, for the compiled run of the same call that is held against it.
    static TAKEN: RefCell<Option<VecDeque<Taken>>> = const { RefCell::new(None) };
}

/// Runs `body`, which runs the same program twice, first with effects that do nothing: what the first run takes from
/// feeds is what the second one gets.
pub(crate) fn taken_once<R>(body: impl FnOnce() -> R) -> R {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            TAKEN.set(None);
        }
    }
    TAKEN.set(Some(VecDeque::new()));
    let _forget = Forget;
    body()
}

/// Writes the next tensors to a fetch's results behind the number of effects, zeros if there are none.
pub(super) fn run(
    feed: &dyn Feed,
    effect: &Effect,
    is_silenced: bool,
    outputs: &mut [ViewMut],
) -> Result<()> {
    let known = TAKEN.with_borrow_mut(|taken| taken.as_mut().filter(|_| !is_silenced)?.pop_front());
    let taken = known.unwrap_or_else(|| checked(feed, effect));
    if is_silenced {
        let copy = taken.clone();
        TAKEN.with_borrow_mut(|known| known.get_or_insert_default().push_back(copy));
    }
    let tensors = match &taken {
        Ok(tensors) => tensors.as_deref(),
        Err(_) => None,
    };
    outputs[0].slice::<bool>()[0] = tensors.is_some();
    for (number, output) in outputs[1..].iter_mut().enumerate() {
        match tensors {
            Some(tensors) => layout::copy(&tensors[number].value("fetch")?.view(), output),
            None => output.zero(),
        }
    }
    taken.map(|_| ())
}

/// What the feed gives, if it is what it said.
fn checked(feed: &dyn Feed, effect: &Effect) -> Taken {
    let Some(tensors) = feed.take()? else { return Ok(None) };
    let fits = tensors.len() == feed.specs().len();
    let mut fits =
        fits && tensors.iter().zip(feed.specs()).all(|(tensor, spec)| tensor.known_spec() == Some(spec));
    for tensor in &tensors {
        tensor.check()?;
        fits &= !tensor.is_symbolic();
    }
    if fits {
        return Ok(Some(tensors));
    }
    let list = |specs: Vec<&Spec>| specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (wanted, got) =
        (list(feed.specs().iter().collect()), list(tensors.iter().filter_map(Tensor::known_spec).collect()));
    let rule = format!("the feed gave {got} where it had promised {wanted}");
    Err(Error::located(ErrorKind::Value, "fetch", rule, effect.location, effect.path.clone()))
}
