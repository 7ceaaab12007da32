//! The `rushlight` command: trains, summarizes and measures neural networks.

#[macro_use]
mod text;

mod arguments;
mod bench;
mod convert;
mod demo;
mod evaluate;
mod failure;
mod file_arguments;
mod files;
mod fit;
mod images;
mod inspect;
mod interrupt;
mod manual;
mod places;
mod plot;
mod predict;
mod profile;
mod run;
mod schedule;
mod step;
mod summary;
mod train;

use arguments::{Arguments, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    // Before anything else: `bench` reports how long the first step took from here.
    let started = Instant::now();
    let done = Arguments::try_parse().map_err(Failure::from).and_then(|arguments| {
        if let Some(threads) = arguments.threads {
            rushlight::cpu::threads::set_thread_count(threads);
        }
        match arguments.command.unwrap_or_default() {
            Command::Demo(options) => demo::run(&options),
            Command::Train(options) => train::run(&options),
            Command::Summary(options) => summary::run(&options),
            Command::Bench(options) => bench::run(&options, started),
            Command::Predict(options) => predict::run(&options),
            Command::Fit(options) => fit::run(&options),
            Command::Evaluate(options) => evaluate::run(&options),
            Command::Inspect(options) => inspect::run(&options),
            Command::Convert(options) => convert::run(&options),
            Command::New(options) => convert::run_new(&options),
            Command::Completions(options) => manual::completions(&options),
            Command::Man(options) => manual::pages(&options),
            Command::Plot(options) => plot::run(&options),
            Command::Profile(options) => profile::run(&options),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
