#![no_main]
//! Reads what data sets are made of: pictures, examples of TFRecord files, CSV.

use libfuzzer_sys::fuzz_target;
use rushlight::data::{Csv, Example, decode_jpeg, decode_png};

fuzz_target!(|bytes: &[u8]| {
    let _ = decode_png(bytes);
    let _ = decode_jpeg(bytes);
    let _ = Example::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(csv) = Csv::parse("fuzz.csv", text)
    {
        for column in csv.columns() {
            let _ = csv.numbers(column);
        }
    }
});
