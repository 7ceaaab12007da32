//! The registry: every public op with a handful of cases, which the loops of the other files go over.

mod convolution;
mod elementwise;
mod index;
mod linear;
mod nn;
mod reduce;
mod view;

use rushlight_core::{DType, Tensor};
use std::collections::BTreeSet;

type Run = Box<dyn Fn(&[Tensor]) -> Vec<Tensor> + Send + Sync>;

/// One way to call an op.
pub struct Case {
    /// Name of the public function or method.
    pub op: &'static str,
    /// What is special about this case.
    pub kind: String,
    /// Floats are `f64`; where a gradient is checked they lie away from kinks and ties.
    pub inputs: Vec<Tensor>,
    pub run: Run,
    /// Whether gradients are checked, and gradients of gradients.
    pub differentiable: bool,
}

impl Case {
    pub fn new(
        op: &'static str,
        kind: impl Into<String>,
        inputs: Vec<Tensor>,
        run: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> Case {
        Case::with_many(op, kind, inputs, move |inputs| vec![run(inputs)])
    }

    /// An op with several results.
    pub fn with_many(
        op: &'static str,
        kind: impl Into<String>,
        inputs: Vec<Tensor>,
        run: impl Fn(&[Tensor]) -> Vec<Tensor> + Send + Sync + 'static,
    ) -> Case {
        Case { op, kind: kind.into(), inputs, run: Box::new(run), differentiable: true }
    }

    /// Results that are integers, `bool` or constant almost everywhere.
    pub fn without_gradient(mut self) -> Case {
        self.differentiable = false;
        self
    }

    pub fn name(&self) -> String {
        format!("{}/{}", self.op, self.kind)
    }
}

/// Every case of every op.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    elementwise::add(&mut cases);
    reduce::add(&mut cases);
    linear::add(&mut cases);
    convolution::add(&mut cases);
    view::add(&mut cases);
    index::add(&mut cases);
    nn::add(&mut cases);
    cases
}

/// Numbers that look random in `low..high`, the same at every run.
pub fn uniform(seed: u64, dims: &[usize], low: f64, high: f64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let elements: Vec<f64> = (0..dims.iter().product())
        .map(|_| {
            // xorshift64*, whose upper bits are good enough for test data.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let unit = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64;
            low + unit * (high - low)
        })
        .collect();
    Tensor::new(&elements, dims)
}

/// Distinct numbers at least 0.1 apart from each other and from whole tenths, in a mixed order.
pub fn distinct(seed: u64, dims: &[usize]) -> Tensor {
    let count: usize = dims.iter().product();
    let order = uniform(seed, &[count], 0.0, 1.0).to_vec::<f64>().unwrap();
    let mut ranks: Vec<usize> = (0..count).collect();
    ranks.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
    let elements: Vec<f64> =
        ranks.iter().map(|&rank| 0.1 * (rank as f64 - count as f64 / 2.0) + 0.03).collect();
    Tensor::new(&elements, dims)
}

/// Numbers in `low..high` with the same sign pattern as their place: alternating.
pub fn both_signs(seed: u64, dims: &[usize], low: f64, high: f64) -> Tensor {
    let elements = uniform(seed, dims, low, high).to_vec::<f64>().unwrap();
    let signed: Vec<f64> =
        elements.iter().enumerate().map(|(i, x)| if i % 2 == 0 { *x } else { -x }).collect();
    Tensor::new(&signed, dims)
}

pub fn bools(dims: &[usize]) -> Tensor {
    let count: usize = dims.iter().product();
    Tensor::new(&(0..count).map(|i| i % 3 != 1).collect::<Vec<bool>>(), dims)
}

/// The names that the sources of the ops declare as public functions of tensors.
fn declared() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What makes loops and branches is no method of tensors.
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let mut in_list = false;
        let mut pending: Option<String> = None;
        for line in text.lines() {
            // Lists such as `unary_ops! { abs => Abs; … }` declare the names on the left, in `reductions!` two each.
            if line.ends_with("_ops! {") || line == "reductions! {" || line == "pools! {" {
                in_list = true;
            } else if line == "}" {
                in_list = false;
            }
            let line = line.trim();
            if in_list && !line.starts_with("//") {
                let left = line.split("=>").next().unwrap_or("");
                let is_list = line.contains("=>") || line.contains("pool");
                let words = left.split([',', ';', ' ']).map(str::trim);
                names.extend(
                    words
                        .filter(|word| is_list && word.len() > 1 && word.chars().all(is_name))
                        .map(str::to_string),
                );
                continue;
            }
            // A declaration may take several lines; it counts if it takes or gives tensors.
            if let Some(rest) = line.strip_prefix("pub fn ") {
                pending = Some(rest.split(['(', '<']).next().unwrap_or("").to_string());
            }
            if let Some(name) = &pending
                && line.ends_with('{')
            {
                if line.contains("Tensor") && !line.contains("&self.") && name.chars().all(is_name) {
                    names.insert(name.clone());
                }
                pending = None;
            }
        }
    }
    names
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

/// Ops that are tested in other files: random numbers have no value to compare with, effects have no value.
const ELSEWHERE: [&str; 12] = [
    "print",
    "assert_that",
    "fetch",
    "uniform",
    "normal",
    "truncated_normal",
    "bernoulli",
    "randint",
    "categorical",
    "permutation",
    "shuffle",
    "operand",
];

#[test]
fn every_public_op_has_a_case() {
    let tested: BTreeSet<String> = cases().iter().map(|case| case.op.to_string()).collect();
    let missing: Vec<String> = declared()
        .into_iter()
        .filter(|name| !tested.contains(name) && !ELSEWHERE.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "public ops without a case in the registry: {missing:?}");
    assert!(declared().len() > 150, "the search for declarations found only {:?}", declared());
}

#[test]
fn every_case_runs() {
    let cases = cases();
    let ops: BTreeSet<&str> = cases.iter().map(|case| case.op).collect();
    for case in &cases {
        for output in (case.run)(&case.inputs) {
            output.check().unwrap_or_else(|error| panic!("{}: {error}", case.name()));
            // Reading runs what views have put off.
            output.cast(DType::F64).to_vec::<f64>().unwrap();
        }
    }
    println!("registry: {} ops, {} cases", ops.len(), cases.len());
}
