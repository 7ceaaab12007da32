use super::*;
use crate::cpu::buffer::ViewMut;
use crate::cpu::kernels::conv;
use crate::cpu::kernels::testing::{Lanes, Numbers, Sample};

type Kernel = fn(&Convolution, &[crate::cpu::buffer::View], &mut [ViewMut]);

/// What the kernel for the layout of the ops makes of these.
fn reference(
    kernel: Kernel,
    conv: &Convolution,
    left: &Sample<f32>,
    right: &Sample<f32>,
    dims: &[usize],
) -> Vec<f32> {
    let mut result = Sample::from_values(dims, vec![0.0; dims.iter().product()]);
    kernel(conv, &[left.view(), right.view()], &mut [result.view_mut()]);
    result.values()
}

fn check(
    isa: Isa,
    numbers: &mut Numbers,
    conv: &Convolution,
    input: [usize; 4],
    taps: [usize; 2],
    filters: usize,
) {
    let kernel_dims = [taps[0], taps[1], input[3], filters];
    let Some(lanes) = LanesConv::new(conv, &input, &kernel_dims) else { return };
    let output = [input[0], lanes.out_height, lanes.out_width, filters];
    let what = format!("{isa:?} {conv:?} {input:?} * {kernel_dims:?}");
    let x = Lanes::new(numbers, input);
    let g = Lanes::new(numbers, output);
    let kernel = Sample::<f32>::contiguous(numbers, &kernel_dims);
    let weights = kernel.values();
    let tolerance = |terms: usize| 1e-6 * (terms as f32 + 4.0);

    let wanted = reference(conv::run, conv, &x.sample(), &kernel, &output);
    let before = Lanes::new(numbers, output);
    let mut y = before.clone();
    // SAFETY: the buffers were made for these sizes.
    unsafe { forward(isa, &lanes, x.planes(), weights.as_ptr(), y.planes_mut()) };
    y.assert_close(&wanted, &before, tolerance(taps[0] * taps[1] * input[3]), &what);

    let wanted = reference(conv::run_input_gradient, conv, &g.sample(), &kernel, &input);
    for accumulate in [false, true] {
        let before = Lanes::new(numbers, input);
        let mut dx = before.clone();
        // SAFETY: as above.
        unsafe { input_gradient(isa, &lanes, g.planes(), weights.as_ptr(), dx.planes_mut(), accumulate) };
        let old = before.sample().values();
        let sum = wanted.iter().zip(old).map(|(new, old)| if accumulate { new + old } else { *new });
        let sum: Vec<f32> = sum.collect();
        dx.assert_close(&sum, &before, tolerance(taps[0] * taps[1] * filters), &what);
    }

    let wanted = reference(conv::run_kernel_gradient, conv, &x.sample(), &g.sample(), &kernel_dims);
    let mut dw = weights.clone();
    // SAFETY: as above.
    unsafe { kernel_gradient(isa, &lanes, x.planes(), g.planes(), dw.as_mut_ptr()) };
    for (got, wanted) in dw.iter().zip(wanted) {
        let error = (got - wanted).abs();
        assert!(error <= tolerance(input[0] * output[1] * output[2]), "{what}: {got} for {wanted}");
    }
}

/// The same with inputs that are computed on load, and input gradients that are masked on store.
fn check_computed(
    isa: Isa,
    numbers: &mut Numbers,
    conv: &Convolution,
    input: [usize; 4],
    taps: [usize; 2],
    filters: usize,
) {
    let channels = input[3];
    let kernel_dims = [taps[0], taps[1], channels, filters];
    let lanes = LanesConv::new(conv, &input, &kernel_dims).unwrap();
    let output = [input[0], lanes.out_height, lanes.out_width, filters];
    let what = format!("computed, {isa:?} {conv:?} {input:?} * {kernel_dims:?}");
    let (x, g) = (Lanes::new(numbers, input), Lanes::new(numbers, output));
    let kernel = Sample::<f32>::contiguous(numbers, &kernel_dims);
    let weights = kernel.values();
    let [scale, shift, factor]: [Vec<f32>; 3] = [0, 1, 2].map(|_| numbers.take(channels));
    let floor = [0.0, f32::NEG_INFINITY, 0.1][numbers.below(3)];
    let made = OnLoad { scale: scale.as_ptr(), shift: shift.as_ptr(), floor };
    let values = x.sample().values();
    let straight: Vec<f32> =
        values.iter().enumerate().map(|(at, x)| x * scale[at % channels] + shift[at % channels]).collect();
    let computed = Sample::from_values(&input, straight.iter().map(|z| z.max(floor)).collect());
    let source = Planes { on_load: Some(made), ..x.planes() };

    if lanes.computes_on_load() {
        let wanted = reference(conv::run, conv, &computed, &kernel, &output);
        let before = Lanes::new(numbers, output);
        let mut y = before.clone();
        // SAFETY: the buffers were made for these sizes.
        unsafe { forward(isa, &lanes, source, weights.as_ptr(), y.planes_mut()) };
        y.assert_close(&wanted, &before, 2e-6 * (taps[0] * taps[1] * channels) as f32 + 1e-5, &what);
    }

    let wanted = reference(conv::run_kernel_gradient, conv, &computed, &g.sample(), &kernel_dims);
    let mut dw = weights.clone();
    // SAFETY: as above.
    unsafe { kernel_gradient(isa, &lanes, source, g.planes(), dw.as_mut_ptr()) };
    let places = input[0] * output[1] * output[2];
    for (got, wanted) in dw.iter().zip(wanted) {
        assert!((got - wanted).abs() <= 2e-6 * places as f32 + 1e-5, "{what}: {got} for {wanted}");
    }

    if lanes.takes_masks() {
        let gradient = reference(conv::run_input_gradient, conv, &g.sample(), &kernel, &input);
        let old = Lanes::new(numbers, input);
        let (mut sums, mut products) = (vec![0f64; channels], vec![0f64; channels]);
        for with_base in [false, true] {
            let mut wanted = Vec::new();
            sums.fill(0.0);
            products.fill(0.0);
            let base = old.sample().values();
            for (at, &gradient) in gradient.iter().enumerate() {
                let masked = if straight[at] > floor { gradient } else { 0.0 };
                sums[at % channels] += f64::from(masked);
                products[at % channels] += f64::from(masked * values[at]);
                wanted.push(masked * factor[at % channels] + if with_base { base[at] } else { 0.0 });
            }
            let mut dx = old.clone();
            let (mut got_sums, mut got_products) = (vec![0f32; channels], vec![0f32; channels]);
            let planes = dx.planes();
            let masked = Masked {
                x: x.planes(),
                made,
                factor: factor.as_ptr(),
                base: with_base.then_some(planes),
                sums: got_sums.as_mut_ptr(),
                products: got_products.as_mut_ptr(),
            };
            // SAFETY: as above.
            unsafe {
                masked_input_gradient(isa, &lanes, g.planes(), weights.as_ptr(), &masked, dx.planes_mut());
            }
            dx.assert_close(&wanted, &old, 2e-6 * (taps[0] * taps[1] * filters) as f32 + 1e-5, &what);
            let pixels = (input[0] * input[1] * input[2]) as f64;
            for (got, wanted) in got_sums.iter().zip(&sums).chain(got_products.iter().zip(&products)) {
                assert!((f64::from(*got) - wanted).abs() <= 1e-5 * pixels, "{what}: {got} for {wanted}");
            }
        }
    }
}

#[test]
fn inputs_are_computed_on_load_and_gradients_masked_on_store() {
    let mut numbers = Numbers::new(12);
    for isa in Isa::available() {
        for (taps, stride, pad, height, width, inputs, filters) in [
            (3, 1, 1, 2, 4, 6, 6),
            (3, 1, 1, 8, 12, 7, 25),
            (3, 1, 1, 6, 8, 65, 12),
            (3, 1, 1, 5, 7, 3, 5),
            (3, 2, 1, 8, 6, 6, 7),
            (1, 1, 0, 8, 8, 17, 31),
            (1, 1, 0, 7, 5, 60, 48),
            (1, 1, 0, 4, 4, 3, 2),
            (1, 2, 0, 8, 8, 5, 9),
            (5, 1, 2, 9, 9, 3, 13),
        ] {
            let (taps, conv) = square(taps, stride, pad);
            let batch = 16 + 16 * numbers.below(2);
            check_computed(isa, &mut numbers, &conv, [batch, height, width, inputs], taps, filters);
        }
    }
}

fn square(taps: usize, stride: usize, pad: usize) -> ([usize; 2], Convolution) {
    let conv = Convolution {
        strides: [stride, stride].as_slice().into(),
        dilations: [1, 1].as_slice().into(),
        padding: [(pad, pad), (pad, pad)].as_slice().into(),
        groups: 1,
    };
    ([taps; 2], conv)
}

#[test]
fn agrees_with_the_other_layout_for_common_layers() {
    let mut numbers = Numbers::new(6);
    for isa in Isa::available() {
        for (taps, stride, pad, size, inputs, filters) in [
            (3, 1, 1, 8, 5, 12),
            (3, 1, 1, 5, 3, 25),
            (3, 1, 1, 16, 4, 16),
            (1, 1, 0, 8, 17, 31),
            (1, 1, 0, 7, 60, 48),
            (5, 1, 2, 9, 3, 10),
            (7, 2, 3, 15, 3, 13),
            (3, 2, 1, 8, 6, 7),
            (1, 2, 0, 8, 6, 9),
            (3, 1, 0, 3, 2, 1),
        ] {
            let (taps, conv) = square(taps, stride, pad);
            for batch in [16, 48] {
                check(isa, &mut numbers, &conv, [batch, size, size + 1, inputs], taps, filters);
            }
        }
    }
}

#[test]
fn winograd_agrees_with_the_other_layout() {
    let mut numbers = Numbers::new(11);
    let (taps, conv) = square(3, 1, 1);
    for isa in Isa::available() {
        for (height, width, inputs, filters) in
            [(2, 4, 6, 6), (4, 4, 12, 7), (8, 12, 7, 25), (6, 8, 65, 12), (4, 8, 12, 130), (32, 32, 6, 6)]
        {
            let input = [16 + 16 * numbers.below(2), height, width, inputs];
            let sizes = LanesConv::new(&conv, &input, &[3, 3, inputs, filters]).unwrap();
            assert!(winograd::suits(&sizes));
            check(isa, &mut numbers, &conv, input, taps, filters);
        }
    }
}

#[test]
fn agrees_with_the_other_layout_for_random_shapes() {
    let mut numbers = Numbers::new(7);
    for isa in Isa::available() {
        for _ in 0..120 {
            let mut below = |limit: usize| numbers.below(limit);
            let conv = Convolution {
                strides: [1 + below(3), 1 + below(3)].as_slice().into(),
                dilations: [1 + below(3), 1 + below(3)].as_slice().into(),
                padding: [(below(5), below(5)), (below(5), below(5))].as_slice().into(),
                groups: 1,
            };
            let taps = [1 + below(4), 1 + below(4)];
            let input = [16 * below(4), 1 + below(12), 1 + below(12), 1 + below(9)];
            let filters = 1 + below(30);
            check(isa, &mut numbers, &conv, input, taps, filters);
        }
    }
}

#[test]
fn does_not_depend_on_threads() {
    let mut numbers = Numbers::new(8);
    let (taps, conv) = square(3, 1, 1);
    let (input, filters) = ([32, 16, 16, 20], 14);
    let kernel_dims = [taps[0], taps[1], input[3], filters];
    let lanes = LanesConv::new(&conv, &input, &kernel_dims).unwrap();
    let (x, g) = (Lanes::new(&mut numbers, input), Lanes::new(&mut numbers, [32, 16, 16, filters]));
    let kernel: Vec<f32> = numbers.take(kernel_dims.iter().product());
    let (empty_y, empty_dx) = (Lanes::new(&mut numbers, g.dims), Lanes::new(&mut numbers, input));
    let run = |threads: usize| {
        crate::cpu::threads::set_thread_count(threads);
        let mut y = empty_y.clone();
        let mut dx = empty_dx.clone();
        let mut dw = kernel.clone();
        let isa = Isa::current();
        // SAFETY: the buffers were made for these sizes.
        unsafe {
            forward(isa, &lanes, x.planes(), kernel.as_ptr(), y.planes_mut());
            input_gradient(isa, &lanes, g.planes(), kernel.as_ptr(), dx.planes_mut(), true);
            kernel_gradient(isa, &lanes, x.planes(), g.planes(), dw.as_mut_ptr());
        }
        let (mut masked_dx, mut sums) = (empty_dx.clone(), vec![0f32; 2 * input[3]]);
        let made = OnLoad { scale: kernel.as_ptr(), shift: kernel.as_ptr(), floor: 0.0 };
        let products = sums.as_mut_ptr().wrapping_add(input[3]);
        let (factor, sums_of) = (kernel.as_ptr(), sums.as_mut_ptr());
        let masked = Masked { x: x.planes(), made, factor, base: None, sums: sums_of, products };
        // SAFETY: as above.
        unsafe {
            masked_input_gradient(isa, &lanes, g.planes(), kernel.as_ptr(), &masked, masked_dx.planes_mut());
        }
        (y.memory, dx.memory, dw, masked_dx.memory, sums)
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
    crate::cpu::threads::set_thread_count(0);
}
