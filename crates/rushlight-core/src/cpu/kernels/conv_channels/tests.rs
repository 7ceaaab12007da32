use super::*;
use crate::cpu::kernels::conv;
use crate::cpu::kernels::testing::{Numbers, Sample};

fn conv_of(stride: usize, dilation: usize, padding: [usize; 2]) -> Convolution {
    Convolution {
        strides: [stride, stride].as_slice().into(),
        dilations: [dilation, dilation].as_slice().into(),
        padding: [(padding[0], padding[1]), (padding[1], padding[0])].as_slice().into(),
        groups: 1,
    }
}

/// Channels of wider images.
struct Wide {
    values: Vec<f32>,
    dims: [usize; 4],
    /// Channels of the wider images, and the first that takes part.
    whole: usize,
    first: usize,
}

impl Wide {
    fn new(numbers: &mut Numbers, dims: [usize; 4]) -> Wide {
        let (first, behind) = (numbers.below(3), numbers.below(3));
        let whole = first + dims[3] + behind;
        Wide { values: numbers.take(dims[..3].iter().product::<usize>() * whole), dims, whole, first }
    }

    fn strides(&self) -> [usize; 3] {
        [self.dims[1] * self.dims[2] * self.whole, self.dims[2] * self.whole, self.whole]
    }

    fn images(&self) -> Images {
        Images { data: self.values[self.first..].as_ptr(), strides: self.strides() }
    }

    fn inner(&self) -> Vec<f32> {
        let channels = self.first..self.first + self.dims[3];
        self.values.chunks(self.whole).flat_map(|pixel| pixel[channels.clone()].to_vec()).collect()
    }

    /// What does not take part.
    fn outer(&self) -> Vec<f32> {
        let channels = self.first..self.first + self.dims[3];
        let outside =
            |(channel, value): (usize, &f32)| (!channels.contains(&(channel % self.whole))).then_some(*value);
        self.values.iter().enumerate().filter_map(outside).collect()
    }
}

/// `max(x · scale + shift + added, floor)`, each part of it there or not.
#[derive(Default)]
struct Terms {
    scale: Option<Vec<f32>>,
    shift: Option<Vec<f32>>,
    floor: Option<f32>,
}

impl Terms {
    fn new(numbers: &mut Numbers, channels: usize) -> Terms {
        let mut some = || (numbers.below(3) > 0).then(|| numbers.take::<f32>(channels));
        let (scale, shift) = (some(), some());
        Terms { scale, shift, floor: (numbers.below(3) > 0).then_some(0.1) }
    }

    fn affine(&self) -> Affine {
        let pointer = |values: &Option<Vec<f32>>| values.as_ref().map(|values| values.as_ptr());
        Affine { scale: pointer(&self.scale), shift: pointer(&self.shift), floor: self.floor }
    }

    fn apply(&self, values: &mut [f32], channels: usize, added: Option<&[f32]>) {
        for (number, value) in values.iter_mut().enumerate() {
            let of = |terms: &Option<Vec<f32>>, other: f32| {
                terms.as_ref().map_or(other, |terms| terms[number % channels])
            };
            let sum = *value * of(&self.scale, 1.0)
                + of(&self.shift, 0.0)
                + added.map_or(0.0, |added| added[number]);
            *value = self.floor.map_or(sum, |floor| sum.max(floor));
        }
    }
}

/// Compares with the kernel for all dtypes; returns the largest error relative to the largest result.
fn check(
    isa: Isa,
    numbers: &mut Numbers,
    conv: &Convolution,
    input: [usize; 4],
    kernel: [usize; 4],
    along: bool,
) -> Option<f32> {
    let sizes = ChannelsConv::new(conv, &input, &kernel)?;
    let output = [input[0], sizes.out_height, sizes.out_width, kernel[3]];
    let what = format!("{isa:?} {conv:?} {input:?} * {kernel:?} ({sizes})");
    let x = Wide::new(numbers, input);
    let weights = Sample::<f32>::contiguous(numbers, &kernel);
    let mut terms = |channels: usize| if along { Terms::new(numbers, channels) } else { Terms::default() };
    let (before, after) = (terms(input[3]), terms(kernel[3]));
    let added = (along && numbers.below(2) == 0).then(|| Wide::new(numbers, output));
    let mut y = Wide::new(numbers, output);
    let untouched = y.outer();

    let mut seen = x.inner();
    before.apply(&mut seen, input[3], None);
    let mut wanted = Sample::from_values(&output, vec![0f32; output.iter().product()]);
    conv::run(conv, &[Sample::from_values(&input, seen).view(), weights.view()], &mut [wanted.view_mut()]);
    let mut wanted = wanted.values();
    let largest = wanted.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    after.apply(&mut wanted, kernel[3], added.as_ref().map(Wide::inner).as_deref());

    let mut packed = vec![f32::NAN; sizes.packed_len(isa)];
    let along =
        Along { before: before.affine(), after: after.affine(), added: added.as_ref().map(Wide::images) };
    let strides = y.strides();
    let target = ImagesMut { data: y.values[y.first..].as_mut_ptr(), strides };
    // SAFETY: everything was made for these sizes.
    unsafe {
        pack(isa, &sizes, weights.values().as_ptr(), packed.as_mut_ptr());
        forward(isa, &sizes, x.images(), packed.as_ptr(), &along, target);
    }
    assert_eq!(y.outer(), untouched, "{what}: written beside the channels");
    let error = y.inner().iter().zip(&wanted).fold(0f32, |most, (got, wanted)| {
        assert!(got.is_finite(), "{what}: {got}");
        most.max((got - wanted).abs() / largest)
    });
    assert!(error < 2e-5, "{what}: error {error}");
    Some(error)
}

#[test]
fn agrees_with_the_kernel_for_all_dtypes() {
    let mut numbers = Numbers::new(11);
    for isa in Isa::available() {
        for round in 0..150 {
            let mut pick = |from: &[usize]| from[numbers.below(from.len())];
            let taps = [pick(&[1, 3, 3, 2, 7]), pick(&[1, 3, 3, 5])];
            let taps = if round % 2 == 0 { [taps[0], taps[0]] } else { taps };
            let (stride, dilation) = (pick(&[1, 1, 2, 3]), pick(&[1, 1, 2]));
            let padding = [pick(&[0, 1, 2]).min(taps[0] - 1), pick(&[0, 1]).min(taps[1] - 1)];
            let input =
                [pick(&[1, 2, 5]), pick(&[4, 7, 9, 12]), pick(&[3, 7, 14, 15]), pick(&[1, 3, 16, 33, 200])];
            let kernel = [taps[0], taps[1], input[3], pick(&[1, 8, 12, 16, 17, 33, 70])];
            let conv = conv_of(stride, dilation, padding);
            check(isa, &mut numbers, &conv, input, kernel, round % 3 > 0);
        }
    }
}

#[test]
fn errors_of_winograds_algorithm_are_bounded() {
    let mut numbers = Numbers::new(12);
    let same = conv_of(1, 1, [1, 1]);
    for isa in Isa::available() {
        for (size, side, most) in [(14, 2, 3e-6), (28, 4, 1.5e-5), (56, 4, 1.5e-5)] {
            let (input, kernel) = ([1, size, size, 128], [3, 3, 128, 32]);
            let sizes = ChannelsConv::new(&same, &input, &kernel).unwrap();
            assert_eq!(sizes.method, Method::Winograd(side), "{size}");
            let error = check(isa, &mut numbers, &same, input, kernel, false).unwrap();
            assert!(error < most, "{isa:?} {size}: {error}");
        }
    }
}

#[test]
fn does_not_depend_on_threads() {
    let mut numbers = Numbers::new(13);
    for (conv, input, kernel) in [
        (conv_of(1, 1, [1, 1]), [1, 14, 14, 40], [3, 3, 40, 70]),
        (conv_of(2, 1, [1, 0]), [2, 15, 9, 40], [3, 3, 40, 70]),
        (conv_of(1, 1, [0, 0]), [1, 7, 7, 300], [1, 1, 300, 128]),
    ] {
        let sizes = ChannelsConv::new(&conv, &input, &kernel).unwrap();
        let (x, weights): (Vec<f32>, Vec<f32>) =
            (numbers.take(input.iter().product()), numbers.take(kernel.iter().product()));
        let isa = Isa::current();
        let run = |threads: usize| {
            crate::cpu::threads::set_thread_count(threads);
            let mut packed = vec![0f32; sizes.packed_len(isa)];
            let mut y = vec![0f32; sizes.positions() * kernel[3]];
            let strides = |height: usize, width: usize, channels: usize| {
                [height * width * channels, width * channels, channels]
            };
            let along =
                Along { before: Terms::default().affine(), after: Terms::default().affine(), added: None };
            let images = Images { data: x.as_ptr(), strides: strides(input[1], input[2], input[3]) };
            let target = ImagesMut {
                data: y.as_mut_ptr(),
                strides: strides(sizes.out_height, sizes.out_width, kernel[3]),
            };
            // SAFETY: everything was made for these sizes.
            unsafe {
                pack(isa, &sizes, weights.as_ptr(), packed.as_mut_ptr());
                forward(isa, &sizes, images, packed.as_ptr(), &along, target);
            }
            y
        };
        let one = run(1);
        assert!(one == run(2) && one == run(7));
        crate::cpu::threads::set_thread_count(0);
    }
}
