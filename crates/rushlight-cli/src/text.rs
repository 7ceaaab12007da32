//! Numbers and tables for people.

use std::io::{IsTerminal, Write};
use std::path::Path;

/// Prints a line, as `println!` does, but does not mind if nobody reads any more (`rushlight summary small | head`).
macro_rules! say {
    ($($part:tt)*) => { $crate::text::write(&(format!($($part)*) + "\n")) };
}

/// The same without the end of the line.
macro_rules! say_part {
    ($($part:tt)*) => { $crate::text::write(&format!($($part)*)) };
}

pub(crate) fn write(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// Milliseconds with three significant digits, at most one of them behind the point from ten on.
pub(crate) fn milliseconds(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.3} ms"),
        ..10.0 => format!("{value:.2} ms"),
        ..100.0 => format!("{value:.1} ms"),
        _ => format!("{value:.0} ms"),
    }
}

/// Names in the first column, values in the second.
pub(crate) fn list(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect()
}

/// A headline, bold on a terminal.
pub(crate) fn headline(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
}

/// A path as the user may type it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.1234, 1.2345, 12.345, 123.45].map(milliseconds),
            ["0.123 ms", "1.23 ms", "12.3 ms", "123 ms"]
        );
        assert_eq!(list(&[("a", "1".into()), ("long", "2".into())]), "  a     1\n  long  2\n");
    }
}
