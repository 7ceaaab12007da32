//! Einstein's summation: sums of products named by an equation such as `bij,bjk->bik`.

use crate::ops::linear::dot;
use crate::ops::reduce::Reduction;
use crate::tensor::{Axes, DType, Dims, Fault, Tensor, close, element_count};
use crate::trace::apply::fail;

/// An axis of the equation: a letter, or a place of the ellipsis counted from its last axis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// A tensor whose axes have names.
#[derive(Clone)]
struct Named {
    tensor: Tensor,
    labels: Vec<Label>,
}

/// The sum of products that `equation` names: each letter is an axis, letters missing from the output are summed.
///
/// `->` and the output may be left out: then the output has the letters that occur once, in alphabetical order,
/// after the ellipsis. A letter that one operand has twice is that operand's diagonal. `...` stands for any number
/// of axes, which broadcast. Spaces are ignored.
///
/// Operands are contracted two at a time, the pair with the smallest product first, each by one matrix product.
///
/// ```
/// use rushlight_core::{DType, Tensor, einsum};
/// let (queries, keys) = (Tensor::ones([2, 5, 8], DType::F32), Tensor::ones([2, 7, 8], DType::F32));
/// assert_eq!(einsum("bqd,bkd->bqk", &[&queries, &keys]).shape()?, [2, 5, 7]);
/// let matrix = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
/// assert_eq!(einsum("ii->i", &[&matrix]).to_vec::<f32>()?, [1.0, 4.0]);
/// # Ok::<(), rushlight_core::Error>(())
/// ```
///
/// # Errors
/// The result carries one if the equation is malformed, has another number of operands or axes than were given,
/// gives one letter two sizes, or the dtypes differ.
#[track_caller]
pub fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
    if let Some(carrier) = operands.iter().find(|operand| operand.error().is_some()) {
        return (*carrier).clone();
    }
    match named_operands(equation, operands) {
        Ok((named, output)) => contract(named, &output),
        Err(fault) => fail("einsum", fault, operands),
    }
}

/// Splits the equation, checks it against the operands and gives each of their axes its label.
fn named_operands(equation: &str, operands: &[&Tensor]) -> Result<(Vec<Named>, Vec<Label>), Fault> {
    let compact: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = match compact.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (compact.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != operands.len() || operands.is_empty() {
        let rule = format!("`{equation}` names {} operand(s), not {}", terms.len(), operands.len());
        return Err(Fault::value(rule));
    }
    let mut named = Vec::new();
    for (term, &operand) in terms.iter().zip(operands) {
        let rank = operand.known_spec().map_or(0, |spec| spec.rank());
        let labels = labels(term, Some(rank), equation)?;
        if labels.len() != rank {
            let rule = format!("`{term}` in `{equation}` names {} axes, not {rank}", labels.len());
            return Err(Fault::shape(rule));
        }
        named.push(Named { tensor: operand.clone(), labels });
    }
    let all: Vec<Label> = named.iter().flat_map(|operand| operand.labels.iter().copied()).collect();
    let mut ellipsis: Vec<Label> =
        all.iter().copied().filter(|label| matches!(label, Label::Ellipsis(_))).collect();
    // The places count from the last axis, so the largest number comes first.
    ellipsis.sort_unstable();
    ellipsis.dedup();
    ellipsis.reverse();
    let output = match right {
        Some(right) => {
            let mut output = Vec::new();
            for label in labels(right, None, equation)? {
                match label {
                    Label::Ellipsis(_) => output.extend(ellipsis.iter().copied()),
                    letter => output.push(letter),
                }
            }
            output
        }
        None => {
            let once = |label: &Label| all.iter().filter(|other| *other == label).count() == 1;
            let mut letters: Vec<Label> = all
                .iter()
                .copied()
                .filter(|label| matches!(label, Label::Letter(_)) && once(label))
                .collect();
            letters.sort_unstable();
            ellipsis.into_iter().chain(letters).collect()
        }
    };
    for (position, label) in output.iter().enumerate() {
        if !all.contains(label) || output[..position].contains(label) {
            let rule = format!("the output of `{equation}` must name axes of the operands, each once");
            return Err(Fault::value(rule));
        }
    }
    check_dtypes(operands)?;
    squeeze_broadcast_axes(&mut named, equation)?;
    Ok((named, output))
}

/// The labels of one term. Without a rank the ellipsis stays one label.
fn labels(term: &str, rank: Option<usize>, equation: &str) -> Result<Vec<Label>, Fault> {
    let (before, after) = match term.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (term, None),
    };
    let letters = |text: &str| -> Result<Vec<Label>, Fault> {
        text.chars()
            .map(|letter| match letter.is_alphabetic() {
                true => Ok(Label::Letter(letter)),
                false => Err(Fault::value(format!(
                    "`{equation}` must consist of letters, commas, `...` once an operand and one `->`"
                ))),
            })
            .collect()
    };
    let mut labels = letters(before)?;
    if let Some(after) = after {
        let after = letters(after)?;
        let covered = match rank {
            Some(rank) => rank.saturating_sub(labels.len() + after.len()),
            None => 1,
        };
        labels.extend((0..covered).rev().map(Label::Ellipsis));
        labels.extend(after);
    }
    Ok(labels)
}

fn check_dtypes(operands: &[&Tensor]) -> Result<(), Fault> {
    let mut dtypes = operands.iter().filter_map(|operand| operand.known_spec()).map(|spec| spec.dtype);
    match dtypes.next() {
        Some(DType::Bool) => Err(Fault::dtype("the operands must be numbers, not bool (cast them first)")),
        Some(first) if dtypes.any(|dtype| dtype != first) => {
            Err(Fault::dtype("all operands must have the same dtype (cast the others)"))
        }
        _ => Ok(()),
    }
}

/// Checks that each label has one size; an ellipsis axis of size 1 that meets a larger one is dropped.
fn squeeze_broadcast_axes(named: &mut [Named], equation: &str) -> Result<(), Fault> {
    let mut sizes: Vec<(Label, usize)> = Vec::new();
    for operand in named.iter() {
        let Some(spec) = operand.tensor.known_spec() else { continue };
        for (&label, &size) in operand.labels.iter().zip(&spec.dims) {
            let broadcasts = matches!(label, Label::Ellipsis(_));
            match sizes.iter_mut().find(|(known, _)| *known == label) {
                None => sizes.push((label, size)),
                Some((_, known)) if *known == size || (broadcasts && size == 1) => {}
                Some((_, known)) if broadcasts && *known == 1 => *known = size,
                Some(_) => {
                    let rule = match label {
                        Label::Letter(letter) => {
                            format!("axes named `{letter}` in `{equation}` must have the same size")
                        }
                        Label::Ellipsis(_) => {
                            format!("the axes under `...` in `{equation}` must broadcast to each other")
                        }
                    };
                    return Err(Fault::shape(rule));
                }
            }
        }
    }
    for operand in named {
        let Some(spec) = operand.tensor.known_spec() else { continue };
        let keeps = |axis: usize| {
            let label = operand.labels[axis];
            spec.dims[axis] != 1 || sizes.iter().any(|&(known, size)| known == label && size == 1)
        };
        let kept: Vec<usize> = (0..spec.rank()).filter(|&axis| keeps(axis)).collect();
        let dims: Dims = kept.iter().map(|&axis| spec.dims[axis]).collect();
        operand.labels = kept.iter().map(|&axis| operand.labels[axis]).collect();
        operand.tensor = operand.tensor.reshape_to(&dims);
    }
    Ok(())
}

#[track_caller]
fn contract(named: Vec<Named>, output: &[Label]) -> Tensor {
    let mut pending: Vec<Named> = named.into_iter().map(Named::with_distinct_labels).collect();
    loop {
        // What only one operand has, and the output has not, is summed before any product.
        for index in 0..pending.len() {
            let elsewhere = |label: &Label| {
                output.contains(label)
                    || pending.iter().enumerate().any(|(i, other)| i != index && other.labels.contains(label))
            };
            let alone: Vec<Label> =
                pending[index].labels.iter().copied().filter(|label| !elsewhere(label)).collect();
            pending[index] = pending[index].summed(&alone);
        }
        if pending.len() == 1 {
            return pending.remove(0).ordered(output).tensor;
        }
        let (first, second) = cheapest_pair(&pending, output);
        let right = pending.remove(second);
        let left = pending.remove(first);
        let kept = |label: &Label| {
            output.contains(label) || pending.iter().any(|other| other.labels.contains(label))
        };
        let product = multiply_pair(&left, &right, kept);
        pending.insert(first, product);
    }
}

/// What an open batch size is taken for when products are compared by their size.
const LIKELY_BATCH: usize = 64;

/// The two operands whose product has the fewest elements; the first such pair.
fn cheapest_pair(pending: &[Named], output: &[Label]) -> (usize, usize) {
    let mut best = (0, 1);
    let mut least = f64::INFINITY;
    for first in 0..pending.len() {
        for second in first + 1..pending.len() {
            let (left, right) = (&pending[first], &pending[second]);
            let others = pending.iter().enumerate().filter(|(i, _)| *i != first && *i != second);
            let others: Vec<Label> = others.flat_map(|(_, other)| other.labels.iter().copied()).collect();
            let added = right.labels.iter().filter(|label| !left.labels.contains(label));
            let elements: f64 = left
                .labels
                .iter()
                .chain(added)
                .filter(|label| output.contains(label) || others.contains(label))
                .map(|&label| close(left.size(label).or(right.size(label)).unwrap_or(1), LIKELY_BATCH) as f64)
                .product();
            if elements < least {
                (best, least) = ((first, second), elements);
            }
        }
    }
    best
}

/// The product of two operands, summed over the shared labels that are not `kept`.
#[track_caller]
fn multiply_pair(left: &Named, right: &Named, kept: impl Fn(&Label) -> bool) -> Named {
    let shared = |label: &Label| right.labels.contains(label);
    let batch: Vec<Label> =
        left.labels.iter().copied().filter(|label| shared(label) && kept(label)).collect();
    let inner: Vec<Label> =
        left.labels.iter().copied().filter(|label| shared(label) && !kept(label)).collect();
    let rows: Vec<Label> = left.labels.iter().copied().filter(|label| !shared(label)).collect();
    let columns: Vec<Label> =
        right.labels.iter().copied().filter(|label| !left.labels.contains(label)).collect();
    let labels = [batch.as_slice(), &rows, &columns].concat();
    let sizes = |labels: &[Label]| -> Dims {
        labels.iter().map(|&label| left.size(label).or(right.size(label)).unwrap_or(1)).collect()
    };
    let dims = sizes(&labels);
    let (batch_dims, row_count, column_count, inner_count) = (
        sizes(&batch),
        element_count(&sizes(&rows)),
        element_count(&sizes(&columns)),
        element_count(&sizes(&inner)),
    );
    let stacked = |rows: usize, columns: usize| {
        let mut dims = batch_dims.clone();
        dims.extend([rows, columns]);
        dims
    };
    let a = left.ordered(&[batch.as_slice(), &rows, &inner].concat()).tensor;
    let b = right.ordered(&[batch.as_slice(), &inner, &columns].concat()).tensor;
    let a = a.reshape_to(&stacked(row_count, inner_count));
    let b = b.reshape_to(&stacked(inner_count, column_count));
    let product = if inner.is_empty() { &a * &b } else { dot(&a, &b, false, false) };
    Named { tensor: product.reshape_to(&dims), labels }
}

impl Named {
    fn size(&self, label: Label) -> Option<usize> {
        let axis = self.labels.iter().position(|&own| own == label)?;
        self.tensor.known_spec().map(|spec| spec.dims[axis])
    }

    /// The diagonal over the axes of each label that is there more than once.
    #[track_caller]
    fn with_distinct_labels(self) -> Named {
        let mut named = self;
        loop {
            let repeated = (0..named.labels.len()).find_map(|second| {
                let first = named.labels[..second].iter().position(|label| *label == named.labels[second])?;
                Some((first, second))
            });
            let Some((first, second)) = repeated else { return named };
            named.tensor = named.tensor.diagonal(first as isize, second as isize);
            // The diagonal is the last axis.
            let label = named.labels.remove(second);
            named.labels.remove(first);
            named.labels.push(label);
        }
    }

    /// Summed over some labels.
    #[track_caller]
    fn summed(&self, over: &[Label]) -> Named {
        let axes: Axes = (0..self.labels.len()).filter(|&axis| over.contains(&self.labels[axis])).collect();
        let labels = self.labels.iter().copied().filter(|label| !over.contains(label)).collect();
        Named { tensor: self.tensor.reduce(Reduction::Sum, axes), labels }
    }

    /// With the axes in another order; `order` has the same labels.
    #[track_caller]
    fn ordered(&self, order: &[Label]) -> Named {
        let axes = order.iter().filter_map(|label| self.labels.iter().position(|own| own == label));
        Named { tensor: self.tensor.permuted(axes.collect()), labels: order.to_vec() }
    }
}
