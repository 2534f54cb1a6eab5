//! The command line of a rehearsal.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

/// Plays a disaster on a local AWS Region, with the functions and rules of template.yaml.
///
/// It needs Rust and Python 3.10 or newer, and uses nothing except this machine's loopback addresses.
#[derive(Debug, Parser, PartialEq, Eq)]
#[command(
    bin_name = "cargo rehearse",
    after_help = "Exit code: 0 every expectation was met, 1 an expectation was not met, 2 the rehearsal could not be played."
)]
pub(crate) struct Arguments {
    /// Recover N volumes, from 3 to 1000
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = volumes)]
    pub(crate) volumes: usize,
    /// Print one JSON document instead of the timeline
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave the local Region running, and print how to use it and how to end it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Deploy this template instead of the project's own
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) adversity: Adversity,
}

/// The injected faults and failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct Adversity {
    /// Throttle, lose, delay and break calls of the functions. The result must be the same, only later.
    /// The same seed disturbs the same calls, if their order is the same
    #[arg(long, value_name = "SEED")]
    pub(crate) faults: Option<u64>,
    /// Disable the rule for completed restores. The state machine and the schedule must attach every
    /// volume
    #[arg(long)]
    pub(crate) unplugged: bool,
    /// Make a step of the recovery fail until it is repaired. The recovery must stop, notify operators,
    /// and complete after a redrive
    #[arg(long = "break", value_name = "STEP")]
    pub(crate) broken: Option<Broken>,
}

/// A step that fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broken {
    /// The workload's stack cannot be created.
    Stack,
    /// The restore of a volume fails, also at its retry.
    Restore,
    /// The restored database cannot be used, and keeps its name from the retry.
    Database,
    /// RDS refuses to create the instances of the cluster.
    Cluster,
    /// The restore of the table fails, also at its retry.
    Table,
    /// The restore of the bucket leaves an object out.
    Bucket,
    /// A volume cannot be mounted, because its folder in the instance has files.
    Mount,
    /// A permission of a function is denied.
    Function,
    /// The report cannot be stored.
    Report,
}

fn volumes(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|volumes| (3..=1000).contains(volumes))
        .ok_or_else(|| "it must be a number from 3 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = std::iter::once("rehearsal").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn parses_every_option() {
        let all = Arguments {
            volumes: 200,
            json: true,
            keep: true,
            template: Some("x.yaml".into()),
            adversity: Adversity {
                faults: Some(7),
                unplugged: true,
                broken: Some(Broken::Stack),
            },
        };
        assert_eq!(
            parse(
                "--keep --template x.yaml --faults 7 --unplugged --json --volumes 200 --break stack"
            ),
            Ok(all)
        );
        let none = Arguments {
            volumes: 3,
            json: false,
            keep: false,
            template: None,
            adversity: Adversity::default(),
        };
        assert_eq!(parse(""), Ok(none));
    }

    #[test]
    fn rejects_invalid_values_and_names_valid_ones() {
        for (line, expected) in [
            ("--fast", "--help"),
            ("--faults many", "--faults <SEED>"),
            ("--volumes 2", "from 3 to 1000"),
            ("--volumes many", "from 3 to 1000"),
            ("--volumes", "--volumes <N>"),
            (
                "--break",
                "stack, restore, database, cluster, table, bucket, mount, function, report",
            ),
            (
                "--break leg",
                "stack, restore, database, cluster, table, bucket, mount, function, report",
            ),
            ("--template", "--template <FILE>"),
        ] {
            let refused = parse(line).unwrap_err();
            assert!(refused.contains(expected), "{line}: {refused}");
        }
    }
}
