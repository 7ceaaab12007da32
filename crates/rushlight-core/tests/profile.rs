//! Profiles: what ran, where it stands in the graph, and the pictures of graphs.

use rushlight_core::profile::{self, Picture, PictureKind, profile};
use rushlight_core::{
    ConvOptions, DType, Padding, Result, Tensor, Variable, function, scope, value_and_grad,
};

/// A training step of a small net, with a convolution in lanes, fused loops, a shared value and two assignments.
fn profiled_step() -> profile::Profile {
    let kernel = Variable::new("net/conv/kernel", &Tensor::full([3, 3, 3, 16], 0.01, DType::F32)).unwrap();
    let bias = Variable::new("net/conv/bias", &Tensor::zeros([16], DType::F32)).unwrap();
    let variables = [kernel.clone(), bias.clone()];
    let step = function("step", move |x: &Tensor| -> Result<Tensor> {
        let loss = || {
            scope("net", None, || {
                let options = ConvOptions::new().padding(Padding::Same);
                let y = scope("conv", None, || x.conv2d(&kernel.read(), &options) + bias.read());
                let z = scope("act", None, || y.relu().exp());
                // Twice the same: computed once.
                (&z * 2.0).sum(..) + (&z * 2.0).sum(..)
            })
        };
        let (loss, gradients) = value_and_grad(loss, &variables)?;
        for (variable, gradient) in variables.iter().zip(&gradients) {
            variable.assign(&(variable.read() - gradient * 0.1))?;
        }
        Ok(loss)
    });
    let x = Tensor::linspace(-1.0, 1.0, 16 * 8 * 8 * 3, DType::F32).reshape([16, 8, 8, 3]);
    let (loss, collected) = profile(|| step.call(&x));
    loss.unwrap().check().unwrap();
    collected
}

fn check(picture: &Picture) {
    for (index, node) in picture.nodes.iter().enumerate() {
        for input in &node.inputs {
            assert!(input.node < index, "{} reads what comes later", node.op);
            let outputs = picture.nodes[input.node].outputs.len();
            assert!(input.is_control || input.output < outputs, "{} reads no result", node.op);
        }
        assert!(
            node.shares
                .iter()
                .all(|share| 0.0 <= share.from && share.from <= share.to && share.to <= 1.0 + 1e-9)
        );
    }
}

#[test]
fn every_kernel_is_told_apart_and_belongs_to_nodes_in_full() {
    let collected = profiled_step();
    let [call] = collected.graphs.as_slice() else { panic!("one call: {:?}", collected.graphs) };
    assert_eq!(&*call.function, "step");
    let steps: Vec<usize> = collected.kernels.iter().filter_map(|kernel| Some(kernel.place?.step)).collect();
    assert_eq!(steps, (0..steps.len()).collect::<Vec<_>>(), "kernels ran in order, once each");
    let inside: std::time::Duration =
        collected.kernels.iter().filter(|kernel| kernel.place.is_some()).map(|kernel| kernel.duration).sum();
    assert!(inside <= call.duration && call.duration <= collected.duration);

    for picture in [call.plan.recorded(), call.plan.compiled()] {
        check(&picture);
        let mut covered = vec![0.0; steps.len()];
        let shares = picture.nodes.iter().flat_map(|node| &node.shares);
        shares.for_each(|share| covered[share.step] += share.to - share.from);
        assert!(covered.iter().all(|part| (part - 1.0).abs() < 1e-9), "{covered:?}");
    }
    let compiled = call.plan.compiled();
    assert!(compiled.nodes.iter().any(|node| node.op == "conv_lanes" && !node.places[0].is_empty()));
    assert!(compiled.nodes.iter().any(|node| node.kernel.is_some()));
}

#[test]
fn variables_assignments_results_and_gradients_are_drawn() {
    let collected = profiled_step();
    for picture in [collected.graphs[0].plan.recorded(), collected.graphs[0].plan.compiled()] {
        check(&picture);
        let count = |wanted: &dyn Fn(&PictureKind) -> bool| {
            picture.nodes.iter().filter(|node| wanted(&node.kind)).count()
        };
        assert_eq!(count(&|kind| matches!(kind, PictureKind::Variable(_))), 2);
        assert_eq!(count(&|kind| matches!(kind, PictureKind::Assign(_))), 2);
        assert_eq!(count(&|kind| matches!(kind, PictureKind::Result(0))), 1);
        let assign =
            |node: &&profile::PictureNode| node.kind == PictureKind::Assign("net/conv/kernel".into());
        let assign = picture.nodes.iter().find(assign).unwrap();
        let old = &picture.nodes[assign.inputs[0].node];
        assert_eq!(
            (&old.kind, old.bytes),
            (&PictureKind::Variable("net/conv/kernel".into()), 3 * 3 * 3 * 16 * 4)
        );
        assert!(
            assign.inputs.iter().any(|input| input.is_control),
            "the convolution reads the old kernel first"
        );
        let in_scope = |path: &str| picture.nodes.iter().any(|node| node.path.as_deref() == Some(path));
        assert!(in_scope("step/net/conv") && in_scope("step/net/conv/gradient"));
    }
    let recorded = collected.graphs[0].plan.recorded();
    let timed = recorded.nodes.iter().filter(|node| !node.shares.is_empty()).count();
    assert!(
        timed * 2 > recorded.nodes.len(),
        "{timed} of {} recorded nodes have a time",
        recorded.nodes.len()
    );
}

#[test]
fn temporary_memory_has_lifetimes_within_the_program() {
    let collected = profiled_step();
    let call = &collected.graphs[0];
    let lifetimes = call.plan.lifetimes();
    assert!(!lifetimes.is_empty());
    for lifetime in &lifetimes {
        assert!(lifetime.first <= lifetime.last && lifetime.last < collected.kernels.len());
        assert!(lifetime.offset + lifetime.bytes <= call.temporary_bytes);
    }
}

#[test]
fn spans_of_all_threads_are_collected_while_a_profile_is_on_the_way() {
    assert_eq!(profile::span("nobody looks", || 3), 3);
    let (_, collected) = profile(|| {
        profile::span("waiting", || std::thread::sleep(std::time::Duration::from_millis(2)));
        let thread = std::thread::Builder::new().name("loader".into());
        thread.spawn(|| profile::span("loading", || ())).unwrap().join().unwrap();
    });
    let found = |name: &str| collected.spans.iter().find(|span| span.name == name).unwrap();
    assert!(found("waiting").thread.is_none() && found("waiting").duration.as_millis() >= 2);
    assert_eq!(found("loading").thread.as_deref(), Some("loader"));
    assert!(collected.spans.iter().all(|span| span.name != "nobody looks"));
}

#[test]
fn threads_of_the_pool_are_told_apart() {
    rushlight_core::cpu::threads::set_thread_count(2);
    let x = Tensor::full([512, 512], 0.5, DType::F32);
    // Another test's call may hold the pool: then this one runs on one thread, and is tried again.
    for _ in 0..200 {
        let (y, collected) = profile(|| x.matmul(&x));
        y.check().unwrap();
        let of_first = collected.workers.iter().filter(|run| run.kernel == 0);
        let workers: std::collections::HashSet<usize> = of_first.map(|run| run.worker).collect();
        if workers.len() == 2 {
            return;
        }
    }
    panic!("never did two threads work");
}
