//! Deep learning in Rust.

pub mod data;
pub mod files;

#[cfg(test)]
mod testing;
