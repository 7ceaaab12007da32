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
        (y.memory, dx.memory, dw)
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
    crate::cpu::threads::set_thread_count(0);
}
