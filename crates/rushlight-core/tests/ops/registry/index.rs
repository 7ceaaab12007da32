use super::{Case, distinct, uniform};
use rushlight_core::{DType, Tensor};

pub fn add(cases: &mut Vec<Case>) {
    let table = || uniform(80, &[4, 3], -1.0, 1.0);
    let indices = || Tensor::from([[1, 3], [0, 1]]);
    cases.push(Case::new("take", "rows", vec![table(), indices()], |x| x[0].take(&x[1], 0)));
    cases.push(Case::new("take", "columns", vec![table(), Tensor::from([2i64, -1, 0, 2])], |x| {
        x[0].take(&x[1], 1)
    }));
    cases.push(Case::new("take", "one", vec![table(), Tensor::from(2)], |x| x[0].take(&x[1], -1)));
    let updates = || uniform(81, &[2, 2, 3], -1.0, 1.0);
    cases.push(Case::new("take_add", "rows", vec![table(), indices(), updates()], |x| {
        x[0].take_add(&x[1], &x[2], 0)
    }));
    let along = || Tensor::from([[0i64, 3, 3], [1, -1, 2]]);
    cases.push(Case::new("take_along_axis", "rows", vec![table(), along()], |x| {
        x[0].take_along_axis(&x[1], 0)
    }));
    cases.push(Case::new("take_along_axis", "broadcast", vec![table(), Tensor::from([[2, 0]])], |x| {
        x[0].take_along_axis(&x[1], 1)
    }));
    let updates = || uniform(82, &[2, 3], -1.0, 1.0);
    cases.push(Case::new("scatter_add", "rows", vec![table(), along(), updates()], |x| {
        x[0].scatter_add(&x[1], &x[2], 0)
    }));
    cases.push(Case::new("scatter", "rows", vec![table(), along(), updates()], |x| {
        x[0].scatter(&x[1], &x[2], 0)
    }));
    let twice = || Tensor::from([[0, 0, 2], [2, 1, 1], [2, 2, 2], [0, 1, -1]]);
    let updates = || uniform(83, &[4, 3], -1.0, 1.0);
    cases.push(Case::new("scatter", "repeated", vec![table(), twice(), updates()], |x| {
        x[0].scatter(&x[1], &x[2], 1)
    }));
    cases.push(Case::new(
        "gather",
        "elements",
        vec![table(), Tensor::from([[0, 1], [3, -1], [0, 1]])],
        |x| x[0].gather(&x[1]),
    ));
    cases.push(Case::new("gather", "rows", vec![table(), Tensor::from([[[0i64], [3]]])], |x| {
        x[0].gather(&x[1])
    }));
    for (kind, labels) in [
        ("i32", Tensor::from([1, 0, 2, 5])),
        ("i64", Tensor::from([[1i64, 0], [2, -1]])),
        ("u8", Tensor::from([1u8, 200])),
    ] {
        let case = Case::new("one_hot", kind, vec![labels], |x| x[0].one_hot(3, DType::F64));
        cases.push(case.without_gradient());
    }
    for axis in [0, 1] {
        let case = Case::new("iota", format!("axis {axis}"), vec![], move |_| {
            Tensor::iota([2, 3], axis, DType::I64)
        });
        cases.push(case.without_gradient());
    }
    let case = Case::new("range", "down", vec![], |_| Tensor::range(5.0, -6.0, -3.0, DType::I32));
    cases.push(case.without_gradient());

    let x = || vec![distinct(84, &[3, 5])];
    for axis in [0, 1] {
        let kind = format!("axis {axis}");
        cases.push(Case::new("sort", kind.clone(), x(), move |x| x[0].square().sort(axis)));
        cases.push(Case::new("sort_descending", kind.clone(), x(), move |x| x[0].sort_descending(axis)));
        cases.push(Case::new("argsort", kind.clone(), x(), move |x| x[0].argsort(axis)).without_gradient());
        cases.push(
            Case::new("argsort_descending", kind, x(), move |x| x[0].argsort_descending(axis))
                .without_gradient(),
        );
    }
    cases.push(Case::with_many("top_k", "two", x(), |x| {
        let (values, indices) = x[0].top_k(2);
        vec![values, indices]
    }));
}
