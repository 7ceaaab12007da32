//! Data sets: where they come from, and how their images are made ready for a model.

mod augment;
pub mod cifar10;
mod combine;
mod csv;
mod dataset;
mod download;
mod drawn;
mod error;
mod feed;
mod image_folder;
mod images;
pub mod mnist;
mod pictures;
mod random;
mod source;
mod streams;
mod tfrecord;
mod workers;

pub use augment::{Augmentation, Normalization};
pub use csv::Csv;
pub use dataset::{Batch, Batches, Dataset, Source};
pub(crate) use dataset::{LOADING, WAITING};
pub use download::{FetchOptions, MIRROR_VARIABLE, Progress, RemoteFile, fetch};
pub use drawn::{DRAWN_CLASSES, drawn_shapes};
pub use error::DataError;
pub use feed::BatchFeed;
pub use image_folder::ImageFolder;
pub use images::{ChannelStatistics, ImageData, ImageSet};
pub use pictures::{Pixels, decode_jpeg, decode_png, read_picture};
pub use tfrecord::{Example, Feature, TfRecords};
