//! What can be asked of a rehearsal.

use std::path::PathBuf;

use crate::problem::Problem;

/// The answer to `--help`.
pub(crate) const HELP: &str = "\
Plays a disaster on a local AWS Region, with the functions and rules of template.yaml.

Usage: cargo rehearse [--json] [--keep] [--template FILE] [--faults SEED] [--unplugged]

  --json           print one JSON document instead of the timeline
  --keep           leave the local Region running, and print how to talk to it and how to end it
  --template FILE  deploy this template instead of the project's own
  --faults SEED    throttle, lose, delay and break calls of the functions, by this number: the end
                   must be the same, only later
  --unplugged      let no event of a completed restore reach a function: the schedule must do it
  --help           print this

Exit code: 0 every expectation held, 1 one did not, 2 the rehearsal could not be played.
It needs Rust and Python (3.10 or newer); it touches nothing but this machine's loopback addresses.
";

/// The command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
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
            json: true,
            keep: true,
            template: Some("x.yaml".into()),
            adversity: Adversity {
                faults: Some(7),
                unplugged: true,
            },
        };
        assert_eq!(
            parse("--keep --template x.yaml --faults 7 --unplugged --json").unwrap(),
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
        assert!(
            parse("--template")
                .unwrap_err()
                .to_string()
                .contains("needs a file")
        );
    }
}
