//! Why nothing is mounted.

use std::fmt;

use crate::integrate::mount::answer::{AGENT_NOT_CONNECTED, InstanceAnswer, MountOutcome};
use crate::integrate::refusal::Refusal;
use crate::text::{code, shown};

/// How many instances a text names.
const NAMED: usize = 5;

/// Why the runbook did not mount what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountRefusal {
    /// Instances answered that it is not mounted.
    NotMounted {
        /// What was to be mounted, and where: `vol-1 at /data`.
        object: String,
        /// The execution of the runbook.
        execution: String,
        /// The answers of the instances on which it is not mounted.
        answers: Vec<InstanceAnswer>,
        /// The value of `mountAttempt` for the next attempt.
        next_attempt: u32,
    },
    /// The runbook ended without the answers of all instances.
    RunbookFailed {
        /// As above.
        object: String,
        /// As above.
        execution: String,
        /// Why it failed, or what is missing.
        failure: String,
        /// As above.
        next_attempt: u32,
    },
}

impl MountRefusal {
    fn answers(&self) -> &[InstanceAnswer] {
        match self {
            MountRefusal::NotMounted { answers, .. } => answers,
            MountRefusal::RunbookFailed { .. } => &[],
        }
    }
}

impl Refusal for MountRefusal {
    fn reason(&self) -> &'static str {
        let all = |test: fn(&InstanceAnswer) -> bool| self.answers().iter().all(test);
        match self {
            MountRefusal::RunbookFailed { .. } => "mount-runbook-failed",
            MountRefusal::NotMounted { .. }
                if all(|it| it.reason.as_deref() == Some(AGENT_NOT_CONNECTED)) =>
            {
                "agent-not-connected"
            }
            MountRefusal::NotMounted { .. } if all(|it| it.outcome == MountOutcome::Retry) => {
                "mount-unfinished"
            }
            MountRefusal::NotMounted { .. } => "mount-refused",
        }
    }

    fn remedy(&self) -> String {
        let mut remedies: Vec<String> = Vec::new();
        for answer in self.answers() {
            let remedy = answer.remedy.as_deref().map(shown).unwrap_or_default();
            if !remedy.is_empty() && !remedies.contains(&remedy) && remedies.len() < NAMED {
                remedies.push(remedy);
            }
        }
        if remedies.is_empty() {
            return "Read the steps of the execution in Systems Manager Automation, and correct the cause.".to_owned();
        }
        remedies
            .iter()
            .map(|remedy| code(remedy))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn next_attempt(&self) -> Option<u32> {
        match self {
            MountRefusal::NotMounted { next_attempt, .. }
            | MountRefusal::RunbookFailed { next_attempt, .. } => Some(*next_attempt),
        }
    }
}

impl fmt::Display for MountRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (object, execution) = match self {
            MountRefusal::NotMounted {
                object, execution, ..
            }
            | MountRefusal::RunbookFailed {
                object, execution, ..
            } => (object, execution),
        };
        write!(
            f,
            "the runbook MountFileSystem (execution {}) did not mount {}: ",
            code(execution),
            code(object)
        )?;
        match self {
            MountRefusal::RunbookFailed { failure, .. } => f.write_str(&code(failure)),
            MountRefusal::NotMounted { answers, .. } => {
                let each = answers.iter().take(NAMED).map(|answer| {
                    let found = answer.found.as_deref().map(str::trim).unwrap_or_default();
                    let found = match found {
                        "" => String::new(),
                        found => format!(" ({})", code(found)),
                    };
                    format!(
                        "on {} {}{found}",
                        code(&answer.instance_id),
                        code(answer.reason.as_deref().unwrap_or("unknown")),
                    )
                });
                f.write_str(&each.collect::<Vec<_>>().join("; "))?;
                match answers.len().saturating_sub(NAMED) {
                    0 => Ok(()),
                    more => write!(f, "; and on {more} more"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(instance: &str, outcome: MountOutcome, reason: &str) -> InstanceAnswer {
        InstanceAnswer {
            instance_id: instance.to_owned(),
            outcome,
            reason: Some(reason.to_owned()),
            found: Some("/dev/nvme1n1 holds: swap".to_owned()),
            remedy: Some("Check the recovery point.".to_owned()),
            device: None,
            file_system: None,
            transport: None,
            directory: None,
        }
    }

    fn refusal(answers: Vec<InstanceAnswer>) -> MountRefusal {
        MountRefusal::NotMounted {
            object: "vol-1 at /data".to_owned(),
            execution: "e-1".to_owned(),
            answers,
            next_attempt: 1,
        }
    }

    #[test]
    fn the_reason_says_who_must_act() {
        let swap = answer("i-1", MountOutcome::Refused, "swap");
        let busy = answer("i-2", MountOutcome::Retry, "busy");
        let agent = answer("i-3", MountOutcome::Retry, AGENT_NOT_CONNECTED);
        assert_eq!(
            refusal(vec![swap.clone(), busy.clone()]).reason(),
            "mount-refused"
        );
        assert_eq!(
            refusal(vec![busy.clone(), agent.clone()]).reason(),
            "mount-unfinished"
        );
        assert_eq!(refusal(vec![agent]).reason(), "agent-not-connected");
        let text = refusal(vec![swap, busy]);
        assert_eq!(
            text.to_string(),
            "the runbook MountFileSystem (execution `e-1`) did not mount `vol-1 at /data`: on `i-1` `swap` \
             (`/dev/nvme1n1 holds: swap`); on `i-2` `busy` (`/dev/nvme1n1 holds: swap`)"
        );
        assert_eq!(text.remedy(), "`Check the recovery point.`");
    }

    #[test]
    fn a_text_names_five_instances() {
        let many = (0..9)
            .map(|n| answer(&format!("i-{n}"), MountOutcome::Refused, "swap"))
            .collect();
        assert!(refusal(many).to_string().ends_with("; and on 4 more"));
    }
}
