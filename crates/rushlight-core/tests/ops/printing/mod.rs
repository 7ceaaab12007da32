//! Printing against NumPy's texts in `cases.txt`, which `make_cases.py` wrote.

use rushlight_core::{DType, Tensor, trace};

/// The tensor that a case describes.
fn tensor(dtype: &str, shape: &str, elements: &str) -> Tensor {
    let dims: Vec<usize> =
        shape.split(',').filter(|size| !size.is_empty()).map(|size| size.parse().unwrap()).collect();
    let words: Vec<&str> = elements.split_whitespace().collect();
    let numbers: Vec<f64> = match words.as_slice() {
        ["range", count, start, step] => {
            let (count, start, step): (usize, f64, f64) =
                (count.parse().unwrap(), start.parse().unwrap(), step.parse().unwrap());
            (0..count).map(|i| start + step * i as f64).collect()
        }
        words => words.iter().map(|word| word.parse().unwrap()).collect(),
    };
    Tensor::new(&numbers, dims).cast(DType::from_name(dtype).unwrap())
}

#[test]
fn tensors_print_like_numpy() {
    let text = include_str!("cases.txt");
    let mut count = 0;
    for case in text.split('\u{c}').filter(|case| !case.trim().is_empty()) {
        let mut lines = case.splitn(3, '\n');
        let header = lines.next().unwrap().trim_start_matches("# ");
        let (dtype, shape) = header.split_once(' ').unwrap();
        let x = tensor(dtype, shape, lines.next().unwrap());
        let want = lines.next().unwrap().strip_suffix('\n').unwrap();
        assert_eq!(x.to_string(), want, "{header}");
        count += 1;
    }
    println!("printing: {count} texts equal NumPy's");
    assert!(count > 80);
}

#[test]
fn views_print_their_elements() {
    let x = Tensor::from([[1, 2, 3], [4, 5, 6]]);
    assert_eq!(x.t().to_string(), "[[1 4]\n [2 5]\n [3 6]]");
    assert_eq!(x.flip([1]).to_string(), "[[3 2 1]\n [6 5 4]]");
    assert_eq!(Tensor::full([2, 2], 0.5, DType::BF16).to_string(), "[[0.5 0.5]\n [0.5 0.5]]");
    assert_eq!(Tensor::from([0.1f32, 3.0]).cast(DType::BF16).to_string(), "[0.1 3. ]");
}

#[test]
fn debug_adds_dtype_and_shape() {
    assert_eq!(format!("{:?}", Tensor::from([1.0f32, 2.0])), "[1. 2.] f32[2]");
    assert_eq!(format!("{:?}", Tensor::from([[1], [2]])), "[[1]\n [2]]\ni32[2, 1]");
    assert_eq!(format!("{:?}", Tensor::scalar(true)), "True bool[]");
}

#[test]
fn what_has_no_value_says_what_it_is() {
    let x = trace::model_input("image", rushlight_core::Spec::new([2, 3], DType::F32));
    assert_eq!(x.exp().to_string(), "<symbolic f32[2, 3]: exp>");
    let wrong = Tensor::from([1.0f32]).reshape([2]);
    let text = wrong.to_string();
    assert!(text.starts_with("<error: [reshape] ") && text.contains("printing/mod.rs:"), "{text}");
}
