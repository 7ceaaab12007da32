//! `#[function]` and `#[derive(Structure)]`: what they accept, and that the expansion does what the code says.

use crate::{elements, times, vector};
use rushlight_core::{Result, Structure, Tensor, Variable, explain, function as closure};
use rushlight_macros::{Structure, function};
use std::sync::Arc;

#[test]
fn a_free_function_is_recorded_once() -> Result<()> {
    /// Doc comments stay.
    #[function(crate = rushlight_core)]
    pub(crate) fn affine(x: &Tensor, slope: f32, offset: &Tensor) -> Tensor {
        x * slope + offset
    }
    for step in 0..4 {
        let x = vector(&[1.0, step as f32]);
        assert_eq!(elements(&affine(&x, 2.0, &vector(&[10.0, 20.0]))), [12.0, 20.0 + 2.0 * step as f32]);
    }
    assert_eq!(times(affine), 1);
    assert_eq!(elements(&affine(&vector(&[1.0, 1.0]), 3.0, &vector(&[0.0, 0.0]))), [3.0, 3.0]);
    assert_eq!(times(affine), 2);
    assert!(
        explain(affine).contains("argument `slope` was 2.0 before and is 3.0 now"),
        "{}",
        explain(affine)
    );
    Ok(())
}

#[test]
fn the_forms_of_parameters() -> Result<()> {
    #[function(crate = rushlight_core)]
    #[allow(clippy::too_many_arguments)]
    fn all(
        owned: Tensor,
        mut changed: Tensor,
        (left, right): (Tensor, Tensor),
        (deep, _): &(Tensor, bool),
        slice: &[Tensor],
        list: Vec<Tensor>,
        some: Option<&Tensor>,
        none: Option<&Tensor>,
        maybe: Option<Tensor>,
        _: &Tensor,
        text: &str,
    ) -> Result<Tensor> {
        changed = &changed + &owned;
        let mut sum = changed + left + right + deep;
        for item in slice.iter().chain(&list).chain(some).chain(none).chain(&maybe) {
            sum = sum + item;
        }
        if text.len() > 2 { Ok(sum * 2.0) } else { Ok(sum) }
    }
    let x = |value: f32| vector(&[value]);
    let call = |text: &str| -> Result<f32> {
        let slice = [x(100.0), x(200.0)];
        let none = None;
        let (some, deep) = (x(1000.0), (x(20.0), true));
        let list = vec![x(300.0)];
        let pair = (x(3.0), x(10.0));
        all(x(1.0), x(2.0), pair, &deep, &slice, list, Some(&some), none, Some(x(2000.0)), &some, text)?
            .item()
    };
    assert_eq!(call("a")?, 3636.0);
    assert_eq!(call("a")?, 3636.0);
    assert_eq!(times(all), 1);
    assert_eq!(call("abc")?, 7272.0);
    assert_eq!(times(all), 2);
    Ok(())
}

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Net {
    weight: Variable,
    bias: Tensor,
    depth: usize,
}

trait Forward {
    fn forward(&self, x: &Tensor) -> Tensor;

    #[function(crate = rushlight_core)]
    fn forward_twice<'a>(&'a self, r#type: &'a Tensor) -> Tensor
    where
        Self: Structure,
    {
        self.forward(&self.forward(r#type))
    }
}

impl Net {
    fn new(depth: usize) -> Result<Net> {
        Ok(Net { weight: Variable::new("weight", &vector(&[2.0]))?, bias: vector(&[1.0]), depth })
    }

    #[function(crate = rushlight_core)]
    fn step(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for _ in 0..self.depth {
            x = x * self.weight.read() + &self.bias;
        }
        // Nested items have a `self` of their own, macros get the body's.
        struct Twice(Tensor);
        impl Twice {
            fn value(&self) -> Tensor {
                &self.0 + &self.0
            }
        }
        let twice = Twice(self.bias.clone()).value();
        let parts = [self.bias.clone(), twice];
        self.weight.assign(&(self.weight.read() + &parts[1]))?;
        Ok(x)
    }

    #[function(crate = rushlight_core)]
    fn consumed(mut self, x: &Tensor) -> Tensor {
        self.bias = &self.bias + x;
        self.bias
    }

    #[function(crate = rushlight_core)]
    fn shared(self: &Arc<Self>, x: &Tensor) -> Tensor {
        &self.bias * x
    }

    #[function(crate = rushlight_core)]
    fn associated(x: &Tensor) -> Tensor {
        x * 3.0
    }
}

impl Forward for Net {
    #[function(crate = rushlight_core)]
    fn forward(&self, x: &Tensor) -> Tensor {
        self::vector(&[4.0]) * x * self.weight.read()
    }
}

#[test]
fn methods() -> Result<()> {
    let net = Net::new(2)?;
    let x = vector(&[3.0]);
    assert_eq!(elements(&net.step(&x)?), [15.0]);
    assert_eq!(elements(&net.weight.read()), [4.0]);
    assert_eq!(elements(&net.step(&x)?), [53.0]);
    assert_eq!(elements(&net.weight.read()), [6.0]);
    assert_eq!(times(Net::step), 1);
    // The tensor inside of `self` is an argument like any other: its new value is seen.
    let net = Net { bias: vector(&[0.0]), ..net };
    assert_eq!(elements(&net.step(&x)?), [108.0]);
    assert_eq!(elements(&net.weight.read()), [6.0]);
    assert_eq!(times(Net::step), 1);
    let net = Net { depth: 1, ..net };
    assert_eq!(elements(&net.step(&x)?), [18.0]);
    assert_eq!(times(Net::step), 2);
    assert!(
        explain(Net::step).contains("argument `self.depth` was 2 before and is 1 now"),
        "{}",
        explain(Net::step)
    );

    assert_eq!(elements(&net.forward(&x)), [72.0]);
    assert_eq!(elements(&net.forward(&x)), [72.0]);
    assert_eq!(times(Net::forward), 1);
    assert_eq!(elements(&net.forward_twice(&x)), [1728.0]);
    assert_eq!((times(Net::forward), times(<Net as Forward>::forward_twice)), (1, 1));
    assert!(explain(Net::forward_twice).contains(", type: f32[1])"), "{}", explain(Net::forward_twice));
    assert_eq!(elements(&Net::associated(&x)), [9.0]);
    assert_eq!(times(Net::associated), 1);
    assert_eq!(elements(&Arc::new(Net::new(1)?).shared(&x)), [3.0]);
    assert_eq!(elements(&net.consumed(&x)), [3.0]);
    Ok(())
}

#[test]
fn an_argument_without_tensors_is_passed_as_it_is() -> Result<()> {
    struct Opaque(u64);
    impl Structure for Opaque {
        fn flatten(&self, flat: &mut rushlight_core::trace::Flat) {
            flat.identity("opaque", self.0);
        }

        fn rebuild(&self, _: &mut dyn Iterator<Item = Tensor>) -> Opaque {
            panic!("an opaque object cannot be rebuilt");
        }
    }
    #[function(crate = rushlight_core)]
    fn scaled(by: &Opaque, x: &Tensor) -> Tensor {
        x * by.0 as f32
    }
    assert_eq!(elements(&scaled(&Opaque(3), &vector(&[2.0]))), [6.0]);
    assert_eq!(elements(&scaled(&Opaque(4), &vector(&[2.0]))), [8.0]);
    assert!(explain(scaled).contains("argument `by` was opaque #3 before and is opaque #4 now"));
    Ok(())
}

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Pair<T>(T, Tensor);

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Nothing;

#[derive(Structure)]
#[structure(crate = rushlight_core)]
enum Choice<T> {
    None,
    One(T),
    Named { first: Tensor, second: Pair<Tensor>, nothing: Nothing },
}

#[derive(Structure)]
#[structure(crate = rushlight_core)]
enum Never {}

#[test]
fn derived_structures() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn swapped(choice: Choice<Tensor>, _never: Option<&Never>) -> Result<Choice<Tensor>> {
        Ok(match choice {
            Choice::None => Choice::One(vector(&[7.0])),
            Choice::One(x) => Choice::One(x * 2.0),
            Choice::Named { first, second: Pair(a, b), nothing } => {
                Choice::Named { first: b, second: Pair(first, a), nothing }
            }
        })
    }
    for _ in 0..2 {
        assert!(matches!(swapped(Choice::None, None)?, Choice::One(x) if elements(&x) == [7.0]));
        assert!(
            matches!(swapped(Choice::One(vector(&[4.0])), None)?, Choice::One(x) if elements(&x) == [8.0])
        );
        let second = Pair(vector(&[2.0]), vector(&[3.0]));
        let named = Choice::Named { first: vector(&[1.0]), second, nothing: Nothing };
        let Choice::Named { first, second: Pair(a, b), nothing: Nothing } = swapped(named, None)? else {
            panic!("another variant came back");
        };
        assert_eq!([elements(&first), elements(&a), elements(&b)], [[3.0], [1.0], [2.0]]);
    }
    assert_eq!(times(swapped), 3);
    assert!(explain(swapped).contains("choice: One"), "{}", explain(swapped));
    assert!(explain(swapped).contains("choice.first: f32[1]"), "{}", explain(swapped));
    Ok(())
}

trait Scale {
    const FACTOR: f32;
}

struct Two;
struct Ten;

impl Scale for Two {
    const FACTOR: f32 = 2.0;
}

impl Scale for Ten {
    const FACTOR: f32 = 10.0;
}

struct Scaler<S>(std::marker::PhantomData<S>);

impl<S: Scale> Scaler<S> {
    #[function(crate = rushlight_core)]
    fn scaled(x: &Tensor) -> Tensor {
        x * S::FACTOR
    }
}

#[test]
fn generic_functions_are_recorded_for_each_type() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn repeated<S, T, const N: usize>(x: &T, plus: impl Into<f64> + Structure) -> Result<Vec<Tensor>>
    where
        S: Scale,
        T: Structure + AsRef<Tensor>,
    {
        let plus: f64 = plus.into();
        Ok(vec![x.as_ref() * S::FACTOR + plus as f32; N])
    }
    #[derive(Structure)]
    #[structure(crate = rushlight_core)]
    struct Wrapped(Tensor);
    impl AsRef<Tensor> for Wrapped {
        fn as_ref(&self) -> &Tensor {
            &self.0
        }
    }
    for _ in 0..2 {
        let x = Wrapped(vector(&[1.0]));
        assert_eq!(elements(&repeated::<Two, _, 1>(&x, 1u8)?[0]), [3.0]);
        assert_eq!(elements(&repeated::<Ten, _, 2>(&x, 1u8)?[1]), [11.0]);
        assert_eq!(repeated::<Ten, _, 3>(&x, 1u8)?.len(), 3);
        assert_eq!(elements(&Scaler::<Two>::scaled(&x.0)), [2.0]);
        assert_eq!(elements(&Scaler::<Ten>::scaled(&x.0)), [10.0]);
    }
    assert_eq!(times(Scaler::<Two>::scaled), 2);
    let text = explain(Scaler::<Ten>::scaled);
    assert!(text.contains("it is the first call with arguments of these types"), "{text}");
    Ok(())
}

#[test]
fn return_and_question_mark_leave_the_body() -> Result<()> {
    #[function(crate = rushlight_core)]
    fn early(x: &Tensor, flag: bool) -> Result<(Tensor, usize)> {
        if flag {
            return Ok((x * 2.0, 2));
        }
        let [_, _] = x.dims()?;
        Ok((x * 3.0, 3))
    }
    let (y, factor) = early(&vector(&[1.0]), true)?;
    assert_eq!((elements(&y), factor), (vec![2.0], 2));
    let error = early(&vector(&[1.0]), false).expect_err("one axis is not two");
    assert!(error.to_string().starts_with("[dims] the tensor must have 2 axes: got [1]"), "{error}");
    assert_eq!(times(early), 1);
    Ok(())
}

#[test]
fn errors_of_another_type() {
    #[derive(Debug)]
    enum Problem {
        Engine(rushlight_core::Error),
        Mine(&'static str),
    }
    impl From<rushlight_core::Error> for Problem {
        fn from(error: rushlight_core::Error) -> Problem {
            Problem::Engine(error)
        }
    }
    #[function(crate = rushlight_core)]
    fn checked(x: &Tensor, fails: bool) -> Result<Tensor, Problem> {
        if fails { Err(Problem::Mine("on request")) } else { Ok(x + vector(&[1.0, 2.0, 3.0])) }
    }
    assert!(matches!(checked(&vector(&[1.0]), true), Err(Problem::Mine("on request"))));
    let refused = checked(&vector(&[1.0, 2.0]), false);
    assert!(matches!(refused, Err(Problem::Engine(error)) if error.op() == "add"));
    assert!(checked(&vector(&[1.0]), false).is_ok());
}

#[test]
fn names_of_the_expansion_do_not_meet_the_users() -> Result<()> {
    const RECORDINGS: f32 = 5.0;
    #[function(crate = rushlight_core)]
    fn clash(flat: &Tensor, inputs: &Tensor, held0: f32, recordings: f32) -> Tensor {
        flat + inputs * held0 + recordings * RECORDINGS
    }
    assert_eq!(elements(&clash(&vector(&[1.0]), &vector(&[2.0]), 3.0, 4.0)), [27.0]);
    Ok(())
}

#[test]
fn attribute_and_closure_of_the_same_name() -> Result<()> {
    let double = closure("double", |x: &Tensor| x + x);
    assert_eq!(elements(&double.call(&vector(&[2.0]))), [4.0]);
    Ok(())
}
