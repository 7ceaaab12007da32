//! Structures of tensors: what recorded functions take and return.

use crate::tensor::{DType, Error, Result, Tensor};
use crate::trace::Variable;
use crate::trace::signature::{Flat, Key};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

/// A value made of tensors and plain parts: an argument or a result of a recorded function.
///
/// Implemented for tensors, numbers, `bool`, strings, tuples, arrays, `Vec`, `Option`, `Box`, `Arc`, `BTreeMap` and
/// [`Variable`]s; derive it for structs and enums of such parts. Calls of a recorded function share a recording if
/// their tensors have equal shapes and dtypes and their plain parts are equal.
///
/// An object that is captured by reference, such as a layer with variables, implements it as
/// `flat.identity("kind", unique_id)` and `self.clone()`.
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
        self.as_slice().flatten_referent(flat);
    }

    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Vec<T> {
        self.as_slice().rebuild_owned(tensors)
    }
}

impl<T: Structure> Structure for Option<T> {
    fn flatten(&self, flat: &mut Flat) {
        self.as_ref().flatten_option(flat);
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

impl<K: Debug + Ord + Clone, T: Structure> Structure for BTreeMap<K, T> {
    fn flatten(&self, flat: &mut Flat) {
        flat.key(Key::Length(self.len()));
        for (name, item) in self {
            flat.static_value(name);
            item.flatten(flat);
        }
    }

    fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> BTreeMap<K, T> {
        self.iter().map(|(name, item)| (name.clone(), item.rebuild(tensors))).collect()
    }
}

macro_rules! pointer_structures {
    ($($pointer:ident),*) => {$(
        impl<T: Structure> Structure for $pointer<T> {
            fn flatten(&self, flat: &mut Flat) {
                (**self).flatten(flat);
            }

            fn rebuild(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> $pointer<T> {
                $pointer::new((**self).rebuild(tensors))
            }
        }
    )*};
}

pointer_structures!(Box, Arc);

macro_rules! plain_structures {
    ($($type:ty: $value:ident => $key:expr;)*) => {$(
        impl Structure for $type {
            #[inline]
            fn flatten(&self, flat: &mut Flat) {
                let $value = self;
                flat.key($key);
            }

            fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> $type {
                self.clone()
            }
        }
    )*};
}

plain_structures! {
    bool: flag => Key::Flag(*flag);
    u8: number => Key::Integer(i128::from(*number));
    u16: number => Key::Integer(i128::from(*number));
    u32: number => Key::Integer(i128::from(*number));
    u64: number => Key::Integer(i128::from(*number));
    usize: number => Key::Integer(*number as i128);
    i8: number => Key::Integer(i128::from(*number));
    i16: number => Key::Integer(i128::from(*number));
    i32: number => Key::Integer(i128::from(*number));
    i64: number => Key::Integer(i128::from(*number));
    isize: number => Key::Integer(*number as i128);
    char: letter => Key::Text(letter.to_string().into());
    f32: number => Key::Float(f64::from(*number).to_bits());
    f64: number => Key::Float(number.to_bits());
    String: text => Key::Text(format!("{text:?}").into());
    &'static str: text => Key::Text((*text).into());
    DType: dtype => Key::Text(dtype.short_name().into());
}

impl<T> Structure for PhantomData<T> {
    fn flatten(&self, _flat: &mut Flat) {}

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> PhantomData<T> {
        PhantomData
    }
}

impl Structure for () {
    fn flatten(&self, _flat: &mut Flat) {}

    fn rebuild(&self, _tensors: &mut dyn Iterator<Item = Tensor>) {}
}

/// What an argument `&T` of a recorded function may point at: any [`Structure`], a slice of them, or a string.
#[diagnostic::on_unimplemented(
    message = "`&{Self}` cannot be an argument of a recorded function",
    note = "derive `Structure` for it, or pass its tensors one by one"
)]
pub trait Referent {
    /// What a rebuilt one is kept in.
    type Owned: Borrow<Self>;

    /// As [`Structure::flatten`].
    fn flatten_referent(&self, flat: &mut Flat);

    /// As [`Structure::rebuild`].
    fn rebuild_owned(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Self::Owned;
}

impl<T: Structure> Referent for T {
    type Owned = T;

    #[inline]
    fn flatten_referent(&self, flat: &mut Flat) {
        self.flatten(flat);
    }

    fn rebuild_owned(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> T {
        self.rebuild(tensors)
    }
}

impl<T: Structure> Referent for [T] {
    type Owned = Vec<T>;

    fn flatten_referent(&self, flat: &mut Flat) {
        flat.key(Key::Length(self.len()));
        flat.parts.reserve(self.len());
        self.iter().for_each(|item| item.flatten(flat));
    }

    fn rebuild_owned(&self, tensors: &mut dyn Iterator<Item = Tensor>) -> Vec<T> {
        self.iter().map(|item| item.rebuild(tensors)).collect()
    }
}

impl Referent for str {
    type Owned = String;

    fn flatten_referent(&self, flat: &mut Flat) {
        flat.static_value(&self);
    }

    fn rebuild_owned(&self, _tensors: &mut dyn Iterator<Item = Tensor>) -> String {
        self.to_string()
    }
}

/// Optional references, which functions take as `Option<&T>`.
pub trait OptionalReferent {
    /// Adds whether there is one, and if so its parts.
    fn flatten_option(self, flat: &mut Flat);
}

impl<T: Referent + ?Sized> OptionalReferent for Option<&T> {
    fn flatten_option(self, flat: &mut Flat) {
        flat.key(Key::Flag(self.is_some()));
        if let Some(item) = self {
            item.flatten_referent(flat);
        }
    }
}

/// What a recorded function may return: tensors (which carry an error), or a `Result` of any [`Structure`].
#[diagnostic::on_unimplemented(
    message = "a recorded function cannot return `{Self}`",
    note = "return a tensor, a tuple of tensors, or a `Result` of any `Structure`"
)]
pub trait Returned: Sized {
    /// The parts without the error.
    type Parts: Structure;
    /// What comes instead of the parts.
    type Error: From<Error>;
    /// The parts, or the error that came instead.
    fn into_result(self) -> Result<Self::Parts, Self::Error>;
    /// Back from [`Returned::into_result`].
    fn from_result(result: Result<Self::Parts, Self::Error>) -> Self;
}

/// Structures that can carry an error: tensors, and tuples and arrays of them.
#[diagnostic::on_unimplemented(
    message = "a recorded function cannot return `{Self}`",
    note = "return a tensor, a tuple of tensors, or a `Result` of any `Structure`"
)]
pub trait Carrying: Structure {
    /// One in which every tensor carries the error.
    fn carrying(error: &Error) -> Self;
}

impl<T: Carrying> Returned for T {
    type Parts = T;
    type Error = Error;

    fn into_result(self) -> Result<T> {
        Ok(self)
    }

    #[track_caller]
    fn from_result(result: Result<T>) -> T {
        match result {
            Ok(parts) => parts,
            Err(error) => T::carrying(&error),
        }
    }
}

impl<T: Structure, E: From<Error>> Returned for Result<T, E> {
    type Parts = T;
    type Error = E;

    fn into_result(self) -> Result<T, E> {
        self
    }

    fn from_result(result: Result<T, E>) -> Result<T, E> {
        result
    }
}

impl Carrying for Tensor {
    #[track_caller]
    fn carrying(error: &Error) -> Tensor {
        Tensor::carry(error.clone())
    }
}

impl<T: Carrying, const N: usize> Carrying for [T; N] {
    fn carrying(error: &Error) -> [T; N] {
        std::array::from_fn(|_| T::carrying(error))
    }
}

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

        impl<$($name: Carrying),+> Carrying for ($($name,)+) {
            #[track_caller]
            fn carrying(error: &Error) -> Self {
                ($($name::carrying(error),)+)
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
