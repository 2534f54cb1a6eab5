//! What can be asked of a rehearsal.

use std::path::PathBuf;

use crate::problem::Problem;

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
Plays a disaster on a local AWS Region, with the functions and rules of template.yaml.

Usage: cargo rehearse [--volumes N] [--json] [--keep] [--template FILE]
                      [--faults SEED] [--unplugged] [--break STEP]

  --volumes N      so many volumes are recovered: 3, unless said otherwise, to 1000
  --json           print one JSON document instead of the timeline
  --keep           leave the local Region running, and print how to talk to it and how to end it
  --template FILE  deploy this template instead of the project's own
  --faults SEED    throttle, lose, delay and break calls of the functions, by this number: the end
                   must be the same, only later
  --unplugged      let no event of a completed restore reach a function: the state machine and the
                   schedule must do it
  --break STEP     let a step of the recovery fail for good: stack, restore, function or report. It
                   must stop and tell people, and go on to the same end when it is mended and redriven
  --help           print this

Exit code: 0 every expectation held, 1 one did not, 2 the rehearsal could not be played.
It needs Rust and Python (3.10 or newer); it touches nothing but this machine's loopback addresses.
";

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) volumes: usize,
    pub(crate) json: bool,
    pub(crate) keep: bool,
    pub(crate) template: Option<PathBuf>,
    pub(crate) adversity: Adversity,
}

/// What is put in the way of the functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Adversity {
    /// Calls are disturbed, by this seed.
    pub(crate) faults: Option<u64>,
    /// Events of completed restores reach no function.
    pub(crate) unplugged: bool,
    /// A step of the recovery fails, until it is mended.
    pub(crate) broken: Option<Broken>,
}

/// A step that fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The workload's stack cannot be created.
    Stack,
    /// A restore fails, also when it is started again.
    Restore,
    /// A function is denied what it needs.
    Function,
    /// The report cannot be kept.
    Report,
}

impl Broken {
    fn parse(word: &str) -> Option<Broken> {
        Some(match word {
            "stack" => Broken::Stack,
            "restore" => Broken::Restore,
            "function" => Broken::Function,
            "report" => Broken::Report,
            _ => return None,
        })
    }
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            volumes: 3,
            json: false,
            keep: false,
            template: None,
            adversity: Adversity::default(),
        }
    }
}

impl Arguments {
    /// Reads the command line; nothing when help is asked for.
    pub(crate) fn parse(
        mut words: impl Iterator<Item = String>,
    ) -> Result<Option<Arguments>, Problem> {
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => arguments.json = true,
                "--keep" => arguments.keep = true,
                "--template" => {
                    let file = words.next().ok_or_else(|| {
                        Problem::said("--template needs a file. Name one, or leave --template out.")
                    })?;
                    arguments.template = Some(file.into());
                }
                "--faults" => {
                    let seed = words.next().and_then(|word| word.parse().ok());
                    let seed = seed.ok_or_else(|| {
                        Problem::said("--faults needs a number. The same number disturbs the same calls, as far as they come in the same order.")
                    })?;
                    arguments.adversity.faults = Some(seed);
                }
                "--unplugged" => arguments.adversity.unplugged = true,
                "--volumes" => {
                    let volumes = words.next().and_then(|word| word.parse().ok());
                    let volumes = volumes.filter(|volumes| (3..=1000).contains(volumes));
                    arguments.volumes = volumes
                        .ok_or_else(|| Problem::said("--volumes needs a number from 3 to 1000."))?;
                }
                "--break" => {
                    let step = words.next().as_deref().and_then(Broken::parse);
                    let step = step.ok_or_else(|| {
                        Problem::said("--break needs a step: stack, restore, function or report.")
                    })?;
                    arguments.adversity.broken = Some(step);
                }
                "--help" | "-h" => return Ok(None),
                other => {
                    return Err(Problem::said(format!(
                        "it does not know {other:?}. `cargo rehearse --help` lists what it takes."
                    )));
                }
            }
        }
        Ok(Some(arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, Problem> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read_or_refused_by_word() {
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
            )
            .unwrap(),
            Some(all)
        );
        assert_eq!(parse("").unwrap(), Some(Arguments::default()));
        assert_eq!(parse("--json --help").unwrap(), None);
        let refused = parse("--fast").unwrap_err().to_string();
        assert!(
            refused.contains("\"--fast\"") && refused.contains("--help"),
            "{refused}"
        );
        let refused = parse("--faults many").unwrap_err().to_string();
        assert!(refused.contains("--faults needs a number"), "{refused}");
        for wrong in [
            "--volumes 2",
            "--volumes many",
            "--volumes",
            "--break",
            "--break leg",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(
            parse("--template")
                .unwrap_err()
                .to_string()
                .contains("needs a file")
        );
    }
}
