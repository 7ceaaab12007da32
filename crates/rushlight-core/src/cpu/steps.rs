//! The steps of a program: which kernel runs on which places.

use crate::cpu::buffer::{Buffer, View, ViewMut};
use crate::cpu::control::{BranchProgram, LoopProgram};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::conv_channels::{self, Affine, Along, ChannelsConv, Images, ImagesMut};
use crate::cpu::kernels::conv_lanes::{self, LanesConv, Masked, OnLoad, Planes, PlanesMut};
use crate::cpu::kernels::fused::{FusedLoop, ScalarLoop};
use crate::cpu::kernels::loops::InnerLoop;
use crate::cpu::kernels::product_loop::ProductLoop;
use crate::cpu::kernels::window_lanes::{self, LanesWindow};
use crate::cpu::kernels::{self, layout};
use crate::cpu::lower::copy_strides;
use crate::cpu::lower::place::{Layout, Place, Storage};
use crate::graph::{Origin, ValueId};
use crate::ops::Op;
use crate::profile::Described;
use crate::tensor::{Spec, Value, copied};
use smallvec::SmallVec;
use std::fmt;

/// One kernel call of a program.
pub(crate) struct Step {
    pub(crate) work: Work,
    pub(crate) inputs: SmallVec<[Place; 4]>,
    pub(crate) outputs: SmallVec<[Place; 2]>,
    pub(crate) origin: Origin,
    /// The node of the graph that it was written for.
    pub(crate) reader: usize,
    /// The value that it copies or packs, if that is all it does.
    pub(crate) copied: Option<ValueId>,
    /// Other nodes of the graph that it computes along with that one.
    pub(crate) along: SmallVec<[usize; 2]>,
}

/// What a step does.
pub(crate) enum Work {
    /// The kernel that runs the op eagerly.
    Kernel(Op),
    Loop(Box<FusedLoop>),
    /// A loop with the product that it reads: the first two inputs.
    Product(Box<ProductLoop>),
    /// A loop over one element.
    Scalars(Box<ScalarLoop>),
    /// A row times a matrix, of so many rows.
    RowProduct(usize, InnerLoop),
    /// As many bytes in another place.
    Move(usize),
    /// The same elements in another place or layout.
    Copy,
    /// With a floor: the input is `max(x · scale + shift, floor)`, computed as it is loaded.
    LanesConvolution(LanesConv, Option<f32>),
    LanesInputGradient(LanesConv),
    LanesKernelGradient(LanesConv, Option<f32>),
    /// The input gradient, through the mask of an input that was made with that floor.
    LanesMaskedGradient(LanesConv, f32),
    /// With a floor, sums of what is computed on load.
    LanesWindow(Op, LanesWindow, Option<f32>),
    Turns(Box<LoopProgram>),
    Choice(Box<BranchProgram>),
    /// A kernel, as the convolution with channels in lanes reads it.
    PackKernel(ChannelsConv),
    /// Of an image and a packed kernel, with what else is among the inputs.
    ChannelsConvolution(ChannelsConv, AlongPlaces),
}

/// Which inputs of a convolution hold what it takes along: a scale, a shift and a floor on either side, and what is added.
pub(crate) struct AlongPlaces {
    pub(crate) before: (Option<usize>, Option<usize>, Option<f32>),
    pub(crate) after: (Option<usize>, Option<usize>, Option<f32>),
    pub(crate) added: Option<usize>,
}

impl AlongPlaces {
    /// What is added to the name of a convolution.
    fn name(&self) -> &'static str {
        let taken = |(scale, shift, floor): &(Option<usize>, Option<usize>, Option<f32>)| {
            scale.is_some() || shift.is_some() || floor.is_some()
        };
        match (taken(&self.before), taken(&self.after) || self.added.is_some()) {
            (true, true) => " with loops before and after",
            (true, false) => " with the loop before",
            (false, true) => " with the loop after",
            (false, false) => "",
        }
    }
}

impl fmt::Display for Step {
    /// One line of a listing: what runs, on what, for whom.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |places: &[Place]| places.iter().map(Place::to_string).collect::<Vec<_>>().join(", ");
        let name = self.work.name();
        write!(formatter, "{name}: {} → {}", places(&self.inputs), places(&self.outputs))?;
        if let Some(path) = &self.origin.path {
            write!(formatter, "  # {path}")?;
        }
        match &self.work {
            Work::Turns(program) => program.fmt(formatter),
            Work::Choice(program) => program.fmt(formatter),
            _ => Ok(()),
        }
    }
}

/// Where the memory of a call is.
pub(crate) struct Memory<'a> {
    pub(crate) inputs: &'a [*const u8],
    pub(crate) variables: &'a [*mut u8],
    pub(crate) constants: &'a [*const u8],
    pub(crate) outputs: &'a [*mut u8],
    pub(crate) arena: *mut u8,
    pub(crate) temporaries: &'a [usize],
}

impl Memory<'_> {
    pub(crate) fn address(&self, place: &Place) -> *mut u8 {
        let base = match place.storage {
            Storage::Input(number) => self.inputs[number].cast_mut(),
            Storage::Variable(number) => self.variables[number],
            Storage::Constant(number) => self.constants[number].cast_mut(),
            Storage::Output(number) => self.outputs[number],
            Storage::Temporary(number) => self.arena.wrapping_add(self.temporaries[number]),
            Storage::Passing => unreachable!("what is passed within a step is no operand of it"),
        };
        base.wrapping_offset(place.offset * place.dtype.size() as isize)
    }

    /// # Safety
    /// The place's elements must be initialized, and not written while the view lives.
    unsafe fn view(&self, place: &Place) -> View<'_> {
        let Layout::Strided(strides) = &place.layout else { unreachable!("kernels read strided places") };
        // SAFETY: passed on to the caller.
        unsafe { View::new(self.address(place), place.dtype, copied(&place.dims), copied(strides)) }
    }

    /// A copy of the elements at a place.
    ///
    /// # Safety
    /// The place's elements must be initialized, and not written in the meantime.
    pub(crate) unsafe fn read(&self, place: &Place) -> Value {
        let spec = Spec { dims: place.dims.clone(), dtype: place.dtype };
        let mut buffer = Buffer::new(spec.bytes());
        let to = Place::contiguous(Storage::Output(0), spec.dtype, &spec.dims);
        let (dims, source_strides, target_strides) = copy_strides(place, &to);
        let (source, target) = (self.address(place).cast_const(), buffer.as_mut_ptr());
        // SAFETY: passed on to the caller; the buffer was made for the elements.
        unsafe { layout::Copy { dims, source, source_strides, target, target_strides }.run(spec.dtype) };
        Value::contiguous(buffer, spec)
    }

    fn planes(&self, place: &Place) -> Planes {
        let Layout::Lanes { block_stride } = place.layout else { unreachable!("planes lie in lanes") };
        let data = self.address(place).cast::<f32>();
        Planes { data, block_stride, channel_stride: place.plane(), on_load: None }
    }

    /// # Safety
    /// As [`Memory::view`], for all that a convolution takes along.
    unsafe fn along(&self, places: &AlongPlaces, inputs: &[Place]) -> Along {
        let address = |number: usize| self.address(&inputs[number]).cast::<f32>().cast_const();
        let affine = |(scale, shift, floor): (Option<usize>, Option<usize>, Option<f32>)| Affine {
            scale: scale.map(address),
            shift: shift.map(address),
            floor,
        };
        let added = places.added.map(|number| self.images(&inputs[number]));
        Along { before: affine(places.before), after: affine(places.after), added }
    }

    fn images(&self, place: &Place) -> Images {
        let Layout::Strided(strides) = &place.layout else { unreachable!("images lie in strides") };
        let [image, row, pixel] = [0, 1, 2].map(|axis| strides[axis] as usize);
        Images { data: self.address(place).cast::<f32>(), strides: [image, row, pixel] }
    }

    fn images_mut(&self, place: &Place) -> ImagesMut {
        let Images { data, strides } = self.images(place);
        ImagesMut { data: data.cast_mut(), strides }
    }

    fn planes_mut(&self, place: &Place) -> PlanesMut {
        let Planes { data, block_stride, channel_stride, .. } = self.planes(place);
        PlanesMut { data: data.cast_mut(), block_stride, channel_stride }
    }
}

/// Whether the input is computed on load, in words.
fn computed(floor: &Option<f32>) -> &'static str {
    if floor.is_some() { ", computed on load" } else { "" }
}

impl Work {
    /// What runs, for listings and profiles.
    pub(crate) fn name(&self) -> String {
        match self {
            Work::Kernel(op) => op.name().to_string(),
            Work::LanesWindow(op, _, floor) => format!("{} in lanes{}", op.name(), computed(floor)),
            Work::Loop(fused) => format!("loop: {}", fused.ops().join(" ")),
            Work::Product(product) => format!("matmul and loop: {}", product.ops().join(" ")),
            Work::Scalars(scalars) => format!("scalars: {}", scalars.ops().join(" ")),
            Work::RowProduct(..) => "matmul of a row".to_string(),
            Work::Move(_) => "move".to_string(),
            Work::Copy => "copy".to_string(),
            Work::LanesConvolution(sizes, floor) => format!("conv {sizes} in lanes{}", computed(floor)),
            Work::LanesInputGradient(sizes) => format!("conv {sizes} input gradient in lanes"),
            Work::LanesKernelGradient(sizes, floor) => {
                format!("conv {sizes} kernel gradient in lanes{}", computed(floor))
            }
            Work::LanesMaskedGradient(sizes, _) => format!("conv {sizes} input gradient in lanes, masked"),
            Work::Turns(_) => "turns".to_string(),
            Work::Choice(_) => "choice".to_string(),
            Work::PackKernel(_) => "pack a kernel".to_string(),
            Work::ChannelsConvolution(sizes, along) => format!("conv {sizes} in channels{}", along.name()),
        }
    }

    /// Floating-point operations, where they are many.
    fn flops(&self, inputs: &[Place], outputs: &[Place]) -> u64 {
        match self {
            Work::Kernel(op) => {
                let dims =
                    |places: &[Place]| places.iter().map(|place| place.dims.clone()).collect::<Vec<_>>();
                op.flops(&dims(inputs), &dims(outputs))
            }
            Work::LanesConvolution(sizes, _)
            | Work::LanesInputGradient(sizes)
            | Work::LanesKernelGradient(sizes, _)
            | Work::LanesMaskedGradient(sizes, _) => sizes.flops(),
            Work::Loop(fused) => fused.points() as u64 * fused.ops().len() as u64,
            Work::Product(product) => product.flops(),
            Work::Scalars(scalars) => scalars.ops().len() as u64,
            Work::RowProduct(rows, _) => 2 * (*rows * outputs[0].dims.iter().product::<usize>()) as u64,
            Work::ChannelsConvolution(sizes, _) => sizes.flops(),
            Work::Turns(program) => program.flops(),
            Work::Choice(_) | Work::LanesWindow(..) | Work::PackKernel(_) | Work::Copy | Work::Move(_) => 0,
        }
    }
}

impl Step {
    /// The first input, computed on load with the last two if there is a floor.
    fn computed_planes(&self, memory: &Memory, floor: Option<f32>) -> Planes {
        let count = self.inputs.len();
        let numbers = |number: usize| memory.address(&self.inputs[number]).cast::<f32>().cast_const();
        let on_load =
            floor.map(|floor| OnLoad { scale: numbers(count - 2), shift: numbers(count - 1), floor });
        Planes { on_load, ..memory.planes(&self.inputs[0]) }
    }

    /// Where inputs and outputs are; pushed one by one, which costs less than collecting so few.
    #[inline(always)]
    fn pointers(&self, memory: &Memory) -> (SmallVec<[*const u8; 8]>, SmallVec<[*mut u8; 4]>) {
        let (mut inputs, mut outputs) = (SmallVec::new(), SmallVec::new());
        for place in &self.inputs {
            inputs.push(memory.address(place).cast_const());
        }
        for place in &self.outputs {
            outputs.push(memory.address(place));
        }
        (inputs, outputs)
    }

    pub(crate) fn flops(&self) -> u64 {
        self.work.flops(&self.inputs, &self.outputs)
    }

    pub(crate) fn describe(&self) -> Described {
        let bytes = |place: &Place| (place.dims.iter().product::<usize>() * place.dtype.size()) as u64;
        let spec = |place: &Place| Spec { dims: place.dims.clone(), dtype: place.dtype };
        Described {
            kernel: self.work.name(),
            flops: self.flops(),
            bytes: self.inputs.iter().chain(&self.outputs).map(bytes).sum(),
            outputs: self.outputs.iter().map(spec).collect(),
        }
    }

    /// Runs the step.
    ///
    /// # Safety
    /// The memory must be that of the program the step belongs to, and nobody else may write to it.
    pub(crate) unsafe fn run(&self, memory: &Memory) {
        let (input, output) = (|number: usize| &self.inputs[number], |number: usize| &self.outputs[number]);
        let isa = Isa::current();
        // SAFETY: lowering gave outputs memory of their own, apart from what loops may overwrite, and steps run
        // in an order in which inputs are written before they are read.
        unsafe {
            match &self.work {
                Work::Kernel(op) => {
                    // Pushed one by one, which costs less than collecting so few.
                    let (mut views, mut targets) =
                        (SmallVec::<[View; 4]>::new(), SmallVec::<[ViewMut; 2]>::new());
                    for place in &self.inputs {
                        views.push(memory.view(place));
                    }
                    for place in &self.outputs {
                        targets.push(ViewMut::new(memory.address(place), place.dtype, copied(&place.dims)));
                    }
                    kernels::run(op, &views, &mut targets);
                }
                Work::Product(product) => {
                    let (inputs, outputs) = self.pointers(memory);
                    product.run([inputs[0], inputs[1]], &inputs[2..], &outputs);
                }
                Work::Loop(fused) => {
                    let (inputs, outputs) = self.pointers(memory);
                    fused.run(&inputs, &outputs);
                }
                Work::Scalars(scalars) => {
                    let inputs = self.inputs.iter().map(|place| memory.address(place).cast_const());
                    scalars.run(inputs, self.outputs.iter().map(|place| memory.address(place)));
                }
                Work::RowProduct(rows, kernel) => {
                    let columns = output(0).dims.iter().product();
                    let [row, matrix] = [0, 1].map(|number| memory.address(input(number)).cast_const());
                    kernel(columns, memory.address(output(0)), row, matrix, std::ptr::from_ref(rows).cast());
                }
                Work::Move(bytes) => {
                    let source = memory.address(input(0)).cast_const();
                    std::ptr::copy_nonoverlapping(source, memory.address(output(0)), *bytes);
                }
                Work::Copy => {
                    let (dims, source_strides, target_strides) = copy_strides(input(0), output(0));
                    let source = memory.address(input(0)).cast_const();
                    let target = memory.address(output(0));
                    layout::Copy { dims, source, source_strides, target, target_strides }.run(input(0).dtype);
                }
                Work::LanesConvolution(sizes, floor) => {
                    let kernel = memory.address(input(1)).cast::<f32>();
                    let from = self.computed_planes(memory, *floor);
                    conv_lanes::forward(isa, sizes, from, kernel, memory.planes_mut(output(0)));
                }
                Work::LanesInputGradient(sizes) => {
                    let kernel = memory.address(input(1)).cast::<f32>();
                    let (from, to) = (memory.planes(input(0)), memory.planes_mut(output(0)));
                    conv_lanes::input_gradient(isa, sizes, from, kernel, to, false);
                }
                Work::LanesKernelGradient(sizes, floor) => {
                    let to = memory.address(output(0)).cast::<f32>();
                    let from = self.computed_planes(memory, *floor);
                    conv_lanes::kernel_gradient(isa, sizes, from, memory.planes(input(1)), to);
                }
                Work::LanesMaskedGradient(sizes, floor) => {
                    let numbers = |place: &Place| memory.address(place).cast::<f32>();
                    let masked = Masked {
                        x: memory.planes(input(2)),
                        made: OnLoad { scale: numbers(input(3)), shift: numbers(input(4)), floor: *floor },
                        factor: numbers(input(5)),
                        base: self.inputs.get(6).map(|base| memory.planes(base)),
                        sums: numbers(output(1)),
                        products: numbers(output(2)),
                    };
                    let (from, to) = (memory.planes(input(0)), memory.planes_mut(output(0)));
                    conv_lanes::masked_input_gradient(isa, sizes, from, numbers(input(1)), &masked, to);
                }
                Work::Turns(program) => program.run(memory, &self.inputs, &self.outputs),
                Work::Choice(program) => program.run(memory, &self.inputs, &self.outputs),
                Work::PackKernel(sizes) => {
                    let (from, to) = (memory.address(input(0)), memory.address(output(0)));
                    conv_channels::pack(isa, sizes, from.cast(), to.cast());
                }
                Work::ChannelsConvolution(sizes, along) => {
                    let packed = memory.address(input(1)).cast::<f32>();
                    let along = memory.along(along, &self.inputs);
                    let (from, to) = (memory.images(input(0)), memory.images_mut(output(0)));
                    conv_channels::forward(isa, sizes, from, packed, &along, to);
                }
                Work::LanesWindow(op, sizes, floor) => {
                    let from = self.computed_planes(memory, *floor);
                    let to = memory.planes_mut(output(0));
                    match op {
                        Op::Window(window) => window_lanes::forward(isa, sizes, window.kind, from, to),
                        Op::WindowSumGradient(..) => window_lanes::sum_gradient(isa, sizes, from, to, false),
                        Op::WindowMaxGradient(_) => {
                            window_lanes::max_gradient(isa, sizes, from, memory.planes(input(1)), to, false);
                        }
                        _ => window_lanes::max_select(isa, sizes, from, memory.planes(input(1)), to),
                    }
                }
            }
        }
    }
}
