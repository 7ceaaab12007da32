//! The loops that do the arithmetic.
