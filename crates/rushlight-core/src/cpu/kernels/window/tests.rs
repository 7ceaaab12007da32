use super::*;
use crate::cpu::kernels::testing::{Numbers, Sample};
use crate::tensor::Dims;

/// The places of each window, as row-major numbers among the spatial places, by the definition of the op.
fn windows(window: &Window, dims: &[usize]) -> (Dims, Vec<Vec<usize>>) {
    let spatial = window.size.len();
    let counts: Dims = (0..spatial)
        .map(|axis| {
            let (low, high) = window.padding[axis];
            (dims[axis + 1] + low + high - window.size[axis]) / window.strides[axis] + 1
        })
        .collect();
    let split = |mut number: usize, sizes: &[usize]| {
        let mut index = vec![0; sizes.len()];
        for axis in (0..sizes.len()).rev() {
            index[axis] = number % sizes[axis];
            number /= sizes[axis];
        }
        index
    };
    let list = (0..counts.iter().product()).map(|number| {
        let position = split(number, &counts);
        let taps = (0..window.size.iter().product()).map(|tap| split(tap, &window.size));
        let place = |tap: Vec<usize>| {
            (0..spatial).try_fold(0, |place, axis| {
                let padded = position[axis] * window.strides[axis] + tap[axis];
                let here =
                    padded.checked_sub(window.padding[axis].0).filter(|&here| here < dims[axis + 1])?;
                Some(place * dims[axis + 1] + here)
            })
        };
        taps.filter_map(place).collect()
    });
    let list = list.collect();
    (counts, list)
}

fn random_window(numbers: &mut Numbers, kind: Pooling) -> (Window, Vec<usize>) {
    let spatial = 1 + numbers.below(3);
    let size: Vec<usize> = (0..spatial).map(|_| 1 + numbers.below(4)).collect();
    let padding: Vec<(usize, usize)> =
        size.iter().map(|&size| (numbers.below(size), numbers.below(size))).collect();
    let mut dims = vec![numbers.below(3)];
    dims.extend(size.iter().map(|&size| size + numbers.below(5)));
    dims.push([1, 3, 16, 70][numbers.below(4)]);
    let strides = (0..spatial).map(|_| 1 + numbers.below(4)).collect();
    (Window { kind, size: size.into(), strides, padding: padding.into() }, dims)
}

fn first_maximum<T: Element>(places: &[usize], x: impl Fn(usize) -> T) -> Option<usize> {
    places.iter().copied().reduce(|best, place| if x(place) > x(best) { place } else { best })
}

fn check<T: Element>(isa: Isa, numbers: &mut Numbers, job: Job, tolerance: f64) {
    let kind = if job == Job::Sum || job == Job::SumGradient { Pooling::Sum } else { Pooling::Max };
    let (window, dims) = random_window(numbers, kind);
    let (counts, windows) = windows(&window, &dims);
    let (batch, channels) = (dims[0], dims[dims.len() - 1]);
    let output_dims = [&[batch], counts.as_slice(), &[channels]].concat();
    let (places, all): (usize, usize) = (dims[1..dims.len() - 1].iter().product(), counts.iter().product());
    // Few distinct values, so that windows have several maxima.
    let mut coarse = |dims: &[usize]| {
        let values = numbers.take::<T>(dims.iter().product());
        let values = values.into_iter().map(|v| T::from_f64((v.to_f64() * 4.0).round() / 4.0)).collect();
        Sample::from_values(dims, values)
    };
    let x = coarse(&dims);
    let (g_dims, result_dims) = match job {
        Job::Max | Job::Sum => (None, &output_dims),
        Job::SumGradient | Job::MaxGradient => (Some(&output_dims), &dims),
        Job::MaxSelect => (Some(&dims), &output_dims),
    };
    let g = Sample::<T>::new(numbers, g_dims.unwrap_or(&vec![]));
    let (xs, gs) = (x.values(), g.values());
    let mut wanted = vec![0.0; result_dims.iter().product()];
    for image in 0..batch {
        for (number, inside) in windows.iter().enumerate() {
            for c in 0..channels {
                let at = |place: usize| (image * places + place) * channels + c;
                let output = (image * all + number) * channels + c;
                let maximum = first_maximum(inside, |place| xs[at(place)]);
                match job {
                    Job::Max => {
                        wanted[output] = maximum.map_or(f64::NEG_INFINITY, |place| xs[at(place)].to_f64())
                    }
                    Job::Sum => wanted[output] = inside.iter().map(|&place| xs[at(place)].to_f64()).sum(),
                    Job::SumGradient => {
                        inside.iter().for_each(|&place| wanted[at(place)] += gs[output].to_f64())
                    }
                    Job::MaxGradient => {
                        maximum.into_iter().for_each(|p| wanted[at(p)] += gs[output].to_f64())
                    }
                    Job::MaxSelect => wanted[output] = maximum.map_or(0.0, |place| gs[at(place)].to_f64()),
                }
            }
        }
    }
    let inputs = match job {
        Job::Max | Job::Sum => vec![x.view()],
        Job::SumGradient => vec![g.view()],
        Job::MaxGradient | Job::MaxSelect => vec![x.view(), g.view()],
    };
    let mut result = Sample::<T>::contiguous(numbers, result_dims);
    run_with(isa, job, &window, &inputs, &mut [result.view_mut()]);
    for (at, (got, wanted)) in result.values().into_iter().zip(wanted).enumerate() {
        let fits =
            got.to_f64() == wanted || (got.to_f64() - wanted).abs() <= tolerance * (1.0 + wanted.abs());
        assert!(fits, "{isa:?} {job:?} {window:?} of {dims:?}: {got:?} instead of {wanted} at {at}");
    }
}

#[test]
fn agree_with_the_definition_for_random_windows() {
    let mut numbers = Numbers::new(9);
    for isa in Isa::available() {
        for _ in 0..60 {
            for job in [Job::Max, Job::Sum, Job::SumGradient, Job::MaxGradient, Job::MaxSelect] {
                check::<f32>(isa, &mut numbers, job, 1e-5);
                check::<f64>(isa, &mut numbers, job, 1e-13);
                check::<half::f16>(isa, &mut numbers, job, 2e-3);
                check::<half::bf16>(isa, &mut numbers, job, 1e-2);
            }
            for job in [Job::Max, Job::Sum] {
                check::<i32>(isa, &mut numbers, job, 0.0);
                check::<i64>(isa, &mut numbers, job, 0.0);
            }
        }
    }
}

#[test]
fn nan_is_the_maximum() {
    let window = Window {
        kind: Pooling::Max,
        size: [3].as_slice().into(),
        strides: [1].as_slice().into(),
        padding: [(0, 0)].as_slice().into(),
    };
    let x = Sample::from_values(&[1, 5, 1], vec![1.0, f32::NAN, 7.0, f32::NAN, 2.0]);
    let g = Sample::from_values(&[1, 3, 1], vec![1f32, 10.0, 100.0]);
    let mut y = Sample::from_values(&[1, 3, 1], vec![0f32; 3]);
    run(&window, &[x.view()], &mut [y.view_mut()]);
    assert!(y.values().iter().all(|value| value.is_nan()));
    let mut dx = Sample::from_values(&[1, 5, 1], vec![0f32; 5]);
    run_max_gradient(&window, &[x.view(), g.view()], &mut [dx.view_mut()]);
    assert_eq!(dx.values(), [0.0, 11.0, 0.0, 100.0, 0.0]);
}
