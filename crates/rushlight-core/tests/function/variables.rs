//! State in recorded functions: variables by reference and in program order, random numbers, threads.

use crate::{elements, times, variable, vector};
use rushlight_core::random::{self, Generator};
use rushlight_core::{
    DType, Result, Tensor, Variable, eagerly, explain, function as closure, run_functions_eagerly,
};
use rushlight_macros::function;
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[test]
fn variables_are_captured_by_reference() -> Result<()> {
    let count = variable("count", &[0.0]);
    let add = closure("add", |x: &Tensor| -> Result<Tensor> {
        count.assign_add(x)?;
        Ok(count.read() * 10.0)
    });
    assert_eq!(elements(&add.call(&vector(&[1.0]))?), [10.0]);
    assert_eq!(elements(&count.read()), [1.0]);
    count.assign(&vector(&[100.0]))?;
    assert_eq!(elements(&add.call(&vector(&[2.0]))?), [1020.0]);
    assert_eq!(elements(&count.read()), [102.0]);
    assert_eq!(add.recordings().recording_count(), 1);
    Ok(())
}

/// Runs a body on fresh variables recorded three times over and eagerly, and compares results and variables.
fn same_as_eager(body: impl Fn(&[Variable], &Tensor) -> Result<Vec<Tensor>>) -> Result<()> {
    let fresh = || -> Vec<Variable> {
        ["a", "b", "c"].iter().enumerate().map(|(i, name)| variable(name, &[i as f32 + 1.0, -2.0])).collect()
    };
    let run = |variables: &[Variable]| -> Result<Vec<Vec<f32>>> {
        let step = closure("step", |x: &Tensor| body(variables, x));
        let mut seen = Vec::new();
        for call in 0..3 {
            let results = step.call(&vector(&[call as f32, 0.5]))?;
            seen.extend(results.iter().map(elements));
            seen.extend(variables.iter().map(|variable| elements(&variable.read())));
            variables[call % 3].assign_add(&vector(&[0.25, 8.0]))?;
        }
        Ok(seen)
    };
    let recorded = run(&fresh())?;
    let eager = run_functions_eagerly(|| run(&fresh()))?;
    assert_eq!(recorded, eager);
    Ok(())
}

#[test]
fn reads_and_assignments_keep_their_order() -> Result<()> {
    same_as_eager(|v, x| {
        let first = v[0].read();
        v[0].assign(&(&first + x))?;
        let second = v[0].read();
        v[0].assign(&(&second * 2.0))?;
        Ok(vec![first, second, v[0].read()])
    })
}

#[test]
fn variables_are_swapped_by_their_old_values() -> Result<()> {
    same_as_eager(|v, _| {
        let (a, b) = (v[0].read(), v[1].read());
        v[0].assign(&b)?;
        v[1].assign(&a)?;
        Ok(vec![])
    })?;
    same_as_eager(|v, x| {
        let old = v.iter().map(Variable::read).collect::<Vec<_>>();
        for (index, variable) in v.iter().enumerate() {
            variable.assign(&old[(index + 1) % 3])?;
        }
        v[2].assign_add(x)?;
        Ok(old)
    })
}

#[test]
fn several_variables_and_views_of_them() -> Result<()> {
    same_as_eager(|v, x| {
        v[0].assign(x)?;
        v[1].assign(&v[0].read())?;
        v[2].assign(&v[2].read())?;
        let flipped = v[1].read().flip([0]);
        v[1].assign(&flipped)?;
        let repeated = v[0].read().reshape([2, 1]).broadcast_to(&[2, 2]);
        v[0].assign(&repeated.sum(1))?;
        Ok(vec![x.clone(), flipped, repeated.reshape([4]), v[1].read()])
    })
}

#[test]
fn a_constant_assigned_is_the_same_each_time() -> Result<()> {
    let reset = vector(&[9.0, 9.0]);
    same_as_eager(|v, x| {
        let before = v[0].read();
        v[0].assign(&reset)?;
        v[1].assign(x)?;
        v[1].assign(&reset)?;
        v[2].assign(&(v[1].read() + v[0].read()))?;
        Ok(vec![before, v[2].read(), reset.clone()])
    })?;
    assert_eq!(elements(&reset), [9.0, 9.0]);
    Ok(())
}

#[test]
fn results_and_arguments_do_not_change_with_the_variable_later() -> Result<()> {
    let state = variable("state", &[1.0, 2.0]);
    let advance = closure("advance", |x: &Tensor| -> Result<(Tensor, Tensor)> {
        let before = state.read();
        state.assign(&(&before + x))?;
        Ok((before, state.read()))
    });
    let held = state.read();
    let (before, after) = advance.call(&held)?;
    let (later_before, later_after) = advance.call(&state.read())?;
    assert_eq!(elements(&held), [1.0, 2.0]);
    assert_eq!(elements(&before), [1.0, 2.0]);
    assert_eq!(elements(&after), [2.0, 4.0]);
    assert_eq!(elements(&later_before), [2.0, 4.0]);
    assert_eq!(elements(&later_after), [4.0, 8.0]);
    let copy = variable("copy", &[0.0, 0.0]);
    copy.assign(&state.read())?;
    advance.call(&vector(&[1.0, 1.0]))?;
    assert_eq!(elements(&copy.read()), [4.0, 8.0]);
    Ok(())
}

#[test]
fn a_function_inside_another_becomes_part_of_it() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn inner(count: &Variable, x: &Tensor) -> Result<Tensor> {
        count.assign_add(&vector(&[1.0]))?;
        Ok(x * count.read())
    }
    #[function(crate = rushlight_core)]
    fn outer(count: &Variable, x: &Tensor) -> Result<Tensor> {
        let once = inner(count, x)?;
        inner(count, &once)
    }
    let count = variable("count", &[0.0]);
    assert_eq!(elements(&outer(&count, &vector(&[5.0]))?), [10.0]);
    assert_eq!(elements(&outer(&count, &vector(&[5.0]))?), [60.0]);
    assert_eq!(elements(&count.read()), [4.0]);
    assert_eq!((times(outer), times(inner)), (1, 0));
    assert_eq!(elements(&inner(&count, &vector(&[2.0]))?), [10.0]);
    assert_eq!((times(outer), times(inner)), (1, 1));
    Ok(())
}

#[test]
fn a_function_that_calls_itself() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn power(x: &Tensor, exponent: u32) -> Tensor {
        if exponent == 0 { x.ones_like() } else { power(x, exponent - 1) * x }
    }
    assert_eq!(elements(&power(&vector(&[3.0]), 4)), [81.0]);
    assert_eq!(elements(&power(&vector(&[2.0]), 4)), [16.0]);
    assert_eq!(times(power), 1);
    Ok(())
}

#[test]
fn a_function_inside_eagerly_runs_while_another_is_recorded() -> Result<()> {
    let count = variable("count", &[0.0]);
    let step = closure("step", |x: &Tensor| -> Result<Tensor> {
        count.assign_add(x)?;
        Ok(count.read())
    });
    let outer = closure("outer", |x: &Tensor| -> Result<Tensor> {
        let now = eagerly(|| step.call(&vector(&[5.0])))?;
        Ok(x + now)
    });
    assert_eq!(elements(&outer.call(&vector(&[1.0]))?), [6.0]);
    assert_eq!(elements(&outer.call(&vector(&[1.0]))?), [6.0], "what ran eagerly is a constant");
    assert_eq!(elements(&count.read()), [5.0]);
    Ok(())
}

#[test]
fn random_numbers_are_drawn_anew_and_as_eagerly() -> Result<()> {
    let generator = Generator::new(17);
    let draw = closure("draw", |x: &Tensor| {
        let first = generator.uniform([3], 0.0, 1.0, DType::F32);
        (first + x, generator.normal([2], 0.0, 1.0, DType::F32))
    });
    let sequence = || -> Vec<Vec<f32>> {
        generator.set_seed(17);
        (0..3)
            .flat_map(|_| {
                let (a, b) = draw.call(&vector(&[0.0]));
                [elements(&a), elements(&b)]
            })
            .collect()
    };
    let recorded = sequence();
    let eager = run_functions_eagerly(sequence);
    assert_eq!(recorded, eager);
    assert_ne!(recorded[0], recorded[2]);
    assert_ne!(recorded[2], recorded[4]);
    Ok(())
}

#[test]
fn the_default_generator_is_that_of_the_calling_thread() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn draw() -> Tensor {
        random::uniform([2], 0.0, 1.0, DType::F32)
    }
    let on_this_thread = || {
        random::set_seed(5);
        [elements(&draw()), elements(&draw())]
    };
    let here = on_this_thread();
    assert_ne!(here[0], here[1]);
    random::set_seed(5);
    let there = std::thread::spawn(on_this_thread).join().expect("the thread draws");
    assert_eq!(here, there);
    // The other thread has not moved this one's generator on.
    assert_eq!(elements(&draw()), here[0]);
    assert_eq!(times(draw), 2);
    assert!(explain(draw).contains("the last recording draws from the default generator of another thread"));
    Ok(())
}

#[test]
fn two_threads_call_the_same_function() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn count_on(count: &Variable, x: &Tensor) -> Result<Tensor> {
        let before = count.read();
        count.assign(&(&before + 1.0))?;
        Ok(x * 2.0)
    }
    let count = variable("count", &[0.0]);
    let start = Arc::new(Barrier::new(2));
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let (count, start) = (count.clone(), start.clone());
            std::thread::spawn(move || -> Result<()> {
                start.wait();
                for call in 0..200 {
                    let value = (thread * 1000 + call) as f32;
                    assert_eq!(elements(&count_on(&count, &vector(&[value]))?), [2.0 * value]);
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic")?;
    }
    assert_eq!(elements(&count.read()), [400.0], "a call reads and assigns without another one in between");
    assert_eq!(times(count_on), 1, "what both recorded is kept once");
    Ok(())
}

#[test]
fn two_threads_with_the_same_variables_in_another_order() -> Result<()> {
    let (a, b) = (variable("a", &[1.0]), variable("b", &[2.0]));
    let (done, finished) = std::sync::mpsc::channel();
    for (first, second) in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
        let done = done.clone();
        std::thread::spawn(move || {
            let swap = closure("swap", |_: &Tensor| -> Result<()> {
                let (old_first, old_second) = (first.read(), second.read());
                first.assign(&old_second)?;
                second.assign(&old_first)
            });
            let outcome: Result<()> = (0..300).try_for_each(|_| swap.call(&vector(&[0.0])));
            let _ = done.send(outcome);
        });
    }
    for _ in 0..2 {
        finished
            .recv_timeout(Duration::from_secs(60))
            .expect("the threads do not wait for each other forever")?;
    }
    assert_eq!((elements(&a.read()), elements(&b.read())), (vec![1.0], vec![2.0]));
    Ok(())
}
