//! The progress bar.

use crate::training::Logs;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much `fit` prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Silent,
    /// A bar that moves, and a line for each epoch.
    Bar,
    /// A line for each epoch.
    Lines,
}

impl Verbosity {
    /// As Keras counts: 0, 1, 2; by default a bar on a terminal and lines elsewhere.
    pub(crate) fn of(verbose: Option<u8>) -> Verbosity {
        match verbose {
            Some(0) => Verbosity::Silent,
            Some(1) => Verbosity::Bar,
            Some(_) => Verbosity::Lines,
            None if std::io::stdout().is_terminal() => Verbosity::Bar,
            None => Verbosity::Lines,
        }
    }
}

/// How often the bar moves.
const INTERVAL: Duration = Duration::from_millis(100);
const WIDTH: usize = 12;

/// Around a bar: nothing of a line that is longer than the terminal is wide goes on to the next, where the next bar
/// would not overwrite it.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// The progress of one epoch, on standard output if nothing else is said.
pub(crate) struct Progress {
    verbosity: Verbosity,
    /// What an example is called, in the plural.
    unit: &'static str,
    title: String,
    examples: usize,
    started: Instant,
    shown: Option<Instant>,
    output: Output,
}

/// Where progress is written. That it cannot be, because nobody reads any more, must not stop the training.
#[derive(Clone)]
pub(crate) struct Output(Arc<Mutex<dyn Write + Send>>);

impl Output {
    pub(crate) fn new(output: impl Write + Send + 'static) -> Output {
        Output(Arc::new(Mutex::new(output)))
    }

    fn write(&self, text: &str) {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    }
}

impl Progress {
    pub(crate) fn new(
        verbosity: Verbosity,
        unit: &'static str,
        epoch: usize,
        epochs: usize,
        examples: usize,
    ) -> Progress {
        let title = format!("Epoch {:>width$}/{epochs}", epoch + 1, width = epochs.to_string().len());
        let output = Output::new(std::io::stdout());
        Progress { verbosity, unit, title, examples, started: Instant::now(), shown: None, output }
    }

    /// The same, written elsewhere.
    pub(crate) fn on(self, output: Output) -> Progress {
        Progress { output, ..self }
    }

    /// Whether it is time to show how far training has come.
    pub(crate) fn is_due(&self) -> bool {
        self.verbosity == Verbosity::Bar && self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL)
    }

    pub(crate) fn show(&mut self, seen: usize, logs: &Logs) {
        self.shown = Some(Instant::now());
        let elapsed = self.started.elapsed();
        let part = seen as f64 / self.examples.max(1) as f64;
        let left = short(elapsed.mul_f64((1.0 / part.max(1e-9) - 1.0).clamp(0.0, 1e6)));
        let (bar, percent, speed) = (bar(part), (part * 100.0) as usize, self.speed(seen, elapsed));
        self.output.write(&format!(
            "\r{NO_WRAP}{} {bar} {percent:>3} %  {left:>5} left  {logs}  {speed}\x1b[K{WRAP}",
            self.title
        ));
    }

    /// Says that the training part of the epoch is done.
    pub(crate) fn validating(&self, logs: &Logs) {
        if self.verbosity == Verbosity::Bar {
            self.output.write(&format!(
                "\r{NO_WRAP}{} {} validating  {logs}\x1b[K{WRAP}",
                self.title,
                bar(1.0)
            ));
        }
    }

    /// The epoch's last line.
    pub(crate) fn finish(&self, seen: usize, training_time: Duration, logs: &Logs) {
        let (start, end) = match self.verbosity {
            Verbosity::Silent => return,
            Verbosity::Bar => ("\r", "\x1b[K"),
            Verbosity::Lines => ("", ""),
        };
        let (time, speed) = (short(training_time), self.speed(seen, training_time));
        self.output.write(&format!("{start}{}  {time:>5}  {logs}  {speed}{end}\n", self.title));
    }

    /// Says so if the epoch has waited for data most of its time.
    pub(crate) fn waited(&self, part: f64, much: f64) {
        if self.verbosity != Verbosity::Silent && part >= much {
            self.output.write(&format!(
                "{:.0} % of the epoch went by waiting for data, not for the model: prepare it on more threads \
                 (Dataset::workers), or keep it in memory (Dataset::cache)\n",
                part * 100.0
            ));
        }
    }

    /// Ends the line of an epoch that was not finished.
    pub(crate) fn abandon(&self) {
        if self.verbosity == Verbosity::Bar && self.shown.is_some() {
            self.output.write("\n");
        }
    }

    fn speed(&self, seen: usize, elapsed: Duration) -> String {
        let (speed, unit) = (seen as f64 / elapsed.as_secs_f64().max(1e-9), self.unit);
        if speed < 100.0 { format!("{speed:.1} {unit}/s") } else { format!("{speed:.0} {unit}/s") }
    }
}

fn bar(part: f64) -> String {
    let full = (part.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    format!("{}{}", "━".repeat(full), "─".repeat(WIDTH - full))
}

/// A duration in at most two units: `350ms`, `4.2s`, `3m12s`, `1h05m`.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_bars_are_short() {
        assert_eq!(short(Duration::from_millis(350)), "350ms");
        assert_eq!(short(Duration::from_millis(4230)), "4.2s");
        assert_eq!(short(Duration::from_secs(192)), "3m12s");
        assert_eq!(short(Duration::from_secs(3900)), "1h05m");
        assert_eq!(bar(0.5), "━━━━━━──────");
        assert_eq!(bar(7.0).chars().count(), WIDTH);
        let progress = Progress::new(Verbosity::Silent, "images", 0, 1, 10);
        assert_eq!(progress.speed(10, Duration::from_secs(2)), "5.0 images/s");
    }

    #[test]
    fn progress_can_be_written_anywhere() {
        #[derive(Clone, Default)]
        struct Paper(Arc<Mutex<Vec<u8>>>);

        impl Write for Paper {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        use crate::prelude::*;
        let paper = Paper::default();
        let mut model = Sequential::new().add(Dense::new(1)).model([1]).unwrap();
        model.compile(Sgd::new(0.1), MeanSquaredError, ());
        let x = Tensor::ones([8, 1], DType::F32);
        let data = Dataset::from_tensors(&x, &x).unwrap().batch(4);
        let bar = ProgressBar::to(paper.clone());
        model.fit(&data, Fit::epochs(2).verbose(0).callback(bar)).unwrap();
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 2, "{text}");
        assert!(text.contains("Epoch 1/2") && text.contains("Epoch 2/2") && text.contains("loss"), "{text}");
        assert!(text.contains(" 50 %"), "after the first batch half of the examples have been seen: {text}");
    }
}
