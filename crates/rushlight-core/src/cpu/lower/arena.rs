//! One block of memory for everything temporary, laid out ahead from lifetimes.

/// Temporary memory that must exist from one step to another, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    pub(super) bytes: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Bytes that offsets are multiples of.
const ALIGNMENT: usize = 64;

/// An offset for each lifetime, so that what lives at the same time does not overlap, and the size of it all.
///
/// The largest are placed first, each at the lowest offset that is free for all of its life.
pub(super) fn lay_out(lifetimes: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lifetimes[index].bytes), lifetimes[index].first));
    let mut offsets = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for index in order {
        let lifetime = lifetimes[index];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| {
                lifetimes[other].first <= lifetime.last && lifetime.first <= lifetimes[other].last
            })
            .map(|&other| (offsets[other], offsets[other] + lifetimes[other].bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0usize;
        for (start, end) in taken {
            if offset + lifetime.bytes <= start {
                break;
            }
            offset = offset.max(end.next_multiple_of(ALIGNMENT));
        }
        offsets[index] = offset;
        total = total.max(offset + lifetime.bytes);
        placed.push(index);
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_at_the_same_time_does_not_overlap() {
        let mut state = 1u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % bound) as usize
        };
        let lifetimes: Vec<Lifetime> = (0..200)
            .map(|_| {
                let first = below(100);
                Lifetime { bytes: 1 + below(5000), first, last: first + below(20) }
            })
            .collect();
        let (offsets, total) = lay_out(&lifetimes);
        for a in 0..lifetimes.len() {
            assert_eq!(offsets[a] % ALIGNMENT, 0);
            assert!(offsets[a] + lifetimes[a].bytes <= total);
            for b in 0..a {
                let at_once =
                    lifetimes[a].first <= lifetimes[b].last && lifetimes[b].first <= lifetimes[a].last;
                let overlap = offsets[a] < offsets[b] + lifetimes[b].bytes
                    && offsets[b] < offsets[a] + lifetimes[a].bytes;
                assert!(!(at_once && overlap));
            }
        }
        let at_once = |step: usize| {
            lifetimes.iter().filter(|l| l.first <= step && step <= l.last).map(|l| l.bytes).sum::<usize>()
        };
        let least = (0..120).map(at_once).max().unwrap();
        assert!(total < least * 3 / 2, "{total} bytes where {least} are alive at once");
    }
}
