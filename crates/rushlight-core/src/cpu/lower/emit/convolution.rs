//! Convolutions and pooling as steps, with the loops that they do along the way.

use super::{Emitter, overlap};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::conv_lanes::LanesConv;
use crate::cpu::kernels::window_lanes::LanesWindow;
use crate::cpu::lower::attach::{Made, MaskedLoop};
use crate::cpu::lower::channels::{Planned, Terms};
use crate::cpu::lower::layout::lanes_convolution;
use crate::cpu::lower::place::{Place, Storage};
use crate::cpu::steps::{AlongPlaces, Work};
use crate::graph::{Node, ValueId};
use crate::ops::Op;
use crate::tensor::{DType, Spec};
use smallvec::SmallVec;

impl Emitter<'_> {
    pub(super) fn convolution(&mut self, index: usize, node: &Node, op: &Op, sizes: LanesConv) {
        let id = ValueId { node: index as u32, output: 0 };
        let kernel_gradient = matches!(op, Op::ConvolutionKernelGradient(..));
        let made = self.attached.made.get(&node.inputs[0]).copied();
        let first = self.in_lanes(made.map_or(node.inputs[0], |made| made.x));
        let second =
            if kernel_gradient { self.in_lanes(node.inputs[1]) } else { self.contiguous(node.inputs[1]) };
        let mut inputs = smallvec::smallvec![first, second];
        inputs.extend(made.iter().flat_map(|made| self.affine(made)));
        let floor = made.map(|made| made.floor);
        let output = self.allocate(id, !kernel_gradient);
        let work = match op {
            Op::Convolution(_) => Work::LanesConvolution(sizes, floor),
            Op::ConvolutionInputGradient(..) => Work::LanesInputGradient(sizes),
            _ => Work::LanesKernelGradient(sizes, floor),
        };
        self.push(work, inputs, SmallVec::from_elem(output, 1), index);
        self.along(made.map(|_| node.inputs[0].node as usize));
    }

    pub(super) fn window(&mut self, index: usize, node: &Node, op: &Op, sizes: LanesWindow) {
        let made = self.attached.made.get(&node.inputs[0]).copied();
        let mut inputs: SmallVec<[Place; 4]> = match made {
            Some(made) => SmallVec::from_elem(self.in_lanes(made.x), 1),
            None => self.lanes(&node.inputs),
        };
        inputs.extend(made.iter().flat_map(|made| self.affine(made)));
        let output = self.allocate(ValueId { node: index as u32, output: 0 }, true);
        let work = Work::LanesWindow(op.clone(), sizes, made.map(|made| made.floor));
        self.push(work, inputs, SmallVec::from_elem(output, 1), index);
        self.along(made.map(|_| node.inputs[0].node as usize));
    }

    /// Scale and shift of what is computed on load.
    fn affine(&mut self, made: &Made) -> [Place; 2] {
        [made.scale, made.shift].map(|id| self.contiguous(id))
    }

    /// The input gradient of a convolution that goes on through the mask of its input.
    pub(super) fn masked(&mut self, index: usize, node: &Node, masked: &MaskedLoop) {
        let convolution = &self.graph.nodes[masked.convolution];
        let sizes = lanes_convolution(self.graph, convolution).expect("looked at before").sizes;
        let gradient = self.in_lanes(convolution.inputs[0]);
        let kernel = self.contiguous(convolution.inputs[1]);
        let x = self.in_lanes(masked.made.x);
        let [scale, shift] = self.affine(&masked.made);
        let factor = self.contiguous(masked.factor);
        let base = masked.base.map(|base| self.in_lanes(base));
        let output = |number: usize| ValueId { node: index as u32, output: number as u32 };
        let id = output(masked.target);
        let free = |place: &&Place| {
            let fits = matches!(place.storage, Storage::Temporary(_))
                && place.dims == node.outputs[masked.target].dims;
            let apart = [&x, &gradient].iter().all(|other| overlap(other, place) == Some(false));
            fits && apart && !self.part_of.contains_key(&id) && self.dead_after(index, place)
        };
        let target = match base.as_ref().filter(free).cloned() {
            Some(place) => {
                self.settle(id, place.clone());
                place
            }
            None => self.allocate(id, true),
        };
        let mut outputs: SmallVec<[Place; 2]> = smallvec::smallvec![target];
        for number in [masked.sum, masked.product] {
            outputs.push(match number {
                Some(number) => self.allocate(output(number), false),
                None => self.temporary(self.graph.spec(masked.factor), false),
            });
        }
        let mut inputs: SmallVec<[Place; 4]> = smallvec::smallvec![gradient, kernel, x, scale, shift, factor];
        inputs.extend(base);
        let work = Work::LanesMaskedGradient(sizes, masked.made.floor);
        self.push(work, inputs, outputs, masked.convolution);
        self.along([masked.convolution]);
    }

    /// A convolution with channels in lanes, with what it takes along.
    pub(super) fn channels_convolution(&mut self, planned: Planned) {
        let len = planned.sizes.packed_len(Isa::current());
        let packed = self.temporary(&Spec::new([len], DType::F32), false);
        let kernel = self.contiguous(planned.kernel);
        self.rearrange(Work::PackKernel(planned.sizes.clone()), planned.kernel, kernel, packed.clone());
        let mut inputs = SmallVec::from_vec(vec![self.dense_channels(planned.input), packed]);
        let mut place = |place: Option<Place>| {
            inputs.extend(place);
            inputs.len() - 1
        };
        let mut numbers = |emitter: &mut Self, terms: &Terms| {
            let [scale, shift] = [terms.scale, terms.shift]
                .map(|id| id.map(|id| emitter.contiguous(id)).map(|found| place(Some(found))));
            (scale, shift, terms.floor)
        };
        let (before, after) = (numbers(self, &planned.before), numbers(self, &planned.after));
        let added = planned.after.added.map(|id| self.dense_channels(id)).map(|found| place(Some(found)));
        let output = self.allocate(planned.output, false);
        let along = AlongPlaces { before, after, added };
        self.push(
            Work::ChannelsConvolution(planned.sizes, along),
            inputs,
            SmallVec::from_elem(output, 1),
            planned.convolution,
        );
        self.along(planned.along);
    }
}
