//! Random numbers: the right distributions, the same numbers eagerly and recorded, states that move on.

use rushlight_core::random::{self, Generator};
use rushlight_core::{DType, Result, Tensor, function};

const COUNT: usize = 100_000;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.cast(DType::F64).to_vec::<f64>().unwrap()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn variance(numbers: &[f64]) -> f64 {
    let mean = mean(numbers);
    numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64
}

/// The largest distance between the numbers' distribution function and the given one, times √count.
fn kolmogorov_smirnov(numbers: &[f64], distribution: impl Fn(f64) -> f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let distances = sorted.iter().enumerate().map(|(rank, &x)| {
        let at = distribution(x);
        (at - rank as f64 / count).abs().max((at - (rank + 1) as f64 / count).abs())
    });
    distances.fold(0.0, f64::max) * count.sqrt()
}

/// Φ by our own erf, which the goldens check.
fn normal_distribution(x: f64) -> f64 {
    let erf = (Tensor::scalar(x) * std::f64::consts::FRAC_1_SQRT_2).erf().item::<f64>().unwrap();
    0.5 * (1.0 + erf)
}

#[test]
fn uniform_numbers() {
    for dtype in [DType::F32, DType::F64] {
        let drawn = numbers(&Generator::new(1).uniform([COUNT], -2.0, 3.0, dtype));
        assert!(drawn.iter().all(|&x| (-2.0..3.0).contains(&x)));
        assert!((mean(&drawn) - 0.5).abs() < 0.02, "{}", mean(&drawn));
        assert!((variance(&drawn) - 25.0 / 12.0).abs() < 0.03, "{}", variance(&drawn));
        // 1.95 is exceeded once in a thousand draws; the seed is fixed.
        let distance = kolmogorov_smirnov(&drawn, |x| (x + 2.0) / 5.0);
        assert!(distance < 1.95, "{distance}");
    }
}

#[test]
fn normal_numbers() {
    for (seed, dtype) in [(1, DType::F32), (2, DType::F64), (3, DType::F16), (4, DType::BF16)] {
        let drawn = numbers(&Generator::new(seed).normal([COUNT / 4, 2, 2], 1.0, 2.0, dtype));
        assert!(drawn.iter().all(|x| x.is_finite()));
        assert!((mean(&drawn) - 1.0).abs() < 0.02, "{dtype}: {}", mean(&drawn));
        assert!((variance(&drawn) - 4.0).abs() < 0.06, "{dtype}: {}", variance(&drawn));
        if dtype.size() >= 4 {
            let fewer: Vec<f64> = drawn.iter().copied().take(5000).collect();
            let distance = kolmogorov_smirnov(&fewer, |x| normal_distribution((x - 1.0) / 2.0));
            assert!(distance < 1.95, "{dtype}: {distance}");
        }
        // Four standard deviations are passed by 6 of 100,000 numbers.
        let far = drawn.iter().filter(|&&x| (x - 1.0).abs() > 8.0).count();
        assert!(far < 20, "{dtype}: {far}");
    }
}

#[test]
fn truncated_normal_numbers() {
    let drawn = numbers(&Generator::new(5).truncated_normal([COUNT], 0.5, 0.1, DType::F32));
    assert!(drawn.iter().all(|x| (x - 0.5).abs() <= 0.2 + 1e-7));
    assert!((mean(&drawn) - 0.5).abs() < 0.002);
    // The variance of a normal distribution cut off at two standard deviations.
    assert!((variance(&drawn).sqrt() / 0.1 - 0.879_626).abs() < 0.005, "{}", variance(&drawn).sqrt());
    let (low, share) = (normal_distribution(-2.0), normal_distribution(2.0) - normal_distribution(-2.0));
    let fewer: Vec<f64> = drawn.iter().copied().take(5000).collect();
    let distance = kolmogorov_smirnov(&fewer, |x| (normal_distribution((x - 0.5) / 0.1) - low) / share);
    assert!(distance < 1.95, "{distance}");
}

#[test]
fn bernoulli_numbers() {
    let drawn = numbers(&Generator::new(6).bernoulli([COUNT], 0.3, DType::F32));
    assert!(drawn.iter().all(|&x| x == 0.0 || x == 1.0));
    assert!((mean(&drawn) - 0.3).abs() < 0.005);
    assert_eq!(mean(&numbers(&Generator::new(6).bernoulli([1000], 0.0, DType::Bool))), 0.0);
    assert_eq!(mean(&numbers(&Generator::new(6).bernoulli([1000], 1.0, DType::I32))), 1.0);
}

#[test]
fn random_integers() {
    for dtype in [DType::I32, DType::I64, DType::U8] {
        let low = if dtype == DType::U8 { 3 } else { -3 };
        let drawn = Generator::new(7).randint([COUNT], low, low + 7, dtype);
        assert_eq!(drawn.dtype().unwrap(), dtype);
        let mut counts = [0.0; 7];
        numbers(&drawn).iter().for_each(|x| counts[(*x as i64 - low) as usize] += 1.0);
        let expected = COUNT as f64 / 7.0;
        let chi: f64 = counts.iter().map(|n: &f64| (n - expected).powi(2) / expected).sum();
        // Six degrees of freedom: 22.5 is exceeded once in a thousand draws.
        assert!(chi < 22.5, "{dtype}: {chi}");
    }
    let far = Generator::new(8).randint([100], i64::MIN, i64::MIN + 2, DType::I64);
    assert!(far.to_vec::<i64>().unwrap().iter().all(|&x| x == i64::MIN || x == i64::MIN + 1));
}

#[test]
fn categories_follow_their_logits() {
    let probabilities = [0.1, 0.6, 0.3];
    let logits = Tensor::from(probabilities.map(f64::ln)).broadcast_to(&[COUNT, 3]);
    let drawn = Generator::new(9).categorical(&logits).to_vec::<i32>().unwrap();
    for (class, probability) in probabilities.iter().enumerate() {
        let share = drawn.iter().filter(|&&x| x == class as i32).count() as f64 / COUNT as f64;
        assert!((share - probability).abs() < 0.006, "{class}: {share}");
    }
}

#[test]
fn permutations_hold_every_number_once() {
    let generator = Generator::new(10);
    let mut first = [0usize; 5];
    for _ in 0..1000 {
        let order = generator.permutation(5).to_vec::<i32>().unwrap();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
        first[order[0] as usize] += 1;
    }
    assert!(first.iter().all(|&count| (150..250).contains(&count)), "{first:?}");
    let rows = Tensor::from([[1, 1], [2, 2], [3, 3], [4, 4]]);
    let shuffled = Generator::new(11).shuffle(&rows).to_vec::<i32>().unwrap();
    assert!(shuffled.chunks(2).all(|row| row[0] == row[1]));
    assert_eq!(shuffled.iter().sum::<i32>(), 20);
}

/// A little of everything that draws.
fn draw_all(generator: &Generator) -> Vec<Tensor> {
    vec![
        generator.uniform([3, 5], -1.0, 1.0, DType::F32),
        generator.uniform([7], 0.0, 1.0, DType::F64),
        generator.normal([4, 4], 0.0, 1.0, DType::F32),
        generator.truncated_normal([33], 0.0, 1.0, DType::F32),
        generator.bernoulli([9], 0.5, DType::Bool),
        generator.randint([6], 0, 100, DType::I64),
        generator.permutation(12),
        generator.shuffle(&Tensor::arange(10, DType::I32)),
        generator.categorical(&Tensor::zeros([5, 3], DType::F32)),
    ]
}

#[test]
fn recorded_functions_draw_the_same_numbers_anew_at_each_call() {
    let (eager, recorded) = (Generator::new(77), Generator::new(77));
    let body = recorded.clone();
    let draw = function("draw", move |_: &Tensor| -> Result<Vec<Tensor>> { Ok(draw_all(&body)) });
    let mut seen = Vec::new();
    for call in 0..3 {
        let want = draw_all(&eager);
        let got = draw.call(&Tensor::scalar(0.0f32)).unwrap();
        for (index, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(numbers(got), numbers(want), "call {call}, draw {index}");
        }
        seen.push(numbers(&got[0]));
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    assert_eq!(draw.recordings().recording_count(), 1);
    assert_eq!(numbers(&eager.state().read()), numbers(&recorded.state().read()));
}

#[test]
fn the_default_generator_has_a_seed() {
    random::set_seed(3);
    let first = numbers(&random::normal([8], 0.0, 1.0, DType::F32));
    let second = numbers(&random::normal([8], 0.0, 1.0, DType::F32));
    random::set_seed(3);
    assert_eq!(numbers(&random::normal([8], 0.0, 1.0, DType::F32)), first);
    assert_ne!(first, second);
    assert_eq!(numbers(&Generator::new(3).normal([8], 0.0, 1.0, DType::F32)), first);
    // Every function of the module draws from it.
    let before = numbers(&random::default_generator().state().read());
    random::uniform([1], 0.0, 1.0, DType::F32);
    random::truncated_normal([1], 0.0, 1.0, DType::F32);
    random::bernoulli([1], 0.5, DType::F32);
    random::randint([1], 0, 2, DType::I32);
    random::categorical(&Tensor::zeros([2], DType::F32));
    random::permutation(2);
    random::shuffle(&Tensor::from([1, 2]));
    assert_eq!(numbers(&random::default_generator().state().read())[1], before[1] + 7.0);
}
