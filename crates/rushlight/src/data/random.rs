//! The random numbers of the data pipeline: a small generator whose whole state is one number, so that each
//! image can have its own, keyed by seed, epoch and index, whatever thread works on it.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// A generator of its own for each sequence of keys.
    pub(crate) fn keyed(keys: &[u64]) -> Self {
        let state = keys.iter().fold(0x243f_6a88_85a3_08d3, |state, &key| {
            mix(state ^ mix(key.wrapping_add(0x9e37_79b9_7f4a_7c15)).rotate_left(17))
        });
        Random { state }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in 0..bound; the bias is below bound / 2⁶⁴.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Uniform in [0, 1), of 24 bits.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 24) as f32
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// The numbers 0..count in random order (Fisher–Yates).
    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_order_choose_the_sequence() {
        let first = |keys: &[u64]| Random::keyed(keys).bits();
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        let distinct = [first(&[1, 2]), first(&[2, 1]), first(&[1, 2, 0]), first(&[1]), first(&[0, 1])];
        for (i, a) in distinct.iter().enumerate() {
            assert!(!distinct[..i].contains(a), "keys {i} collide");
        }
    }

    #[test]
    fn units_are_uniform() {
        let mut random = Random::keyed(&[7]);
        let draws: Vec<f32> = (0..20_000).map(|_| random.unit()).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        assert!((mean - 0.5).abs() < 0.01, "mean {mean}");
        assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
        let low = draws.iter().filter(|&&u| u < 0.1).count() as f32 / draws.len() as f32;
        assert!((low - 0.1).abs() < 0.01, "a tenth below 0.1, not {low}");
    }

    #[test]
    fn permutations_hold_each_number_once() {
        let mut order = Random::keyed(&[3]).permutation(1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1000));
        assert!(Random::keyed(&[3]).permutation(0).is_empty());
    }
}
