//! Convolutions by Winograd's algorithm, how far they are off, and the switch that leaves them alone.

use rushlight::cpu::set_direct_convolutions;
use rushlight::prelude::*;
use rushlight::profile::profile;
use rushlight::{ConvOptions, Tape};

/// A 3×3 convolution and its two gradients, compiled: the results, and whether Winograd's algorithm made some of them.
fn compiled(x: &Tensor, kernel: &Tensor, upstream: &Tensor) -> Result<(Vec<Tensor>, bool)> {
    let all = rushlight::function("convolution", |x: &Tensor, kernel: &Tensor, upstream: &Tensor| {
        all_of(x, kernel, upstream)
    });
    let (results, profile) = profile(|| all.call3(x, kernel, upstream));
    let is_winograd = profile.kernels.iter().any(|kernel| kernel.kernel.contains("winograd"));
    Ok((results?, is_winograd))
}

fn all_of(x: &Tensor, kernel: &Tensor, upstream: &Tensor) -> Result<Vec<Tensor>> {
    let tape = Tape::new();
    tape.watch(x);
    tape.watch(kernel);
    let y = x.conv2d(kernel, &ConvOptions::new().padding(Same));
    let mut results = tape.gradient(&(&y * upstream).sum(..), &[x, kernel])?;
    results.push(y);
    Ok(results)
}

/// The largest error relative to the largest result, of each result, against sums in `f64`.
fn errors(batch: usize, side: usize, channels: usize, filters: usize) -> Result<(Vec<f64>, bool)> {
    let generator = rushlight::random::Generator::new(batch as u64);
    let normal = |dims: &[usize]| generator.normal(dims, 0.0, 1.0, DType::F32);
    let x = normal(&[batch, side, side, channels]);
    let (kernel, upstream) = (normal(&[3, 3, channels, filters]), normal(&[batch, side, side, filters]));
    let (got, is_winograd) = compiled(&x, &kernel, &upstream)?;
    let wide = |x: &Tensor| x.cast(DType::F64);
    let wanted = all_of(&wide(&x), &wide(&kernel), &wide(&upstream))?;
    let error = |(got, wanted): (&Tensor, &Tensor)| {
        let largest = wanted.abs().max(..).item::<f64>()?;
        Ok((wide(got) - wanted).abs().max(..).item::<f64>()? / largest)
    };
    Ok((got.iter().zip(&wanted).map(error).collect::<Result<_>>()?, is_winograd))
}

/// One test, for the switch belongs to the whole process.
#[test]
fn errors_are_bounded_and_direct_convolutions_can_be_had() {
    // In lanes, with channels in lanes for one image, many channels, few channels.
    for (batch, side, channels, filters) in
        [(32, 16, 88, 12), (1, 28, 128, 32), (1, 14, 64, 64), (16, 8, 376, 12)]
    {
        set_direct_convolutions(false);
        let (fast, is_winograd) = errors(batch, side, channels, filters).unwrap();
        assert!(is_winograd, "{batch} {side} {channels}");
        assert!(fast.iter().all(|&error| error < 1.5e-5), "{batch} {side} {channels}: {fast:?}");
        set_direct_convolutions(true);
        let (direct, is_winograd) = errors(batch, side, channels, filters).unwrap();
        assert!(!is_winograd, "{batch} {side} {channels}");
        println!("{batch}×{side}²×{channels}→{filters}: errors {fast:?}, direct {direct:?}");
        assert!(direct.iter().all(|&error| error < 2e-6), "{batch} {side} {channels}: {direct:?}");
    }
    set_direct_convolutions(false);
}
