//! The `#[function]` attribute and the derives of Rushlight.
