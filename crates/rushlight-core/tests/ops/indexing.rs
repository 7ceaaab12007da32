//! Indexing and slicing against what NumPy's rules say.

use rushlight_core::{Ellipsis, Index, NewAxis, Tensor, strided};

/// Elements 0, 1, 2, … of a shape.
fn counted(dims: &[usize]) -> Tensor {
    let count: usize = dims.iter().product();
    Tensor::new(&(0..count as i32).collect::<Vec<_>>(), dims)
}

fn check(part: Tensor, dims: &[usize], elements: &[i32]) {
    assert_eq!(part.shape().unwrap(), dims);
    assert_eq!(part.to_vec::<i32>().unwrap(), elements);
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "a negative end counts from the back, as in NumPy")]
fn numbers_ranges_and_axes() {
    let x = counted(&[2, 3, 4]);
    check(x.i(1), &[3, 4], &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
    check(x.i((1, -1)), &[4], &[20, 21, 22, 23]);
    check(x.i((-2, 0, 3)), &[], &[3]);
    check(x.i((.., 1, 2)), &[2], &[6, 18]);
    check(x.i((0, 1.., ..2)), &[2, 2], &[4, 5, 8, 9]);
    check(x.i((0, 1..=1, 1..-1)), &[1, 2], &[5, 6]);
    check(x.i((0usize, ..=-2isize, -2..)), &[2, 2], &[2, 3, 6, 7]);
    check(x.i((Ellipsis, 0)), &[2, 3], &[0, 4, 8, 12, 16, 20]);
    check(x.i((0, Ellipsis, 1..1)), &[3, 0], &[]);
    check(x.i((NewAxis, 0, NewAxis, 0, 0..1, NewAxis)), &[1, 1, 1, 1], &[0]);
    check(x.i((0, 0, Ellipsis, NewAxis)), &[4, 1], &[0, 1, 2, 3]);
    check(x.i(vec![Index::At(0), Index::At(1)]), &[4], &[4, 5, 6, 7]);
}

#[test]
fn steps() {
    let x = counted(&[10]);
    check(x.i(strided(.., 3)), &[4], &[0, 3, 6, 9]);
    check(x.i(strided(1..8, 3)), &[3], &[1, 4, 7]);
    check(x.i(strided(.., -1)), &[10], &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    check(x.i(strided(2..9, -3)), &[3], &[8, 5, 2]);
    check(x.i(strided(2..8, -4)), &[2], &[7, 3]);
    check(x.i(strided(4..4, -4)), &[0], &[]);
    check(counted(&[2, 4]).i((strided(.., -1), strided(.., -2))), &[2, 2], &[7, 5, 3, 1]);
}

#[test]
fn tensors_of_indices() {
    let x = counted(&[3, 4]);
    check(x.i((.., &Tensor::from([3, 0]))), &[3, 2], &[3, 0, 7, 4, 11, 8]);
    check(x.i((&Tensor::from([[2], [-3]]), 1)), &[2, 1], &[9, 1]);
    check(x.i((1, &Tensor::scalar(2i64))), &[], &[6]);
}

#[test]
fn every_range_equals_a_walk_over_it() {
    let x = counted(&[7]);
    let mut count = 0;
    for start in 0..=7isize {
        for stop in start..=7 {
            for step in [-9, -3, -2, -1, 1, 2, 3, 9isize] {
                let mut walk: Vec<i32> = (start..stop).map(|place| place as i32).collect();
                if step < 0 {
                    walk.reverse();
                }
                let walk: Vec<i32> = walk.into_iter().step_by(step.unsigned_abs()).collect();
                check(x.i(strided(start..stop, step)), &[walk.len()], &walk);
                // The same range counted from the end, where it does not touch it.
                if stop < 7 {
                    check(x.i(strided(start - 7..stop - 7, step)), &[walk.len()], &walk);
                }
                count += 1;
            }
        }
    }
    println!("indexing: {count} ranges");
}
