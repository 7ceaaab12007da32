//! What does not fit is said in one line, at the line of the loop or branch, in both modes alike.

use rushlight_core::{
    DType, Result, Tape, Tensor, cond, for_range, function, map, run_functions_eagerly, scan, switch,
    while_loop,
};

/// The message of a function of a vector, which must be the same eagerly and recorded, but for the function's name.
fn message(body: impl Fn(&Tensor) -> Tensor) -> String {
    let recorded = function("recorded", body);
    let x = Tensor::from([1.0f32, 2.0]);
    let text = || recorded.call(&x).check().expect_err("an error").to_string();
    let eager = run_functions_eagerly(text);
    assert_eq!(text(), eager);
    assert_eq!(recorded.recordings().recording_count(), 0);
    eager
}

/// The message at a line of this file.
fn at(line: u32, text: &str) -> String {
    format!("{text} ({}:{line}, in recorded)", file!())
}

#[test]
fn the_state_keeps_its_shape_and_dtype() {
    let grown = message(|x| for_range(0..3, x.clone(), |_, y: Tensor| y.expand_dims(0)));
    let text = "[for_range] `state` must stay the same from turn to turn: it was f32[2] and became f32[1, 2]";
    assert_eq!(grown, at(line!() - 2, text));
    let cast = message(|x| while_loop(x.clone(), |y| y.sum(..).less(9.0), |y| y.cast(DType::F64)));
    let text = "[while_loop] `state` must stay the same from turn to turn: it was f32[2] and became f64[2]";
    assert_eq!(cast, at(line!() - 2, text));
    let longer = function("longer", |x: &Tensor| {
        for_range(0..2, vec![x.clone()], |_, mut list: Vec<Tensor>| {
            list.push(x.clone());
            Ok(list)
        })
    });
    let error = longer.call(&Tensor::from([1.0f32])).expect_err("an error").to_string();
    assert!(
        error.contains("`state` must stay the same from turn to turn: it was 1 item and became 2 items"),
        "{error}"
    );
}

#[test]
fn conditions_are_boolean_scalars() {
    let number = message(|x| while_loop(x.clone(), |y| y.sum(..), |y| y + 1.0));
    assert_eq!(number, at(line!() - 1, "[while_loop] the condition must be a boolean scalar: got f32[]"));
    let vector = message(|x| cond(&x.greater(1.0), || x.clone(), || x * 2.0));
    assert_eq!(vector, at(line!() - 1, "[cond] the predicate must be a boolean scalar: got bool[2]"));
    let float = message(|x| switch(&x.sum(..), &[&|| x.clone()]));
    assert_eq!(float, at(line!() - 1, "[switch] the index must be an integer scalar: got f32[]"));
    let none = message(|x| switch(&x.argmax(0), &[]));
    assert_eq!(none, at(line!() - 1, "[switch] there must be at least one branch: got i32[]"));
}

#[test]
fn rows_need_an_axis_in_common() {
    let scalar = message(|x| map(&x.sum(..), |x: Tensor| x));
    let text = "[map] the tensors to go through must have a first axis, of one known size: got []";
    assert_eq!(scalar, at(line!() - 2, text));
    let uneven = message(|x| {
        let xs = (x.clone(), Tensor::zeros([3], DType::F32));
        scan(x.clone(), &xs, |sum: Tensor, (a, b): (Tensor, Tensor)| (sum + a, b)).0
    });
    let text = "[scan] the tensors to go through must have a first axis, of one known size: got [2] and [3]";
    assert_eq!(uneven, at(line!() - 3, text));
    let nothing = message(|_| map(&(), |()| Tensor::scalar(1.0f32)));
    assert_eq!(nothing, at(line!() - 1, "[map] there must be a tensor to go through"));
}

#[test]
fn branches_give_the_same() {
    let recorded =
        function("recorded", |x: &Tensor| cond(&x.sum(..).greater(0.0), || x.clone(), || x.sum(..)));
    let error = recorded.call(&Tensor::from([1.0f32, 2.0])).check().expect_err("an error").to_string();
    let text = "[cond] `result` must stay the same in all branches: it was f32[] and became f32[2]";
    assert_eq!(error, at(line!() - 3, text));
}

#[test]
fn an_error_inside_of_a_body_comes_out_of_it() {
    let three = Tensor::zeros([3], DType::F32);
    let inside = message(|x| for_range(0..3, x.clone(), |_, y: Tensor| y.matmul(&three)));
    let line = format!("errors.rs:{},", line!() - 1);
    assert!(inside.starts_with("[matmul]") && inside.contains(&line), "{inside}");
    let before = message(|x| for_range(0..3, x.reshape([3]), |_, y: Tensor| y * 2.0));
    assert!(before.starts_with("[reshape]"), "{before}");
    let branch = message(|x| cond(&x.sum(..).greater(0.0), || x.reshape([7]), || x.reshape([7])));
    assert!(branch.starts_with("[reshape]"), "{branch}");
}

#[test]
fn symbols_do_not_leave_their_body() -> Result<()> {
    let kept = std::cell::RefCell::new(None);
    let leak = function("leak", |x: &Tensor| {
        let y = for_range(0..9, x.clone(), |_, y: Tensor| {
            *kept.borrow_mut() = Some(y.clone());
            y * 2.0
        });
        y + kept.borrow().as_ref().expect("kept just now")
    });
    let error = leak.call(&Tensor::from([1.0f32])).check().expect_err("an error").to_string();
    assert!(error.contains("a tensor of a recording was used outside of it"), "{error}");
    let crossing = function("crossing", |x: &Tensor| {
        let tape = Tape::new();
        tape.watch(x);
        for_range(0..9, x.clone(), |_, y: Tensor| Ok(tape.gradient(&(x * y), &[x])?.remove(0)))
    });
    let error = crossing.call(&Tensor::from([1.0f32])).expect_err("an error").to_string();
    assert!(error.contains("make the tape, and ask it, in the same body"), "{error}");
    Ok(())
}
