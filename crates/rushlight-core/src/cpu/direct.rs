//! The switch that keeps convolutions from being computed by Winograd's algorithm.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

const UNKNOWN: u8 = 0;
const FAST: u8 = 1;
const DIRECT: u8 = 2;

static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether functions compiled from now on compute convolutions directly, as sums of products, wherever they are.
///
/// Otherwise, as at first unless the environment variable `RUSHLIGHT_CONVOLUTIONS` is `direct`, Winograd's algorithm is used
/// where it is faster: its results are off by up to 1.5e-5 of the largest one, where direct sums are off by 1e-6.
pub fn direct_convolutions() -> bool {
    if METHOD.load(Relaxed) == UNKNOWN {
        let wanted = std::env::var("RUSHLIGHT_CONVOLUTIONS").ok();
        if let Some(other) = wanted.as_deref().filter(|&text| text != "direct" && text != "fast") {
            eprintln!(
                "rushlight: RUSHLIGHT_CONVOLUTIONS must be `direct` or `fast`, not `{other}`; fast ones are used"
            );
        }
        let found = if wanted.as_deref() == Some("direct") { DIRECT } else { FAST };
        // Another thread may have chosen in the meantime: that stays.
        let _ = METHOD.compare_exchange(UNKNOWN, found, Relaxed, Relaxed);
    }
    METHOD.load(Relaxed) == DIRECT
}

/// Sets what [`direct_convolutions`] tells. Functions that are compiled already stay as they are.
pub fn set_direct_convolutions(direct: bool) {
    METHOD.store(if direct { DIRECT } else { FAST }, Relaxed);
}
