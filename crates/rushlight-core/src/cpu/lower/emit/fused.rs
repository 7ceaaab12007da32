//! Fused loops, alone or with the product that they read; and small matrix products.

use super::{Emitter, overlap};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::fused::{FusedLoop, ScalarLoop};
use crate::cpu::kernels::loops::row_product_kernel;
use crate::cpu::kernels::product_loop::{Factor, ProductLoop};
use crate::cpu::lower::fused::{Loop, make_loop, may_overwrite};
use crate::cpu::lower::layout::fused_runs_in_lanes;
use crate::cpu::lower::place::{Layout, Place, Storage};
use crate::cpu::steps::Work;
use crate::graph::{Constant, Fused, Kind, Node, ValueId};
use crate::ops::Op;
use crate::ops::linear::Dot;
use crate::tensor::DType;
use smallvec::SmallVec;

impl Emitter<'_> {
    pub(super) fn fused(&mut self, index: usize, node: &Node, fused: &Fused) {
        let graph = self.graph;
        let space = fused.space(|input| &graph.spec(node.inputs[input]).dims).clone();
        let lanes = fused_runs_in_lanes(graph, &self.layouts, index);
        let product = self.products.at(index);
        let inputs: Vec<Place> = node
            .inputs
            .iter()
            .map(|&id| {
                if product.is_some_and(|product| product as u32 == id.node) {
                    return Place::contiguous(Storage::Passing, graph.spec(id).dtype, &space);
                }
                match lanes && graph.spec(id).dims == space {
                    true => self.in_lanes(id),
                    // Kept in lanes but read here through a broadcast, or by a loop that runs in strides.
                    false => self.strided(id),
                }
            })
            .collect();
        let mut in_place: SmallVec<[bool; 2]> = SmallVec::new();
        let mut results: Vec<Place> = Vec::new();
        for (result, spec) in node.outputs.iter().enumerate() {
            let id = ValueId { node: index as u32, output: result as u32 };
            let element =
                spec.dims == space && !matches!(fused.body[fused.results[result]].op, Op::Reduce(_));
            let taken =
                if element { self.take_over(index, node, fused, result, &inputs, &results) } else { None };
            in_place.push(taken.is_some());
            let place = match taken {
                Some(place) => {
                    self.settle(id, place.clone());
                    place
                }
                None => self.allocate(id, lanes && element),
            };
            results.push(place);
        }
        let made = make_loop(fused, &space, lanes, &inputs, &results, &in_place);
        if let Some(product) = product {
            self.product_loop(index, &graph.nodes[product], made);
            return self.along([product]);
        }
        let known: Vec<Option<u64>> = made.inputs.iter().map(|place| self.known_scalar(place)).collect();
        if let Some(scalars) = ScalarLoop::new(&made.description, &known) {
            let inputs = made.inputs.into_iter().zip(&known).filter(|(_, known)| known.is_none());
            let inputs = inputs.map(|(place, _)| place).collect();
            return self.push(Work::Scalars(Box::new(scalars)), inputs, made.outputs.into(), index);
        }
        let work = Work::Loop(Box::new(FusedLoop::new(&made.description)));
        self.push(work, made.inputs.into(), made.outputs.into(), index);
    }

    /// A loop with the product that it reads.
    fn product_loop(&mut self, index: usize, product: &Node, made: Loop) {
        let Kind::Op(Op::Dot(dot)) = &product.kind else { unreachable!("only products are taken") };
        let places: [Place; 2] = std::array::from_fn(|number| self.strided(product.inputs[number]));
        let transposed = [dot.transpose_left, dot.transpose_right];
        let factors = std::array::from_fn(|number| {
            let Layout::Strided(strides) = &places[number].layout else {
                unreachable!("made strided just now")
            };
            let (row_stride, column_stride) = (strides[0], strides[1]);
            match transposed[number] {
                true => Factor { row_stride: column_stride, column_stride: row_stride },
                false => Factor { row_stride, column_stride },
            }
        });
        let depth = places[0].dims[usize::from(!dot.transpose_left)];
        let [m, n] = [0, 1].map(|axis| product.outputs[0].dims[axis]);
        let is_product: Vec<bool> =
            made.inputs.iter().map(|place| place.storage == Storage::Passing).collect();
        let planned = ProductLoop::new([m, n, depth], factors, &made.description, &is_product);
        let mut inputs = SmallVec::from_iter(places);
        inputs.extend(made.inputs.into_iter().filter(|place| place.storage != Storage::Passing));
        self.push(Work::Product(Box::new(planned)), inputs, made.outputs.into(), index);
    }

    /// The bytes of a constant without axes, as they lie in memory.
    fn known_scalar(&self, place: &Place) -> Option<u64> {
        let Storage::Constant(number) = place.storage else { return None };
        Constant(self.constants[number].clone()).scalar().map(|bits| u64::from_ne_bytes(bits.to_le_bytes()))
    }

    /// The memory of an input that nobody reads after this node and that a result may overwrite.
    fn take_over(
        &self,
        index: usize,
        node: &Node,
        fused: &Fused,
        result: usize,
        inputs: &[Place],
        earlier: &[Place],
    ) -> Option<Place> {
        let id = ValueId { node: index as u32, output: result as u32 };
        let spec = &node.outputs[result];
        let wanted_variable = self.assigned_to.get(&id).copied();
        if self.part_of.contains_key(&id) || (wanted_variable.is_none() && self.result_of.contains_key(&id)) {
            return None;
        }
        // A variable's new value goes straight to the variable once its old value is read for the last time.
        if let Some(variable) = wanted_variable {
            let home = Place::contiguous(Storage::Variable(variable), spec.dtype, &spec.dims);
            let free = self.dead_after(index, &home);
            let unread = self.inputs_in(&home, inputs).all(|input| {
                inputs[input].layout == home.layout
                    && inputs[input].offset == home.offset
                    && inputs[input].dims == home.dims
                    && may_overwrite(fused, input)
            });
            let unique =
                !self.layouts.is_lanes(id) && !earlier.iter().any(|place| place.storage == home.storage);
            return (free && unread && unique).then_some(home);
        }
        (0..inputs.len()).find_map(|input| {
            let place = &inputs[input];
            let fits = matches!(place.storage, Storage::Temporary(_))
                && place.dims == spec.dims
                && place.dtype == spec.dtype
                && place.is_lanes() == self.layouts.is_lanes(id)
                && (place.is_lanes() || place.is_contiguous())
                && !earlier.iter().any(|place| place.storage == inputs[input].storage)
                && may_overwrite(fused, input);
            // No other input may look at the same memory in another way.
            let alone = fits
                && self
                    .inputs_in(place, inputs)
                    .all(|other| other == input || (overlap(&inputs[other], place) == Some(false)));
            (alone && self.dead_after(index, place)).then(|| place.clone())
        })
    }

    fn inputs_in<'b>(&self, place: &'b Place, inputs: &'b [Place]) -> impl Iterator<Item = usize> + 'b {
        (0..inputs.len()).filter(|&input| inputs[input].storage == place.storage)
    }
}

/// The way of a product of a row and a matrix that are small and lie in order.
pub(super) fn row_product(op: &Op, inputs: &[Place]) -> Option<Work> {
    const MOST_ROWS: usize = 256;
    const MOST_COLUMNS: usize = 1024;
    let Op::Dot(Dot { transpose_left: false, transpose_right: false }) = op else { return None };
    let [left, right] = inputs else { return None };
    let rank = right.dims.len();
    let (rows, columns) = (right.dims[rank - 2], right.dims[rank - 1]);
    let is_row = left.dims[..rank - 1].iter().all(|&dim| dim == 1);
    let is_small =
        rows <= MOST_ROWS && columns <= MOST_COLUMNS && right.dims[..rank - 2].iter().all(|&dim| dim == 1);
    let fits =
        is_row && is_small && left.dtype == DType::F32 && left.is_contiguous() && right.is_contiguous();
    fits.then(|| Work::RowProduct(rows, row_product_kernel(Isa::current())))
}
