//! Variables in the bodies of loops and branches: read and assigned in the order of the program.

use crate::numbers;
use rushlight_core::random::Generator;
use rushlight_core::{
    DType, Result, Tensor, Variable, cond, for_range, function, run_functions_eagerly, scan, switch,
    while_loop,
};

fn variable(elements: &[f64]) -> Result<Variable> {
    Variable::new("v", &Tensor::from(elements))
}

/// Runs twice eagerly and twice compiled from the same start; variables must go the same way.
fn both_ways(variables: &[Variable], body: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<Vec<f64>>> {
    let compiled = function("body", body);
    let x = Tensor::from([1.0f64, 2.0]);
    let start: Vec<Tensor> = variables.iter().map(Variable::read).collect();
    let run = || -> Result<Vec<Vec<f64>>> {
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(numbers(&compiled.call(&x)?));
            seen.extend(variables.iter().map(|variable| numbers(&variable.read())));
        }
        variables.iter().zip(&start).try_for_each(|(variable, start)| variable.assign(start))?;
        Ok(seen)
    };
    let eager = run_functions_eagerly(run)?;
    assert_eq!(run()?, eager);
    assert_eq!(compiled.recordings().recording_count(), 1);
    Ok(eager)
}

#[test]
fn a_loop_assigns_in_every_turn() -> Result<()> {
    let (v, unused) = (variable(&[1.0, 1.0])?, variable(&[5.0, 6.0])?);
    let seen = both_ways(&[v.clone(), unused.clone()], |x| {
        let before = v.read();
        for_range(0..5, (), |i, ()| {
            v.assign_add(&(x * i.cast(DType::F64)))?;
            v.assign(&(v.read() * 1.5))
        })?;
        Ok(before + v.read() + unused.read())
    })?;
    assert_eq!(seen[2], [5.0, 6.0]);
    assert_ne!(seen[0], seen[3]);
    Ok(())
}

#[test]
fn a_branch_assigns_or_does_not() -> Result<()> {
    let (v, other) = (variable(&[1.0, 1.0])?, variable(&[0.5, 0.25])?);
    both_ways(&[v.clone(), other.clone()], |x| {
        cond(
            &v.read().sum(..).less(3.0),
            || v.assign(&(v.read() + x)),
            || {
                other.assign(&v.read())?;
                v.assign(x)
            },
        )?;
        for_range(0..4, Tensor::scalar(0i64), |i, sum: Tensor| {
            switch(&i, &[&|| v.assign_add(x), &|| Ok(()), &|| other.assign_sub(x)])?;
            Ok(sum + i)
        })?;
        Ok(v.read() * other.read())
    })?;
    Ok(())
}

#[test]
fn variables_change_places_in_a_loop() -> Result<()> {
    let (a, b) = (variable(&[1.0, 2.0])?, variable(&[3.0, 4.0])?);
    both_ways(&[a.clone(), b.clone()], |x| {
        for_range(0..12, (), |_, ()| {
            let old = a.read();
            a.assign(&(b.read() * x))?;
            b.assign(&old)
        })?;
        Ok(a.read() - b.read())
    })?;
    Ok(())
}

#[test]
fn the_condition_reads_what_the_body_assigned() -> Result<()> {
    let v = variable(&[1.0, 1.0])?;
    let seen = both_ways(std::slice::from_ref(&v), |x| {
        let turns = while_loop(
            Tensor::scalar(0i64),
            |_| v.read().sum(..).less(100.0),
            |turns| {
                v.assign(&(v.read() * 2.0 + x))?;
                Ok(turns + 1)
            },
        )?;
        Ok(turns.cast(DType::F64).broadcast_to(&[2]))
    })?;
    assert_eq!((&seen[0][..], &seen[2][..]), (&[5.0, 5.0][..], &[0.0, 0.0][..]));
    Ok(())
}

#[test]
fn a_generator_goes_on_in_a_loop() -> Result<()> {
    let generator = Generator::new(17);
    let state = generator.state().clone();
    let draw = function("draw", {
        let generator = generator.clone();
        move |x: &Tensor| {
            let (_, rows) = scan(Tensor::scalar(0.0f64), x, |sum: Tensor, x: Tensor| {
                let noise = generator.uniform([3], 0.0, 1.0, DType::F64);
                (sum + x, noise)
            });
            rows
        }
    });
    let x = Tensor::zeros([5], DType::F64);
    let compiled = [numbers(&draw.call(&x)), numbers(&draw.call(&x))];
    assert_eq!(numbers(&state.read()), [17.0, 10.0]);
    generator.set_seed(17);
    let one_by_one: Vec<f64> =
        (0..10).flat_map(|_| numbers(&generator.uniform([3], 0.0, 1.0, DType::F64))).collect();
    assert_eq!(compiled.concat(), one_by_one);
    Ok(())
}
