use super::{Case, uniform};
use rushlight_core::{Ellipsis, NewAxis, Tensor, concat, stack, strided};

pub fn add(cases: &mut Vec<Case>) {
    shapes(cases);
    joins(cases);
    indices(cases);
}

/// A case over one 2 × 3 × 4 tensor; the square makes its second derivative something to look at.
fn shapes(cases: &mut Vec<Case>) {
    let mut add = |op, kind: &str, run: fn(&Tensor) -> Tensor| {
        let inputs = vec![uniform(70, &[2, 3, 4], -1.0, 1.0)];
        cases.push(Case::new(op, kind, inputs, move |x| run(&x[0].square())));
    };
    add("reshape", "free", |x| x.reshape([4, -1]));
    add("reshape", "of a transposed one", |x| x.t().reshape([-1]));
    add("reshape_to", "flat", |x| x.reshape_to(&[24]));
    add("transpose", "turn", |x| x.transpose([2, 0, 1]));
    add("transpose", "negative", |x| x.transpose([-1, -3, -2]));
    add("t", "batch", |x| x.t());
    add("swap_axes", "outer", |x| x.swap_axes(0, -1));
    add("move_axis", "first to last", |x| x.move_axis(0, -1));
    add("move_axis", "last to first", |x| x.move_axis(-1, 0));
    add("broadcast_to", "leading", |x| x.broadcast_to(&[2, 2, 3, 4]));
    add("broadcast_to", "inner", |x| x.slice_axis(1, 0, 1).broadcast_to(&[2, 5, 4]));
    add("expand_dims", "middle", |x| x.expand_dims(1));
    add("expand_dims", "last", |x| x.expand_dims(-1));
    add("squeeze", "last", |x| x.slice_axis(-1, 2, 3).squeeze(-1));
    add("flip", "two", |x| x.flip([0, -1]));
    add("slice_with", "steps", |x| x.slice_with(&[0, 0, 1], &[2, 3, 4], &[1, 2, 2]));
    add("slice_with", "rest left over", |x| x.slice_with(&[1, 1, 0], &[2, 2, 2], &[1, 1, 3]));
    add("slice_axis", "middle", |x| x.slice_axis(1, 1, 3));
    add("slice_axis", "nothing", |x| x.slice_axis(1, 1, 1));
    add("pad", "around", |x| x.pad(&[(1, 0), (0, 2), (1, 1)]));
    add("pad_with", "number", |x| x.pad_with(&[(1, 0), (0, 2), (1, 1)], -2.5));
    add("tile", "same rank", |x| x.tile(&[1, 2, 3]));
    add("tile", "more axes", |x| x.tile(&[2, 1, 1, 2]));
    add("tile", "last axis", |x| x.tile(&[2]));
    add("repeat", "middle", |x| x.repeat(3, 1));
    add("roll", "forwards", |x| x.roll(1, -1));
    add("roll", "backwards", |x| x.roll(-5, 1));
    add("tril", "middle", |x| x.tril(0));
    add("tril", "below", |x| x.tril(-1));
    add("triu", "above", |x| x.triu(1));
    add("diagonal", "last", |x| x.diagonal(1, 2));
    add("diagonal", "outer", |x| x.diagonal(2, 0));
    cases.push(Case::with_many("split", "unequal", vec![uniform(71, &[2, 6], -1.0, 1.0)], |x| {
        x[0].square().split(&[1, 3, 2], -1)
    }));
    cases.push(
        Case::new("axis_size", "columns", vec![uniform(70, &[2, 3], -1.0, 1.0)], |x| {
            x[0].axis_size(-1, x[0].dtype().unwrap_or(rushlight_core::DType::F64))
        })
        .without_gradient(),
    );
    cases.push(Case::with_many("unstack", "columns", vec![uniform(71, &[2, 3], -1.0, 1.0)], |x| {
        x[0].square().unstack(1)
    }));
    let inputs = vec![uniform(72, &[2, 2], -1.0, 1.0), uniform(73, &[], -1.0, 1.0)];
    cases.push(Case::new("pad_with", "tensor", inputs, |x| x[0].pad_with(&[(1, 1), (0, 1)], &x[1])));
}

fn joins(cases: &mut Vec<Case>) {
    let inputs = || vec![uniform(74, &[2, 3], -1.0, 1.0), uniform(75, &[2, 1], -1.0, 1.0)];
    cases.push(Case::new("concat", "columns", inputs(), |x| concat(&[&x[0], &x[1], &x[0]], -1)));
    cases.push(Case::new("concat", "one", inputs(), |x| concat(&[&x[0]], 0) * &x[1]));
    let inputs = || vec![uniform(76, &[2, 3], -1.0, 1.0), uniform(77, &[2, 3], -1.0, 1.0)];
    for axis in [0, 1, -1] {
        cases.push(Case::new("stack", format!("axis {axis}"), inputs(), move |x| {
            stack(&[&x[0], &x[1]], axis)
        }));
    }
}

fn indices(cases: &mut Vec<Case>) {
    let mut add = |kind: &str, run: fn(&Tensor) -> Tensor| {
        let inputs = vec![uniform(78, &[3, 4, 5], -1.0, 1.0)];
        cases.push(Case::new("i", kind, inputs, move |x| run(&x[0])));
    };
    add("one place", |x| x.i(-1));
    add("ranges", |x| x.i((1.., ..-1, 2..=3)));
    add("new axes", |x| x.i((NewAxis, .., 0, NewAxis)));
    add("ellipsis", |x| x.i((0, Ellipsis, strided(.., 2))));
    add("backwards", |x| x.i((strided(.., -1), strided(..3, -2))));
    add("tensor", |x| x.i((.., &Tensor::from([[0, 3], [1, -1]]), 0)));
}
