//! Printing, checking and calling back: in program order, eagerly, while recording and compiled.

use crate::{elements, variable, vector};
use rushlight_core::{
    DType, Error, ErrorKind, Result, Tape, Tensor, assert_that, callback, function, print_to,
    run_functions_eagerly,
};
use std::sync::{Arc, Mutex};

/// A notebook that callbacks write to.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    #[track_caller]
    fn note(&self, name: &'static str, x: &Tensor) -> Result<()> {
        let notes = self.0.clone();
        callback(&[x], move |values| {
            notes.lock().unwrap().push(format!("{name} {:?}", values[0].to_vec::<f32>()?));
            Ok(())
        })
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn effects_happen_at_each_call_in_program_order() -> Result<()> {
    let notes = Notes::default();
    let total = variable("total", &[10.0]);
    let step = function("step", {
        let (notes, total) = (notes.clone(), total.clone());
        move |x: &Tensor| -> Result<Tensor> {
            notes.note("x", x)?;
            // Equal ops, which would be merged, and a result that nobody needs.
            notes.note("twice", &(x * 2.0))?;
            notes.note("twice", &(x * 2.0))?;
            total.assign_add(x)?;
            notes.note("total", &total.read())?;
            notes.note("constant", &vector(&[7.0]))?;
            Ok(x * 2.0)
        }
    });
    let expected = |x: f32, total: f32| {
        let twice = format!("twice [{:?}]", 2.0 * x);
        let rest = [format!("total [{total:?}]"), "constant [7.0]".to_string()];
        [vec![format!("x [{x:?}]"), twice.clone(), twice], rest.to_vec()].concat()
    };
    run_functions_eagerly(|| step.call(&vector(&[1.0])))?;
    assert_eq!(notes.take(), expected(1.0, 11.0));
    for (call, x) in [2.0, 3.0, 2.0].into_iter().enumerate() {
        assert_eq!(elements(&step.call(&vector(&[x]))?), [2.0 * x]);
        assert_eq!(notes.take(), expected(x, [13.0, 16.0, 18.0][call]));
    }
    assert_eq!(step.recordings().recording_count(), 1);
    // A function called inside another one takes effect as a part of it.
    let outer = function("outer", {
        let notes = notes.clone();
        move |x: &Tensor| -> Result<Tensor> {
            notes.note("before", x)?;
            let y = step.call(x)?;
            notes.note("after", &y)?;
            Ok(y)
        }
    });
    outer.call(&vector(&[1.0]))?;
    let inner = expected(1.0, 19.0);
    assert_eq!(
        notes.take(),
        [vec!["before [1.0]".to_string()], inner, vec!["after [2.0]".to_string()]].concat()
    );
    Ok(())
}

#[test]
fn effects_do_not_disturb_gradients() -> Result<()> {
    let notes = Notes::default();
    let slope = function("slope", {
        let notes = notes.clone();
        move |x: &Tensor| -> Result<Tensor> {
            let tape = Tape::new();
            tape.watch(x);
            let y = x.square();
            notes.note("y", &y)?;
            Ok(tape.gradient(&y.print(""), &[x])?.remove(0))
        }
    });
    assert_eq!(elements(&slope.call(&vector(&[3.0]))?), [6.0]);
    assert_eq!(notes.take(), ["y [9.0]"]);
    Ok(())
}

#[test]
fn a_condition_that_does_not_hold_is_an_error_of_the_call() -> Result<()> {
    let notes = Notes::default();
    let state = variable("state", &[1.0, 1.0]);
    let step = function("step", {
        let (notes, state) = (notes.clone(), state.clone());
        move |x: &Tensor| -> Result<Tensor> {
            state.assign(&(state.read() + x))?;
            notes.note("before", x)?;
            assert_that(&x.greater(0.0), "steps must be positive")?;
            notes.note("behind", x)?;
            Ok(x * 2.0)
        }
    });
    let line = line!() - 5;
    step.call(&vector(&[1.0, 2.0]))?;
    assert_eq!(elements(&state.read()), [2.0, 3.0]);
    assert_eq!(notes.take(), ["before [1.0, 2.0]", "behind [1.0, 2.0]"]);
    let error = step.call(&vector(&[1.0, -2.0])).expect_err("a negative step");
    let rule = "steps must be positive (it does not hold for 1 of 2 elements)";
    assert_eq!(error.to_string(), format!("[assert_that] {rule} ({}:{line}, in step)", file!()));
    // Neither did a variable change nor did anything happen behind the condition.
    assert_eq!(elements(&state.read()), [2.0, 3.0]);
    assert_eq!(notes.take(), ["before [1.0, -2.0]"]);
    step.call(&vector(&[1.0, 1.0]))?;
    assert_eq!(elements(&state.read()), [3.0, 4.0]);
    let eager = assert_that(&Tensor::from([true, false]), "both").expect_err("one is false");
    assert_eq!(eager.rule(), "both (it does not hold for 1 of 2 elements)");
    let numbers = assert_that(&vector(&[1.0]), "x").expect_err("no condition");
    assert_eq!((numbers.kind(), numbers.rule()), (ErrorKind::DType, "the condition must be bool"));
    Ok(())
}

#[test]
fn an_error_of_a_callback_is_that_of_the_call() -> Result<()> {
    let failing = function("failing", |x: &Tensor| -> Result<Tensor> {
        callback(&[x, &(x + 1.0)], |values| {
            let sum = values[0].to_vec::<f32>()?[0] + values[1].to_vec::<f32>()?[0];
            match sum > 4.0 {
                true => Err(Error::new(ErrorKind::Interrupted, "watch", "enough")),
                false => Ok(()),
            }
        })?;
        Ok(x.clone())
    });
    failing.call(&vector(&[1.0]))?;
    assert_eq!(failing.call(&vector(&[2.0])).expect_err("more than four").rule(), "enough");
    failing.call(&vector(&[1.0]))?;
    Ok(())
}

#[test]
fn a_callback_cannot_wait_for_what_waits_for_it() -> Result<()> {
    let state = variable("state", &[1.0]);
    let seen = Arc::new(Mutex::new(None));
    let step = function("step", {
        let (state, seen) = (state.clone(), seen.clone());
        move |x: &Tensor| -> Result<Tensor> {
            let (inner, seen) = (state.clone(), seen.clone());
            callback(&[x], move |_| {
                *seen.lock().unwrap() = Some(inner.read().check().map(drop));
                inner.assign(&vector(&[5.0]))
            })?;
            state.assign_add(x)?;
            Ok(state.read())
        }
    });
    let error = step.call(&vector(&[1.0])).expect_err("the variable is in use");
    assert!(error.rule().starts_with("variable `state` is in use by the function"), "{error}");
    let read = seen.lock().unwrap().take().expect("the callback ran");
    assert!(read.expect_err("the variable is in use").rule().contains("pass its value to the callback"));
    assert_eq!(elements(&state.read()), [1.0]);
    Ok(())
}

#[test]
fn printing_says_what_was_meant() -> Result<()> {
    static PRINTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    print_to(Some(Arc::new(|text| {
        if text.contains("#77") {
            PRINTED.lock().unwrap().push(text.to_string());
        }
    })));
    let shown = function("shown", |x: &Tensor| {
        let y = x.print("x #77") * 2.0;
        y.reshape([2, 1]).print("rows #77");
        // What stands for a value says so.
        assert_eq!(y.to_string(), "<symbolic f32[2]: mul>");
        y
    });
    shown.call(&vector(&[1.0, 2.0])).check()?;
    shown.call(&vector(&[3.0, 4.5])).check()?;
    vector(&[0.5]).print("eager #77").check()?;
    print_to(None);
    let expected = [
        "x #77: [1. 2.]",
        "rows #77:\n[[2.]\n [4.]]",
        "x #77: [3.  4.5]",
        "rows #77:\n[[6.]\n [9.]]",
        "eager #77: [0.5]",
    ];
    assert_eq!(*PRINTED.lock().unwrap(), expected);
    Ok(())
}

#[test]
fn reading_or_keeping_a_symbol_names_the_line_where_it_was_made() -> Result<()> {
    let kept: Mutex<Option<Tensor>> = Mutex::new(None);
    let leaking = function("leaking", |x: &Tensor| -> Result<Tensor> {
        *kept.lock().unwrap() = Some(x + 1.0);
        let read = x.item::<f32>().expect_err("there is no value yet");
        assert!(
            read.rule().starts_with("a value cannot be read while the function is being recorded"),
            "{read}"
        );
        Ok(x.clone())
    });
    let line = line!() - 8;
    leaking.call(&vector(&[1.0]))?;
    let leaked = kept.lock().unwrap().take().expect("it was kept");
    let made = format!("(it is the result of `add` at {}:{line}, in leaking)", file!());
    let read = leaked.to_vec::<f32>().expect_err("no value");
    assert!(read.rule().contains("used outside of it") && read.rule().ends_with(&made), "{read}");
    let used = (&leaked * 2.0).check().expect_err("no value").clone();
    assert!(used.rule().ends_with(&made), "{used}");
    let printed = leaked.print("x").check().expect_err("no value").clone();
    assert!(printed.rule().ends_with(&made), "{printed}");
    let other = function("other", |x: &Tensor| x + &leaked);
    let used = other.call(&vector(&[1.0])).check().expect_err("of another recording").clone();
    assert!(used.rule().ends_with(&made), "{used}");
    Ok(())
}

#[test]
fn a_functional_model_prints_when_it_is_called() -> Result<()> {
    use rushlight_core::trace::{model::ModelGraph, model_input};
    use rushlight_core::{Spec, tensor::BATCH};
    let input = model_input("x", Spec::new([BATCH, 2], DType::F32));
    let output = (&input * 2.0).print("model #78") + 1.0;
    let graph = ModelGraph::new(&[&input], &[&output])?;
    let called = function("called", move |x: &Tensor| graph.run(&[x]).remove(0));
    assert_eq!(elements(&called.call(&Tensor::from([[1.0f32, 2.0]])).reshape([-1])), [3.0, 5.0]);
    assert!(assert_that(&input.greater(0.0), "x").is_err());
    Ok(())
}

#[test]
fn effects_in_loops_and_branches_happen_turn_by_turn() -> Result<()> {
    use rushlight_core::{cond, for_range, scan, while_loop};
    let notes = Notes::default();
    let looping = function("looping", {
        let notes = notes.clone();
        move |x: &Tensor| -> Result<Tensor> {
            notes.note("start", x)?;
            let sum = for_range(0..3, x.clone(), |_, sum: Tensor| -> Result<Tensor> {
                notes.note("turn", &sum)?;
                cond(
                    &sum.sum(..).greater(2.0),
                    || notes.note("large", &sum).map(|()| &sum + 10.0),
                    || notes.note("small", &sum).map(|()| &sum + 1.0),
                )
            })?;
            let (last, _) = scan(sum, &Tensor::from([1.0f32, 2.0]), |sum: Tensor, x: Tensor| -> Result<_> {
                notes.note("row", &x)?;
                Ok((sum + &x, x))
            })?;
            let done = while_loop(
                last,
                |sum: &Tensor| sum.sum(..).less(40.0),
                |sum: Tensor| -> Result<Tensor> {
                    assert_that(&sum.greater(0.0), "sums must stay positive")?;
                    notes.note("while", &sum)?;
                    Ok(sum * 2.0)
                },
            )?;
            notes.note("end", &done)?;
            Ok(done)
        }
    });
    let x = vector(&[1.0]);
    let expected = run_functions_eagerly(|| looping.call(&x))?.to_vec::<f32>()?;
    let eager = notes.take();
    assert!(eager.len() > 10 && eager.iter().any(|note| note.starts_with("large")), "{eager:?}");
    for _ in 0..2 {
        assert_eq!(elements(&looping.call(&x)?), expected);
        assert_eq!(notes.take(), eager);
    }
    let error = looping.call(&vector(&[-30.0])).expect_err("a negative sum");
    assert!(error.rule().starts_with("sums must stay positive"), "{error}");
    Ok(())
}

#[test]
fn a_gradient_through_a_loop_does_not_repeat_its_effects() -> Result<()> {
    use rushlight_core::for_range;
    let notes = Notes::default();
    let slope = function("slope", {
        let notes = notes.clone();
        move |x: &Tensor| -> Result<Tensor> {
            let tape = Tape::new();
            tape.watch(x);
            let y = for_range(0..3, x.clone(), |_, y: Tensor| -> Result<Tensor> {
                notes.note("turn", &y)?;
                Ok(y.square())
            })?;
            Ok(tape.gradient(&y, &[x])?.remove(0))
        }
    });
    for _ in 0..2 {
        assert_eq!(elements(&slope.call(&vector(&[2.0]))?), [1024.0]);
        assert_eq!(notes.take(), ["turn [2.0]", "turn [4.0]", "turn [16.0]"]);
    }
    Ok(())
}
