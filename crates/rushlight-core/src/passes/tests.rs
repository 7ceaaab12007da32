//! Passes and compiled programs on random graphs: what a graph computes must stay, node by node fewer.

use crate::cpu::Program;
use crate::cpu::kernels::testing::Numbers;
use crate::cpu::lower::lower;
use crate::graph::{Graph, Kind, evaluate, from_recording, verify};
use crate::ops::Op;
use crate::passes;
use crate::tensor::{DType, Inner, Spec, Tensor, Value};
use crate::trace::recorder;
use crate::{ConvOptions, Padding, PoolOptions, Tape, concat, where_};
use std::sync::Arc;

fn random_values(numbers: &mut Numbers, dims: &[usize]) -> Tensor {
    Tensor::new(&numbers.take::<f32>(dims.iter().product()), dims)
}

/// One more tensor out of those that are there: any op that gives an image batch again.
fn grow(numbers: &mut Numbers, pool: &[Tensor]) -> Tensor {
    let pick = |numbers: &mut Numbers| pool[numbers.below(pool.len())].clone();
    let x = pick(numbers);
    let channels = x.dims::<4>().unwrap()[3];
    let same = pool.iter().filter(|y| y.shape().unwrap() == x.shape().unwrap()).cloned().collect::<Vec<_>>();
    let y = same[numbers.below(same.len())].clone();
    match numbers.below(17) {
        0 => &x + &y,
        1 => &x * &y,
        2 => (&x - x.mean([0, 1, 2])) * (x.variance([0, 1, 2]) + 0.1).rsqrt(),
        3 => x.relu(),
        4 => where_(&x.greater(&y), &x, &(&y * 0.5)),
        5 => concat(&[&x, &y], -1),
        6 => x.slice_axis(3, 0, channels.div_ceil(2)),
        7 => {
            let filters = 1 + numbers.below(4);
            let kernel = random_values(numbers, &[3, 3, channels, filters]);
            x.conv2d(&kernel, &ConvOptions::new().padding(Padding::Same)) * 0.2
        }
        8 => x.average_pool2d(&PoolOptions::new(3).strides(1).padding(Padding::Same)),
        9 => x.max_pool2d(&PoolOptions::new(3).strides(1).padding(Padding::Same)),
        10 => &x - x.max_keepdims(-1),
        11 => x.transpose([0, 2, 1, 3]),
        12 => {
            let kernel = random_values(numbers, &[1, 1, channels, 3]);
            x.conv2d(&kernel, &ConvOptions::new()).average_pool2d(&PoolOptions::new(2).padding(Padding::Same))
        }
        13 => {
            // A sum with affine terms of which parts are needed, as in the gradient of a dense block.
            let both = concat(&[&x, &y], -1);
            let (u, v) = (both.square().mean([0, 1, 2]), both.mean([0, 1, 2]));
            let sum = both.sigmoid() + &both * &u + &v;
            let part = sum.slice_axis(3, 0, channels) + &x * u.slice_axis(0, 0, channels).tanh();
            concat(&[&part, &sum.slice_axis(3, channels, 2 * channels).relu()], -1)
        }
        14 => concat(&[&x, &y, &x], -1).square().max([0, 1, 2]).slice_axis(0, 1, channels + 1) + &x,
        15 => &x * x.mean_keepdims([1, 2]).sigmoid() + 1.0,
        _ => -(-(&x + 0.0) * 1.0),
    }
}

struct Case {
    graph: Graph,
    inputs: Vec<Value>,
}

fn random_case(numbers: &mut Numbers) -> Case {
    let batch = [3, 16, 32][numbers.below(3)];
    let side = 2 + numbers.below(4);
    let arguments: Vec<Tensor> = (0..1 + numbers.below(2))
        .map(|_| {
            let channels = 1 + numbers.below(5);
            random_values(numbers, &[batch, side, side, channels])
        })
        .collect();
    let ((symbols, outputs), recording) = recorder::record_with(|| {
        let spec = |tensor: &Tensor| Spec::new(tensor.shape().unwrap(), DType::F32);
        let symbols: Vec<Tensor> = arguments.iter().map(|x| recorder::add_input("x", spec(x))).collect();
        let mut pool = symbols.clone();
        for _ in 0..3 + numbers.below(12) {
            let next = grow(numbers, &pool);
            next.check().unwrap();
            pool.push(next);
        }
        let mut outputs = vec![pool.last().unwrap().clone(), pool[pool.len() / 2].sum(..)];
        outputs.push(pool[pool.len() - 2].mean([0, 1, 2]));
        (symbols, outputs)
    });
    let graph = from_recording("random", &recording, &symbols, &outputs);
    let inputs = arguments.iter().map(value_of).collect();
    Case { graph, inputs }
}

fn value_of(tensor: &Tensor) -> Value {
    let Inner::Value(value) = &*tensor.0 else { unreachable!("arguments have values") };
    value.clone()
}

fn assert_same(expected: &[Value], got: &[Value], what: &str, graph: &Graph) {
    assert_eq!(expected.len(), got.len());
    for (expected, got) in expected.iter().zip(got) {
        let elements = |value: &Value| Tensor::from_value(value.clone()).to_vec::<f32>().unwrap();
        let (expected, got) = (elements(expected), elements(got));
        // Sums of what nearly cancels are known to the size of what was summed.
        let size = expected.iter().fold(10.0f32, |size, x| size.max(x.abs()));
        for (a, b) in expected.iter().zip(&got) {
            assert!((a - b).abs() <= 1e-4 * size, "{what} changed {a} to {b} in\n{graph}");
        }
    }
}

#[test]
fn passes_and_programs_keep_what_random_graphs_compute() {
    let mut numbers = Numbers::new(11);
    let (mut before, mut after) = (0, 0);
    for _ in 0..150 {
        let Case { graph, inputs } = random_case(&mut numbers);
        verify(&graph).unwrap();
        let (expected, _) = evaluate(&graph, &inputs, &[]);
        let mut current = graph.clone();
        for pass in passes::all() {
            current = (pass.run)(&current);
            verify(&current).unwrap_or_else(|problem| panic!("{}: {problem}\n{current}", pass.name));
            assert_same(&expected, &evaluate(&current, &inputs, &[]).0, pass.name, &current);
        }
        before += graph.len();
        after += current.len();
        let program = Program::compile(Arc::new(current.clone()), current.clone());
        let inputs: Vec<&Value> = inputs.iter().collect();
        let first = program.run(&[], &inputs).unwrap();
        assert_same(&expected, &first, "the program", &current);
        let second = program.run(&[], &inputs).unwrap();
        for (first, second) in first.iter().zip(&second) {
            assert!(
                first.view().slice::<f32>() == second.view().slice::<f32>(),
                "two runs differ\n{current}"
            );
        }
    }
    assert!(after * 2 < before, "{before} nodes became {after}");
}

#[test]
fn a_normalization_becomes_three_loops() {
    let ((x, y), recording) = recorder::record_with(|| {
        let x = recorder::add_input("x", Spec::new([16, 4, 4, 8], DType::F32));
        let normalized = (&x - x.mean([0, 1, 2])) * (x.variance([0, 1, 2]) + 0.1).rsqrt();
        (x, normalized.relu())
    });
    let graph = passes::optimize(&from_recording("normalization", &recording, &[x], &[y]));
    let loops = graph.nodes.iter().filter(
        |node| matches!(&node.kind, Kind::Fused(fused) if fused.space(|_| &node.outputs[0].dims).len() == 4),
    );
    // Sum, sum of squares around the mean, and the normalization itself; the rest is per channel.
    assert!(loops.count() <= 3, "{graph}");
    assert!(!graph.nodes.iter().any(|node| matches!(node.kind, Kind::Op(Op::Binary(_)))), "{graph}");
}

#[test]
fn a_selection_that_reads_one_loop_twice_and_another_once_joins_all() {
    let ((inputs, output), recording) = recorder::record_with(|| {
        let spec = || Spec::new([5], DType::F32);
        let (x, y) = (recorder::add_input("x", spec()), recorder::add_input("y", spec()));
        let above = &x + 1.0;
        let chosen = where_(&above.greater(0.0), &(&y * 2.0), &(&above * 3.0));
        (vec![x, y], chosen)
    });
    let graph = passes::optimize(&from_recording("selection", &recording, &inputs, &[output]));
    let loops = graph.nodes.iter().filter(|node| matches!(node.kind, Kind::Fused(_)));
    assert_eq!(loops.count(), 1, "{graph}");
}

/// A dense block of layers BN-ReLU-conv, with bottlenecks, pooled in the end: its loss, and all gradients.
#[test]
fn the_gradient_of_a_dense_block_is_done_by_its_convolutions() {
    let mut numbers = Numbers::new(21);
    let (batch, side, growth) = (16, 8, 6);
    let mut arguments = vec![random_values(&mut numbers, &[batch, side, side, 3])];
    arguments.push(random_values(&mut numbers, &[3, 3, 3, 7]));
    let mut channels = 7;
    for _ in 0..2 {
        for dims in [&[channels][..], &[channels], &[1, 1, channels, 8], &[8], &[8], &[3, 3, 8, growth]] {
            arguments.push(random_values(&mut numbers, dims));
        }
        channels += growth;
    }
    arguments.push(random_values(&mut numbers, &[1, 1, channels, 9]));
    let ((symbols, outputs), recording) = recorder::record_with(|| {
        let spec = |tensor: &Tensor| Spec::new(tensor.shape().unwrap(), DType::F32);
        let symbols: Vec<Tensor> = arguments.iter().map(|x| recorder::add_input("x", spec(x))).collect();
        let tape = Tape::new();
        symbols.iter().for_each(|symbol| tape.watch(symbol));
        let norm_relu = |x: &Tensor, gamma: &Tensor, beta: &Tensor| {
            let mean = x.mean([0, 1, 2]);
            let variance = x.square().mean([0, 1, 2]) - mean.square();
            let factor = (variance + 0.01).rsqrt() * gamma;
            (x * &factor + (beta - mean * &factor)).relu()
        };
        let same = ConvOptions::new().padding(Padding::Same);
        let mut x = symbols[0].conv2d(&symbols[1], &same);
        for layer in symbols[2..14].chunks(6) {
            let y = norm_relu(&x, &layer[0], &layer[1]).conv2d(&layer[2], &ConvOptions::new());
            let y = norm_relu(&y, &layer[3], &layer[4]);
            let y = y.conv2d(&layer[5], &same);
            x = concat(&[&x, &y], -1);
        }
        let pooled = x.conv2d(&symbols[14], &ConvOptions::new()).average_pool2d(&PoolOptions::new(2));
        let loss = pooled.square().sum(..);
        let sources: Vec<&Tensor> = symbols.iter().collect();
        let mut outputs = tape.gradient(&loss, &sources).unwrap();
        outputs.push(loss);
        (symbols, outputs)
    });
    let graph = from_recording("dense block", &recording, &symbols, &outputs);
    let inputs: Vec<Value> = arguments.iter().map(value_of).collect();
    let (expected, _) = evaluate(&graph, &inputs, &[]);
    let optimized = passes::optimize(&graph);
    assert_same(&expected, &evaluate(&optimized, &inputs, &[]).0, "a pass", &optimized);
    let program = Program::compile(Arc::new(graph), optimized.clone());
    let listing: String = lower(&optimized).steps.iter().map(|step| format!("{step}\n")).collect();
    let count = |name: &str| listing.matches(name).count();
    assert_eq!(count("in lanes, computed on load"), 8, "both passes of four convolutions:\n{listing}");
    assert_eq!(count("input gradient in lanes, masked"), 4, "{listing}");
    let inputs: Vec<&Value> = inputs.iter().collect();
    assert_same(&expected, &program.run(&[], &inputs).unwrap(), "the program", &optimized);
}

/// One number for all channels is not one number a channel, wherever passes and lowering look for the latter.
#[test]
fn a_single_number_serves_all_channels() {
    let mut numbers = Numbers::new(22);
    let shapes: [&[usize]; 5] = [&[16, 8, 8, 3], &[3, 3, 3, 7], &[3, 3, 7, 6], &[1], &[1]];
    let arguments: Vec<Tensor> = shapes.iter().map(|dims| random_values(&mut numbers, dims)).collect();
    let ((symbols, outputs), recording) = recorder::record_with(|| {
        let spec = |tensor: &Tensor| Spec::new(tensor.shape().unwrap(), DType::F32);
        let symbols: Vec<Tensor> = arguments.iter().map(|x| recorder::add_input("x", spec(x))).collect();
        let tape = Tape::new();
        symbols.iter().for_each(|symbol| tape.watch(symbol));
        let [image, first, second, scale, shift] = &symbols[..] else { unreachable!("five arguments") };
        let same = ConvOptions::new().padding(Padding::Same);
        let x = image.conv2d(first, &same);
        let y = (&x * scale + shift).relu().conv2d(second, &same);
        let both = concat(&[&x, &y], -1);
        let sum = both.sigmoid() + &both * scale + shift;
        let loss = (sum.slice_axis(3, 0, 7) * &x).sum(..) + sum.slice_axis(3, 7, 13).square().sum(..);
        let sources: Vec<&Tensor> = symbols.iter().collect();
        let mut outputs = tape.gradient(&loss, &sources).unwrap();
        outputs.push(loss);
        (symbols, outputs)
    });
    let graph = from_recording("single numbers", &recording, &symbols, &outputs);
    let inputs: Vec<Value> = arguments.iter().map(value_of).collect();
    let (expected, _) = evaluate(&graph, &inputs, &[]);
    let optimized = passes::optimize(&graph);
    assert_same(&expected, &evaluate(&optimized, &inputs, &[]).0, "a pass", &optimized);
    let program = Program::compile(Arc::new(graph), optimized.clone());
    let inputs: Vec<&Value> = inputs.iter().collect();
    assert_same(&expected, &program.run(&[], &inputs).unwrap(), "the program", &optimized);
}
