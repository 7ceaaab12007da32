//! The signature of a call: the pieces by which it finds its recording, and the tensors among them.

use crate::tensor::{DType, Spec, Tensor};
use crate::trace::structure::{Referent, Structure};
use smallvec::SmallVec;
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

/// One piece of a call's signature: calls whose pieces are all equal share a recording.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A tensor: its shape and dtype count, not its elements.
    Tensor(Spec),
    /// A flag, or whether something optional is there.
    Flag(bool),
    /// How many items a list has.
    Length(usize),
    Integer(i128),
    /// A floating-point number, by the bits of the equal `f64`.
    Float(u64),
    /// Any other plain value, by its text.
    Text(Cow<'static, str>),
    /// An object that is captured by reference, by a number that no other object of its kind has.
    Identity(&'static str, u64),
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Tensor(spec) => write!(formatter, "{spec}"),
            Key::Flag(flag) => write!(formatter, "{flag}"),
            Key::Length(1) => formatter.write_str("1 item"),
            Key::Length(length) => write!(formatter, "{length} items"),
            Key::Integer(number) => write!(formatter, "{number}"),
            Key::Float(bits) => {
                let number = f64::from_bits(*bits);
                // What came as an `f32` is shown with as many digits as tell it apart.
                let short = number as f32;
                if f64::from(short) == number {
                    write!(formatter, "{short:?}")
                } else {
                    write!(formatter, "{number:?}")
                }
            }
            Key::Text(text) => formatter.write_str(text),
            Key::Identity(kind, id) => write!(formatter, "{kind} #{id}"),
        }
    }
}

/// A key with where in the arguments it comes from.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) argument: &'static str,
    /// Innermost named field; empty for the argument itself.
    field: &'static str,
    pub(crate) key: Key,
}

impl Part {
    /// `x`, or `batch.images` for a field of an argument.
    pub(crate) fn label(&self) -> Cow<'static, str> {
        match self.field {
            "" => self.argument.into(),
            field => format!("{}.{field}", self.argument).into(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.label(), self.key)
    }
}

/// The arguments of a call, taken apart by [`Structure::flatten`].
#[derive(Clone, Default)]
pub struct Flat {
    pub(crate) parts: SmallVec<[Part; 6]>,
    pub(crate) tensors: SmallVec<[Tensor; 6]>,
    /// Where in `tensors` each argument begins.
    starts: SmallVec<[usize; 6]>,
    argument: &'static str,
    field: &'static str,
}

impl Flat {
    /// What is added from now on belongs to the next argument, of that name.
    pub fn argument(&mut self, name: &'static str) -> &mut Flat {
        self.argument = name;
        self.field = "";
        self.starts.push(self.tensors.len());
        self
    }

    /// Adds what `part` is made of under the name of a field.
    pub fn field(&mut self, name: &'static str, part: &impl Structure) {
        let outer = std::mem::replace(&mut self.field, name);
        part.flatten(self);
        self.field = outer;
    }

    /// Adds a tensor.
    pub fn tensor(&mut self, tensor: &Tensor) {
        let spec = match tensor.known_spec() {
            Some(spec) => Spec::new(&spec.dims, spec.dtype),
            // A carried error has no spec; the call returns it before the key is used.
            None => Spec::new([], DType::F32),
        };
        self.key(Key::Tensor(spec));
        self.tensors.push(tensor.clone());
    }

    /// Adds a plain value.
    #[inline]
    pub fn key(&mut self, key: Key) {
        self.parts.push(Part { argument: self.argument, field: self.field, key });
    }

    /// Adds a plain value by its text. Numbers and flags have a [`Key`] of their own, which is cheaper.
    pub fn static_value(&mut self, value: &dyn fmt::Debug) {
        self.key(Key::Text(format!("{value:?}").into()));
    }

    /// Adds an object by identity: `id` must be unique among all objects of that kind in this program.
    pub fn identity(&mut self, kind: &'static str, id: u64) {
        self.key(Key::Identity(kind, id));
    }

    pub(crate) fn is_same_signature(&self, parts: &[Part]) -> bool {
        self.parts.len() == parts.len() && self.parts.iter().zip(parts).all(|(a, b)| a.key == b.key)
    }

    /// What the body of a function gets: these tensors where the arguments have theirs, or the arguments as they are.
    pub(crate) fn inputs(&self, tensors: Option<Vec<Tensor>>) -> Inputs {
        let ends = self.starts.iter().skip(1).copied().chain([self.tensors.len()]);
        let counts = self.starts.iter().zip(ends).map(|(start, end)| end - start).collect();
        Inputs { tensors: tensors.map(Vec::into_iter), counts, next: 0 }
    }
}

/// The arguments that the body of a function sees: while it is recorded, with symbols in the place of tensors.
///
/// Arguments are asked for in the order of the calls of [`Flat::argument`].
pub struct Inputs {
    /// Nothing if the body runs on the arguments as they are.
    tensors: Option<std::vec::IntoIter<Tensor>>,
    /// How many tensors each argument has.
    counts: SmallVec<[usize; 6]>,
    next: usize,
}

impl Inputs {
    /// The next argument, taken by reference.
    pub fn borrowed<'a, T: Referent + ?Sized>(&mut self, original: &'a T) -> Lent<'a, T> {
        match self.own_tensors() {
            Some(mut tensors) => Lent::Rebuilt(original.rebuild_owned(&mut tensors)),
            None => Lent::Original(original),
        }
    }

    /// The next argument, an optional reference.
    pub fn optional<'a, T: Referent + ?Sized>(&mut self, original: Option<&'a T>) -> Option<Lent<'a, T>> {
        match original {
            Some(original) => Some(self.borrowed(original)),
            None => {
                self.next += 1;
                None
            }
        }
    }

    /// The next argument, taken by value.
    pub fn owned<T: Structure>(&mut self, original: T) -> T {
        match self.own_tensors() {
            Some(mut tensors) => original.rebuild(&mut tensors),
            None => original,
        }
    }

    /// The tensors of the next argument; nothing if it stays as it is.
    fn own_tensors(&mut self) -> Option<impl Iterator<Item = Tensor> + '_> {
        let count = self.counts.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        // An argument without tensors is passed on as it came: rebuilding could only copy it.
        if count == 0 { None } else { Some(self.tensors.as_mut()?.take(count)) }
    }
}

/// An argument by reference: the caller's own, or one made for recording.
pub enum Lent<'a, T: Referent + ?Sized> {
    Original(&'a T),
    Rebuilt(T::Owned),
}

impl<T: Referent + ?Sized> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Lent::Original(original) => original,
            Lent::Rebuilt(owned) => owned.borrow(),
        }
    }
}
