//! Tables of comma-separated values.

use crate::data::{Batch, DataError, Dataset};
use rushlight_core::{Result, Tensor};
use std::path::{Path, PathBuf};

/// A table of comma-separated values with a header, as columns of numbers or of words.
///
/// Quoted fields may hold commas, line breaks and doubled quotes (RFC 4180).
///
/// ```
/// use rushlight::data::Csv;
/// use rushlight::prelude::*;
/// let table = Csv::parse("flowers", "length,width,kind\n1.5,0.5,rose\n2,0.25,lily\n1.25,1,rose\n")?;
/// assert_eq!(table.words("kind")?, ["rose", "lily", "rose"]);
/// let (data, kinds) = table.classes(&["length", "width"], "kind")?;
/// assert_eq!(kinds, ["lily", "rose"]);
/// let batch = data.batch(2).epoch(0).next().unwrap()?;
/// assert_eq!(batch.inputs[0].to_vec::<f32>()?, [1.5, 0.5, 2.0, 0.25]);
/// assert_eq!(batch.targets[0].to_vec::<i32>()?, [1, 0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    path: PathBuf,
    header: Vec<String>,
    /// Row by row, with the line each begins on.
    rows: Vec<(usize, Vec<String>)>,
}

impl Csv {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is no text, has no header, or a row with more or fewer fields than that.
    pub fn open(path: impl AsRef<Path>) -> Result<Csv, DataError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| DataError::io("read", path, error))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| DataError::malformed(path, "text in UTF-8", error.to_string()))?;
        Csv::parse(path, &text)
    }

    /// Takes a text apart; errors name it like the path of a file.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn parse(name: impl AsRef<Path>, text: &str) -> Result<Csv, DataError> {
        let path = name.as_ref();
        let mut rows = records(path, text.strip_prefix('\u{feff}').unwrap_or(text))?;
        if rows.is_empty() {
            return Err(DataError::malformed(path, "a header with the names of the columns", "nothing"));
        }
        let (_, header) = rows.remove(0);
        if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != header.len()) {
            let found = format!("{} on line {line}", row.len());
            return Err(DataError::malformed(path, format!("{} fields in each row", header.len()), found));
        }
        Ok(Csv { path: path.to_path_buf(), header, rows })
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.header
    }

    /// The number of rows, without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is only a header.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn column(&self, name: &str) -> Result<usize, DataError> {
        self.header.iter().position(|own| own == name).ok_or_else(|| {
            DataError::malformed(&self.path, format!("a column `{name}`"), self.header.join(", "))
        })
    }

    /// A column as it stands.
    ///
    /// # Errors
    /// If there is no column of that name.
    pub fn words(&self, name: &str) -> Result<Vec<String>, DataError> {
        let column = self.column(name)?;
        Ok(self.rows.iter().map(|(_, row)| row[column].clone()).collect())
    }

    /// A column of numbers; empty fields are NaN.
    ///
    /// # Errors
    /// If there is no column of that name, or a field in it is no number: the message names the line.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, DataError> {
        let column = self.column(name)?;
        let number = |(line, row): &(usize, Vec<String>)| match row[column].trim() {
            "" => Ok(f32::NAN),
            text => text.parse().map_err(|_| {
                let found = format!("`{text}` on line {line}");
                DataError::malformed(&self.path, format!("a number in column `{name}`"), found)
            }),
        };
        self.rows.iter().map(number).collect()
    }

    /// Columns of numbers side by side: `f32 [rows, columns]`.
    ///
    /// # Errors
    /// As [`Csv::numbers`].
    pub fn tensor(&self, names: &[&str]) -> Result<Tensor, DataError> {
        let columns = names.iter().map(|name| self.numbers(name)).collect::<Result<Vec<_>, _>>()?;
        let rows = (0..self.len()).flat_map(|row| columns.iter().map(move |column| column[row]));
        Ok(Tensor::new(&rows.collect::<Vec<f32>>(), [self.len(), names.len()]))
    }

    /// Columns of numbers as inputs and as targets.
    ///
    /// # Errors
    /// As [`Csv::numbers`].
    pub fn regression(&self, inputs: &[&str], targets: &[&str]) -> Result<Dataset> {
        Dataset::from_tensors(&self.tensor(inputs)?, &self.tensor(targets)?)
    }

    /// Columns of numbers as inputs, and a column of words as targets: the numbers of the words in their order, which
    /// are given too.
    ///
    /// # Errors
    /// As [`Csv::numbers`].
    pub fn classes(&self, inputs: &[&str], target: &str) -> Result<(Dataset, Vec<String>)> {
        let words = self.words(target)?;
        let mut kinds = words.clone();
        kinds.sort();
        kinds.dedup();
        let numbers = words.iter().map(|word| kinds.binary_search(word).unwrap_or(0) as i32);
        let targets = Tensor::from(numbers.collect::<Vec<i32>>());
        Ok((Dataset::from_batch(Batch::new(self.tensor(inputs)?, targets))?, kinds))
    }
}

/// The fields of each row, with the line it begins on; empty lines are left out.
fn records(path: &Path, text: &str) -> Result<Vec<(usize, Vec<String>)>, DataError> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begun, mut quoted, mut was_quoted) = (1, 1, false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        line += usize::from(letter == '\n');
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            ',' if !quoted => {
                row.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                if !(row.is_empty() && field.is_empty() && !was_quoted) {
                    row.push(std::mem::take(&mut field));
                    rows.push((begun, std::mem::take(&mut row)));
                }
                (begun, was_quoted) = (line, false);
            }
            other => field.push(other),
        }
    }
    if quoted {
        let found = format!("the end of the text in the row that begins on line {begun}");
        return Err(DataError::malformed(path, "a closing quote", found));
    }
    if !row.is_empty() || !field.is_empty() || was_quoted {
        row.push(field);
        rows.push((begun, row));
    }
    Ok(rows)
}
