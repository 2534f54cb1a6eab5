//! Prints, as Markdown, how calls, time and memory of the deciding code grow with what there is to
//! recover. Time is virtual: a call takes 30 ms, and EC2 and its quotas are those that AWS documents
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>).
//!
//! `scale planner <points>` measures one plan in a process of its own, for its memory.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program"
)]

mod attach;
mod plan;
mod region;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            print!("{}", report());
            ExitCode::SUCCESS
        }
        ["planner", points] => match points.parse() {
            Ok(points) => {
                println!("{}", plan::one(points));
                ExitCode::SUCCESS
            }
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("scale: it takes nothing, or `planner <number of recovery points>`.");
    ExitCode::from(2)
}

fn report() -> String {
    let mut text = String::from(
        "One event for each restore, all at once. Lambda runs up to 1,000 of them at a time and tries again after one and two minutes; \
         after that `restore-reconciler` comes every minute.\n\n\
         | restores | all attached after | calls | for each | refused by quota | invocations | left to the reconciler |\n|---|---|---|---|---|---|---|\n",
    );
    for restores in [1, 10, 100, 1_000, 10_000] {
        text += &attach::by_events(restores).row(restores);
    }
    text += "\nNo event at all: `restore-reconciler` alone.\n\n\
         | restores | all attached after | calls | for each | refused by quota | runs | calls of a run when all is done |\n|---|---|---|---|---|---|---|\n";
    for restores in [1, 10, 100, 1_000] {
        text += &attach::by_schedule(restores).row(restores);
    }
    text += "\nEC2's quotas for an account and Region are token buckets, one for each action: `AttachVolume` 50 at once and 5 a second, the Describe actions 100 and 20. \
         So `AttachVolume` binds from 50 volumes on: 1,000 take at least 190 s, 10,000 at least 33 minutes, whatever attaches them. \
         AWS Backup makes the volumes under `CreateVolume`'s bucket, 100 and 5 a second, which is about as long: attachments keep up with restores. \
         A higher quota for `AttachVolume` is what shortens a mass recovery; the other buckets bind at 20 volumes a second.\n\n\
         The quotas of CloudFormation and OpsCenter are not documented as numbers, and not part of this.\n";
    text += "\nThe planner, for 30 recovery points of each resource:\n\n\
         | recovery points | resources | calls | time | memory beyond an empty plan |\n|---|---|---|---|---|\n";
    for points in [1_000, 10_000, 30_000, 100_000] {
        match planned(points) {
            Some(row) => text += &row,
            None => text += &format!("| {points} | could not be measured | | | |\n"),
        }
    }
    text
}

/// The row of one plan, made in a process of its own.
fn planned(points: usize) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let measure = |points: usize| {
        let output = Command::new(&program)
            .args(["planner", &points.to_string()])
            .output()
            .ok()?;
        serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()
    };
    let (empty, plan) = (measure(0)?, measure(points)?);
    let megabytes = (plan["peakKb"].as_f64()? - empty["peakKb"].as_f64()?) / 1024.0;
    Some(format!(
        "| {points} | {} | {} | {:.0} ms | {megabytes:.1} MB |\n",
        plan["resources"],
        plan["calls"],
        plan["milliseconds"].as_f64()?
    ))
}
