//! Functions with an open batch axis: one recording, compiled for each batch size that comes.

use crate::cpu::Program;
use crate::graph::{Graph, Kind, Node};
use crate::passes;
use crate::tensor::{BATCH, Error, ErrorKind, Result, Spec, close, is_open};
use crate::trace::signature::{Flat, Key};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, PoisonError};

/// Programs kept per recording; the one unused for longest makes room.
const CAPACITY: usize = 16;

/// The programs of one recording.
pub(crate) enum Programs {
    One(Arc<Program>),
    /// Made when a batch size is first met; the least recently used first.
    PerBatch(Mutex<Vec<(usize, Arc<Program>)>>),
}

impl Programs {
    /// The program of a recorded graph, or one for each batch size if its batch axis is open.
    pub(crate) fn new(recorded: &Graph) -> Programs {
        let is_open = |spec: &Spec| spec.dims.iter().any(|&dim| is_open(dim));
        if recorded.nodes.iter().any(|node| node.outputs.iter().any(is_open)) {
            return Programs::PerBatch(Mutex::default());
        }
        let optimized = passes::optimize(recorded);
        Programs::One(Arc::new(Program::compile(Arc::new(recorded.clone()), optimized)))
    }

    /// The program for calls with that batch size, compiled now if it has to be.
    ///
    /// With a budget of memory in bytes, an error if there is no plan within it.
    pub(crate) fn of(
        &self,
        recorded: &Graph,
        batch: Option<usize>,
        budget: Option<usize>,
    ) -> Result<Arc<Program>> {
        let (programs, batch) = match (self, batch) {
            (Programs::One(program), _) => return Ok(program.clone()),
            (Programs::PerBatch(programs), batch) => (programs, batch.unwrap_or(1)),
        };
        let lock = || programs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |programs: &mut Vec<(usize, Arc<Program>)>| {
            let index = programs.iter().position(|(size, _)| *size == batch)?;
            programs[index..].rotate_left(1);
            programs.last().map(|(_, program)| program.clone())
        };
        if let Some(program) = known(&mut lock()) {
            return Ok(program);
        }
        let program = Arc::new(compiled(closed(recorded, batch)?, budget)?);
        let mut programs = lock();
        if programs.len() >= CAPACITY {
            programs.remove(0);
        }
        programs.push((batch, program.clone()));
        Ok(program)
    }

    /// The program used last.
    pub(crate) fn newest(&self) -> Option<Arc<Program>> {
        match self {
            Programs::One(program) => Some(program.clone()),
            Programs::PerBatch(programs) => {
                let programs = programs.lock().unwrap_or_else(PoisonError::into_inner);
                programs.last().map(|(_, program)| program.clone())
            }
        }
    }

    /// The batch sizes that there are programs for, if the batch axis is open.
    pub(crate) fn batches(&self) -> Option<Vec<usize>> {
        match self {
            Programs::One(_) => None,
            Programs::PerBatch(programs) => {
                let programs = programs.lock().unwrap_or_else(PoisonError::into_inner);
                Some(programs.iter().map(|(batch, _)| *batch).collect())
            }
        }
    }
}

fn compiled(graph: Graph, budget: Option<usize>) -> Result<Program> {
    let optimized = passes::optimize(&graph);
    Program::compile_within(Arc::new(graph), optimized, budget)
}

/// The graph with the size of its open batch axis filled in.
pub(crate) fn closed(graph: &Graph, batch: usize) -> Result<Graph> {
    let fill = |spec: &Spec| Spec {
        dims: spec.dims.iter().map(|&dim| close(dim, batch)).collect(),
        dtype: spec.dtype,
    };
    let mut closed = Graph { nodes: Vec::with_capacity(graph.nodes.len()), ..graph.clone() };
    for node in &graph.nodes {
        let (kind, outputs) = match &node.kind {
            Kind::Op(op) => {
                let op = op.with_batch(batch);
                let specs: SmallVec<[&Spec; 4]> = node.inputs.iter().map(|&id| closed.spec(id)).collect();
                let outputs = op.infer(&specs).map_err(|fault| {
                    let rule = format!("for a batch of {batch}: {}", fault.rule);
                    Error::located(
                        fault.kind,
                        op.name(),
                        rule,
                        node.origin.location,
                        node.origin.path.clone(),
                    )
                })?;
                (Kind::Op(op), outputs)
            }
            kind => (kind.clone(), node.outputs.iter().map(fill).collect()),
        };
        closed.nodes.push(Node { kind, outputs, ..node.clone() });
    }
    Ok(closed)
}

impl Flat {
    /// The same arguments with the first axis of some left open, and the size that it has in all of their tensors.
    ///
    /// Tensors without axes stay as they are.
    #[track_caller]
    pub(crate) fn with_open_batch(&self, function: &str, open: &[&str]) -> Result<(Flat, Option<usize>)> {
        let mut flat = self.clone();
        let mut first: Option<(String, usize)> = None;
        for part in &mut flat.parts {
            let label = part.label().into_owned();
            let Key::Tensor(spec) = &mut part.key else { continue };
            if !open.contains(&part.argument) || spec.rank() == 0 {
                continue;
            }
            let size = std::mem::replace(&mut spec.dims[0], BATCH);
            match &first {
                None => first = Some((label, size)),
                Some((_, batch)) if *batch == size => {}
                Some((other, batch)) => {
                    let rule = format!(
                        "arguments with an open batch axis must have the same batch size: `{other}` has {batch}, \
                         `{label}` has {size}"
                    );
                    return Err(Error::new(ErrorKind::Shape, function, rule));
                }
            }
        }
        Ok((flat, first.map(|(_, batch)| batch)))
    }
}
