//! Which execution of the runbook a restore job has: recorded in its OpsItem.
//!
//! A person or a redrive begins a new round with a larger member `mountAttempt` of the request, which is 0 at first. A
//! person adds one, and the n-th redrive asks for n hundred, so that it is larger than what persons asked for. Within a
//! round, the runbook is started again as long as every failure may end by itself, at most [`EXECUTIONS`] times. It is
//! also started for another request, for example because the volume was attached to another instance.
//!
//! The client token is derived from the restore job, the request and the number of the execution. Two runs at the same
//! time therefore start one execution, and so does a run that repeats one whose record was lost.

use crate::aws::arn::RestoreJobId;
use crate::integrate::mount::request::{MountRequest, Operation};
use crate::ops_item::{OpsItem, restore_key};

/// Operational data: the last execution that mounts.
const MOUNT_EXECUTION: &str = "recovery:mount-execution";
/// Operational data: the last execution that finds the directory of EFS.
const DIRECTORY_EXECUTION: &str = "recovery:directory-execution";
/// Executions of one round.
const EXECUTIONS: u32 = 3;

/// The number of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    round: u32,
    /// Within the round, beginning at 1.
    number: u32,
    /// Of all executions of the job, beginning at 1.
    serial: u32,
}

impl Number {
    /// The first execution of a job.
    pub(crate) fn first(round: u32) -> Number {
        Number {
            round,
            number: 1,
            serial: 1,
        }
    }

    /// The round of the execution.
    pub(crate) fn round(self) -> u32 {
        self.round
    }

    /// The first execution of another request, after this one.
    fn of_another_request(self, asked: u32) -> Number {
        Number {
            serial: self.serial.saturating_add(1),
            ..Number::first(asked)
        }
    }

    /// The next execution, after this one failed: in the round that is asked for, if it is a later one, or in the same
    /// round if every failure may end by itself. `None` if a person must act.
    pub(crate) fn next(self, asked: u32, may_end_by_itself: bool) -> Option<Number> {
        if asked > self.round {
            return Some(self.of_another_request(asked));
        }
        (may_end_by_itself && self.number < EXECUTIONS).then(|| Number {
            number: self.number + 1,
            serial: self.serial.saturating_add(1),
            ..self
        })
    }

    /// The client token.
    pub(crate) fn token(self, job: &RestoreJobId, request: &MountRequest) -> String {
        let Number {
            round,
            number,
            serial,
        } = self;
        let parameters = request.parameters();
        restore_key(job).token(&format!("{round}.{number}.{serial} {parameters:?}"))
    }
}

/// An execution that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) number: Number,
    pub(crate) token: String,
    pub(crate) id: String,
}

/// What the OpsItem records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// An execution of this request.
    Started(Started),
    /// No execution of this request: the number of the one to start.
    Nothing(Number),
}

/// The key of the operational data in which an execution is recorded.
pub(crate) fn record_key(operation: Operation) -> &'static str {
    match operation {
        Operation::Mount => MOUNT_EXECUTION,
        Operation::FindRestoredDirectory => DIRECTORY_EXECUTION,
    }
}

impl Started {
    /// The text that the OpsItem records.
    pub(crate) fn record(&self) -> String {
        let Number {
            round,
            number,
            serial,
        } = self.number;
        format!("{round}.{number}.{serial} {} {}", self.token, self.id)
    }

    fn parse(record: &str) -> Option<Started> {
        let [number, token, id] = *record.split(' ').collect::<Vec<_>>() else {
            return None;
        };
        let parts: Option<Vec<u32>> = number.split('.').map(|part| part.parse().ok()).collect();
        let [round, number, serial] = *parts? else {
            return None;
        };
        Some(Started {
            number: Number {
                round,
                number,
                serial,
            },
            token: token.to_owned(),
            id: id.to_owned(),
        })
    }
}

/// What the item records of this request. `asked` is the round that is asked for.
pub(crate) fn recorded(
    item: Option<&OpsItem>,
    job: &RestoreJobId,
    request: &MountRequest,
    asked: u32,
) -> Recorded {
    let record = item.and_then(|item| item.data.get(record_key(request.operation)));
    match record.and_then(|record| Started::parse(record)) {
        None => Recorded::Nothing(Number::first(asked)),
        Some(started) if started.token == started.number.token(job, request) => {
            Recorded::Started(started)
        }
        Some(other) => Recorded::Nothing(other.number.of_another_request(asked)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::aws::arn::InstanceId;
    use crate::integrate::mount::request::MountType;

    fn request(operation: Operation, instance: &str) -> MountRequest {
        MountRequest::new(
            operation,
            MountType::Efs,
            "fs-1",
            vec![InstanceId::new(instance)],
        )
    }

    #[test]
    fn is_started_again_while_the_failure_may_end_by_itself() {
        let first = Number::first(0);
        let second = first.next(0, true).unwrap();
        let third = second.next(0, true).unwrap();
        assert_eq!(third.next(0, true), None);
        assert_eq!(first.next(0, false), None);
    }

    #[test]
    fn a_later_round_begins_once() {
        let first = Number::first(0);
        let again = first.next(1, false).unwrap();
        assert_eq!((again.round, again.number, again.serial), (1, 1, 2));
        assert_eq!(again.next(1, false), None);
        // The same request again, or one of an earlier round.
        assert_eq!(again.next(0, false), None);
        assert_eq!(again.next(3, true).map(Number::round), Some(3));
    }

    #[test]
    fn tokens_differ_by_job_request_and_number() {
        let token = |job: &str, operation, instance: &str, number: Number| {
            number.token(&RestoreJobId::new(job), &request(operation, instance))
        };
        let first = Number::first(0);
        let tokens: BTreeSet<String> = [
            token("job-1", Operation::Mount, "i-1", first),
            token("job-2", Operation::Mount, "i-1", first),
            token("job-1", Operation::Mount, "i-2", first),
            token("job-1", Operation::FindRestoredDirectory, "i-1", first),
            token(
                "job-1",
                Operation::Mount,
                "i-1",
                first.next(0, true).unwrap(),
            ),
            token("job-1", Operation::Mount, "i-1", Number::first(1)),
            token(
                "job-1",
                Operation::Mount,
                "i-1",
                first.of_another_request(0),
            ),
        ]
        .into();
        assert_eq!(tokens.len(), 7);
        assert!(tokens.contains(&token("job-1", Operation::Mount, "i-1", first)));
    }

    #[test]
    fn the_record_is_read_back_for_its_own_request_only() {
        let job = RestoreJobId::new("job-1");
        let own = request(Operation::Mount, "i-1");
        let number = Number::first(0).next(0, true).unwrap();
        let started = Started {
            number,
            token: number.token(&job, &own),
            id: "e-1".to_owned(),
        };
        assert_eq!(Started::parse(&started.record()), Some(started.clone()));
        let item = |record: String| OpsItem {
            id: crate::aws::arn::OpsItemId::new("oi-1"),
            status: crate::ops_item::Status::Open,
            data: [(MOUNT_EXECUTION.to_owned(), record)].into(),
            created: None,
        };
        let read = |record: &str, request: &MountRequest| {
            recorded(Some(&item(record.to_owned())), &job, request, 0)
        };
        assert_eq!(
            read(&started.record(), &own),
            Recorded::Started(started.clone())
        );
        let other = read(&started.record(), &request(Operation::Mount, "i-2"));
        assert_eq!(other, Recorded::Nothing(number.of_another_request(0)));
        for broken in ["", "e-1", "0.1 t e", "0.1.x t e", "0.1.1 t e f"] {
            let nothing = Recorded::Nothing(Number::first(0));
            assert_eq!(read(broken, &own), nothing, "{broken}");
        }
    }
}
