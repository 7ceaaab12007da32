use super::*;
use crate::cpu::kernels::testing::{Numbers, Sample};
use crate::tensor::Element;
use smallvec::smallvec;

/// One convolution in numbers: all sizes with three spatial axes.
struct Case {
    conv: Convolution,
    input: Vec<usize>,
    kernel: Vec<usize>,
    output: Vec<usize>,
}

impl Case {
    fn random(numbers: &mut Numbers) -> Case {
        loop {
            let spatial = 1 + numbers.below(3);
            let groups = [1, 1, 2, 3, 5][numbers.below(5)];
            let (inputs, outputs) = match numbers.below(3) {
                0 => (1, 1),
                _ => (1 + numbers.below(5), 1 + numbers.below(20)),
            };
            let batch = [0, 1, 2, 3, 3][numbers.below(5)];
            let mut axis = |limit: usize| (0..spatial).map(|_| numbers.below(limit)).collect::<Vec<_>>();
            let most = if spatial == 1 { 40 } else { 9 };
            let (sizes, taps, strides, dilations, low, high) =
                (axis(most), axis(4), axis(4), axis(3), axis(6), axis(6));
            let conv = Convolution {
                strides: strides.iter().map(|s| s + 1).collect(),
                dilations: dilations.iter().map(|d| d + 1).collect(),
                padding: low.iter().zip(&high).map(|(&low, &high)| (low, high)).collect(),
                groups,
            };
            let mut output = vec![batch];
            for axis in 0..spatial {
                output.extend(conv.output_size(axis, sizes[axis], taps[axis] + 1));
            }
            if output.len() < spatial + 1 {
                continue;
            }
            output.push(outputs * groups);
            let input = [&[batch], sizes.as_slice(), &[inputs * groups]].concat();
            let mut kernel: Vec<usize> = taps.iter().map(|t| t + 1).collect();
            kernel.extend([inputs, outputs * groups]);
            return Case { conv, input, kernel, output };
        }
    }

    /// Calls `visit(input, kernel, output)` with the row-major numbers of the items that meet.
    fn each_product(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let spatial = self.conv.strides.len();
        let (inputs, filters) = (self.kernel[spatial], self.kernel[spatial + 1]);
        let outputs = filters / self.conv.groups;
        let pixels = |dims: &[usize]| dims[1..=spatial].iter().product::<usize>();
        let taps: usize = self.kernel[..spatial].iter().product();
        let split = |mut number: usize, dims: &[usize]| {
            let mut index = vec![0; spatial];
            for axis in (0..spatial).rev() {
                index[axis] = number % dims[axis];
                number /= dims[axis];
            }
            index
        };
        for image in 0..self.input[0] {
            for o in 0..pixels(&self.output) {
                let position = split(o, &self.output[1..]);
                for t in 0..taps {
                    let tap = split(t, &self.kernel);
                    let mut place = Some(0);
                    for axis in 0..spatial {
                        let padded =
                            position[axis] * self.conv.strides[axis] + tap[axis] * self.conv.dilations[axis];
                        let here = padded.checked_sub(self.conv.padding[axis].0);
                        let here = here.filter(|&here| here < self.input[axis + 1]);
                        place = place.zip(here).map(|(place, here)| place * self.input[axis + 1] + here);
                    }
                    let Some(place) = place else { continue };
                    for filter in 0..filters {
                        for c in 0..inputs {
                            let channel = filter / outputs * inputs + c;
                            visit(
                                (image * pixels(&self.input) + place) * inputs * self.conv.groups + channel,
                                (t * inputs + c) * filters + filter,
                                (image * pixels(&self.output) + o) * filters + filter,
                            );
                        }
                    }
                }
            }
        }
    }
}

fn check<T: Element>(isa: Isa, case: &Case, numbers: &mut Numbers, tolerance: f64) {
    let input = Sample::<T>::new(numbers, &case.input);
    let kernel = Sample::<T>::new(numbers, &case.kernel);
    let gradient = Sample::<T>::new(numbers, &case.output);
    let wide = |sample: &Sample<T>| sample.values().into_iter().map(T::to_f64).collect::<Vec<_>>();
    let (x, k, g) = (wide(&input), wide(&kernel), wide(&gradient));
    for product in [Product::Forward, Product::InputGradient, Product::KernelGradient] {
        let (dims, left, right) = match product {
            Product::Forward => (&case.output, &input, &kernel),
            Product::InputGradient => (&case.input, &gradient, &kernel),
            Product::KernelGradient => (&case.kernel, &input, &gradient),
        };
        let mut wanted = vec![0.0; dims.iter().product()];
        let mut sizes = vec![1.0; wanted.len()];
        case.each_product(|i, j, o| {
            let (at, value) = match product {
                Product::Forward => (o, x[i] * k[j]),
                Product::InputGradient => (i, g[o] * k[j]),
                Product::KernelGradient => (j, x[i] * g[o]),
            };
            wanted[at] += value;
            sizes[at] += value.abs();
        });
        let mut result = Sample::<T>::contiguous(numbers, dims);
        run_with(isa, product, &case.conv, &[left.view(), right.view()], &mut [result.view_mut()]);
        for (at, got) in result.values().into_iter().enumerate() {
            assert!(
                (got.to_f64() - wanted[at]).abs() <= tolerance * sizes[at],
                "{isa:?} {:?} {:?} * {:?}: {got:?} instead of {} at {at}",
                case.conv,
                case.input,
                case.kernel,
                wanted[at]
            );
        }
    }
}

#[test]
fn agrees_with_the_formula_for_random_shapes() {
    let mut numbers = Numbers::new(4);
    for isa in Isa::available() {
        for _ in 0..150 {
            let case = Case::random(&mut numbers);
            check::<f32>(isa, &case, &mut numbers, 1e-6);
            check::<f64>(isa, &case, &mut numbers, 1e-14);
        }
    }
    for _ in 0..20 {
        let case = Case::random(&mut numbers);
        check::<half::f16>(Isa::current(), &case, &mut numbers, 2e-3);
        check::<half::bf16>(Isa::current(), &case, &mut numbers, 1e-2);
    }
}

#[test]
fn agrees_with_the_formula_for_common_layers() {
    let mut numbers = Numbers::new(5);
    for (taps, stride, pad, groups, inputs, outputs) in [
        (3, 1, 1, 1, 24, 40),
        (1, 1, 0, 1, 70, 33),
        (7, 2, 3, 1, 3, 18),
        (3, 1, 1, 37, 37, 37),
        (3, 2, 1, 2, 8, 6),
    ] {
        let conv = Convolution {
            strides: smallvec![stride; 2],
            dilations: smallvec![1; 2],
            padding: smallvec![(pad, pad); 2],
            groups,
        };
        let size = conv.output_size(0, 19, taps).unwrap();
        let case = Case {
            conv,
            input: vec![2, 19, 19, inputs],
            kernel: vec![taps, taps, inputs / groups, outputs],
            output: vec![2, size, size, outputs],
        };
        for isa in Isa::available() {
            check::<f32>(isa, &case, &mut numbers, 1e-6);
        }
    }
}
