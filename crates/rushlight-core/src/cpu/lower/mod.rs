//! From a graph to a program: a layout for every value, a place in memory, and the steps that fill it.
//!
//! - [`layout`] decides which values are kept in lanes, [`channels`] what the other convolutions take along;
//! - [`place`] says where a value lies: views share their input's memory, the parts of a concatenation lie in
//!   its memory from the start, elementwise results take over the memory of inputs that are read no more;
//! - [`attach`] finds the loops that convolutions do along the way;
//! - [`fused`] turns fused nodes into loops, [`emit`] everything into steps;
//! - [`kept`] finds the steps whose results are kept from call to call;
//! - [`arena`] lays all temporary memory out in one block, by lifetime.

mod arena;
mod attach;
mod body;
mod channels;
mod emit;
mod fused;
mod kept;
mod layout;
pub(crate) mod place;
mod products;

pub(crate) use emit::{Lowered, Source, copy_strides, lower, with_carried_variables};
