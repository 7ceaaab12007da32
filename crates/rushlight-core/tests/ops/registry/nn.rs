use super::{Case, both_signs, distinct, uniform};
use rushlight_core::{
    Tensor, binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy,
};

pub fn add(cases: &mut Vec<Case>) {
    for axis in [0, 1, -1] {
        let x = || vec![uniform(90, &[2, 3, 4], -3.0, 3.0)];
        let kind = format!("axis {axis}");
        cases.push(Case::new("softmax", kind.clone(), x(), move |x| x[0].softmax(axis)));
        cases.push(Case::new("log_softmax", kind, x(), move |x| x[0].log_softmax(axis)));
    }
    let mut add = |op, run: fn(&Tensor) -> Tensor| {
        // No kink lies between these numbers and zero, ±1, ±3 or 6.
        let x = both_signs(91, &[3, 5], 0.2, 0.9);
        cases.push(Case::new(op, "signs", vec![x], move |x| run(&x[0])));
        cases.push(Case::new(op, "wide", vec![distinct(92, &[20]) * 7.3], move |x| run(&x[0])));
    };
    add("leaky_relu", |x| x.leaky_relu(0.2));
    add("relu6", |x| x.relu6());
    add("elu", |x| x.elu(1.2));
    add("selu", |x| x.selu());
    add("celu", |x| x.celu(0.7));
    add("softsign", |x| x.softsign());
    add("hard_sigmoid", |x| x.hard_sigmoid());
    add("hard_silu", |x| x.hard_silu());
    add("hard_tanh", |x| x.hard_tanh());
    add("log_sigmoid", |x| x.log_sigmoid());
    add("mish", |x| x.mish());
    add("gelu_tanh", |x| x.gelu_tanh());
    add("tanh_shrink", |x| x.tanh_shrink());
    // The derivative of softplus is right in the very middle too.
    cases.push(Case::new("softplus", "zero", vec![Tensor::from([0.0, -0.5, 0.5])], |x| x[0].softplus()));
    losses(cases);
    normalizations(cases);
}

fn losses(cases: &mut Vec<Case>) {
    let logits = || uniform(93, &[2, 3, 4], -2.0, 2.0);
    let labels = Tensor::from([[0, 3, 1], [2, 2, 0]]);
    cases.push(Case::new("sparse_categorical_crossentropy", "sequence", vec![labels, logits()], |x| {
        sparse_categorical_crossentropy(&x[0], &x[1])
    }));
    let targets = uniform(94, &[2, 3, 4], -1.0, 1.0).softmax(-1);
    cases.push(Case::new("categorical_crossentropy", "sequence", vec![targets, logits()], |x| {
        categorical_crossentropy(&x[0], &x[1])
    }));
    let targets = uniform(95, &[2, 3, 4], 0.0, 1.0);
    cases.push(Case::new("binary_crossentropy", "sequence", vec![targets, logits()], |x| {
        binary_crossentropy(&x[0], &x[1])
    }));
}

fn normalizations(cases: &mut Vec<Case>) {
    let x = || uniform(96, &[4, 3, 2], -1.0, 1.0);
    let parameters = |dims: &[usize]| [uniform(97, dims, 0.5, 1.5), uniform(98, dims, -1.0, 1.0)];
    for (axis, channels) in [(-1, 2), (1, 3)] {
        let [gamma, beta] = parameters(&[channels]);
        let inputs = vec![x(), gamma.clone(), beta.clone()];
        cases.push(Case::with_many("batch_normalization", format!("axis {axis}"), inputs, move |x| {
            let (y, mean, variance) = x[0].batch_normalization(Some(&x[1]), Some(&x[2]), axis, 1e-3);
            vec![y, mean, variance]
        }));
        let [mean, variance] = [beta.clone() * 0.5, gamma.clone() + 0.1];
        let inputs = vec![x(), gamma, beta, mean, variance];
        cases.push(Case::new("batch_normalization_with", format!("axis {axis}"), inputs, move |x| {
            x[0].batch_normalization_with(Some(&x[1]), Some(&x[2]), &x[3], &x[4], axis, 1e-3)
        }));
    }
    cases.push(Case::with_many("batch_normalization", "no parameters", vec![x()], |x| {
        let (y, mean, variance) = x[0].batch_normalization(None, None, 0, 1e-5);
        vec![y, mean, variance]
    }));
    let [gamma, beta] = parameters(&[3, 2]);
    cases.push(Case::new("layer_normalization", "two axes", vec![x(), gamma, beta], |x| {
        x[0].layer_normalization(Some(&x[1]), Some(&x[2]), &[-1, 1], 1e-3)
    }));
    let [gamma, _] = parameters(&[2]);
    cases.push(Case::new("layer_normalization", "no beta", vec![x(), gamma], |x| {
        x[0].layer_normalization(Some(&x[1]), None, &[-1], 1e-3)
    }));
}
