//! Deep learning in Rust.
