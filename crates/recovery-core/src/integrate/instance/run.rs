//! Integrates an instance that was restored from its image: it is registered with the target groups that the tags name,
//! its status checks and its health are followed, its addresses are published, and the result is recorded.
//!
//! It can be repeated, and run twice at the same time: each step is decided from what exists. What takes minutes is
//! answered with `pending`: the state machine and the reconciler run it again.

use std::cell::Cell;
use std::collections::BTreeMap;

use futures_util::future::{join4, try_join, try_join_all};

use crate::aws::arn::InstanceId;
use crate::aws::backup::Restore;
use crate::aws::cloudformation::ResourceStatus;
use crate::aws::instance::{RegisterAnswer, Server, instance_id};
use crate::error::Error;
use crate::integrate::instance::decide::{Observed, ObservedGroup, PATIENCE, Step, next_step};
use crate::integrate::instance::kind::INSTANCE;
use crate::integrate::instance::record::{Serving, answer, records_all, values};
use crate::integrate::instance::refusal::InstanceRefusal;
use crate::integrate::publish::Publication;
use crate::integrate::record::TAGS_FROM;
use crate::integrate::run_job::{Admission, admit};
use crate::integrate::run_publish::{Publishing, publish};
use crate::integrate::run_record::{
    record_data, record_failure, record_result, record_untagged, refuse,
};
use crate::integrate::run_tags::tags_of;
use crate::integrate::skip::{Ownership, check_drill_stack, check_inside_drill, drill_name};
use crate::ops_item::restore_key;
use crate::ops_item::run::first_of;
use crate::outcome::Outcome;
use crate::plan::instance::{profile, target};
use crate::ports::{
    Clock, InstanceIntegrationPorts, RecoveryPoints, RestoreJobs, Servers, StackResources, Stacks,
    TargetGroups, TargetPorts,
};
use crate::reference::TARGET_GROUP;
use crate::reference::run::References;
use crate::tags::{
    LOGICAL_ID, PUBLISH, SECURITY_GROUPS, STACK, TARGET_GROUPS, UnusableTag, WORKLOAD, value,
};
use crate::text::code;

/// What the deployment permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceConfig {
    /// The account, Region and drill role that this deployment may act on.
    pub ownership: Ownership,
    /// Name of the backup vault in this Region.
    pub vault: String,
    /// The path, with a slash at its end, below which addresses are published.
    pub publish_path: String,
}

/// Integrates a restore. Fields of its job that the event lacks are read from AWS Backup.
///
/// An instance that a drill restored is only integrated if that drill asks for it.
///
/// # Errors
/// [`Error::Retryable`] if a call failed that can succeed later; [`Error::Permanent`] if a call cannot
/// succeed. A refusal is not an error, because retrying cannot help: operators are notified, or the answer
/// contains the remedy.
pub async fn integrate(
    ports: &impl InstanceIntegrationPorts,
    clock: &impl Clock,
    config: &InstanceConfig,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let InstanceConfig {
        ownership,
        vault,
        publish_path,
    } = config;
    let admission = admit(ports.restore_jobs(), ownership, &INSTANCE, restore.into()).await?;
    let (restore, created) = match admission {
        Admission::Integrate { restore, created } => (restore, created),
        Admission::Skip(outcome) => return Ok(outcome),
    };
    let Some(id) = instance_id(&created) else {
        return Ok(Outcome::ignored("resource-type"));
    };
    if let Some(refusal) = ownership.refuses(&created) {
        return refuse(ports, &INSTANCE, &restore, &refusal).await;
    }
    let restore = &*restore;
    let refused = async |refusal| refuse(ports, &INSTANCE, restore, &refusal).await;
    let ignored = |reason| Ok(Outcome::ignored(reason).with("instanceId", id.as_str()));
    let drill = drill_name(restore)?;
    // The item of the plan comes with each request; only the reconciler needs the record.
    if let Some(from) = &restore.planned.tags_from {
        record_data(ports.ops_items(), restore, TAGS_FROM, from.as_str()).await?;
    }
    let (tags, metadata, server, item) = join4(
        tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()),
        ports.restore_jobs().metadata(&restore.job.id),
        ports.servers().find(&id),
        first_of(ports.ops_items(), &restore_key(&restore.job.id)),
    )
    .await;
    let tags = tags?;
    if ![
        WORKLOAD,
        LOGICAL_ID,
        SECURITY_GROUPS,
        TARGET_GROUPS,
        PUBLISH,
    ]
    .iter()
    .any(|tag| value(&tags, tag).is_some())
    {
        record_untagged(ports.ops_items(), &INSTANCE, restore).await?;
        return ignored("untagged");
    }
    if let Err(outcome) = check_drill_stack(restore, value(&tags, STACK)) {
        return Ok(outcome);
    }
    let (mut target, mut unusable) = match target(&tags) {
        Ok(read) => read,
        Err(refusal) => return refused(InstanceRefusal::Tags(refusal)).await,
    };
    if let Some(drill) = &restore.drill {
        if let Err(outcome) = check_inside_drill(restore, target.references()) {
            return Ok(outcome);
        }
        if let Some(stack) = &mut target.stack {
            stack.clone_from(&drill.stack);
        }
    }
    let publication = Publication::of(&tags, publish_path, drill).unwrap_or_else(|tag| {
        unusable.push(tag);
        None
    });
    let Some(server) = server? else {
        return refused(InstanceRefusal::Gone {
            id: id.to_string(),
            reason: None,
        })
        .await;
    };
    if server.restore_test {
        return ignored("restore-test");
    }
    let own = target.own_logical_id.as_deref();
    if let Some(refusal) = stack_instance(ports, target.stack.as_deref(), own).await? {
        return refused(refusal).await;
    }
    let pending = |what: String| {
        Ok(Outcome::pending(what)
            .with("restoreJobId", restore.job.id.as_str())
            .with("instanceId", id.as_str()))
    };
    let groups = match groups_of(ports, target.stack.as_deref(), &target.target_groups).await? {
        Groups::Named(groups) => groups,
        Groups::Pending(what) => return pending(what),
        Groups::Refused(refusal) => return refused(refusal).await,
    };
    let completed = restore.job.completed;
    let is_overdue = completed.is_some_and(|completed| clock.now() - completed >= PATIENCE);
    let (acted, unused) = match serve(ports, &server, &groups, is_overdue).await {
        Ok(Serve::Serves { acted, unused }) => (acted, unused),
        Ok(Serve::Pending(what)) => return pending(what),
        Ok(Serve::Refused(refusal)) => return refused(refusal).await,
        Err(error) => return Err(recorded(ports, restore, error).await),
    };
    if let Some((group, stack)) = unused.first().zip(target.stack.as_deref()) {
        let state = ports.stacks().describe(stack).await?;
        if state.is_some_and(|state| state.is_in_progress()) {
            return pending(format!(
                "a load balancer to use {group}, or the stack {stack} to be complete"
            ));
        }
    }
    let profile = left_of_profile(ports, vault, restore, &server, &metadata?).await?;
    let mut left: Vec<String> = profile.into_iter().collect();
    left.extend(unused.iter().map(|group| left_of_unused(group)));
    left.extend(unusable.iter().map(UnusableTag::left_to_do));
    let item = item?.filter(|item| records_all(item, &server));
    if let Some(item) = item.filter(|_| left.is_empty() && !acted) {
        let done = Outcome::already_integrated();
        return Ok(answer(done, &server, &restore.job, Some(&item.id)));
    }
    let mut publishing = Publishing::default();
    if let Some(publication) = &publication {
        let values = values(&server, created.as_str());
        publishing = match publish(ports, restore, publication, &values).await {
            Ok(published) => published,
            Err(error) => return Err(recorded(ports, restore, error).await),
        };
    }
    let acted = acted || publishing.written;
    let serving = Serving {
        server: &server,
        groups,
        publication: publication.as_ref(),
        replaced: &publishing.replaced,
        left,
    };
    let now = clock.now();
    let was_recorded = Cell::new(false);
    let item = record_result(
        ports,
        restore,
        acted,
        None,
        |item| {
            was_recorded.set(serving.is_recorded(item));
            was_recorded.get()
        },
        |item| serving.change(restore, item, now),
    )
    .await?;
    let outcome = match acted || !was_recorded.get() {
        true => Outcome::integrated(),
        false => Outcome::already_integrated(),
    };
    Ok(answer(outcome, &server, &restore.job, item.as_ref()))
}

/// The refusal of an instance whose logical id is this one, or that of its Auto Scaling group: if the stack has created it
/// in this Region, two would do the same work.
///
/// # Errors
/// Those of the port.
pub(crate) async fn stack_instance(
    ports: &impl TargetPorts,
    stack: Option<&str>,
    own_logical_id: Option<&str>,
) -> Result<Option<InstanceRefusal>, Error> {
    let Some((stack, logical_id)) = stack.zip(own_logical_id) else {
        return Ok(None);
    };
    let resource = ports.stack_resources().describe(stack, logical_id).await?;
    let exists = resource.is_some_and(|resource| {
        ["AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup"]
            .contains(&resource.resource_type.as_str())
            && !resource.status.is_failed_or_deleted()
            && resource.status != ResourceStatus::DeleteSkipped
    });
    Ok(exists.then(|| InstanceRefusal::StackInstance {
        stack: stack.to_owned(),
        logical_id: logical_id.to_owned(),
    }))
}

/// What is left to do without the instance profile that the instance had. In a drill, it has none on purpose.
async fn left_of_profile(
    ports: &impl InstanceIntegrationPorts,
    vault: &str,
    restore: &Restore,
    server: &Server,
    asked: &BTreeMap<String, String>,
) -> Result<Option<String>, Error> {
    if server.has_profile || restore.drill.is_some() {
        return Ok(None);
    }
    let id = server.id.as_str();
    let command = |name: &str| {
        format!(
            "`aws ec2 associate-iam-instance-profile --instance-id {id} --iam-instance-profile Name={name}`"
        )
    };
    let unknown = |why: &str| {
        format!(
            "It has no instance profile. Whether it had one is unknown: {why}. If it had one: {}.",
            command("…")
        )
    };
    let stored = match &restore.job.recovery_point {
        None => Ok(None),
        Some(point) => ports.recovery_points().restore_metadata(vault, point).await,
    };
    let had = match stored {
        Ok(Some(stored)) => profile(&stored).map(str::to_owned),
        Ok(None) => return Ok(Some(unknown("its recovery point is not in the vault"))),
        Err(Error::Permanent(fault)) => return Ok(Some(unknown(&fault.to_string()))),
        Err(later) => return Err(later),
    };
    let why = match profile(asked) {
        Some(_) => "although the restore asked for the one that was backed up",
        None => "because the restore did not ask for it (RestoredInstanceRoleArns)",
    };
    Ok(had.map(|name| format!("It has no instance profile, {why}: {}.", command(&name))))
}

/// What is left to do for a target group that no load balancer uses.
fn left_of_unused(group: &str) -> String {
    format!(
        "No load balancer uses the target group {}: it gets no requests, and nothing checks the health of the instance. Let a listener forward to it, or remove it from the tag {TARGET_GROUPS} of the recovery point.",
        code(group)
    )
}

/// The target groups that the tags name.
enum Groups {
    /// Their ARNs.
    Named(Vec<String>),
    Pending(String),
    Refused(InstanceRefusal),
}

async fn groups_of(
    ports: &impl InstanceIntegrationPorts,
    stack: Option<&str>,
    named: &[String],
) -> Result<Groups, Error> {
    let mut references = References::new(ports, stack);
    let mut groups = Vec::new();
    for reference in named {
        groups.extend(references.find(reference, &TARGET_GROUP).await?);
    }
    Ok(match references.refused {
        Some(refusal) => Groups::Refused(InstanceRefusal::Reference(refusal)),
        None if !references.awaited.is_empty() => Groups::Pending(references.awaited.join(", ")),
        None => Groups::Named(groups),
    })
}

/// Whether the instance serves.
enum Serve {
    Serves {
        /// Whether this run registered it.
        acted: bool,
        /// The ARNs of the target groups that no load balancer uses.
        unused: Vec<String>,
    },
    /// This takes minutes.
    Pending(String),
    Refused(InstanceRefusal),
}

async fn serve(
    ports: &impl InstanceIntegrationPorts,
    server: &Server,
    groups: &[String],
    is_overdue: bool,
) -> Result<Serve, Error> {
    let observed = try_join_all(
        groups
            .iter()
            .map(|group| observe_group(ports, group, &server.id)),
    );
    let (checks, observed) = try_join(ports.servers().checks(&server.id), observed).await?;
    let mut known = Vec::new();
    for (group, arn) in observed.into_iter().zip(groups) {
        match group {
            Some(group) => known.push(group),
            None => {
                return Ok(Serve::Refused(InstanceRefusal::TargetGroupGone {
                    group: arn.clone(),
                }));
            }
        }
    }
    let seen = Observed {
        server: server.clone(),
        checks,
        groups: known,
        is_overdue,
    };
    let mut registered: Vec<String> = Vec::new();
    loop {
        let group = match next_step(&seen, &registered) {
            Step::Done { unused } => {
                return Ok(Serve::Serves {
                    acted: !registered.is_empty(),
                    unused,
                });
            }
            Step::Wait(what) => return Ok(Serve::Pending(what)),
            Step::Refuse(refusal) => return Ok(Serve::Refused(refusal)),
            Step::Register(group) => group,
        };
        match ports.target_groups().register(&group, &server.id).await? {
            RegisterAnswer::Registered => registered.push(group),
            // An instance in another VPC or of another kind never becomes a target.
            RegisterAnswer::Busy(fault) if is_overdue => {
                return Ok(Serve::Refused(InstanceRefusal::Rejected {
                    group,
                    message: fault.message().to_owned(),
                }));
            }
            RegisterAnswer::Busy(fault) => {
                return Ok(Serve::Pending(format!(
                    "{group} to accept {} ({})",
                    server.id,
                    fault.message()
                )));
            }
            RegisterAnswer::Rejected(fault) => {
                return Ok(Serve::Refused(InstanceRefusal::Rejected {
                    group,
                    message: fault.message().to_owned(),
                }));
            }
        }
    }
}

/// The target group, and the health of the instance in it; `None` if it does not exist.
async fn observe_group(
    ports: &impl InstanceIntegrationPorts,
    arn: &str,
    id: &InstanceId,
) -> Result<Option<ObservedGroup>, Error> {
    let groups = ports.target_groups();
    let (group, health) = try_join(groups.describe(arn), groups.health(arn, id)).await?;
    Ok(group.map(|group| ObservedGroup { group, health }))
}

/// The error, after it was recorded and operators were notified if no later run can succeed either: a change that
/// failed permanently.
async fn recorded(ports: &impl InstanceIntegrationPorts, restore: &Restore, error: Error) -> Error {
    let fault = match error {
        Error::Permanent(fault) if !fault.is_read_only() => fault,
        other => return other,
    };
    let is_disconnected = async || Ok(true);
    match record_failure(ports, &INSTANCE, restore, &fault, is_disconnected).await {
        Err(later @ Error::Retryable(_)) => later,
        Ok(()) | Err(Error::Permanent(_)) => Error::Permanent(fault),
    }
}
