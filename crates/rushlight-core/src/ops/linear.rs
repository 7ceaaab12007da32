//! Matrix products.

/// `[batch…, m, k] · [batch…, k, n] → [batch…, m, n]`; the batch axes of both sides are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dot {
    /// The left side is stored `[batch…, k, m]`.
    pub transpose_left: bool,
    /// The right side is stored `[batch…, n, k]`.
    pub transpose_right: bool,
}
