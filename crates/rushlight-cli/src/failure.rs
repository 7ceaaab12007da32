//! How the command fails: one line on standard error, and an exit status that says which kind it was.

use rushlight::Error;
use rushlight::data::DataError;
use std::process::ExitCode;

/// The exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;
/// The exit status for arguments that make no sense.
const USAGE: u8 = 2;

/// Why the command ends without having done its work.
pub(crate) enum Failure {
    /// Not a failure at all: help or version, to be printed as it is.
    Help(clap::Error),
    /// The arguments make no sense.
    Usage(String),
    /// Something else went wrong.
    Other(String),
    /// Ctrl-C; what there is to say has been said.
    Interrupted,
}

impl Failure {
    /// Tells the user, and gives the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let (message, status) = match self {
            Failure::Help(error) => {
                // Nothing can be done about a terminal that is gone.
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            Failure::Usage(message) => (message, USAGE),
            Failure::Other(message) => (message, 1),
            Failure::Interrupted => return ExitCode::from(INTERRUPTED),
        };
        eprintln!("error: {message}");
        ExitCode::from(status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        Failure::Other(error.to_string())
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Failure {
        if !error.use_stderr() {
            return Failure::Help(error);
        }
        // The parser explains over several lines; what matters stands before its reminder of the usage.
        let text = error.render().to_string();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let said: Vec<&str> =
            lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
        let message = said.join(" ");
        Failure::Usage(message.strip_prefix("error: ").unwrap_or(&message).to_string())
    }
}
