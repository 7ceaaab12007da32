use super::{Case, bools, distinct, uniform};
use rushlight_core::Tensor;

/// A reduction over axes 0 and 2, over the last one, and over all, without and with keeping axes.
macro_rules! reductions {
    ($cases:ident, $inputs:expr, $finish:ident: $($op:ident $keep:ident),*) => {$(
        let inputs = || vec![$inputs];
        let op = stringify!($op);
        $cases.push(Case::new(op, "last", inputs(), |x| x[0].$op(-1)).$finish());
        $cases.push(Case::new(op, "two", inputs(), |x| x[0].$op([0, 2])).$finish());
        $cases.push(Case::new(op, "all", inputs(), |x| x[0].$op(..)).$finish());
        let op = stringify!($keep);
        $cases.push(Case::new(op, "first", inputs(), |x| x[0].$keep(0)).$finish());
        $cases.push(Case::new(op, "two", inputs(), |x| x[0].$keep(&[-1, 0][..])).$finish());
    )*};
}

trait Unchanged {
    fn unchanged(self) -> Self;
}

impl Unchanged for Case {
    fn unchanged(self) -> Case {
        self
    }
}

pub fn add(cases: &mut Vec<Case>) {
    reductions!(cases, uniform(20, &[2, 3, 4], 0.5, 2.0), unchanged: sum sum_keepdims, mean mean_keepdims, prod prod_keepdims);
    reductions!(cases, distinct(21, &[2, 3, 4]), unchanged: max max_keepdims, min min_keepdims);
    reductions!(cases, bools(&[2, 3, 4]), without_gradient: any any_keepdims, all all_keepdims);
    let x = || vec![uniform(22, &[2, 3, 4], -1.0, 1.0)];
    cases.push(Case::new("variance", "last", x(), |x| x[0].variance(-1)));
    cases.push(Case::new("variance", "two", x(), |x| x[0].variance([0, 1])));
    cases.push(Case::new("std", "all", x(), |x| x[0].std(..)));
    cases.push(Case::new("variance_keepdims", "two", x(), |x| x[0].variance_keepdims([0, 1])));
    cases.push(Case::new("std_keepdims", "last", x(), |x| x[0].std_keepdims(-1)));
    cases.push(Case::new("logsumexp_keepdims", "two", x(), |x| x[0].logsumexp_keepdims([0, -1])));
    cases.push(Case::new("logsumexp", "last", x(), |x| x[0].logsumexp(-1)));
    cases.push(Case::new("logsumexp", "all", x(), |x| x[0].logsumexp(..)));
    cases.push(Case::with_many("moments", "first", x(), |x| {
        let (mean, variance) = x[0].moments(0);
        vec![mean, variance]
    }));
    // With a zero among the factors the slope of a product is still finite.
    let zeros = || vec![Tensor::from([[0.5, 0.0, 2.0], [0.0, 3.0, 0.0], [1.5, -1.0, 0.7]])];
    cases.push(Case::new("prod", "zeros", zeros(), |x| x[0].prod(1)));
    cases.push(Case::new("cumprod", "zeros", zeros(), |x| x[0].cumprod(1)));
    for axis in [0, 1, -1] {
        let x = || vec![uniform(23, &[2, 3, 4], 0.5, 1.5)];
        cases.push(Case::new("cumsum", format!("axis {axis}"), x(), move |x| x[0].cumsum(axis)));
        cases.push(Case::new("cumprod", format!("axis {axis}"), x(), move |x| x[0].cumprod(axis)));
    }
    for (product, reverse, exclusive) in [
        (false, true, false),
        (false, false, true),
        (false, true, true),
        (true, true, false),
        (true, false, true),
        (true, true, true),
    ] {
        let kind = format!("product {product}, reverse {reverse}, exclusive {exclusive}");
        let x = vec![uniform(24, &[3, 4], 0.5, 1.5)];
        cases
            .push(Case::new("cumulative", kind, x, move |x| x[0].cumulative(1, product, reverse, exclusive)));
    }
    let x = || vec![distinct(25, &[3, 4])];
    cases.push(Case::new("argmax", "first", x(), |x| x[0].argmax(0)).without_gradient());
    cases.push(Case::new("argmin", "last", x(), |x| x[0].argmin(-1)).without_gradient());
}
