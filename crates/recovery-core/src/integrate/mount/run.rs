//! Starts the runbook that mounts, and follows it.

use std::time::Duration;

use crate::aws::automation::{ExecutionState, RunbookExecution};
use crate::aws::backup::Restore;
use crate::error::Error;
use crate::integrate::backoff::RESERVE;
use crate::integrate::mount::answer::{AGENT_NOT_CONNECTED, InstanceAnswer, MountOutcome, answers};
use crate::integrate::mount::executions::{Number, Recorded, Started, record_key, recorded};
use crate::integrate::mount::refusal::MountRefusal;
use crate::integrate::mount::request::MountRequest;
use crate::ops_item::{OpsItem, OpsItemChange};
use crate::ports::{Clock, MountPorts, MountRunbook, OpsItems};
use crate::text;

/// Between two reads of an execution within one run.
const PAUSE: Duration = Duration::from_secs(5);

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountProgress {
    /// The runbook has not ended. The text says what is awaited.
    Pending(String),
    /// Every instance has what was asked for.
    Done(Vec<InstanceAnswer>),
    /// A person must act.
    Refused(MountRefusal),
}

/// Starts the runbook for this request, or follows the execution that `item`, the OpsItem of the restore job, records.
/// Waits at most for `patience` until it has ended. Without an item, because OpsCenter's quota is reached, the client
/// token finds the execution.
///
/// # Errors
/// Those of the ports.
pub async fn follow(
    ports: &impl MountPorts,
    clock: &impl Clock,
    restore: &Restore,
    request: &MountRequest,
    item: Option<&OpsItem>,
    patience: Duration,
) -> Result<MountProgress, Error> {
    let until = clock.now() + patience;
    let asked = restore.planned.mount_attempt;
    let mut started = match recorded(item, &restore.job.id, request, asked) {
        Recorded::Started(started) => started,
        Recorded::Nothing(number) => start(ports, restore, request, item, number).await?,
    };
    loop {
        let execution = ports.mount_runbook().describe(&started.id).await?;
        match judge(execution, &started, request) {
            Judgment::Running => {
                if clock.now() + PAUSE > until || clock.remaining() < PAUSE + RESERVE {
                    return Ok(MountProgress::Pending(format!(
                        "the runbook MountFileSystem (execution {}) for {} on {}",
                        started.id,
                        request.object(),
                        request.instances_in_sentence()
                    )));
                }
                clock.sleep(PAUSE).await;
            }
            Judgment::Done(answers) => return Ok(MountProgress::Done(answers)),
            Judgment::Failed {
                refusal,
                may_end_by_itself,
            } => match started.number.next(asked, may_end_by_itself) {
                Some(next) => started = start(ports, restore, request, item, next).await?,
                None => return Ok(MountProgress::Refused(refusal)),
            },
        }
    }
}

/// Starts an execution, and records it.
async fn start(
    ports: &impl MountPorts,
    restore: &Restore,
    request: &MountRequest,
    item: Option<&OpsItem>,
    number: Number,
) -> Result<Started, Error> {
    let token = number.token(&restore.job.id, request);
    let parameters = request.parameters();
    let id = ports.mount_runbook().start(&token, &parameters).await?;
    let started = Started { number, token, id };
    if let Some(item) = item {
        let change = OpsItemChange {
            data: [(record_key(request.operation), started.record())].into(),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
    }
    Ok(started)
}

/// How an execution stands.
enum Judgment {
    Running,
    Done(Vec<InstanceAnswer>),
    Failed {
        refusal: MountRefusal,
        /// Whether another execution may succeed without a person's help.
        may_end_by_itself: bool,
    },
}

fn judge(
    execution: Option<RunbookExecution>,
    started: &Started,
    request: &MountRequest,
) -> Judgment {
    let next_attempt = started.number.round() + 1;
    let failed = |failure: String| Judgment::Failed {
        refusal: MountRefusal::RunbookFailed {
            object: request.object(),
            execution: started.id.clone(),
            failure,
            next_attempt,
        },
        may_end_by_itself: false,
    };
    let Some(execution) = execution else {
        return failed("Systems Manager does not know the execution".to_owned());
    };
    if execution.state == ExecutionState::Running {
        return Judgment::Running;
    }
    let all = answers(&execution).filter(|answers| {
        request
            .instances
            .iter()
            .all(|id| answers.iter().any(|it| it.instance_id == id.as_str()))
    });
    let Some(all) = all else {
        let failure = execution.failure.filter(|text| !text::is_blank(text));
        return failed(failure.unwrap_or_else(|| {
            "the execution ended without an answer of every instance".to_owned()
        }));
    };
    let (done, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.outcome.is_done());
    if others.is_empty() {
        return Judgment::Done(done);
    }
    // The runbook has waited long enough for agents.
    let may_end_by_itself = others.iter().all(|it| {
        it.outcome == MountOutcome::Retry && it.reason.as_deref() != Some(AGENT_NOT_CONNECTED)
    });
    Judgment::Failed {
        refusal: MountRefusal::NotMounted {
            object: request.object(),
            execution: started.id.clone(),
            answers: others,
            next_attempt,
        },
        may_end_by_itself,
    }
}
