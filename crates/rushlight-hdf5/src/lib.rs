//! HDF5 files as h5py and Keras make them: a reader for bytes that nobody vouches for, and a writer.
//!
//! The reader knows superblocks 0 to 3, old groups (symbol tables) and new ones (links in the header or in a fractal
//! heap), contiguous, compact and chunked data with deflate, shuffle and Fletcher-32, attributes, and strings of
//! fixed and variable length. It never allocates by a size it has not compared with the bytes that are there, and
//! never follows more links, levels or blocks than [`Limits`] allow. The writer writes what h5py does by default.
//!
//! ```
//! use rushlight_hdf5::{Datatype, Writer, read};
//! let mut writer = Writer::new();
//! let values: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
//! writer.dataset("layers/dense/vars/0", Datatype::F32, &[2], values)?;
//! writer.attribute("layers/dense/vars", "name", "dense")?;
//! let bytes = writer.finish()?;
//! let root = read(&bytes)?;
//! let data = root.dataset("layers/dense/vars/0").unwrap();
//! assert_eq!((data.datatype(), data.dims()), (&Datatype::F32, &[2u64][..]));
//! assert_eq!(root.group("layers/dense/vars").unwrap().attribute("name").unwrap().text()?, "dense");
//! # Ok::<(), rushlight_hdf5::Error>(())
//! ```
//!
//! Source: the HDF5 File Format Specification, version 3.0, of The HDF Group.

mod attribute;
mod chunks;
mod cursor;
mod dataset;
mod datatype;
mod error;
mod fractal;
mod group;
mod header;
mod heap;
mod links;
mod reader;
mod write;

pub use attribute::Attribute;
pub use dataset::Dataset;
pub use datatype::Datatype;
pub use error::{Error, Result};
pub use group::{Group, Node};
pub use reader::{Limits, is_hdf5, read, read_within};
pub use write::Writer;
