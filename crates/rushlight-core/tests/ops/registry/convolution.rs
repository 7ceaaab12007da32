use super::{Case, distinct, uniform};
use rushlight_core::Padding::{self, Explicit, Same, Valid};
use rushlight_core::{ConvOptions, PoolOptions};

pub fn add(cases: &mut Vec<Case>) {
    convolutions(cases);
    transposed(cases);
    pools(cases);
}

fn convolutions(cases: &mut Vec<Case>) {
    let o = ConvOptions::new;
    let one: [(&str, ConvOptions); 5] = [
        ("valid", o()),
        ("same", o().padding(Same)),
        ("strided", o().padding(Same).strides(2)),
        ("dilated", o().dilations(2)),
        ("explicit", o().padding(Explicit(vec![(2, 1)])).strides(3)),
    ];
    for (kind, options) in one {
        let inputs = vec![uniform(50, &[2, 7, 3], -1.0, 1.0), uniform(51, &[3, 3, 4], -1.0, 1.0)];
        cases.push(Case::new("conv1d", kind, inputs, move |x| x[0].conv1d(&x[1], &options)));
    }
    let two: [(&str, ConvOptions); 6] = [
        ("valid", o()),
        ("same", o().padding(Same)),
        ("strided", o().padding(Same).strides([2, 1])),
        ("dilated", o().dilations([1, 2])),
        ("explicit", o().padding(Explicit(vec![(0, 1), (2, 0)]))),
        ("strided valid", o().strides(2)),
    ];
    for (kind, options) in two {
        let inputs = vec![uniform(52, &[2, 5, 5, 2], -1.0, 1.0), uniform(53, &[3, 2, 2, 3], -1.0, 1.0)];
        cases.push(Case::new("conv2d", kind, inputs, move |x| x[0].conv2d(&x[1], &options)));
    }
    let inputs = vec![uniform(54, &[1, 4, 4, 4], -1.0, 1.0), uniform(55, &[3, 3, 2, 6], -1.0, 1.0)];
    let options = o().groups(2).padding(Same);
    cases.push(Case::new("conv2d", "groups", inputs, move |x| x[0].conv2d(&x[1], &options)));
    let inputs = vec![uniform(56, &[1, 3, 4, 3, 2], -1.0, 1.0), uniform(57, &[2, 2, 2, 2, 2], -1.0, 1.0)];
    let options = o().padding(Same).strides([1, 2, 1]);
    cases.push(Case::new("conv3d", "same", inputs, move |x| x[0].conv3d(&x[1], &options)));
    let inputs = vec![uniform(58, &[2, 5, 3], -1.0, 1.0), uniform(59, &[3, 3, 2], -1.0, 1.0)];
    cases.push(Case::new("depthwise_conv1d", "valid", inputs, |x| {
        x[0].depthwise_conv1d(&x[1], &ConvOptions::new())
    }));
    let inputs = vec![uniform(58, &[2, 4, 4, 3], -1.0, 1.0), uniform(59, &[3, 3, 3, 2], -1.0, 1.0)];
    cases.push(Case::new("depthwise_conv2d", "same", inputs, |x| {
        x[0].depthwise_conv2d(&x[1], &ConvOptions::new().padding(Same))
    }));
}

fn transposed(cases: &mut Vec<Case>) {
    let o = ConvOptions::new;
    let options: [(&str, ConvOptions); 6] = [
        ("valid", o().strides(2)),
        ("same", o().strides(2).padding(Same)),
        ("same padded", o().strides(2).padding(Same).output_padding(1)),
        ("dilated", o().dilations(2)),
        ("explicit", o().strides(2).padding(Explicit(vec![(1, 0)])).output_padding(1)),
        ("wide stride", o().strides(4)),
    ];
    for (kind, options) in options {
        let inputs = vec![uniform(60, &[2, 4, 3], -1.0, 1.0), uniform(61, &[3, 2, 3], -1.0, 1.0)];
        cases.push(Case::new("conv1d_transpose", kind, inputs, move |x| {
            x[0].conv1d_transpose(&x[1], &options)
        }));
    }
    for (kind, options) in [("same", o().strides(2).padding(Same)), ("groups", o().groups(2))] {
        let inputs = vec![uniform(62, &[1, 3, 3, 4], -1.0, 1.0), uniform(63, &[3, 2, 2, 4], -1.0, 1.0)];
        cases.push(Case::new("conv2d_transpose", kind, inputs, move |x| {
            x[0].conv2d_transpose(&x[1], &options)
        }));
    }
    let inputs = vec![uniform(64, &[1, 2, 2, 2, 2], -1.0, 1.0), uniform(65, &[2, 3, 2, 1, 2], -1.0, 1.0)];
    let options = o().strides([1, 2, 2]);
    cases.push(Case::new("conv3d_transpose", "valid", inputs, move |x| {
        x[0].conv3d_transpose(&x[1], &options)
    }));
}

fn pools(cases: &mut Vec<Case>) {
    type Choice = fn(usize) -> Padding;
    let paddings: [(&str, Choice); 3] =
        [("valid", |_| Valid), ("same", |_| Same), ("explicit", |axes| Explicit(vec![(1, 0); axes]))];
    for (kind, padding) in paddings {
        for stride in [1, 2, 3] {
            let kind = format!("{kind}, stride {stride}");
            let options =
                |axes: usize, size: usize| PoolOptions::new(size).strides(stride).padding(padding(axes));
            let mut add =
                |op, dims: &[usize], run: fn(&rushlight_core::Tensor, &PoolOptions) -> _, options| {
                    let inputs = vec![distinct(66, dims)];
                    cases.push(Case::new(op, kind.clone(), inputs, move |x| run(&x[0], &options)));
                };
            add("max_pool1d", &[2, 7, 2], |x, o| x.max_pool1d(o), options(1, 3));
            add("average_pool1d", &[2, 7, 2], |x, o| x.average_pool1d(o), options(1, 3));
            add("max_pool2d", &[2, 5, 4, 2], |x, o| x.max_pool2d(o), options(2, 2));
            add("average_pool2d", &[2, 5, 4, 2], |x, o| x.average_pool2d(o), options(2, 2));
            if stride == 2 {
                add("max_pool3d", &[1, 4, 3, 4, 2], |x, o| x.max_pool3d(o), options(3, 2));
                add("average_pool3d", &[1, 4, 3, 4, 2], |x, o| x.average_pool3d(o), options(3, 2));
            }
        }
    }
    let mut add = |op, axes: usize, run: fn(&rushlight_core::Tensor) -> _| {
        let dims = [&[2][..], &vec![3; axes], &[2]].concat();
        cases.push(Case::new(op, "batch", vec![distinct(67, &dims)], move |x| run(&x[0])));
    };
    add("global_max_pool1d", 1, |x| x.global_max_pool1d());
    add("global_max_pool2d", 2, |x| x.global_max_pool2d());
    add("global_max_pool3d", 3, |x| x.global_max_pool3d());
    add("global_average_pool1d", 1, |x| x.global_average_pool1d());
    add("global_average_pool2d", 2, |x| x.global_average_pool2d());
    add("global_average_pool3d", 3, |x| x.global_average_pool3d());
}
