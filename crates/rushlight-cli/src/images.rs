//! The data sets that can be trained on, made ready.

use crate::arguments::DataName;
use crate::failure::Failure;
use crate::text::{grouped, shown};
use rushlight::data::{
    Augmentation, ChannelStatistics, DataError, Dataset, FetchOptions, ImageData, ImageSet, Normalization,
    Progress, cifar10, drawn_shapes, mnist,
};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many pictures are drawn.
pub(crate) const DRAWN: [usize; 2] = [10_000, 2_000];
/// The drawn pictures are always the same: the seed of a training changes the training.
const DRAWN_SEED: u64 = 1;

/// Reads, fetches or draws a data set, and says where it comes from if that is not obvious.
pub(crate) fn load(
    name: DataName,
    directory: &Path,
    download: bool,
    limit: Option<usize>,
) -> Result<ImageData, Failure> {
    let data = match name {
        DataName::Drawn => return draw(limit),
        DataName::Cifar10 if download => fetched(|options| cifar10::load_or_fetch(directory, options)),
        DataName::Mnist if download => fetched(|options| mnist::load_or_fetch(directory, options)),
        DataName::Cifar10 => cifar10::load(directory),
        DataName::Mnist => mnist::load(directory),
    };
    let data = data.map_err(|error| match error {
        DataError::Missing { ref path, .. } if path == directory && !download => {
            Failure::Other(format!("{error}; --download fetches it"))
        }
        error => error.into(),
    })?;
    if let Some(note) = &data.note {
        say!("Note: {note}.");
    }
    limited(data, limit)
}

fn draw(limit: Option<usize>) -> Result<ImageData, Failure> {
    let [train, test] = DRAWN;
    let limit = check_limit(limit, train)?;
    Ok(drawn_shapes(limit.unwrap_or(train), test.min(limit.unwrap_or(test)), DRAWN_SEED))
}

fn check_limit(limit: Option<usize>, available: usize) -> Result<Option<usize>, Failure> {
    match limit {
        Some(limit) if limit > available => {
            let available = grouped(available);
            let limit = grouped(limit);
            Err(Failure::Usage(format!("--limit {limit}: there are only {available} images to train with")))
        }
        limit => Ok(limit),
    }
}

fn limited(data: ImageData, limit: Option<usize>) -> Result<ImageData, Failure> {
    Ok(match check_limit(limit, data.train.len())? {
        Some(limit) => ImageData { train: data.train.take(limit), test: data.test.take(limit), ..data },
        None => data,
    })
}

/// Runs a download with its progress on a terminal.
fn fetched(
    load: impl FnOnce(&mut FetchOptions<'_>) -> Result<ImageData, DataError>,
) -> Result<ImageData, DataError> {
    let mut shown: Option<(&str, Instant)> = None;
    let mut options = FetchOptions::new().progress(move |progress| {
        let due = shown.is_none_or(|(name, at)| {
            name != progress.name
                || at.elapsed() > Duration::from_millis(100)
                || progress.received == progress.total
        });
        if due {
            show(progress, shown.is_none_or(|(name, _)| name != progress.name));
            shown = Some((progress.name, Instant::now()));
        }
    });
    load(&mut options)
}

fn show(progress: Progress, is_new: bool) {
    let Progress { name, received, total } = progress;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    if !std::io::stdout().is_terminal() {
        if is_new {
            say!("Downloading {name} ({:.1} MB)", megabytes(total));
        }
        return;
    }
    let percent = received * 100 / total.max(1);
    say_part!(
        "\rDownloading {name}: {:.1} of {:.1} MB, {percent} %\x1b[K",
        megabytes(received),
        megabytes(total)
    );
    if received == total {
        say!("");
    }
}

/// Images as training and validation read them.
pub(crate) struct Prepared {
    pub(crate) train: Dataset,
    pub(crate) validation: Dataset,
    /// What images were normalized by.
    pub(crate) statistics: ChannelStatistics,
}

/// Shuffled and augmented images to train with, plain ones to validate with, both normalized by the statistics of
/// the former.
pub(crate) fn prepare(
    data: ImageData,
    augmentation: Option<Augmentation>,
    batch_size: usize,
    seed: u64,
) -> Result<Prepared, Failure> {
    let statistics = data.train.channel_statistics();
    let normalization = Normalization::new(&statistics)?;
    let images = data.train.len();
    let train = match augmentation {
        Some(augmentation) => Dataset::from_augmented_images(data.train, normalization.clone(), augmentation),
        None => Dataset::from_images(data.train, normalization.clone()),
    };
    let mut train = train.shuffle(seed).batch(batch_size);
    // A last batch of another size would be compiled and normalized on its own; it comes another epoch.
    if images >= batch_size {
        train = train.drop_remainder();
    }
    let validation = Dataset::from_images(data.test, normalization).batch(batch_size);
    Ok(Prepared { train, validation, statistics })
}

/// The usual random changes for a data set: flips only where a mirrored image is as likely.
pub(crate) fn augmentation(name: DataName, seed: u64) -> Augmentation {
    match name {
        DataName::Cifar10 => Augmentation::standard(seed),
        DataName::Drawn => Augmentation { flip: false, ..Augmentation::standard(seed) },
        DataName::Mnist => Augmentation { padding: 2, flip: false, seed },
    }
}

/// `50,000 images of 32×32×3`.
pub(crate) fn described(set: &ImageSet) -> String {
    let [height, width, channels] = set.size();
    format!("{} images of {height}×{width}×{channels}", grouped(set.len()))
}

/// Fails unless a data set has images in both parts.
pub(crate) fn check_not_empty(data: &ImageData, directory: &Path) -> Result<(), Failure> {
    if data.train.is_empty() || data.test.is_empty() {
        let (train, test) = (data.train.len(), data.test.len());
        let place = shown(directory);
        return Err(Failure::Other(format!(
            "{place}: there must be images to train with and to validate with, got {train} and {test}"
        )));
    }
    Ok(())
}
