//! Many images on one sheet.

use crate::data::ImageSet;
use crate::files::encode_png;
use std::io;

/// White pixels between two images.
const GAP: usize = 2;

/// The first images of each class as a PNG file: a row for each class, `columns` images in it, each pixel drawn
/// as a square of `scale` pixels. Where a class has fewer images, its row ends in white.
///
/// Fails if there is nothing to show, or the images have more than four channels.
pub fn contact_sheet(set: &ImageSet, columns: usize, scale: usize) -> io::Result<Vec<u8>> {
    let [height, width, channels] = set.size();
    let along = |count: usize, size: usize| count * (size * scale + GAP) + GAP;
    let [sheet_height, sheet_width] = [along(set.classes.len(), height), along(columns, width)];
    let mut sheet = vec![255; sheet_height * sheet_width * channels];
    for class in 0..set.classes.len() {
        let of_class = (0..set.len()).filter(|&index| set.labels[index] == class as i32);
        for (column, index) in of_class.take(columns).enumerate() {
            let (top, left) = (along(class, height), along(column, width));
            for row in 0..height * scale {
                let source = &set.image(index)[row / scale * width * channels..][..width * channels];
                let target =
                    &mut sheet[((top + row) * sheet_width + left) * channels..][..width * scale * channels];
                for (target, pixel) in
                    target.chunks_exact_mut(scale * channels).zip(source.chunks_exact(channels))
                {
                    target.chunks_exact_mut(channels).for_each(|target| target.copy_from_slice(pixel));
                }
            }
        }
    }
    encode_png(&sheet, [sheet_height, sheet_width, channels])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_the_row_of_their_class() {
        let classes = vec!["a".to_string(), "b".to_string()];
        let set = ImageSet::new(vec![10, 20, 30], vec![1, 0, 1], [1, 1, 1], classes).unwrap();
        let sheet = contact_sheet(&set, 2, 2).unwrap();
        // Two by two squares of two pixels, with a gap of two around each.
        let mut expected = vec![255; 100];
        for (top, left, value) in [(2, 2, 20), (6, 2, 10), (6, 6, 30)] {
            [0, 1, 10, 11].iter().for_each(|offset| expected[top * 10 + left + offset] = value);
        }
        assert_eq!(sheet, encode_png(&expected, [10, 10, 1]).unwrap());
    }

    #[test]
    fn a_sheet_of_nothing_but_gaps_is_white_and_none_at_all_an_error() {
        let empty = ImageSet::new(vec![], vec![], [4, 4, 3], vec!["a".into()]).unwrap();
        assert!(contact_sheet(&empty, 3, 1).is_ok());
        let odd = ImageSet::new(vec![0; 7], vec![0], [1, 1, 7], vec!["a".into()]).unwrap();
        assert!(contact_sheet(&odd, 1, 1).is_err());
    }
}
