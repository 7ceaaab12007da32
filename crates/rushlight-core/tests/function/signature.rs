//! When a call finds a recording, when it makes a new one, and what is said about it.

use crate::{elements, times, variable, vector};
use rushlight_core::trace::{Flat, ambient};
use rushlight_core::{
    DType, Result, Structure, Tensor, Variable, eagerly, explain, function as closure, is_recording,
    recordings_of, run_functions_eagerly,
};
use rushlight_macros::function;
use std::cell::Cell;

/// The text with what differs from run to run, or depends on how well graphs are compiled, masked.
fn masked(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for index in 1..words.len() {
        if words[index].starts_with("ms") {
            words[index - 1] = "_";
        }
        if ["to", "plans"].contains(&words[index - 1]) {
            words[index] = "_";
        }
    }
    words.join(" ")
}

#[test]
fn each_change_of_the_signature_is_explained() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn scaled(x: &Tensor, factor: f32, twice: bool, name: &str) -> Tensor {
        let factor = if twice { factor * 2.0 } else { factor };
        if name.is_empty() { x.clone() } else { x.cast(DType::F32) * factor }
    }
    let reason = |x: &Tensor, factor: f32, twice: bool, name: &str| -> Result<String> {
        let before = times(scaled);
        scaled(x, factor, twice, name).check()?;
        assert_eq!(times(scaled), before + 1, "it should have been recorded anew");
        scaled(x, factor, twice, name).check()?;
        assert_eq!(times(scaled), before + 1, "it should not have been recorded anew");
        let text = explain(scaled);
        let line = text.lines().rfind(|line| line.contains("because") && !line.contains("was recorded"));
        let line = line.unwrap_or_default().trim().trim_start_matches("because ");
        Ok(line.split(" (crates").next().unwrap_or_default().to_string())
    };
    let x = Tensor::ones([2, 3], DType::F32);
    assert_eq!(reason(&x, 1.5, false, "a")?, "it is the first call");
    let longer = Tensor::ones([4, 3], DType::F32);
    assert_eq!(
        reason(&longer, 1.5, false, "a")?,
        "argument `x` was f32[2, 3] before and is f32[4, 3] now (axis 0: 2, now 4)"
    );
    assert_eq!(
        reason(&Tensor::ones([3], DType::F32), 1.5, false, "a")?,
        "argument `x` was f32[4, 3] before and is f32[3] now"
    );
    assert_eq!(
        reason(&x.cast(DType::I32), 1.5, false, "a")?,
        "argument `x` was f32[3] before and is i32[2, 3] now"
    );
    assert_eq!(reason(&x, 2.5, false, "a")?, "argument `factor` was 1.5 before and is 2.5 now");
    assert_eq!(reason(&x, 2.5, true, "a")?, "argument `twice` was false before and is true now");
    assert_eq!(reason(&x, 2.5, true, "")?, "argument `name` was \"a\" before and is \"\" now");
    Ok(())
}

#[test]
fn the_text_of_explain() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn weighted(x: &Tensor, weight: &Variable) -> Tensor {
        x * weight.read().reshape([1, 300])
    }
    let line = line!() - 4;
    let weight = Variable::new("weight", &Tensor::ones([300], DType::F32))?;
    weighted(&Tensor::ones([1, 300], DType::F32), &weight).check()?;
    for _ in 0..3 {
        weighted(&Tensor::ones([2, 7], DType::F32), &weight).check().expect_err("shapes that do not fit");
        weighted(&Tensor::ones([300], DType::F32), &weight).check()?;
    }
    let (file, id) = (file!(), weight.id());
    let expected = format!(
        "function `weighted` ({file}:{line}): 2 recorded, 2 kept\n\
         \x20 recording 1 (x: f32[1, 300], weight: variable #{id}), 1 call(s)\n\
         \x20   because it is the first call ({file}:{})\n\
         \x20   recorded 4 nodes in _ ms, compiled to _ in _ ms\n\
         \x20   plans _ B of memory besides 1 variable(s) of 1.2 kB\n\
         \x20 recording 2 (x: f32[300], weight: variable #{id}), 3 call(s)\n\
         \x20   because argument `x` was f32[1, 300] before and is f32[300] now ({file}:{})\n\
         \x20   recorded 5 nodes in _ ms, compiled to _ in _ ms\n\
         \x20   plans _ B of memory besides 1 variable(s) of 1.2 kB\n",
        line + 6,
        line + 9,
    );
    assert_eq!(masked(&explain(weighted)), expected);
    Ok(())
}

#[test]
fn explain_of_what_was_never_recorded() {
    #[function(crate = rushlight_core)]
    fn untouched(x: &Tensor) -> Tensor {
        x.clone()
    }
    assert!(explain(untouched).contains("untouched` has recorded nothing: it has not been called yet"));
    run_functions_eagerly(|| untouched(&vector(&[1.0]))).check().expect("runs eagerly");
    assert!(explain(untouched).contains("has recorded nothing"));
    assert!(recordings_of(untouched).is_empty());
}

#[test]
fn plain_values_that_are_equal_share_a_recording() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn many(
        x: &Tensor,
        number: f64,
        small: f32,
        list: &[usize],
        pair: (i64, char),
        dtype: DType,
    ) -> Result<Tensor> {
        let sum = list.iter().sum::<usize>() as f64 + number + f64::from(small) + pair.0 as f64;
        Ok(x.cast(dtype) + sum)
    }
    let x = vector(&[0.0]);
    for _ in 0..3 {
        let list = vec![1, 2, 3];
        assert_eq!(many(&x, 0.5, 0.25, &list, (-3, 'x'), DType::F64)?.item::<f64>()?, 3.75);
    }
    assert_eq!(times(many), 1);
    let parts =
        "number: 0.5, small: 0.25, list: 3 items, list: 1, list: 2, list: 3, pair: -3, pair: x, dtype: f64";
    assert!(explain(many).contains(parts), "{}", explain(many));
    for (number, count) in [(f64::NAN, 2), (f64::NAN, 2), (0.0, 3), (-0.0, 4), (0.1, 5), (0.1, 5)] {
        many(&x, number, 0.25, &[1, 2, 3], (-3, 'x'), DType::F64)?;
        assert_eq!(times(many), count, "at {number}");
    }
    assert!(explain(many).contains("number: 0.1,"), "{}", explain(many));
    Ok(())
}

#[test]
fn at_most_32_recordings_are_kept() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn shifted(x: &Tensor, by: usize) -> Tensor {
        x + by as f32
    }
    let x = vector(&[0.0]);
    let kept = || recordings_of(shifted)[0].kept_count();
    for by in 0..40 {
        assert_eq!(elements(&shifted(&x, by)), [by as f32]);
        // The first one stays in use.
        assert_eq!(elements(&shifted(&x, 0)), [0.0]);
        assert_eq!(kept(), (by + 1).min(32));
    }
    assert_eq!(times(shifted), 40);
    shifted(&x, 39).check()?;
    assert_eq!(times(shifted), 40, "the last one is kept");
    shifted(&x, 1).check()?;
    assert_eq!(times(shifted), 41, "the one unused for longest was dropped");
    shifted(&x, 0).check()?;
    assert_eq!(times(shifted), 41, "what is in use is kept");
    Ok(())
}

#[test]
fn dropping_variables_drops_their_recordings() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn read(of: &Variable) -> Tensor {
        of.read() * 2.0
    }
    let kept = || recordings_of(read)[0].kept_count();
    let stays = variable("stays", &[1.0]);
    read(&stays).check()?;
    for _ in 0..3 {
        let goes = variable("goes", &[2.0]);
        assert_eq!(elements(&read(&goes)), [4.0]);
        assert_eq!(kept(), 2);
        drop(goes);
        assert_eq!(kept(), 1, "a recording must not keep its variables alive");
    }
    assert_eq!(times(read), 4);
    assert!(
        !explain(read).contains("was recorded 4 times"),
        "objects that come and go are no reason to warn"
    );
    Ok(())
}

#[test]
fn a_variable_that_is_replaced_is_recorded_anew() -> Result<()> {
    struct Net {
        weight: Variable,
    }
    impl Structure for Net {
        fn flatten(&self, flat: &mut Flat) {
            flat.identity("net", 1);
        }

        fn rebuild(&self, _: &mut dyn Iterator<Item = Tensor>) -> Net {
            Net { weight: self.weight.clone() }
        }
    }
    #[function(crate = rushlight_core)]
    fn weight(net: &Net) -> Tensor {
        net.weight.read() + 1.0
    }
    let mut net = Net { weight: variable("first", &[1.0]) };
    assert_eq!(elements(&weight(&net)), [2.0]);
    net.weight = variable("second", &[10.0]);
    assert_eq!(elements(&weight(&net)), [11.0]);
    assert!(explain(weight).contains("variable `first`, which the last recording uses, is gone"));
    Ok(())
}

#[test]
fn freezing_a_variable_is_recorded_anew() -> Result<()> {
    let (a, b) = (variable("a", &[3.0]), variable("b", &[5.0]));
    let step = closure("step", {
        let (a, b) = (a.clone(), b.clone());
        move |x: &Tensor| -> Result<Tensor> {
            let tape = rushlight_core::Tape::new();
            let y = (a.read() * b.read() * x).sum(..);
            Ok(tape.gradient_of_variables(&y, &[a.clone(), b.clone()])?.remove(1))
        }
    });
    let x = vector(&[1.0]);
    assert_eq!(elements(&step.call(&x)?), [3.0]);
    b.set_trainable(false);
    assert_eq!(elements(&step.call(&x)?), [0.0], "a tape does not watch what is not trainable");
    assert!(step.explain().contains("variable `b` is not trainable now"), "{}", step.explain());
    b.set_trainable(true);
    assert_eq!(elements(&step.call(&x)?), [3.0]);
    assert_eq!(step.recordings().recording_count(), 2, "the first recording serves again");
    Ok(())
}

#[test]
fn modes_of_layers_have_recordings_of_their_own() -> Result<()> {
    let mode = closure("mode", |x: &Tensor| x + ambient::current() as f32);
    let x = vector(&[0.0]);
    for _ in 0..2 {
        assert_eq!(elements(&mode.call(&x)), [0.0]);
        assert_eq!(elements(&ambient::with(1, || mode.call(&x))), [1.0]);
    }
    assert_eq!(mode.recordings().recording_count(), 2);
    assert!(mode.explain().contains("the mode of layers (training or inference) is another one"));
    Ok(())
}

#[test]
fn the_body_runs_only_to_be_recorded() -> Result<()> {
    let runs = Cell::new(0);
    let counted = closure("counted", |x: &Tensor| {
        runs.set(runs.get() + 1);
        assert!(is_recording() && x.is_symbolic());
        assert!(!eagerly(is_recording));
        x.clone()
    });
    for value in 0..5 {
        let x = vector(&[value as f32]);
        assert_eq!(elements(&counted.call(&x)), [value as f32]);
    }
    assert_eq!(runs.get(), 1);
    let eager = closure("eager", |x: &Tensor| {
        assert!(!is_recording() && !x.is_symbolic());
        x.clone()
    });
    run_functions_eagerly(|| eager.call(&vector(&[1.0]))).check()?;
    assert_eq!(eager.recordings().recording_count(), 0);
    Ok(())
}

#[test]
fn results_without_tensors_come_from_the_recording() -> Result<()> {
    let shape = closure("shape", |x: &Tensor| -> Result<(Vec<usize>, Tensor, Option<Tensor>)> {
        Ok((x.shape()?.to_vec(), Tensor::scalar(7.0f32), None))
    });
    for _ in 0..2 {
        let (dims, constant, nothing) = shape.call(&Tensor::ones([2, 5], DType::F32))?;
        assert_eq!((dims, constant.item::<f32>()?, nothing.is_none()), (vec![2, 5], 7.0, true));
    }
    Ok(())
}

#[test]
fn a_function_that_records_too_often_warns_once() {
    const CHILD: &str = "RUSHLIGHT_TEST_RECORDS_TOO_OFTEN";
    if std::env::var_os(CHILD).is_some() {
        let often = closure("often", |x: &Tensor, rate: &f32| x * *rate);
        for rate in 0..10 {
            often.call2(&vector(&[1.0]), &(rate as f32)).check().expect("runs");
        }
        assert!(often.explain().contains("was recorded 10 times"), "{}", often.explain());
        return;
    }
    let this = std::env::current_exe().expect("the test's own path");
    let output = std::process::Command::new(this)
        .args(["--exact", "signature::a_function_that_records_too_often_warns_once", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the test runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    let warnings: Vec<&str> =
        text.lines().filter(|line| line.contains("rushlight: function `often`")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(
        warnings[0]
            .contains("was recorded 5 times, at last because argument `1` was 3.0 before and is 4.0 now")
            && warnings[0]
                .contains("pass what changes from call to call as a tensor, such as Tensor::scalar(value)"),
        "{text}"
    );
}

#[test]
fn what_to_do_fits_what_differs() -> Result<()> {
    let advice =
        |function: &dyn Fn(usize) -> String| function(6).lines().last().unwrap_or_default().to_string();
    let batches = closure("batches", |x: &Tensor, y: &Tensor| (x + 1.0, y.clone()));
    let said = advice(&|count| {
        for size in 1..=count {
            let (x, _) =
                batches.call2(&Tensor::ones([size, 3], DType::F32), &Tensor::ones([size], DType::I32));
            x.check().expect("it runs");
        }
        batches.explain()
    });
    let why = "argument `0` was f32[5, 3] before and is f32[6, 3] now (axis 0: 5, now 6); argument `1` was i32[5] \
               before and is i32[6] now (axis 0: 5, now 6)";
    assert!(said.contains(why), "{said}");
    assert!(said.ends_with(
        "leave the batch axis open, with #[function(batch(argument))] or open_batch on a closure, or drop or pad the \
         last, smaller batch."
    ), "{said}");
    let widths = closure("widths", |x: &Tensor| x + 1.0);
    let said = advice(&|count| {
        (1..=count).for_each(|size| drop(widths.call(&Tensor::ones([2, size], DType::F32))));
        widths.explain()
    });
    assert!(said.ends_with("keep shapes the same from call to call, for instance by padding."), "{said}");
    let numbers = closure("numbers", |x: &Tensor, rate: &f32| x * *rate);
    let said = advice(&|count| {
        (0..count).for_each(|rate| drop(numbers.call2(&vector(&[1.0]), &(rate as f32))));
        numbers.explain()
    });
    assert!(said.contains("argument `1` was 4.0 before and is 5.0 now"), "{said}");
    assert!(
        said.ends_with("pass what changes from call to call as a tensor, such as Tensor::scalar(value)."),
        "{said}"
    );
    Ok(())
}
