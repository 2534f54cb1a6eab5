//! `cargo rehearse`: plays a disaster on the local Region, with the compiled functions and the rules of `template.yaml`.
//! Prints a timeline. The exit code is 0 if every expectation was met, 1 if one was not met, and 2 if the rehearsal could
//! not be played.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program: results on standard output, progress on standard error"
)]

mod arguments;
mod bucket_expectations;
mod buckets;
mod expectations;
mod file_system_expectations;
mod file_systems;
mod guest_mounts;
mod observations;
mod operator;
mod problem;
mod progress;
mod recovery;
mod region;
mod report;
mod routing;
mod server_expectations;
mod servers;
mod setup;
mod store_expectations;
mod stores;
mod story;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;
use problem::Problem;

fn main() -> ExitCode {
    match rehearse(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("cargo rehearse: {problem}");
            ExitCode::from(2)
        }
    }
}

fn rehearse(arguments: &Arguments) -> Result<bool, Problem> {
    let workspace = setup::Workspace::find()?;
    let template = workspace.template(arguments.template.as_deref())?;
    let python = setup::python_environment(&workspace)?;
    let binaries = setup::build_functions(&workspace)?;
    let region = region::LocalRegion::start(&python, &workspace, arguments)?;
    let held = play(arguments, &workspace, &template, &binaries, &region);
    if matches!(held, Ok(true)) {
        region.succeeded();
    } else {
        eprintln!("The log of the local Region is {}.", region.log().display());
    }
    held
}

/// Plays the rehearsal and prints its results. Returns whether every expectation was met.
fn play(
    arguments: &Arguments,
    workspace: &setup::Workspace,
    template: &Path,
    binaries: &Path,
    region: &region::LocalRegion,
) -> Result<bool, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("the asynchronous runtime could not start", error))?;
    let played = runtime.block_on(story::play(
        region,
        workspace,
        template,
        binaries,
        arguments.adversity,
        arguments.volumes,
    ))?;
    let expectations = expectations::check(&played);
    let pages = report::write_pages(workspace, &played)?;
    if arguments.json {
        println!("{}", report::json(&played, &expectations, &pages));
    } else {
        print!("{}", report::text(&played, &expectations, &pages));
    }
    if arguments.keep {
        region.keep(workspace, &played)?;
    }
    Ok(expectations.iter().all(|expectation| expectation.held))
}
