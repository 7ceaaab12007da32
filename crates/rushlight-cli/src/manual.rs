//! `rushlight completions` and `rushlight man`.

use crate::arguments::{Arguments, CompletionsOptions, ManOptions};
use crate::failure::Failure;
use crate::files::output;
use clap::{Command, CommandFactory};
use std::path::Path;

pub(crate) fn completions(options: &CompletionsOptions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "rushlight", &mut script);
    output::write(Path::new("-"), &script)
}

/// A page for the command, and one for each command of it.
pub(crate) fn pages(options: &ManOptions) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    page(&command, "rushlight", &options.directory)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        page(inner, &format!("rushlight-{}", inner.get_name()), &options.directory)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, directory: &Path) -> Result<(), Failure> {
    let mut text = Vec::new();
    let made = clap_mangen::Man::new(command.clone()).title(name.to_string()).render(&mut text);
    made.map_err(|error| Failure::Other(format!("the page of {name} cannot be made: {error}")))?;
    output::write(&directory.join(format!("{name}.1")), &text)
}
