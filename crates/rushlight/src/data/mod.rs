//! Data sets: where they come from, and how their images are made ready for a model.

mod augment;
mod batch;
pub mod cifar10;
mod combine;
mod csv;
mod dataset;
mod download;
mod drawn;
mod epoch;
mod error;
mod feed;
mod image_folder;
mod images;
mod memory;
pub mod mnist;
mod pictures;
mod random;
mod source;
mod streams;
mod tfrecord;
mod workers;

pub use augment::{Augmentation, Normalization};
pub use batch::{Batch, Source};
pub use csv::Csv;
pub use dataset::Dataset;
pub use download::{FetchOptions, MIRROR_VARIABLE, Progress, RemoteFile, fetch};
pub use drawn::{DRAWN_CLASSES, drawn_shapes};
pub use epoch::Batches;
pub(crate) use epoch::{LOADING, WAITING};
pub use error::DataError;
pub use feed::BatchFeed;
pub use image_folder::ImageFolder;
pub use images::{ChannelStatistics, ImageData, ImageSet};
pub use pictures::{Pixels, decode_jpeg, decode_png, read_picture};
pub use tfrecord::{Example, Feature, TfRecords};
