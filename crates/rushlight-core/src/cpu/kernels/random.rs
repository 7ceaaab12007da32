//! Random elements from Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).

use super::shared::Shared;
use crate::cpu::buffer::{View, ViewMut};
use crate::cpu::isa::multiversion;
use crate::cpu::threads::parallel_for;
use crate::ops::random::{Distribution, Random};
use crate::tensor::DType;
use half::{bf16, f16};

/// Counters that go through the generator together, one a vector lane.
const LANES: usize = 16;
/// Words that one counter gives.
const WORDS: usize = 4;
/// Words of one task.
const TASK: usize = 1 << 14;

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// The words of successive counters, one row a word.
#[inline(always)]
fn philox(mut counters: [[u32; LANES]; WORDS], mut key: [u32; 2]) -> [[u32; LANES]; WORDS] {
    for _ in 0..10 {
        let mut next = [[0; LANES]; WORDS];
        for lane in 0..LANES {
            let first = MULTIPLIERS[0] as u64 * counters[0][lane] as u64;
            let second = MULTIPLIERS[1] as u64 * counters[2][lane] as u64;
            next[0][lane] = (second >> 32) as u32 ^ counters[1][lane] ^ key[0];
            next[1][lane] = second as u32;
            next[2][lane] = (first >> 32) as u32 ^ counters[3][lane] ^ key[1];
            next[3][lane] = first as u32;
        }
        counters = next;
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counters
}

/// The key of a random tensor: 64 bits that choose the generator and 64 that choose the sequence.
#[derive(Clone, Copy)]
struct Key {
    seed: u64,
    counter: u64,
}

multiversion! {
    /// Fills `words` with the numbers from `first` (a multiple of 64) on.
    fn fill_words(key: Key, first: usize, words: &mut [u32]) {
        for (i, block) in words.chunks_mut(LANES * WORDS).enumerate() {
            let start = (first / WORDS + i * LANES) as u64;
            let positions: [u64; LANES] = std::array::from_fn(|lane| start + lane as u64);
            let counters = [
                positions.map(|position| position as u32),
                positions.map(|position| (position >> 32) as u32),
                [key.counter as u32; LANES],
                [(key.counter >> 32) as u32; LANES],
            ];
            let rows = philox(counters, [key.seed as u32, (key.seed >> 32) as u32]);
            let mut mixed = [0; LANES * WORDS];
            for lane in 0..LANES {
                for word in 0..WORDS {
                    mixed[lane * WORDS + word] = rows[word][lane];
                }
            }
            block.copy_from_slice(&mixed[..block.len()]);
        }
    }
}

/// Writes random elements.
///
/// Element `i` is made of word `i` of the sequence, for 64-bit dtypes of words `2i` and `2i + 1`. A uniform
/// element is its upper bits, as many as fit the mantissa, divided by the number of such values.
pub(crate) fn run(op: &Random, inputs: &[View], output: &mut ViewMut) {
    let key = inputs[0].pointer::<i64>();
    // SAFETY: the shape rule wants a key of two elements.
    let (seed, counter) = unsafe { (*key as u64, *key.offset(inputs[0].strides[0]) as u64) };
    let key = Key { seed, counter };
    let (count, dtype) = (output.count(), output.dtype);
    let words = count * dtype.size().div_ceil(4);
    let target = Shared::new(output.data);
    parallel_for(words.div_ceil(TASK), |task| {
        let mut block = [0u32; 1024];
        for first in (task * TASK..words.min((task + 1) * TASK)).step_by(block.len()) {
            let block = &mut block[..1024.min(words - first)];
            fill_words(key, first, block);
            let first = first / dtype.size().div_ceil(4);
            // SAFETY: the elements from `first` on are within the output and belong to this task.
            unsafe {
                let place = target.at(first * dtype.size());
                match (op.distribution, dtype) {
                    (Distribution::Bits, DType::U8) => put(place, block, |w| (w[0] >> 24) as u8),
                    (Distribution::Bits, DType::I64) => put_pairs(place, block, |bits| bits as i64),
                    (Distribution::Bits, _) => put(place, block, |w| w[0] as i32),
                    (_, DType::F64) => {
                        put_pairs(place, block, |bits| (bits >> 11) as f64 / (1u64 << 53) as f64)
                    }
                    (_, DType::F16) => {
                        put(place, block, |w| f16::from_f32((w[0] >> 21) as f32 / (1 << 11) as f32))
                    }
                    (_, DType::BF16) => {
                        put(place, block, |w| bf16::from_f32((w[0] >> 24) as f32 / (1 << 8) as f32))
                    }
                    (_, _) => put(place, block, |w| (w[0] >> 8) as f32 / (1 << 24) as f32),
                }
            }
        }
    });
}

/// # Safety
/// There must be room for one element a word.
unsafe fn put<T>(place: *mut u8, words: &[u32], element: impl Fn([u32; 1]) -> T) {
    // SAFETY: passed on to the caller.
    let place = unsafe { std::slice::from_raw_parts_mut(place.cast::<T>(), words.len()) };
    for (place, &word) in place.iter_mut().zip(words) {
        *place = element([word]);
    }
}

/// # Safety
/// There must be room for one element for two words.
unsafe fn put_pairs<T>(place: *mut u8, words: &[u32], element: impl Fn(u64) -> T) {
    // SAFETY: passed on to the caller.
    let place = unsafe { std::slice::from_raw_parts_mut(place.cast::<T>(), words.len() / 2) };
    for (place, pair) in place.iter_mut().zip(words.chunks_exact(2)) {
        *place = element((pair[1] as u64) << 32 | pair[0] as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernels::run as run_op;
    use crate::cpu::kernels::samples::TestTensor;
    use crate::ops::Op;

    #[test]
    fn philox_gives_the_published_numbers() {
        // counter, key and result from the known-answer tests of Random123
        let known: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, wanted) in known {
            let result = philox(counter.map(|word| [word; LANES]), key);
            assert_eq!(result.map(|row| row[7]), wanted);
        }
    }

    fn draw(distribution: Distribution, dtype: DType, count: usize, key: [i64; 2]) -> Vec<f64> {
        let mut words = [TestTensor::new(DType::I64, &[2], &[0.0; 2])];
        words[0].view_mut().slice::<i64>().copy_from_slice(&key);
        let mut output = TestTensor::uninitialized(dtype, &[count]);
        let op = Op::Random(Random { distribution, dims: [count].as_slice().into(), dtype });
        run_op(&op, &[words[0].view()], &mut [output.view_mut()]);
        output.values()
    }

    #[test]
    fn elements_depend_on_key_and_position_alone() {
        let long = draw(Distribution::Uniform, DType::F32, 100_003, [5, 9]);
        for count in [1, 3, 64, 1000, 16_385, 70_001] {
            assert_eq!(draw(Distribution::Uniform, DType::F32, count, [5, 9]), long[..count]);
        }
        assert_ne!(draw(Distribution::Uniform, DType::F32, 64, [5, 10]), long[..64]);
        assert_ne!(draw(Distribution::Uniform, DType::F32, 64, [6, 9]), long[..64]);
        let zero = draw(Distribution::Bits, DType::I32, 5, [0, 0]);
        assert_eq!(
            zero[..4],
            [0x6627_e8d5u32, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8].map(|w| w as i32 as f64)
        );
        let pairs = draw(Distribution::Bits, DType::I64, 2, [0, 0]);
        assert_eq!(pairs[0], 0xe169_c58d_6627_e8d5u64 as i64 as f64);
    }

    #[test]
    fn uniform_numbers_are_uniform() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let count = 200_000;
            let numbers = draw(Distribution::Uniform, dtype, count, [1, 2]);
            assert!(numbers.iter().all(|&x| (0.0..1.0).contains(&x)), "{dtype}");
            let mean = numbers.iter().sum::<f64>() / count as f64;
            let square = numbers.iter().map(|x| x * x).sum::<f64>() / count as f64;
            // the coarsest dtype counts in steps of 1/256, all rounded down
            assert!(
                (mean - 0.5).abs() < 0.005 && (square - 1.0 / 3.0).abs() < 0.005,
                "{dtype}: {mean} {square}"
            );
            let mut bins = [0; 16];
            numbers.iter().for_each(|x| bins[(x * 16.0) as usize] += 1);
            let chi: f64 = bins.iter().map(|&n| (n as f64 - 12_500.0).powi(2) / 12_500.0).sum();
            assert!(chi < 40.0, "{dtype}: {chi}");
        }
    }

    #[test]
    fn bits_cover_their_dtype() {
        let bytes = draw(Distribution::Bits, DType::U8, 20_000, [3, 4]);
        let mut seen = [0; 256];
        bytes.iter().for_each(|&byte| seen[byte as usize] += 1);
        assert!(seen.iter().all(|&n| (30..140).contains(&n)), "{seen:?}");
        let words = draw(Distribution::Bits, DType::I32, 20_000, [3, 4]);
        assert!((words.iter().filter(|&&w| w < 0.0).count() as i64 - 10_000).abs() < 400);
    }
}
