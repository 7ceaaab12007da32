//! What graphs of functions show: the time and the memory of every kernel, bodies of loops and branches, effects in order.

use super::function_graph::{op_graph, runs};
use super::graph::{OpGraph, OpNode};
use crate::applications::config_by_name;
use crate::prelude::*;
use rushlight_core::profile::{Picture, PictureKind, PictureNode, Profile, profile};
use rushlight_core::{assert_that, callback, scope, sparse_categorical_crossentropy};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn pictures(collected: &Profile, call: usize) -> [Picture; 2] {
    let plan = &collected.graphs[call].plan;
    [plan.recorded(), plan.compiled()]
}

/// Checks that nodes share the time of every kernel of a call without a gap, in the pictures and in what is logged of them.
fn check_times(collected: &Profile, call: usize) {
    let of_call = || collected.kernels.iter().filter(|kernel| kernel.place.is_some_and(|at| at.call == call));
    let outer = of_call().filter_map(|kernel| kernel.place);
    let inner = collected.inner.keys().filter(|place| place.call == call).copied();
    let steps: Vec<usize> = outer.chain(inner).map(|place| place.step).collect();
    assert!(!steps.is_empty());
    let took: Duration = of_call().map(|kernel| kernel.duration).sum();
    for picture in pictures(collected, call) {
        let mut covered: BTreeMap<usize, f64> = BTreeMap::new();
        for share in picture.nodes.iter().flat_map(|node| &node.shares) {
            *covered.entry(share.step).or_default() += share.to - share.from;
        }
        for step in &steps {
            let part = covered.get(step).copied().unwrap_or(0.0);
            let kernel = of_call().find(|kernel| kernel.place.is_some_and(|place| place.step == *step));
            let drawn =
                picture.nodes.iter().filter(|node| node.shares.iter().any(|share| share.step == *step));
            let drawn: Vec<_> = drawn.map(|node| (&node.op, &node.shares)).collect();
            assert!((part - 1.0).abs() < 1e-9, "{part} of kernel {step} is drawn: {kernel:?} as {drawn:?}");
        }
        op_graph(&picture).check().unwrap();
        let runs = runs(&picture, collected, call);
        let sum: Duration = runs.iter().filter_map(|run| Some(run.time?.1)).sum();
        let apart = sum.abs_diff(took).as_secs_f64() / took.as_secs_f64();
        assert!(apart < 1e-3, "{sum:?} of {took:?} is logged");
        // What the page shows for a scope is the sum of what is in it.
        let scopes: BTreeSet<&str> =
            runs.iter().filter_map(|run| Some(run.node.rsplit_once('/')?.0)).collect();
        for scope in scopes {
            let inside = runs
                .iter()
                .filter(|run| run.node.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/')));
            let times: Vec<(Duration, Duration)> = inside.filter_map(|run| run.time).collect();
            let first = times.iter().map(|(start, _)| *start).min().unwrap_or_default();
            let last = times.iter().map(|(start, took)| *start + *took).max().unwrap_or_default();
            assert_eq!(last - first, times.iter().map(|(_, took)| *took).sum(), "{scope}");
        }
    }
}

/// Checks that nodes fill the bytes that kernels fill, no more and no less.
fn check_memory(collected: &Profile, call: usize) {
    let of_call = collected.kernels.iter().filter(|kernel| kernel.place.is_some_and(|at| at.call == call));
    let filled: usize = of_call.flat_map(|kernel| &kernel.outputs).map(Spec::bytes).sum();
    for picture in pictures(collected, call) {
        let steps_of = |node: &PictureNode| node.shares.iter().map(|share| share.step).collect::<Vec<_>>();
        let of_ops = || picture.nodes.iter().filter(|node| node.kind == PictureKind::Op);
        let computed: BTreeSet<usize> = of_ops().flat_map(steps_of).collect();
        // Variables and arguments hold what was there before, assignments and results what an op has written there.
        let holds = |node: &PictureNode| match node.kind {
            PictureKind::Variable(_) | PictureKind::Argument(_) => true,
            PictureKind::Assign(_) => steps_of(node).iter().any(|step| computed.contains(step)),
            PictureKind::Result(_) => node.shares.is_empty(),
            _ => false,
        };
        let nodes = picture.nodes.iter().filter(|node| !holds(node));
        assert_eq!(nodes.map(|node| node.bytes).sum::<usize>(), filled);
    }
}

fn has_kernel(collected: &Profile, part: &str) -> bool {
    collected.kernels.iter().any(|kernel| kernel.kernel.contains(part))
}

#[test]
fn what_convolutions_do_along_the_way_has_its_part_of_their_time() {
    random::set_seed(0);
    let config = config_by_name("small").unwrap();
    let (model, optimizer) = (config.build().unwrap(), Sgd::new(0.1).momentum(0.9));
    let step = rushlight_core::trace::function("step", |(x, y): &(Tensor, Tensor)| -> Result<Tensor> {
        let variables = model.trainable_variables();
        let loss = || sparse_categorical_crossentropy(y, &model.call(x)).mean(..);
        let (loss, gradients) = training(true, || value_and_grad(loss, &variables))?;
        optimizer.apply(&gradients, &variables)?;
        Ok(loss)
    });
    let x = random::normal([&[16], config.input()].concat(), 0.0, 1.0, DType::F32);
    let y = random::randint([16], 0, 10, DType::I32);
    let (_, collected) = profile(|| step.call(&(x, y)).unwrap().check().map(drop).unwrap());
    assert!(has_kernel(&collected, "masked") && has_kernel(&collected, "kernel gradient in lanes, computed"));
    check_times(&collected, 0);
    check_memory(&collected, 0);
    // A convolution takes more than what it does along the way.
    let [recorded, compiled] = pictures(&collected, 0);
    let masked = collected.kernels.iter().find(|kernel| kernel.kernel.contains("masked")).unwrap();
    let of_masked = compiled.nodes.iter().filter(|node| {
        node.kernel.as_ref().is_some_and(|kernel| Some(kernel.step) == masked.place.map(|place| place.step))
    });
    let part = |node: &rushlight_core::profile::PictureNode| -> f64 {
        node.shares.iter().map(|share| share.to - share.from).sum()
    };
    let parts: Vec<(String, f64)> = of_masked.map(|node| (node.op.clone(), part(node))).collect();
    let convolution = parts.iter().find(|(op, _)| op == "conv_input_gradient_lanes").unwrap().1;
    assert!(parts.len() > 4 && convolution > 0.5, "{parts:?}");
    // So has the recorded op that it was.
    let gradients = recorded.nodes.iter().filter(|node| node.op == "conv_transpose");
    let masked = collected.kernels.iter().filter(|kernel| kernel.kernel.contains("masked")).count();
    let parts: Vec<f64> = gradients.map(part).collect();
    assert!(parts.iter().filter(|&&part| part > 0.5).count() >= masked, "{masked} of {parts:?}");
}

#[test]
fn channel_convolutions_and_what_is_kept_from_call_to_call_are_told_apart() {
    random::set_seed(0);
    let config = config_by_name("small").unwrap();
    let model = config.build().unwrap();
    let infer = rushlight_core::trace::function("infer", |x: &Tensor| model.call(x));
    let x = random::normal([&[2], config.input()].concat(), 0.0, 1.0, DType::F32);
    let (_, collected) = profile(|| (0..2).for_each(|_| assert!(infer.call(&x).check().is_ok())));
    assert!(has_kernel(&collected, "in channels with") && has_kernel(&collected, "pack a kernel"));
    check_times(&collected, 0);
    check_memory(&collected, 0);
    // The second call runs nothing that was kept.
    let of_call = |call: usize| {
        let is_of_call =
            |kernel: &&rushlight_core::profile::KernelRun| kernel.place.is_some_and(|at| at.call == call);
        collected.kernels.iter().filter(is_of_call).count()
    };
    let kept = collected.graphs[1].plan.kept();
    assert!(kept > 0 && of_call(1) == of_call(0) - kept);
    check_times(&collected, 1);
    let compiled = collected.graphs[1].plan.compiled();
    let packed = runs(&compiled, &collected, 1);
    let packed = packed.iter().filter(|run| run.node.contains("pack_kernel"));
    assert!(
        packed.clone().count() > 3
            && packed.clone().all(|run| run.time.is_some_and(|(_, took)| took.is_zero()))
    );
}

fn find<'a>(graph: &'a OpGraph, name: &str) -> &'a OpNode {
    let names = || graph.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>();
    graph.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name} in {:#?}", names()))
}

#[test]
fn bodies_of_loops_and_branches_are_drawn_with_their_times() {
    let weight = Variable::new("cell/weight", &random::normal([32, 32], 0.0, 0.1, DType::F32)).unwrap();
    let run = rushlight_core::trace::function("run", |xs: &Tensor| -> Result<Tensor> {
        let loss = || {
            let (state, all) = scan(Tensor::zeros([8, 32], DType::F32), xs, |state: Tensor, x: Tensor| {
                let next = scope("cell", None, || (state.matmul(&weight.read()) + x).tanh());
                (next.clone(), next)
            });
            let halved = while_loop_at_most(
                60,
                state,
                |state: &Tensor| state.abs().max(..).greater(0.05),
                |state: Tensor| {
                    for_range(0..20, state, |_, state: Tensor| {
                        (&state * 0.9).matmul(&weight.read()) + &state * 0.01
                    })
                },
            );
            let chosen =
                cond(&halved.sum(..).greater(1e9), || halved.exp(), || halved.matmul(&weight.read()));
            all.square().sum(..) + chosen.sum(..)
        };
        let (loss, gradients) = value_and_grad(loss, std::slice::from_ref(&weight))?;
        Ok(loss + gradients[0].sum(..))
    });
    let xs = random::normal([30, 8, 32], 0.0, 1.0, DType::F32);
    let (_, collected) = profile(|| run.call(&xs).unwrap().check().map(drop).unwrap());
    assert!(collected.inner.values().any(|inner| inner.runs == 30), "{:?}", collected.inner);
    check_times(&collected, 0);
    let [recorded, compiled] = pictures(&collected, 0).map(|picture| op_graph(&picture));
    let scan = find(&recorded, "scan_1/scan");
    assert!(find(&recorded, "scan_1/body/cell/tanh").inputs[0].starts_with("scan_1/body/cell/"));
    assert!(scan.inputs.iter().any(|input| input == "scan_1/body/cell/tanh"), "{:?}", scan.inputs);
    assert_eq!(find(&recorded, "scan_1/body/row").inputs, ["argument_0"]);
    let has = |graph: &OpGraph, parts: &[&str]| {
        graph.nodes.iter().any(|node| parts.iter().all(|part| node.name.contains(part)))
    };
    assert!(has(&recorded, &["/body/for_range_", "/body/"]));
    let names = || compiled.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>();
    assert!(has(&compiled, &["scan_", "/body/", "loop_"]), "{:#?}", names());
    assert!(has(&compiled, &["/branch_0/"]) && has(&compiled, &["/branch_1/"]), "{:#?}", names());
    // Of the branches only the one that was taken took time.
    let runs = runs(&collected.graphs[0].plan.compiled(), &collected, 0);
    let timed = runs.iter().filter(|run| run.node.contains("/branch_") && run.time.is_some());
    let timed: Vec<&str> = timed.map(|run| run.node.as_str()).collect();
    assert!(!timed.is_empty() && timed.iter().all(|name| !name.ends_with("/exp")), "{timed:?}");
}

#[test]
fn effects_are_linked_in_their_order_by_edges_without_values() {
    let log = function("log", |x: &Tensor| -> Result<Tensor> {
        let _ = x.print("first");
        let y = x.exp();
        assert_that(&y.min(..).greater(0.0), "positive")?;
        let _ = for_range(0..50, y.clone(), |_, state: Tensor| {
            let _ = state.print("inside");
            state * 0.99
        });
        callback(&[&y], |_| Ok(()))?;
        Ok(y)
    });
    let (_, collected) =
        profile(|| drop(log.call(&Tensor::from([1.0f32, 2.0])).unwrap().to_vec::<f32>().unwrap()));
    for picture in pictures(&collected, 0) {
        let graph = op_graph(&picture);
        graph.check().unwrap();
        // Copies of the number of effects lie between them.
        let controls = |name: &str| -> Vec<String> {
            let mut found: Vec<String> = Vec::new();
            let mut pending = find(&graph, name).inputs.clone();
            while let Some(input) = pending.pop() {
                let Some(source) = input.strip_prefix('^') else { continue };
                let node = find(&graph, source);
                match node.op.as_str() {
                    "copy" => pending.extend(node.inputs.iter().cloned()),
                    _ => found.push(source.to_string()),
                }
            }
            found
        };
        assert_eq!(controls("print"), [""; 0]);
        assert_eq!(controls("assert_that"), ["print"]);
        assert_eq!(controls("for_range_1/body/print"), ["assert_that"]);
        assert_eq!(controls("for_range_1/for_range"), ["for_range_1/body/print"]);
        assert_eq!(controls("callback"), ["for_range_1/for_range"]);
        assert!(graph.nodes.iter().all(|node| !node.name.contains("number of effects")));
        assert!(find(&graph, "print").inputs.contains(&"argument_0".to_string()));
    }
    check_times(&collected, 0);
}
