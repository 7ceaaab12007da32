//! Structures of tensors: what functions take and return, and by what a call finds its recording.

use crate::tensor::{Error, Result, Spec, Tensor};
use crate::trace::Variable;
use std::fmt;

/// One piece of a call's signature: calls whose pieces are all equal share a recording.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A tensor: its shape and dtype count, not its elements.
    Tensor(Spec),
    /// A plain value such as a number or a flag, by its text.
    Static(String),
    /// An object that is captured by reference, by a number that no other object of its type has.
    Identity(&'static str, u64),
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Tensor(spec) => write!(formatter, "{spec}"),
            Key::Static(text) => formatter.write_str(text),
            Key::Identity(kind, id) => write!(formatter, "{kind} #{id}"),
        }
    }
}

/// The pieces of a call's arguments, with the tensors among them.
#[derive(Default)]
pub struct Flat {
    /// Name of the argument, and what of it counts.
    pub(crate) keys: Vec<(&'static str, Key)>,
    pub(crate) tensors: Vec<Tensor>,
    name: &'static str,
}

impl Flat {
    /// What is added from now on belongs to the argument of that name.
    pub fn argument(&mut self, name: &'static str) -> &mut Flat {
        self.name = name;
        self
    }

    /// Adds a tensor.
    pub fn tensor(&mut self, tensor: &Tensor) {
        // A carried error has no spec; the call returns it before the key is used.
        let spec = tensor.known_spec().cloned().unwrap_or_else(|| Spec::new([], crate::DType::F32));
        self.keys.push((self.name, Key::Tensor(spec)));
        self.tensors.push(tensor.clone());
    }

    /// Adds a plain value by its text.
    pub fn static_value(&mut self, value: &dyn fmt::Debug) {
        self.keys.push((self.name, Key::Static(format!("{value:?}"))));
    }

    /// Adds an object by identity: `id` must be unique among all objects of that kind in this program.
    pub fn identity(&mut self, kind: &'static str, id: u64) {
        self.keys.push((self.name, Key::Identity(kind, id)));
    }
}

/// A value made of tensors and plain parts: an argument or a result of a recorded function.
///
/// Implemented for tensors, numbers, `bool`, strings, tuples, arrays, `Vec`, `Option` and [`Variable`]s;
/// derive it for structs of such parts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument or a result of a recorded function",
    note = "derive `Structure` for it, or pass its tensors one by one"
)]
pub trait Structure: Sized {
    /// Adds the parts to `flat`: tensors as tensors, the rest as static values or identities.
    fn flatten(&self, flat: &mut Flat);

    /// The same structure with other tensors, taken in the order in which `flatten` adds them.
    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self;
}

impl Structure for Tensor {
    fn flatten(&self, flat: &mut Flat) {
        flat.tensor(self);
    }

    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Tensor {
        tensors.next().unwrap_or_else(|| self.clone())
    }
}

impl Structure for Variable {
    fn flatten(&self, flat: &mut Flat) {
        flat.identity("variable", self.id());
    }

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> Variable {
        self.clone()
    }
}

impl<T: Structure> Structure for Vec<T> {
    fn flatten(&self, flat: &mut Flat) {
        flat.static_value(&self.len());
        self.iter().for_each(|item| item.flatten(flat));
    }

    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Vec<T> {
        self.iter().map(|item| item.rebuild(tensors)).collect()
    }
}

impl<T: Structure> Structure for Option<T> {
    fn flatten(&self, flat: &mut Flat) {
        flat.static_value(&self.is_some());
        self.iter().for_each(|item| item.flatten(flat));
    }

    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Option<T> {
        self.as_ref().map(|item| item.rebuild(tensors))
    }
}

impl<T: Structure, const N: usize> Structure for [T; N] {
    fn flatten(&self, flat: &mut Flat) {
        self.iter().for_each(|item| item.flatten(flat));
    }

    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> [T; N] {
        std::array::from_fn(|index| self[index].rebuild(tensors))
    }
}

macro_rules! static_structures {
    ($($type:ty),*) => {$(
        impl Structure for $type {
            fn flatten(&self, flat: &mut Flat) {
                flat.static_value(self);
            }

            fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> $type {
                self.clone()
            }
        }
    )*};
}

static_structures!(
    (),
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    usize,
    i8,
    i16,
    i32,
    i64,
    isize,
    f32,
    f64,
    String,
    &'static str,
    crate::DType
);

macro_rules! tuple_structures {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Structure),+> Structure for ($($name,)+) {
            fn flatten(&self, flat: &mut Flat) {
                $(self.$index.flatten(flat);)+
            }

            fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self {
                ($(self.$index.rebuild(tensors),)+)
            }
        }

        impl<$($name: Returned),+> Returned for ($($name,)+)
        where
            $($name: Structure),+
        {
            type Parts = ($($name,)+);

            fn into_result(self) -> Result<Self::Parts> {
                Ok(self)
            }

            #[track_caller]
            fn from_result(result: Result<Self::Parts>) -> Self {
                match result {
                    Ok(parts) => parts,
                    Err(error) => ($($name::from_error(&error),)+),
                }
            }

            #[track_caller]
            fn from_error(error: &Error) -> Self {
                ($($name::from_error(error),)+)
            }
        }
    )*};
}

tuple_structures! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

/// What a recorded function may return: tensors (an error is carried by them), or a `Result`.
#[diagnostic::on_unimplemented(
    message = "a recorded function cannot return `{Self}`",
    note = "return a tensor, a tuple of tensors, or a `Result` of any `Structure`"
)]
pub trait Returned: Sized {
    /// The parts without the error.
    type Parts: Structure;
    /// The parts, or the error that came instead.
    fn into_result(self) -> Result<Self::Parts>;
    /// Back from [`Returned::into_result`].
    fn from_result(result: Result<Self::Parts>) -> Self;
    /// A value that carries or is the error.
    fn from_error(error: &Error) -> Self;
}

impl Returned for Tensor {
    type Parts = Tensor;

    fn into_result(self) -> Result<Tensor> {
        Ok(self)
    }

    #[track_caller]
    fn from_result(result: Result<Tensor>) -> Tensor {
        result.unwrap_or_else(Tensor::carry)
    }

    #[track_caller]
    fn from_error(error: &Error) -> Tensor {
        Tensor::carry(error.clone())
    }
}

impl<T: Structure> Returned for Result<T> {
    type Parts = T;

    fn into_result(self) -> Result<T> {
        self
    }

    fn from_result(result: Result<T>) -> Result<T> {
        result
    }

    fn from_error(error: &Error) -> Result<T> {
        Err(error.clone())
    }
}
