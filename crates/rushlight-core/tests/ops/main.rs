//! The tests of the public ops: loops over a registry of cases, stored values of other libraries, messages, printing.

mod carried;
mod goldens;
mod gradients;
mod indexing;
mod isa;
mod messages;
mod models;
mod printing;
mod random;
mod recorded;
mod registry;
mod reports;
mod robust;
mod saved;
