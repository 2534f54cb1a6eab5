//! Which restores are not integrated, and what a drill does not get.

use std::fmt;

use crate::aws::arn::{Arn, Scope};
use crate::aws::backup::{Restore, RestoreJob};
use crate::error::{Error, Fault};
use crate::integrate::kind::ResourceKind;
use crate::integrate::refusal::Refusal;
use crate::outcome::Outcome;
use crate::reference::Reference;
use crate::tags::IntegrationTarget;
use crate::text::code;

/// The account, Region and drill role that this deployment may act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The account and Region of this deployment. Resources elsewhere are refused.
    pub scope: Scope,
    /// ARN of the role that only drills restore with.
    pub drill_role: String,
}

impl Ownership {
    /// The refusal of a resource in another account or Region.
    pub(crate) fn refuses(&self, resource: &Arn) -> Option<NotHere> {
        let Scope { account, region } = &self.scope;
        (!self.scope.owns(resource)).then(|| NotHere {
            resource: resource.to_string(),
            scope: format!("account {account}, Region {region}"),
        })
    }
}

/// The restored resource is in another account or Region than this deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotHere {
    resource: String,
    /// The account and Region of this deployment.
    scope: String,
}

impl Refusal for NotHere {
    fn reason(&self) -> &'static str {
        "not-here"
    }

    fn remedy(&self) -> String {
        "Deploy Rapid Recovery in the account and Region of the restored resource, or restore into this account and Region."
            .to_owned()
    }
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not in {}", code(&self.resource), self.scope)
    }
}

/// The outcome for a restore that is not integrated, as far as its job is known: a restore test, a job
/// that has not completed, another resource type, or a drill that does not ask for it.
pub(crate) fn skip_reason(
    ownership: &Ownership,
    kind: &ResourceKind,
    restore: &Restore,
) -> Option<Outcome> {
    let Restore { job, drill, .. } = restore;
    let ignored = |reason| Some(Outcome::ignored(reason));
    if job.restore_test {
        return ignored("restore-test");
    }
    match (job.is_of_drill(&ownership.drill_role), drill) {
        (Some(true), None) => return ignored("drill"),
        (Some(false), Some(_)) => return Some(DrillRefusal::NotADrill.outcome(job)),
        _ => {}
    }
    // A job that is known by its id only has no status yet.
    if job.status.is_some() && !job.is_completed() {
        return ignored("status");
    }
    let is_of_kind = |name: &str| kind.resource_types.contains(&name);
    match job.resource_type.as_deref() {
        Some(name) if !is_of_kind(name) => ignored("resource-type"),
        Some(_) | None => None,
    }
}

/// Replaces the stack that the tags name with the stack of the drill, for a restore that belongs to one.
///
/// # Errors
/// The outcome, if the drill names the workload's own stack, or the tags name infrastructure outside a stack.
pub(crate) fn redirect_to_drill(
    restore: &Restore,
    target: &mut IntegrationTarget,
) -> Result<(), Outcome> {
    let Some(drill) = &restore.drill else {
        return Ok(());
    };
    check_drill_stack(restore, target.stack.as_deref())?;
    match &mut target.stack {
        Some(stack) if target.logical_id.needs_stack() => {
            stack.clone_from(&drill.stack);
            Ok(())
        }
        _ => Err(DrillRefusal::OutsideOfDrill(&target.logical_id).outcome(&restore.job)),
    }
}

/// Checks that a drill does not name `stack`, the workload's own.
///
/// # Errors
/// The outcome, if it does.
pub(crate) fn check_drill_stack(restore: &Restore, stack: Option<&str>) -> Result<(), Outcome> {
    match &restore.drill {
        Some(drill) if stack == Some(&drill.stack) => {
            Err(DrillRefusal::DrillTarget(&drill.stack).outcome(&restore.job))
        }
        _ => Ok(()),
    }
}

/// Checks that the tags of a restore that belongs to a drill name infrastructure in its stack only.
///
/// # Errors
/// The outcome, if they do not.
pub(crate) fn check_inside_drill<'a>(
    restore: &Restore,
    references: impl IntoIterator<Item = &'a String>,
) -> Result<(), Outcome> {
    let outside = references
        .into_iter()
        .filter_map(|text| Reference::parse(text))
        .find(|reference| !reference.needs_stack());
    match outside.filter(|_| restore.drill.is_some()) {
        Some(reference) => Err(DrillRefusal::OutsideOfDrill(&reference).outcome(&restore.job)),
        None => Ok(()),
    }
}

/// The name of the drill that the restore belongs to, for a resource type that needs it: what the integration
/// makes for a drill has the name in its tag.
///
/// # Errors
/// [`Error::Permanent`] if the request named the drill's stack only.
pub(crate) fn drill_name(restore: &Restore) -> Result<Option<&str>, Error> {
    let Some(drill) = &restore.drill else {
        return Ok(None);
    };
    drill.name.as_deref().map(Some).ok_or_else(|| {
        Error::Permanent(Fault::new(
            "parse input",
            "drill.name",
            "it is missing",
            "Pass {\"restoreJobId\": \"…\", \"drill\": {\"stack\": \"…\", \"name\": \"…\"}} with the name of the drill's execution: the clean-up of the drill deletes what has this name in its tag.",
        ))
    })
}

/// Why a drill does not get what it asks for. Only the caller is informed, because nothing is lost.
enum DrillRefusal<'a> {
    /// The job does not belong to a drill.
    NotADrill,
    /// The drill names this stack, which is the workload's own.
    DrillTarget(&'a str),
    /// The tags name infrastructure that a drill could only share with the workload.
    OutsideOfDrill(&'a Reference),
}

impl DrillRefusal<'_> {
    fn outcome(&self, job: &RestoreJob) -> Outcome {
        let (reason, why, remedy) = match self {
            DrillRefusal::NotADrill => (
                "not-a-drill",
                "the restore job does not have the role of a drill: the restored resource belongs to the workload itself".to_owned(),
                "To attach the restored resource to the workload's own stack, pass the restore job without \"drill\". For a drill, pass a job that restore-starter started in mode drill.",
            ),
            DrillRefusal::DrillTarget(stack) => (
                "drill-target",
                format!("{stack} is the stack of the workload itself"),
                "Pass another stack name for the drill.",
            ),
            DrillRefusal::OutsideOfDrill(reference) => (
                "outside-of-drill",
                format!("{reference} names infrastructure outside the stack of the drill"),
                "Name this infrastructure by its logical id in the stack of recovery:stack. A drill can then use that of its own stack.",
            ),
        };
        Outcome::refused(reason)
            .with("restoreJobId", job.id.as_str())
            .with("why", why)
            .with("remedy", remedy)
    }
}
