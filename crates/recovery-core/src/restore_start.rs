//! Starts one planned restore: finds the target, and with it the Availability Zone, and asks AWS
//! Backup to restore into it.
//!
//! Safe to repeat: the same recovery point for the same target, and in drills of the same drill, is one
//! restore job, until that job has failed.

use futures_util::future::try_join;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

use crate::arn::RecoveryPointArn;
use crate::error::{Error, Fault};
use crate::integrate;
use crate::integration::{NoInstance, find_instance};
use crate::outcome::Outcome;
use crate::plan::request::{Mode, is_hash};
use crate::plan::resource_type::{MetadataFacts, Support, rules};
use crate::plan::{Item, digest};
use crate::ports::{RestoreRequest, StartAnswer, StartingPorts};
use crate::text::{code, shown};

/// How often one item of one plan may be restored anew after its job has failed.
const ATTEMPTS: u32 = 10;

/// What the owner chose for restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Means {
    /// Name of the backup vault in this Region.
    pub vault: String,
    /// ARN of the role that AWS Backup restores with.
    pub role: String,
    /// ARN of the role that it restores with in drills, and in nothing else.
    pub drill_role: String,
    /// ARN of this Region's key that restored volumes are encrypted with.
    pub key: Option<String>,
}

/// What an input must look like.
const REMEDY: &str = "Pass {\"planHash\": \"…\", \"mode\": \"recover\" or \"drill\", \"item\": {…}} with an item of a plan as recovery-planner makes it; in mode drill with \"drill\", the name of the drill's execution.";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plan_hash: String,
    mode: Mode,
    item: Item,
    drill: Option<String>,
}

/// Starts the restore that `payload` names, or says why it must not begin.
///
/// # Errors
/// [`Error::Retryable`] when the target is not there yet, or a call failed that may succeed later;
/// [`Error::Permanent`] for input that cannot be read or a call that failed for good.
pub async fn handle(
    ports: &impl StartingPorts,
    means: &Means,
    payload: &Value,
) -> Result<Outcome, Error> {
    let wrong = |member: &str, what: String| {
        Error::Permanent(Fault::new("parse input", member, what, REMEDY))
    };
    let Input {
        plan_hash,
        mode,
        item,
        drill,
    } = serde_path_to_error::deserialize(payload).map_err(|error| {
        wrong(
            &format!("member {}", error.path()),
            shown(&error.inner().to_string()),
        )
    })?;
    if !is_hash(&plan_hash) {
        return Err(wrong(
            "planHash",
            format!("{} is no hash of a plan", shown(&plan_hash)),
        ));
    }
    match (mode, &drill) {
        (Mode::Recover, Some(_)) => {
            return Err(wrong("drill", "a recovery is no drill".to_owned()));
        }
        (Mode::Drill, None) => return Err(wrong("drill", "a drill needs its name".to_owned())),
        (Mode::Drill, Some(name)) if !is_execution_name(name) => {
            return Err(wrong(
                "drill",
                format!("{} is not 1 to 80 of a-z A-Z 0-9 _ -", shown(name)),
            ));
        }
        (Mode::Recover, None) | (Mode::Drill, Some(_)) => {}
    }
    let point = RecoveryPointArn::parse(&item.recovery_point_arn)?;
    let target = item
        .target
        .integration_target()
        .map_err(|what| wrong("item.target", what))?;
    let refused = |refusal: StartRefusal| {
        Ok(Outcome::refused(refusal.reason())
            .with("resourceArn", &item.resource_arn)
            .with("recoveryPointArn", point.as_str())
            .with("why", refusal.to_string())
            .with("remedy", refusal.remedy()))
    };
    let rules = rules(&item.resource_type);
    let Support::Restored(metadata) = rules.support else {
        return refused(StartRefusal::TypeNotRestored(item.resource_type.clone()));
    };
    let (instance, stored) = try_join(
        find_instance(ports, &target),
        ports.restore_metadata(&means.vault, &point),
    )
    .await?;
    let instance = match instance {
        Ok(instance) => instance,
        Err(NoInstance::Refused(refusal)) => return refused(StartRefusal::Target(refusal)),
        Err(NoInstance::Untagged) => return refused(StartRefusal::Untagged),
    };
    if matches!(instance.state.as_str(), "shutting-down" | "terminated") {
        return refused(StartRefusal::Target(integrate::Refusal::InstanceGone {
            instance: instance.id,
            state: instance.state,
        }));
    }
    let Some(stored) = stored else {
        return refused(StartRefusal::PointGone(format!(
            "it is not in the vault {}",
            means.vault
        )));
    };
    let mut request = RestoreRequest {
        point: point.clone(),
        resource_type: item.resource_type.clone(),
        metadata: metadata(MetadataFacts {
            zone: &instance.zone,
            stored: &stored,
            key: means.key.as_deref(),
        }),
        role: match mode {
            Mode::Recover => means.role.clone(),
            Mode::Drill => means.drill_role.clone(),
        },
        token: String::new(),
        // The owner's tags on a drill's resource would say that it is the workload's.
        copy_tags: rules.copies_tags && mode == Mode::Recover,
    };
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        request.token = token(&item, attempt, drill.as_deref());
        let id = match ports.start_restore(&request).await? {
            StartAnswer::Started(id) => id,
            StartAnswer::PointGone(fault) => {
                return refused(StartRefusal::PointGone(fault.message().to_owned()));
            }
            StartAnswer::Rejected(fault) => {
                return refused(StartRefusal::Rejected(fault.message().to_owned()));
            }
        };
        // A token answers with its job for ever: one that failed has to be told apart from one that
        // has just begun, or it could never be repeated.
        let job = ports.restore_job(&id).await?;
        if !matches!(job.status.as_deref(), Some("FAILED" | "ABORTED")) {
            let started = match &drill {
                Some(name) => Outcome::started().with("drill", name),
                None => Outcome::started(),
            };
            return Ok(started
                .with("restoreJobId", id.as_str())
                .with("mode", mode.as_str())
                .with("planHash", &plan_hash)
                .with("resourceArn", &item.resource_arn)
                .with("recoveryPointArn", point.as_str())
                .with("availabilityZone", &instance.zone));
        }
        last = job.status_message.unwrap_or_default();
    }
    refused(StartRefusal::KeepsFailing(last))
}

/// The token of an attempt to restore a recovery point for a target. Each drill has its own. Not of the
/// plan: where a plan is made anew because something else has changed, what is restored already stays so.
fn token(item: &Item, attempt: u32, drill: Option<&str>) -> String {
    let attempt = attempt.to_string();
    let parts = [
        item.resource_arn.as_str(),
        &item.recovery_point_arn,
        &item.target.stack,
        &item.target.logical_id,
        &attempt,
    ];
    digest(parts.into_iter().chain(drill))
}

/// Whether an execution of a state machine can be called so.
///
/// See <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>.
fn is_execution_name(name: &str) -> bool {
    (1..=80).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Why a planned restore must not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StartRefusal {
    /// The type is not restored yet.
    TypeNotRestored(String),
    /// The target is nothing to restore for.
    Target(integrate::Refusal),
    /// Only CloudFormation's own tags name a target, and they lead to no instance.
    Untagged,
    /// The recovery point is not there any more.
    PointGone(String),
    /// AWS Backup does not restore this recovery point so.
    Rejected(String),
    /// Each job of this item failed; the last one's words.
    KeepsFailing(String),
}

impl StartRefusal {
    fn reason(&self) -> &'static str {
        match self {
            StartRefusal::TypeNotRestored(_) => "type-not-restored",
            StartRefusal::Target(refusal) => refusal.reason(),
            StartRefusal::Untagged => "untagged",
            StartRefusal::PointGone(_) => "point-gone",
            StartRefusal::Rejected(_) => "restore-rejected",
            StartRefusal::KeepsFailing(_) => "restore-keeps-failing",
        }
    }

    fn remedy(&self) -> String {
        match self {
            StartRefusal::TypeNotRestored(_) => "Restore it by hand in AWS Backup.".to_owned(),
            StartRefusal::Target(refusal) => match refusal {
                integrate::Refusal::TargetType { logical_id, .. } => format!(
                    "Point the tag recovery:logical-id at an AWS::EC2::Instance or an AWS::AutoScaling::AutoScalingGroup instead of {logical_id}; restore by hand now."
                ),
                integrate::Refusal::SeveralInstances { group, .. } => format!(
                    "Set the capacity of {group} to 1, then start this restore again, or restore by hand into the right zone."
                ),
                _ => "Bring the target back by its stack, then start this restore again.".to_owned(),
            },
            StartRefusal::Untagged => {
                "Add the tags recovery:stack and recovery:logical-id to the recovery point and plan again.".to_owned()
            }
            StartRefusal::PointGone(_) => "Plan again: another recovery point may take its place.".to_owned(),
            StartRefusal::Rejected(_) => {
                "Mend what AWS Backup complains of (often the role, the key or a quota), then start this restore again; or restore by hand.".to_owned()
            }
            StartRefusal::KeepsFailing(_) => {
                "Mend what AWS Backup complains of (often the role, the key or a quota), then restore by hand: this recovery point is not restored for this target any more.".to_owned()
            }
        }
    }
}

impl fmt::Display for StartRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartRefusal::TypeNotRestored(name) => {
                write!(f, "resources of type {} are not restored yet", shown(name))
            }
            StartRefusal::Target(refusal) => refusal.fmt(f),
            StartRefusal::Untagged => write!(
                f,
                "the owner named no target, and CloudFormation's own tags lead to no instance"
            ),
            StartRefusal::PointGone(message) => {
                write!(f, "the recovery point is not there: {}", code(message))
            }
            StartRefusal::Rejected(message) => {
                write!(f, "AWS Backup does not restore it: {}", code(message))
            }
            StartRefusal::KeepsFailing(message) => write!(
                f,
                "{ATTEMPTS} restore jobs of it failed; the last one: {}",
                code(message)
            ),
        }
    }
}
