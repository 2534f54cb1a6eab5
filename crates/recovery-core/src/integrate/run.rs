//! Brings a restored EBS volume back onto the instance it belongs to: looks, decides
//! ([`next_step`]), acts, and looks again.
//!
//! Safe to repeat and to run twice at the same time: what is done already is found done, and an
//! answer that was lost is settled by looking, never by asking EC2 a second time.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{OptionFuture, join, try_join};

use crate::aws::arn::{InstanceId, OpsItemId, RecoveryPointArn, Scope, VolumeId};
use crate::aws::backup::{EBS, Restore, RestoreJob};
use crate::aws::cloudformation::StackResource;
use crate::aws::ec2::{AttachAnswer, Attachment, DeviceName, Instance, Volume};
use crate::error::{Error, Fault};
use crate::integrate::auto_scaling::{Choice, choose};
use crate::integrate::volume::{Refusal, Step, next_step};
use crate::notification::Notification;
use crate::ops_item::run::{find_or_create, first_of, resolve_duplicate};
use crate::ops_item::{
    Claim, NOT_CREATED, NewOpsItem, OpsItem, OpsItemChange, RESOURCES, Severity, Status,
    unless_at_quota, with_resources,
};
use crate::outcome::Outcome;
use crate::ports::{
    AutoScalingGroups, Clock, Instances, IntegrationPorts, Notifications, OpsItems,
    RecoveryPointTags, RestoreJobs, StackResources, TargetPorts, Volumes,
};
use crate::tags::{
    IntegrationTarget, Tags, UnusableTag, integration_target, own_logical_id, supplemented,
};
use crate::text::{code, shown};
use crate::track::run::{DRILL, restore_item, restore_key};

/// Operational data: how far the integration came: [`ATTACHED`], `attaching` for one that is begun
/// again, `refused`, or `failing` for one that is tried again and again.
pub const INTEGRATION: &str = "recovery:integration";
/// The value of [`INTEGRATION`] when it is done.
pub const ATTACHED: &str = "attached";
/// The value of [`INTEGRATION`] for a volume that is on its way once more.
const ATTACHING: &str = "attaching";
/// Operational data: what hinders it, word for word.
const HINDRANCE: &str = "recovery:hindrance";
/// Operational data: the hindrance that people have been told of.
const NOTIFIED: &str = "recovery:notified";
/// Operational data: the volume, the instance and the device name of the attachment.
const VOLUME: &str = "recovery:volume";
const INSTANCE: &str = "recovery:instance";
const DEVICE: &str = "recovery:device";
/// Operational data: the recovery point whose tags stand in for those that the restored one lacks.
pub(crate) const TAGS_FROM: &str = "recovery:tags-from";
/// Operational data: the device name of the owner's tag, where EC2 has refused it.
const REFUSED_DEVICE: &str = "recovery:refused-device";
/// Operational data: seconds from the end of the restore job to the attachment.
const SECONDS: &str = "recovery:seconds-to-attach";

/// The call that attaches a volume.
const ATTACH_VOLUME: &str = "ec2:AttachVolume";
/// How often one run may be told that volume or instance are in no state to be attached, or that a
/// name is taken by nobody knows whom, each time after a look. What was throttled or had no answer
/// does not count.
const ATTEMPTS: usize = 4;
/// Checks after which a volume counts as not attached whose attachment EC2 accepted and never showed, or as
/// deleted where EC2 does not find it any more: by the pauses below, they take 21 to 26 s.
const CHECKS_UNSEEN: usize = 8;
/// Left of a run's time for one more look and for writing down how far it came: a call may take 20 s
/// with all its attempts.
pub(crate) const RESERVE: Duration = Duration::from_secs(45);
/// First and longest pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pauses between two checks of a volume that EC2 has accepted to attach, in milliseconds; the last one
/// repeats. Most attachments take 1 to 4 s, by AWS's own driver of EBS volumes for Kubernetes
/// (<https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/pkg/cloud/cloud.go>). Of those,
/// each is noticed 0.6 s late and takes 2.3 checks on average. EC2 accepts 5 attachments and grants
/// 20 calls of `DescribeVolumes` a second, and each attachment needs one such call beforehand: more than 3
/// checks on average would be throttled.
const ATTACHING_PAUSES: [u64; 6] = [1_500, 1_000, 1_500, 2_500, 4_000, 5_000];
/// Longest pause before a call that EC2 did not grant is made again: where a thousand volumes want to be
/// attached, EC2 grants 5 of them a second.
const LONGEST_BACKOFF: Duration = Duration::from_secs(20);

/// What is whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Where this system runs: nothing elsewhere is touched.
    pub scope: Scope,
    /// ARN of the role that drills, and nothing else, restore with.
    pub drill_role: String,
}

/// Integrates a restore. Its job may be known from an event only; what is missing is asked of AWS
/// Backup.
///
/// What a drill restored is only attached when that drill asks for it, to the drill's own stack; and
/// a drill gets nothing else.
///
/// # Errors
/// [`Error::Retryable`] when the target is not there yet, or a call failed that may succeed later;
/// [`Error::Permanent`] when a call failed for good; where the tags name a target, the job's OpsItem says
/// so. A refusal is no error: retrying cannot help, and people have been told, or who asked is told the
/// remedy.
pub async fn integrate(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let mut restore = restore.into();
    if let Some(outcome) = skip_reason(ownership, &restore) {
        return Ok(outcome);
    }
    if !restore.job.is_settled() {
        restore.job = complete_from_job(ports, restore.job).await?;
    }
    if let Some(outcome) = skip_reason(ownership, &restore) {
        return Ok(outcome);
    }
    let Restore { job, .. } = &restore;
    let missing = |what: &str| {
        Error::Permanent(Fault::new(
            "backup:DescribeRestoreJob",
            job.id.as_str(),
            format!("the job names no {what}"),
            "Look at the job in AWS Backup; attach what it restored by hand.",
        ))
    };
    if !job.is_completed() {
        return Err(missing("status"));
    }
    // Whose it is can not be guessed.
    if job.iam_role.is_none() {
        return Err(missing("role"));
    }
    let created = job
        .created_resource
        .as_ref()
        .ok_or_else(|| missing("created resource"))?;
    if job.recovery_point.is_none() {
        return Err(missing("recovery point"));
    }
    let Some(volume_id) = job.created_volume() else {
        return Ok(Outcome::ignored("resource-type"));
    };
    if !ownership.scope.owns(created) {
        let refusal = Refusal::NotHere {
            resource: created.to_string(),
            scope: format!(
                "account {}, Region {}",
                ownership.scope.account, ownership.scope.region
            ),
        };
        return refuse(ports, &restore, refusal).await;
    }

    record_tags_from(ports, &restore).await?;
    let mut queue = Backoff::of(&volume_id);
    loop {
        // The volume is looked at while the tags are fetched: nearly every restore needs both.
        let (tags, volume) = join(
            tags_of(ports, job, restore.planned.tags_from.as_ref()),
            ports.volumes().describe(&volume_id),
        )
        .await;
        let integrated =
            integrate_seen(ports, clock, &restore, &volume_id, tags, volume, false).await;
        match integrated {
            // A look that the service did not grant is granted sooner than the event comes again.
            Err(Error::Retryable(fault)) if fault.code().is_some() && fault.is_read_only() => {
                let pause = queue.next();
                if clock.remaining() < pause + RESERVE {
                    // EC2 shows a new volume within seconds, and this one was new some minutes ago.
                    if is_gone(&fault) {
                        let refusal = Refusal::VolumeGone { volume: volume_id };
                        return refuse(ports, &restore, refusal).await;
                    }
                    return Err(Error::Retryable(fault));
                }
                clock.sleep(pause).await;
            }
            // No later run succeeds either, so the OpsItem is the only record. What fails before the
            // attachment may concern no volume of this workload: the reconciler records it, if it lasts.
            Err(Error::Permanent(fault)) if fault.operation() == ATTACH_VOLUME => {
                return match raise_failure(ports, &restore, &fault).await {
                    Err(later @ Error::Retryable(_)) => Err(later),
                    Ok(()) | Err(Error::Permanent(_)) => Err(Error::Permanent(fault)),
                };
            }
            done => return done,
        }
    }
}

/// Writes into the job's OpsItem whose tags stand in, if any do: `restore-reconciler` has no plan.
async fn record_tags_from(ports: &impl IntegrationPorts, restore: &Restore) -> Result<(), Error> {
    let Some(from) = &restore.planned.tags_from else {
        return Ok(());
    };
    // The item of the plan comes with each request; only the reconciler needs the record.
    let Some(item) = unless_at_quota(find_or_create(ports.ops_items(), &new_item(restore)).await)?
    else {
        return Ok(());
    };
    if item.data.get(TAGS_FROM).map(String::as_str) == Some(from.as_str()) {
        return Ok(());
    }
    let change = OpsItemChange {
        data: [(TAGS_FROM, from.to_string())].into(),
        ..OpsItemChange::default()
    };
    ports.ops_items().update(&item.id, &change).await
}

/// Whether EC2 says that the volume does not exist.
fn is_gone(fault: &Fault) -> bool {
    fault.code() == Some("InvalidVolume.NotFound")
}

/// Pauses before a call is made again that the service did not grant: each about twice as long as the
/// one before, and of another length for each volume, so that not all ask at the same moment.
struct Backoff<'a> {
    volume: &'a VolumeId,
    pauses: u32,
}

impl<'a> Backoff<'a> {
    fn of(volume: &'a VolumeId) -> Backoff<'a> {
        Backoff { volume, pauses: 0 }
    }

    /// Between half of the next pause and the whole.
    fn next(&mut self) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.volume, self.pauses).hash(&mut hasher);
        let whole = (FIRST_PAUSE * 2_u32.pow(self.pauses.min(10))).min(LONGEST_BACKOFF);
        self.pauses += 1;
        let share = f64::from(u16::try_from(hasher.finish() >> 48).unwrap_or_default())
            / f64::from(u16::MAX);
        whole.mul_f64(0.5 + share / 2.0)
    }
}

/// The tags of the job's recovery point, with what it lacks taken from `tags_from`.
///
/// # Errors
/// As [`own_tags_of`].
pub(crate) async fn tags_of(
    ports: &impl IntegrationPorts,
    job: &RestoreJob,
    tags_from: Option<&RecoveryPointArn>,
) -> Result<Tags, Error> {
    match tags_from {
        None => own_tags_of(ports, job).await,
        Some(older) => {
            let (own, older) = try_join(
                own_tags_of(ports, job),
                ports.recovery_point_tags().list(older),
            )
            .await?;
            Ok(supplemented(&own, &older))
        }
    }
}

/// The tags of the job's recovery point. Where one form of its ARN does not lead to them, the others are
/// tried, and the one that AWS Backup names decides.
///
/// # Errors
/// [`Error::Retryable`] when one of the calls may succeed later; [`Error::Permanent`] when the tags can be
/// read under no form.
async fn own_tags_of(ports: &impl IntegrationPorts, job: &RestoreJob) -> Result<Tags, Error> {
    let mut denied = None;
    let mut answers = Vec::new();
    for point in job.points() {
        match ports.recovery_point_tags().list(point).await {
            Ok(tags) if !tags.is_empty() => return Ok(tags),
            Ok(_) => answers.push((point, true)),
            Err(Error::Permanent(fault)) => {
                denied.get_or_insert(fault);
                answers.push((point, false));
            }
            Err(later) => return Err(later),
        }
    }
    // Each form answered: there are no tags.
    let Some(denied) = denied else {
        return Ok(Tags::new());
    };
    let asked = match ports.restore_jobs().describe(&job.id).await {
        Ok(asked) => asked.recovery_point,
        Err(Error::Permanent(_)) => None,
        Err(later) => return Err(later),
    };
    let Some(point) = asked else {
        return Err(Error::Permanent(denied));
    };
    match answers.iter().find(|(tried, _)| **tried == point) {
        Some((_, true)) => Ok(Tags::new()),
        Some((_, false)) => Err(Error::Permanent(denied)),
        None => ports.recovery_point_tags().list(&point).await,
    }
}

/// Integrates the volume of a completed job of this account and Region, from what was seen of the
/// recovery point's tags and of the volume.
///
/// A run that dies after the attachment is finished by the event, which comes again. Where none does,
/// the job's OpsItem has to be open and unsettled before: `item_first`. Then an attachment without it
/// is nobody's unfinished work. And where no event asks for it, what someone has taken off again
/// stays off.
///
/// # Errors
/// As [`integrate`], except that operators are not notified of a permanent failure.
pub(crate) async fn integrate_seen(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    volume_id: &VolumeId,
    tags: Result<Tags, Error>,
    volume: Result<Volume, Error>,
    item_first: bool,
) -> Result<Outcome, Error> {
    if volume.as_ref().is_ok_and(|volume| volume.restore_test) {
        return Ok(Outcome::ignored("restore-test").with("volumeId", volume_id.as_str()));
    }
    let tags = tags?;
    let mut target = match integration_target(&tags) {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(Outcome::ignored("untagged").with("volumeId", volume_id.as_str())),
        Err(refusal) => return refuse(ports, restore, refusal).await,
    };
    if let Some(stack) = &restore.drill {
        if target.stack == *stack {
            let refusal = DrillRefusal::DrillTarget(stack.clone());
            return Ok(not_the_drills(&restore.job, &refusal));
        }
        target.stack.clone_from(stack);
    }
    let volume = volume?;
    if let Some(outcome) = already_recorded(ports, &restore.job, &volume).await? {
        return Ok(outcome);
    }
    let own = own_logical_id(&tags).filter(|_| volume.attachments.is_empty() && !target.assumed);
    let (found, twin) = join(
        find_instance_early(ports, &target, &volume.attachments),
        OptionFuture::from(own.map(|own| stack_volume(ports, &target.stack, own))),
    )
    .await;
    if let Some(refusal) = twin.transpose()?.flatten() {
        return refuse(ports, restore, refusal).await;
    }
    let instance = match found? {
        Ok(instance) => instance,
        Err(NoInstance::Refused(refusal)) => return refuse(ports, restore, refusal).await,
        Err(NoInstance::Untagged) => {
            return Ok(Outcome::ignored("untagged").with("volumeId", volume_id.as_str()));
        }
    };
    // Where the volume is about to be attached, its item is claimed meanwhile.
    let about_to = !item_first
        && matches!(
            next_step(
                &volume,
                &instance,
                target.device.as_ref(),
                &restore.planned.reserved
            ),
            Step::Attach { .. }
        );
    let new = new_item(restore);
    let (brought, claim) = join(
        attach_and_confirm(ports, clock, restore, &target, volume, instance, item_first),
        OptionFuture::from(about_to.then(|| ports.ops_items().create(&new))),
    )
    .await;
    let by_this_run =
        matches!(&brought, Ok(AttachResult::Attached(attached)) if attached.by_this_run);
    if let Some(Ok(Claim::Created(id))) = &claim
        && !by_this_run
    {
        // It goes on in the first item, which may be an earlier one: this one may not be listed yet.
        let settled =
            resolve_duplicate(ports.ops_items(), &new, id.clone(), |_| true, |_, _| true).await;
        if brought.is_ok() {
            settled?;
        }
    }
    match brought? {
        AttachResult::Attached(attached) => {
            record_attached(ports, clock, restore, &target, attached, claim).await
        }
        AttachResult::Refused(refusal) => refuse(ports, restore, refusal).await,
        AttachResult::TakenOff => {
            Ok(Outcome::ignored("taken-off").with("volumeId", volume_id.as_str()))
        }
    }
}

/// The outcome for a volume that is attached as its job's OpsItem says, so that nothing is left to
/// look for.
async fn already_recorded(
    ports: &impl IntegrationPorts,
    job: &RestoreJob,
    volume: &Volume,
) -> Result<Option<Outcome>, Error> {
    let Some(attachment) = volume.attachments.iter().find(|a| a.state == "attached") else {
        return Ok(None);
    };
    let Some(item) = first_of(ports.ops_items(), &restore_key(&job.id)).await? else {
        return Ok(None);
    };
    let says = |key: &str, value: &str| item.data.get(key).is_some_and(|said| said == value);
    let written = says(INTEGRATION, ATTACHED)
        && says(VOLUME, volume.id.as_str())
        && says(INSTANCE, attachment.instance.as_str())
        && says(DEVICE, &attachment.device);
    let device = attachment.device.clone();
    Ok(written.then(|| {
        Outcome::already_integrated()
            .with("restoreJobId", job.id.as_str())
            .with("volumeId", volume.id.as_str())
            .with("instanceId", attachment.instance.as_str())
            .with("device", device)
            .with("opsItemId", item.id.as_str())
    }))
}

/// The job with what AWS Backup knows of it.
///
/// # Errors
/// [`Error::Retryable`] when the job is known to be completed, but AWS Backup still says that it is
/// under way: one of its answers is older than the event.
async fn complete_from_job(
    ports: &impl IntegrationPorts,
    job: RestoreJob,
) -> Result<RestoreJob, Error> {
    let asked = ports.restore_jobs().describe(&job.id).await?;
    let under_way = matches!(asked.status.as_deref(), Some("PENDING" | "RUNNING"));
    if job.is_completed() && under_way {
        return Err(Error::Retryable(Fault::new(
            "backup:DescribeRestoreJob",
            job.id.as_str(),
            "the job is completed by its event, but not yet by this answer",
            "Nothing to do yet: this restore job is tried again.",
        )));
    }
    Ok(job.settled_by(asked))
}

/// The outcome where nothing is to be done for this restore, as far as its job is known.
pub(crate) fn skip_reason(ownership: &Ownership, restore: &Restore) -> Option<Outcome> {
    let Restore { job, drill, .. } = restore;
    let ignored = |reason| Some(Outcome::ignored(reason));
    if job.restore_test {
        return ignored("restore-test");
    }
    match (job.is_of_drill(&ownership.drill_role), drill) {
        (Some(true), None) => return ignored("drill"),
        (Some(false), Some(_)) => return Some(not_the_drills(job, &DrillRefusal::NotADrill)),
        _ => {}
    }
    // An id alone says nothing of the status yet.
    if job.status.is_some() && !job.is_completed() {
        return ignored("status");
    }
    match job.resource_type.as_deref() {
        Some(EBS) | None => None,
        Some(_) => ignored("resource-type"),
    }
}

/// Why a drill does not get what it asks for. Who asked is told; nobody else needs to be, since
/// nothing is lost and nothing is touched.
enum DrillRefusal {
    /// The job is not one of a drill.
    NotADrill,
    /// The stack that it gives is the workload's own.
    DrillTarget(String),
}

fn not_the_drills(job: &RestoreJob, refusal: &DrillRefusal) -> Outcome {
    let (reason, why, remedy) = match refusal {
        DrillRefusal::NotADrill => (
            "not-a-drill",
            "the restore job has not the role of a drill: what it restored belongs to the workload itself".to_owned(),
            "Pass the restore job without \"drill\" to attach what it restored to the workload's own stack; for a drill, pass a job that restore-starter has begun in mode drill.",
        ),
        DrillRefusal::DrillTarget(stack) => (
            "drill-target",
            format!("the drill's stack {stack} is the workload's own"),
            "Give the drill a stack of its own.",
        ),
    };
    Outcome::refused(reason)
        .with("restoreJobId", job.id.as_str())
        .with("why", why)
        .with("remedy", remedy)
}

/// Why a target leads to no instance.
pub(crate) enum NoInstance {
    /// A rule forbids to go on.
    Refused(Refusal),
    /// The owner named no target, and CloudFormation's own tags name none: they say what made the
    /// volume that was backed up.
    Untagged,
}

/// The instance behind the target, through CloudFormation, or why there is none.
pub(crate) async fn find_instance(
    ports: &impl TargetPorts,
    target: &IntegrationTarget,
) -> Result<Result<Instance, NoInstance>, Error> {
    let resource = ports
        .stack_resources()
        .describe(&target.stack, &target.logical_id)
        .await?;
    instance_behind(ports, target, &[], resource, Vec::new()).await
}

/// The refusal of a volume that the stack owns itself under this logical id: where the stack has
/// created it in this Region, the restored one would be its twin.
pub(crate) async fn stack_volume(
    ports: &impl TargetPorts,
    stack: &str,
    logical_id: &str,
) -> Result<Option<Refusal>, Error> {
    let resource = ports.stack_resources().describe(stack, logical_id).await?;
    let exists = resource.is_some_and(|resource| {
        resource.resource_type == "AWS::EC2::Volume"
            && !matches!(
                resource.status.as_str(),
                "CREATE_FAILED" | "DELETE_IN_PROGRESS" | "DELETE_COMPLETE" | "DELETE_SKIPPED"
            )
    });
    Ok(exists.then(|| Refusal::StackVolume {
        stack: stack.to_owned(),
        logical_id: logical_id.to_owned(),
    }))
}

/// [`find_instance`], one step sooner: the instances that bear CloudFormation's own tags are asked for at the
/// same time. The stack decides all the same; the early answer only counts where it has the instance
/// that the stack names.
async fn find_instance_early(
    ports: &impl TargetPorts,
    target: &IntegrationTarget,
    attachments: &[Attachment],
) -> Result<Result<Instance, NoInstance>, Error> {
    let (resource, tagged) = join(
        ports
            .stack_resources()
            .describe(&target.stack, &target.logical_id),
        ports
            .instances()
            .list_of_stack(&target.stack, &target.logical_id),
    )
    .await;
    let seen = tagged.unwrap_or_default();
    instance_behind(ports, target, attachments, resource?, seen).await
}

/// The instance that a stack resource stands for; of several in a group the one that a volume with
/// these attachments is on. `seen` are instances that were looked at already.
async fn instance_behind(
    ports: &impl TargetPorts,
    target: &IntegrationTarget,
    attachments: &[Attachment],
    resource: Option<StackResource>,
    seen: Vec<Instance>,
) -> Result<Result<Instance, NoInstance>, Error> {
    let IntegrationTarget {
        stack,
        logical_id,
        assumed,
        ..
    } = target;
    let not_yet = |what: String| {
        Error::Retryable(Fault::new(
            "cloudformation:DescribeStackResource",
            format!("{stack}/{logical_id}"),
            what,
            "Deploy the stack that owns the target in this Region. It is looked for again every few minutes.",
        ))
    };
    let Some(StackResource {
        resource_type,
        physical_id,
        status,
    }) = resource
    else {
        if *assumed {
            return Ok(Err(NoInstance::Untagged));
        }
        return Err(not_yet(
            "the stack or the resource in it does not exist yet".to_owned(),
        ));
    };
    let refused = |refusal| Ok(Err(NoInstance::Refused(refusal)));
    if matches!(
        status.as_str(),
        "CREATE_FAILED" | "DELETE_IN_PROGRESS" | "DELETE_COMPLETE"
    ) {
        return refused(Refusal::TargetFailed {
            stack: stack.clone(),
            logical_id: logical_id.clone(),
            status,
        });
    }
    // Where it is being replaced, CloudFormation still names the old one.
    if status.ends_with("UPDATE_IN_PROGRESS") || status.ends_with("ROLLBACK_IN_PROGRESS") {
        return Err(not_yet(format!("the resource is changing ({status})")));
    }
    let physical_id = || {
        physical_id
            .clone()
            .ok_or_else(|| not_yet(format!("the resource has no physical id yet ({status})")))
    };
    match resource_type.as_str() {
        "AWS::EC2::Instance" => {
            let id = InstanceId::new(physical_id()?);
            match seen.into_iter().find(|instance| instance.id == id) {
                Some(instance) => Ok(Ok(instance)),
                None => ports.instances().describe(&id).await.map(Ok),
            }
        }
        "AWS::AutoScaling::AutoScalingGroup" => {
            let name = physical_id()?;
            // The group says which instance is meant, EC2 what that looks like.
            let (group, instances) = try_join(
                ports.groups().describe(&name),
                ports.instances().list_of_group(&name),
            )
            .await?;
            let waits_for = |what: &str| {
                not_yet(format!(
                    "waiting for the Auto Scaling group {}: {what}",
                    shown(&name)
                ))
            };
            let Some(group) = group else {
                return Err(waits_for("it does not exist yet"));
            };
            let id = match choose(&group, attachments) {
                Choice::Member(id) => id,
                Choice::NotYet(what) => return Err(waits_for(&what)),
                Choice::Several(count) => {
                    return refused(Refusal::SeveralInstances { group: name, count });
                }
            };
            let instance = match instances.into_iter().find(|instance| instance.id == id) {
                Some(instance) => instance,
                None => ports.instances().describe(&id).await?,
            };
            // The group replaces it when it has noticed.
            if matches!(instance.state.as_str(), "shutting-down" | "terminated") {
                return Err(waits_for(&format!("{id} is {}", instance.state)));
            }
            Ok(Ok(instance))
        }
        _ if *assumed => Ok(Err(NoInstance::Untagged)),
        _ => refused(Refusal::TargetType {
            stack: stack.clone(),
            logical_id: logical_id.clone(),
            resource_type,
        }),
    }
}

/// A volume on its instance.
struct Attached {
    volume: VolumeId,
    instance: InstanceId,
    device: String,
    /// Whether this run asked for it and had the answer.
    by_this_run: bool,
    /// The device name of the owner's tag, where EC2 has refused it in this run.
    refused_device: Option<DeviceName>,
}

/// What became of volume and instance.
enum AttachResult {
    /// They are together.
    Attached(Attached),
    /// A rule forbids it.
    Refused(Refusal),
    /// They were together before, and someone has taken the volume off again.
    TakenOff,
}

/// Looks, decides and acts until the volume is on its instance, a rule forbids it, or the time
/// is up. With `item_first`, the job's OpsItem is open before anything is attached.
async fn attach_and_confirm(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    target: &IntegrationTarget,
    mut volume: Volume,
    mut instance: Instance,
    mut item_first: bool,
) -> Result<AttachResult, Error> {
    let reserved = &restore.planned.reserved;
    let mut unusable = match target.device {
        None => reserved.clone(),
        Some(_) => BTreeSet::new(),
    };
    let mut wanted = target.device.as_ref();
    let mut refused_device: Option<DeviceName> = None;
    let mut contested = 0;
    let mut unseen = 0;
    let mut accepted = false;
    let mut dropped = 0;
    let mut gone = 0;
    let mut pause = FIRST_PAUSE;
    let mut attaching = ATTACHING_PAUSES.into_iter().map(Duration::from_millis);
    // Why the last attempt did not end the matter.
    let mut unsettled: Option<Error> = None;
    let asked_for = volume.id.clone();
    let mut queue = Backoff::of(&asked_for);
    loop {
        let attached = |device: String, by_this_run| Attached {
            volume: volume.id.clone(),
            instance: instance.id.clone(),
            device,
            by_this_run,
            refused_device: refused_device.clone(),
        };
        let waiting_for = match next_step(&volume, &instance, wanted, &unusable) {
            Step::Done { device } => return Ok(AttachResult::Attached(attached(device, accepted))),
            Step::Wait(what) => what,
            // Asked and granted: what was seen is older than that, for a while.
            Step::Attach { .. } | Step::Refuse(Refusal::DeviceTaken { .. }) if accepted => {
                dropped += 1;
                if dropped == CHECKS_UNSEEN {
                    return Ok(AttachResult::Refused(Refusal::AttachmentDropped {
                        volume: volume.id,
                        instance: instance.id,
                        key: volume.key,
                    }));
                }
                format!("{} to be attached to {}", volume.id, instance.id)
            }
            // Nothing shows who has the name: perhaps this very volume, not visible yet.
            Step::Refuse(Refusal::DeviceTaken { holder: None, .. }) if unseen < ATTEMPTS => {
                unseen += 1;
                format!("{} to show what it has attached", instance.id)
            }
            Step::Refuse(refusal) => {
                let refusal = with_owner(ports, refusal).await;
                return Ok(AttachResult::Refused(refusal));
            }
            Step::Attach { device } => {
                if std::mem::take(&mut item_first)
                    && !open_item(ports, restore, &instance.id).await?
                {
                    return Ok(AttachResult::TakenOff);
                }
                match ports
                    .volumes()
                    .attach(&volume.id, &instance.id, &device)
                    .await
                {
                    Ok(AttachAnswer::Accepted { attached: true }) => {
                        return Ok(AttachResult::Attached(attached(
                            device.as_str().to_owned(),
                            true,
                        )));
                    }
                    Ok(AttachAnswer::Accepted { attached: false }) => {
                        accepted = true;
                        unsettled = None;
                        format!("{} to be attached to {}", volume.id, instance.id)
                    }
                    // Asking again needs no look: nothing happened, and EC2 looks itself.
                    Ok(AttachAnswer::Busy(fault)) => {
                        let pause = queue.next();
                        if clock.remaining() < pause + RESERVE {
                            return Err(Error::Retryable(fault));
                        }
                        clock.sleep(pause).await;
                        continue;
                    }
                    Ok(AttachAnswer::DeviceInUse(fault)) => {
                        let what = fault.to_string();
                        unusable.insert(device);
                        unsettled = Some(Error::Retryable(fault));
                        what
                    }
                    // The volume comes all the same, under another name. The item says so before: a run
                    // that dies afterwards is finished by one that does not know it.
                    Ok(AttachAnswer::DeviceRefused(fault)) => {
                        let what = fault.to_string();
                        if wanted.take().is_some() {
                            note_refused_device(ports, restore, &device).await?;
                            refused_device = Some(device);
                        } else {
                            unusable.insert(device);
                        }
                        unsettled = Some(Error::Retryable(fault));
                        what
                    }
                    // That takes minutes.
                    Ok(AttachAnswer::Modifying(fault)) => {
                        let what = fault.to_string();
                        unsettled = Some(Error::Retryable(fault));
                        pause = LONGEST_PAUSE;
                        what
                    }
                    Ok(AttachAnswer::Contested(fault)) => {
                        contested += 1;
                        if contested == ATTEMPTS {
                            return Err(Error::Retryable(fault));
                        }
                        let what = fault.to_string();
                        unsettled = Some(Error::Retryable(fault));
                        what
                    }
                    Err(Error::Retryable(fault)) => {
                        let what = fault.to_string();
                        unsettled = Some(Error::Retryable(fault));
                        what
                    }
                    Ok(AttachAnswer::ZoneMismatch(_)) => {
                        return Ok(AttachResult::Refused(Refusal::ZoneMismatch {
                            volume: volume.id,
                            volume_zone: volume.zone,
                            instance: instance.id,
                            instance_zone: instance.zone,
                        }));
                    }
                    Ok(AttachAnswer::LimitExceeded(fault)) => {
                        return Ok(AttachResult::Refused(Refusal::AttachmentLimit {
                            instance: instance.id,
                            message: fault.message().to_owned(),
                        }));
                    }
                    Ok(AttachAnswer::KeyUnusable(fault)) => {
                        return Ok(AttachResult::Refused(Refusal::KeyUnusable {
                            volume: volume.id,
                            instance: instance.id,
                            key: volume.key,
                            message: fault.message().to_owned(),
                        }));
                    }
                    Ok(AttachAnswer::ProductCode(fault)) => {
                        return Ok(AttachResult::Refused(Refusal::ProductCode {
                            volume: volume.id,
                            instance: instance.id,
                            message: fault.message().to_owned(),
                        }));
                    }
                    Ok(AttachAnswer::Unsupported(fault)) => {
                        return Ok(AttachResult::Refused(Refusal::Unsupported {
                            volume: volume.id,
                            instance: instance.id,
                            message: fault.message().to_owned(),
                        }));
                    }
                    Err(permanent) => return Err(permanent),
                }
            }
        };
        // Looks until one succeeds: a throttled look is no reason to give up either.
        (volume, instance) = loop {
            if accepted {
                pause = attaching.next().unwrap_or(LONGEST_PAUSE);
            }
            if clock.remaining() < pause + RESERVE {
                return Err(unsettled.unwrap_or_else(|| {
                    not_attached(
                        &volume,
                        &instance.id,
                        &format!("waited for {waiting_for} as long as this run may"),
                    )
                }));
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match check(ports, &volume, &instance, accepted).await {
                Ok(seen) => {
                    gone = 0;
                    break seen;
                }
                Err(Error::Retryable(fault)) => {
                    gone = if is_gone(&fault) { gone + 1 } else { 0 };
                    if gone == CHECKS_UNSEEN {
                        return Ok(AttachResult::Refused(Refusal::VolumeGone {
                            volume: volume.id,
                        }));
                    }
                    unsettled = Some(Error::Retryable(fault));
                }
                Err(permanent) => return Err(permanent),
            }
        };
    }
}

/// Volume and instance as they are now. Of an attachment that EC2 has accepted the volume says enough, as
/// long as it shows it.
async fn check(
    ports: &impl IntegrationPorts,
    volume: &Volume,
    instance: &Instance,
    accepted: bool,
) -> Result<(Volume, Instance), Error> {
    if !accepted {
        return try_join(
            ports.volumes().describe(&volume.id),
            ports.instances().describe(&instance.id),
        )
        .await;
    }
    let volume = ports.volumes().describe(&volume.id).await?;
    let shows = |attachment: &Attachment| attachment.instance == instance.id;
    let instance = match volume.attachments.iter().any(shows) {
        true => instance.clone(),
        false => ports.instances().describe(&instance.id).await?,
    };
    Ok((volume, instance))
}

/// The refusal, which names the stack that created the volume in the way, if one did. Where that
/// cannot be read, the refusal stays as it is.
async fn with_owner(ports: &impl IntegrationPorts, refusal: Refusal) -> Refusal {
    let Refusal::DeviceTaken {
        device,
        instance,
        holder: Some(holder),
    } = refusal
    else {
        return refusal;
    };
    let owner = ports
        .volumes()
        .describe(&holder)
        .await
        .ok()
        .and_then(|seen| seen.owner);
    match owner {
        Some(owner) => Refusal::StackDevice {
            device,
            instance,
            holder,
            owner,
        },
        None => Refusal::DeviceTaken {
            device,
            instance,
            holder: Some(holder),
        },
    }
}

fn not_attached(volume: &Volume, instance: &InstanceId, what: &str) -> Error {
    let id = &volume.id;
    let attachment = volume
        .attachments
        .iter()
        .find(|at| at.instance == *instance);
    let remedy = match attachment.map(|at| (at.state.as_str(), shown(&at.device))) {
        // https://docs.aws.amazon.com/ebs/latest/userguide/ebs-attaching-volume.html
        Some(("attaching", device)) => format!(
            "It is checked again. If it stays so for some minutes: check whether something in the guest of {instance} has the name {device} (an instance store, a volume that was detached without being unmounted) and whether its NVMe driver is loaded. Reboot, or stop and start {instance}; if that does not help, force the detachment (`aws ec2 detach-volume --volume-id {id} --force`), give the recovery point another recovery:device and run the integration of this restore job again."
        ),
        // https://docs.aws.amazon.com/ebs/latest/userguide/ebs-detaching-volume.html
        Some(("detaching" | "busy", device)) => format!(
            "It is checked again. A detachment waits for the guest: unmount {device} on {instance}, or stop {instance}; the volume is attached again afterwards."
        ),
        _ => "Nothing to do yet: this restore job is tried again, from where it stands.".to_owned(),
    };
    Error::Retryable(Fault::new(
        ATTACH_VOLUME,
        format!("{id} to {instance}"),
        what,
        remedy,
    ))
}

/// Sees to it that the job's item is open and does not say that the work is done, before the volume is
/// attached. False where the item says that it was attached to this very instance: then someone has
/// taken it off again, or it is there and does not show yet. Where OpsCenter's quota lets no item be
/// created, the volume is attached without one.
async fn open_item(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    instance: &InstanceId,
) -> Result<bool, Error> {
    let Some(item) = unless_at_quota(find_or_create(ports.ops_items(), &new_item(restore)).await)?
    else {
        return Ok(true);
    };
    let said = |key| item.data.get(key).map(String::as_str);
    let attached = said(INTEGRATION) == Some(ATTACHED);
    if attached && said(INSTANCE) == Some(instance.as_str()) {
        return Ok(false);
    }
    if attached || item.status == Status::Resolved {
        let change = OpsItemChange {
            status: (item.status == Status::Resolved).then_some(Status::Open),
            data: [(INTEGRATION, ATTACHING.to_owned())].into(),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
    }
    Ok(true)
}

/// Writes into the job's item that EC2 refused the device name of the owner's tag.
async fn note_refused_device(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    device: &DeviceName,
) -> Result<(), Error> {
    let Some(item) = unless_at_quota(find_or_create(ports.ops_items(), &new_item(restore)).await)?
    else {
        return Ok(());
    };
    if item.data.get(REFUSED_DEVICE).map(String::as_str) == Some(device.as_str()) {
        return Ok(());
    }
    let change = OpsItemChange {
        data: [(REFUSED_DEVICE, device.as_str().to_owned())].into(),
        ..OpsItemChange::default()
    };
    ports.ops_items().update(&item.id, &change).await
}

/// Writes down that the volume is where it belongs, in the item of `claim`, which was made while it was
/// attached, or in the one that is found.
async fn record_attached(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    target: &IntegrationTarget,
    mut attached: Attached,
    claim: Option<Result<Claim, Error>>,
) -> Result<Outcome, Error> {
    let job = &restore.job;
    let new = new_item(restore);
    let outcome = |attached: &Attached, id: Option<&OpsItemId>| {
        if attached.by_this_run {
            Outcome::integrated()
        } else {
            Outcome::already_integrated()
        }
        .with("restoreJobId", job.id.as_str())
        .with("volumeId", attached.volume.as_str())
        .with("instanceId", attached.instance.as_str())
        .with("device", attached.device.clone())
        .with_item(id)
    };
    let now = clock.now();
    match claim {
        // Of a volume that was not attached there is most likely an open item, which does not say yet
        // that the work is done.
        Some(Ok(Claim::Existing(id))) if attached.by_this_run => {
            let change = attached_change(restore, target, &attached, now);
            ports.ops_items().update(&id, &change).await?;
            Ok(outcome(&attached, Some(&id)))
        }
        // An earlier item may have been resolved, by another run that wrote the attachment down first,
        // or by a person after a refusal. Mostly there is none.
        Some(Ok(Claim::Created(id))) if attached.by_this_run => {
            let change = attached_change(restore, target, &attached, now);
            let (written, found) = join(
                ports.ops_items().update(&id, &change),
                ports.ops_items().list(&new.key),
            )
            .await;
            written?;
            if found?.iter().all(|item| item.id == id) {
                return Ok(outcome(&attached, Some(&id)));
            }
            let first =
                resolve_duplicate(ports.ops_items(), &new, id, |_| true, |_, _| true).await?;
            ports.ops_items().update(&first.id, &change).await?;
            Ok(outcome(&attached, Some(&first.id)))
        }
        // Another run attached it, and may have written that down and resolved the item; or the claim
        // failed meanwhile, perhaps after it made an item.
        _ => {
            let Some(item) = unless_at_quota(find_or_create(ports.ops_items(), &new).await)? else {
                let change = attached_change(restore, target, &attached, now);
                let is_left = change.status == Some(Status::Open);
                if is_left && (attached.by_this_run || restore.tells_unrecorded) {
                    ports.notifications().publish(&left_to_do(&change)).await?;
                }
                return Ok(outcome(&attached, None));
            };
            let says = |key, what: &str| item.data.get(key).map(String::as_str) == Some(what);
            let written = says(INTEGRATION, ATTACHED)
                && says(INSTANCE, attached.instance.as_str())
                && says(DEVICE, &attached.device);
            if !written {
                let refused = item.data.get(REFUSED_DEVICE);
                attached.refused_device = attached
                    .refused_device
                    .or_else(|| DeviceName::parse(refused?));
                let change = attached_change(restore, target, &attached, now);
                ports.ops_items().update(&item.id, &change).await?;
            }
            Ok(outcome(&attached, Some(&item.id)))
        }
    }
}

/// The message about a volume that is attached while something is left to do, where no OpsItem could be
/// created to say so.
fn left_to_do(change: &OpsItemChange) -> Notification {
    let title = change.limited_title().unwrap_or_default();
    Notification {
        message: format!(
            "{title}.\n\n{}\n\nOpsItem: {NOT_CREATED}\n",
            change.limited_description().unwrap_or_default()
        ),
        subject: title,
        pointer: "Something is left to do. See e-mail.".to_owned(),
        attributes: vec![("kind", "integration-unfinished".to_owned())],
    }
}

/// What the job's item says from then on.
fn attached_change(
    restore: &Restore,
    target: &IntegrationTarget,
    attached: &Attached,
    now: DateTime<Utc>,
) -> OpsItemChange {
    let job = &restore.job;
    let new = new_item(restore);
    let seconds = job
        .completed
        .map(|completed| (now - completed).num_seconds().max(0));
    let after = seconds.map_or(String::new(), |seconds| {
        format!(", {seconds} s after the restore completed")
    });
    let left = what_is_left(target, attached);
    // Resolved only when nothing is left to do.
    let (rest, status, severity) = if left.is_empty() {
        (
            "Nothing is left to do here. The first read of each block is slow until the volume is initialised."
                .to_owned(),
            Status::Resolved,
            Severity::Low,
        )
    } else {
        (
            format!(
                "**What is left to do.** {} Then resolve this item.",
                left.join(" ")
            ),
            Status::Open,
            match restore.drill {
                None => Severity::Medium,
                Some(_) => Severity::Low,
            },
        )
    };
    OpsItemChange {
        title: Some(titled(
            restore,
            format!(
                "Restored volume {} attached to {}",
                attached.volume, attached.instance
            ),
        )),
        description: Some(format!(
            "{facts}\n\n**What was done.** {volume} is attached to {instance} as {device}{after}.\n\n{rest}",
            facts = facts(&new),
            volume = code(attached.volume.as_str()),
            instance = code(attached.instance.as_str()),
            device = code(&attached.device),
        )),
        severity: Some(severity),
        status: Some(status),
        data: [
            (INTEGRATION, ATTACHED.to_owned()),
            // A refusal after this is news, even if people have been told the same before.
            (NOTIFIED, "none".to_owned()),
            (VOLUME, attached.volume.to_string()),
            (INSTANCE, attached.instance.to_string()),
            (DEVICE, attached.device.clone()),
        ]
        .into_iter()
        .chain(resources(job))
        .chain(seconds.map(|seconds| (SECONDS, seconds.to_string())))
        .collect(),
        ..OpsItemChange::default()
    }
}

/// What a person must still do once the volume is attached.
fn what_is_left(target: &IntegrationTarget, attached: &Attached) -> Vec<String> {
    let mount = target.mount.as_ref().map(|mount| {
        format!(
            "Mount it at {} in the guest. On Nitro instances find the device by its serial number {} \
             (`lsblk -o +SERIAL`); never make a file system on it.",
            code(mount),
            code(&attached.volume.as_str().replace('-', ""))
        )
    });
    // What it was refused as before counts only where it has another name now.
    let refused_device = attached
        .refused_device
        .as_ref()
        .filter(|refused| refused.as_str() != attached.device)
        .map(UnusableTag::refused_device);
    let unusable = target.unusable_tags.iter().chain(&refused_device).map(|unusable| {
        format!(
            "An optional tag could not be used: {unusable}. {} Correct the tag of the protected resource in the primary Region.",
            unusable.remedy()
        )
    });
    mount.into_iter().chain(unusable).collect()
}

/// The OpsItem of the restore's job as it begins.
fn new_item(restore: &Restore) -> NewOpsItem {
    restore_item(&restore.job, restore.drill.is_some())
}

/// A title, which says so where it is about a drill.
fn titled(restore: &Restore, title: String) -> String {
    match restore.drill {
        None => title,
        Some(_) => format!("{DRILL}{title}"),
    }
}

/// The related resources of the job's item.
fn resources(job: &RestoreJob) -> Option<(&'static str, String)> {
    with_resources(None, job.created_resource.as_slice()).map(|listed| (RESOURCES, listed))
}

/// The first part of a job's description: the facts, without what was to come.
fn facts(item: &NewOpsItem) -> &str {
    item.description
        .split_once("\n**What it means.**")
        .map_or(item.description.as_str(), |(facts, _)| facts)
        .trim_end()
}

/// What keeps a restored volume from its instance, as people read of it.
struct Hindrance {
    /// The value of [`INTEGRATION`].
    state: &'static str,
    /// Title of the OpsItem and subject of the message.
    title: String,
    why: String,
    remedy: String,
    /// What follows the remedy in the OpsItem.
    next: String,
    /// The value of [`NOTIFIED`] once people have been told: they are told again only of something
    /// that has another.
    told: String,
    /// Of the message, for subscription filters.
    attributes: Vec<(&'static str, String)>,
    /// Whether it is news even where the job's item is resolved.
    reopens: bool,
}

/// Writes down the refusal and tells people, once for each refusal. Where it cannot be written down,
/// they are told all the same.
async fn refuse(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    refusal: Refusal,
) -> Result<Outcome, Error> {
    let job = &restore.job;
    let why = refusal.to_string();
    let item = raise(
        ports,
        restore,
        Hindrance {
            state: "refused",
            title: titled(
                restore,
                format!("Restored volume not attached: {}", refusal.reason()),
            ),
            remedy: refusal.remedy(),
            next: format!(
                "To run the integration again, invoke the function restore-integrator with `{{\"restoreJobId\": \"{job}\"{drill}}}`.",
                job = shown(job.id.as_str()).replace(['`', '"'], "'"),
                drill = restore.drill.as_ref().map_or(String::new(), |stack| format!(
                    ", \"drill\": {{\"stack\": \"{stack}\"}}"
                )),
            ),
            told: why.clone(),
            why,
            attributes: vec![
                ("kind", "integration-refused".to_owned()),
                ("reason", refusal.reason().to_owned()),
            ],
            reopens: true,
        },
    )
    .await?;
    Ok(Outcome::refused(refusal.reason())
        .with("restoreJobId", job.id.as_str())
        .with_item(item.as_ref()))
}

/// Writes down that the integration of a job keeps failing, and tells people, once. An item that a
/// person has resolved stays so.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn raise_failure(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    failure: &Fault,
) -> Result<(), Error> {
    let answered = failure
        .code()
        .map_or(String::new(), |answer| format!(" ({})", code(answer)));
    let hindrance = Hindrance {
        state: "failing",
        title: titled(restore, "Restored volume still not attached".to_owned()),
        why: format!(
            "{} on {} fails{answered}: {}",
            failure.operation(),
            code(failure.subject()),
            code(failure.message().trim_end_matches('.'))
        ),
        remedy: failure.remedy().to_owned(),
        next:
            "It is tried again every few minutes, and this item resolves itself when it succeeds."
                .to_owned(),
        told: "failing".to_owned(),
        attributes: vec![("kind", "integration-failing".to_owned())],
        reopens: false,
    };
    raise(ports, restore, hindrance).await.map(drop)
}

/// Writes into the job's OpsItem what hinders its integration and tells people, once for each
/// hindrance. Where it cannot be written down, they are told all the same. `None` where OpsCenter's
/// quota lets no item be created.
async fn raise(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    hindrance: Hindrance,
) -> Result<Option<OpsItemId>, Error> {
    let job = &restore.job;
    let written = unless_at_quota(write_hindrance(ports, restore, &hindrance).await);
    let item = match &written {
        Ok(Some(Written::Before(item))) => return Ok(Some(item.clone())),
        Ok(None) if !restore.tells_unrecorded => return Ok(None),
        Ok(Some(Written::Now(item))) => item.as_str(),
        Ok(None) => NOT_CREATED,
        Err(_) => "could not be written",
    };
    let told = ports
        .notifications()
        .publish(&Notification {
            subject: hindrance.title,
            pointer: match &written {
                Ok(Some(_)) => format!("OpsItem {item}."),
                _ => format!("Restore job {}.", shown(job.id.as_str())),
            },
            message: format!(
                "A restored volume was not attached to its instance{of}.\n\n\
                 Why: {why}.\nWhat to do: {remedy}\n\n\
                 Restore job: {job}\nResource made: {made}\nOpsItem: {item}\n",
                of = if restore.drill.is_some() {
                    " in a drill; the workload itself is not touched"
                } else {
                    ""
                },
                why = hindrance.why,
                remedy = hindrance.remedy,
                job = shown(job.id.as_str()),
                made = job
                    .created_resource
                    .as_ref()
                    .map_or("(not named)".to_owned(), |arn| shown(arn.as_str())),
            ),
            attributes: hindrance.attributes,
        })
        .await;
    let written = written?;
    told?;
    let Some(Written::Before(item) | Written::Now(item)) = written else {
        return Ok(None);
    };
    let mark = OpsItemChange {
        data: [(NOTIFIED, hindrance.told)].into(),
        ..OpsItemChange::default()
    };
    ports.ops_items().update(&item, &mark).await?;
    Ok(Some(item))
}

/// Where a hindrance stands written.
enum Written {
    /// It was before this run, and people have been told of it or have settled the matter.
    Before(OpsItemId),
    /// It is now.
    Now(OpsItemId),
}

async fn write_hindrance(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    hindrance: &Hindrance,
) -> Result<Written, Error> {
    let job = &restore.job;
    let new = new_item(restore);
    let item = find_or_create(ports.ops_items(), &new).await?;
    let said = item.data.get(INTEGRATION).map(String::as_str);
    let told = item.data.get(NOTIFIED) == Some(&hindrance.told);
    if told && said == Some(hindrance.state) || over(ports, job, hindrance, &item).await? {
        return Ok(Written::Before(item.id));
    }
    let change = OpsItemChange {
        title: Some(hindrance.title.clone()),
        description: Some(format!(
            "{facts}\n\n**Why it was not attached.** {why}.\n\n**What to do.** {remedy}\n\n{next}",
            facts = facts(&new),
            why = crate::text::one_line(&hindrance.why),
            remedy = hindrance.remedy,
            next = hindrance.next,
        )),
        severity: Some(match restore.drill {
            None => Severity::High,
            Some(_) => Severity::Medium,
        }),
        // Also where it was open a moment ago: another run may resolve it meanwhile.
        status: Some(Status::Open),
        data: [
            (INTEGRATION, hindrance.state.to_owned()),
            (HINDRANCE, hindrance.why.clone()),
        ]
        .into_iter()
        .chain(resources(job))
        .collect(),
        ..OpsItemChange::default()
    };
    ports.ops_items().update(&item.id, &change).await?;
    let attachment =
        |item: &OpsItem| [INSTANCE, DEVICE, SECONDS].map(|key| item.data.get(key).cloned());
    let now = ports.ops_items().get(&item.id).await?;
    if attachment(&now) != attachment(&item) {
        // Another run wrote between the look and the writing that the volume is attached. The item
        // is open now, so that the next reconciliation looks at it, and writes it again.
        return Ok(Written::Before(item.id));
    }
    // What another hindrance has overwritten meanwhile is no news.
    Ok(if told {
        Written::Before(item.id)
    } else {
        Written::Now(item.id)
    })
}

/// Whether the matter is settled for a hindrance that reopens nothing: by a person, or because the
/// volume has been attached meanwhile. An attachment that came to an end is not.
async fn over(
    ports: &impl IntegrationPorts,
    job: &RestoreJob,
    hindrance: &Hindrance,
    item: &OpsItem,
) -> Result<bool, Error> {
    if hindrance.reopens || item.status == Status::Open {
        return Ok(false);
    }
    let said = item.data.get(INTEGRATION).map(String::as_str);
    match job.created_volume() {
        Some(volume) if said == Some(ATTACHED) => Ok(!ports
            .volumes()
            .describe(&volume)
            .await?
            .attachments
            .is_empty()),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attachments of which EC2 takes 1 to 4 s, all alike: how many checks each takes, and how late each is
    /// noticed.
    #[test]
    fn pauses_suit_the_time_that_ec2_takes() {
        let (mut checks, mut late) = (0, 0);
        let times: Vec<u64> = (1_000..4_000).collect();
        for takes in &times {
            let mut now = 0;
            for pause in ATTACHING_PAUSES {
                now += pause;
                checks += 1;
                if now >= *takes {
                    break;
                }
            }
            late += now - takes;
        }
        let count = times.len() as u64;
        // 20 calls a second, 5 attachments a second, one check before each.
        assert!(checks <= 3 * count, "{checks} checks of {count}");
        assert!(late / count <= 600, "{} ms late", late / count);
    }
}
