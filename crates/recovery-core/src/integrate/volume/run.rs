//! Integrates a restored EBS volume: finds its instance, attaches it, and records the result.
//!
//! It can be repeated, and run twice at the same time: each step first reads whether it is done. If the
//! answer to a call is lost, the next check shows whether it took effect; EC2 is not called a second time.

use std::time::Duration;

use futures_util::future::{OptionFuture, join};

use crate::aws::arn::{InstanceId, VolumeId};
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::cloudformation::ResourceStatus;
use crate::aws::ec2::{AttachmentState, Instance, Volume};
use crate::error::{Error, Fault};
use crate::integrate::backoff::{Backoff, RESERVE};
use crate::integrate::mount::run::{MountProgress, follow};
use crate::integrate::record::{TAGS_FROM, Trigger, integrated_at, new_item};
use crate::integrate::run_job::{Admission, admit};
use crate::integrate::run_record::{
    record_data, record_failure, record_result, refuse, resolve_claim,
};
use crate::integrate::run_tags::tags_of;
use crate::integrate::run_target::find_instance_early;
use crate::integrate::skip::{Ownership, redirect_to_drill};
use crate::integrate::target::{ServerReference, Target};
use crate::integrate::volume::attempt::{ATTACH_VOLUME, AttachResult, is_not_found};
use crate::integrate::volume::decide::{Step, next_step};
use crate::integrate::volume::kind::{EBS_VOLUME, MOUNTED_VOLUME};
use crate::integrate::volume::record::{Attached, records_volume};
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::integrate::volume::run_attach::attach_and_confirm;
use crate::ops_item::run::first_of;
use crate::ops_item::{OpsItem, OpsItemChange, Status, restore_key, says};
use crate::outcome::Outcome;
use crate::ports::{
    Clock, IntegrationPorts, MountPorts, MountRunbook, OpsItems, StackResources, TargetPorts,
    Volumes,
};
use crate::tags::{IntegrationTarget, Tags, integration_target, own_logical_id};

/// How long an event waits for the runbook that mounts. Where the agent of the instance is connected, it takes some
/// seconds.
const MOUNT_PATIENCE: Duration = Duration::from_secs(45);

/// Integrates a restore. Fields of its job that the event lacks are read from AWS Backup.
///
/// A volume that a drill restored is only attached if that drill asks for it, and only to the drill's own
/// stack. A drill gets no other volume.
///
/// # Errors
/// [`Error::Retryable`] if the target does not exist yet, or a call failed that can succeed later;
/// [`Error::Permanent`] if a call cannot succeed. A refusal is not an error, because retrying cannot help:
/// operators are notified, or the answer contains the remedy.
pub async fn integrate(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let (restore, created) =
        match admit(ports.restore_jobs(), ownership, &EBS_VOLUME, restore.into()).await? {
            Admission::Integrate { restore, created } => (restore, created),
            Admission::Skip(outcome) => return Ok(outcome),
        };
    let Some(volume_id) = restore.job.created_volume() else {
        return Ok(Outcome::ignored("resource-type"));
    };
    if let Some(refusal) = ownership.refuses(&created) {
        return refuse(ports, &EBS_VOLUME, &restore, &refusal).await;
    }
    // The item of the plan comes with each request; only the reconciler needs the record.
    if let Some(from) = &restore.planned.tags_from {
        record_data(ports.ops_items(), &restore, TAGS_FROM, from.as_str()).await?;
    }
    let mut backoff = Backoff::of(volume_id.as_str());
    loop {
        // Nearly every restore needs both.
        let (tags, volume) = join(
            tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()),
            ports.volumes().describe(&volume_id),
        )
        .await;
        let observed = Observed {
            id: &volume_id,
            tags,
            volume,
        };
        match integrate_observed(ports, clock, &restore, observed, Trigger::Event).await {
            // A check is repeated sooner than the event is delivered again.
            Err(Error::Retryable(fault)) if fault.code().is_some() && fault.is_read_only() => {
                let pause = backoff.next();
                if clock.remaining() < pause + RESERVE {
                    // EC2 shows a new volume within seconds, and this one is some minutes old.
                    if is_not_found(&fault) {
                        let refusal = VolumeRefusal::VolumeGone { volume: volume_id };
                        return refuse(ports, &EBS_VOLUME, &restore, &refusal).await;
                    }
                    return Err(Error::Retryable(fault));
                }
                clock.sleep(pause).await;
            }
            // No later run succeeds either, so this run records it. A failure before the attachment may
            // concern a volume of another workload: the reconciler records it, if it lasts.
            Err(Error::Permanent(fault)) if fault.operation() == ATTACH_VOLUME => {
                return match record_attach_failure(ports, &restore, &fault).await {
                    Err(later @ Error::Retryable(_)) => Err(later),
                    Ok(()) | Err(Error::Permanent(_)) => Err(Error::Permanent(fault)),
                };
            }
            done => return done,
        }
    }
}

/// The first observation of a restored volume.
pub(crate) struct Observed<'a> {
    pub(crate) id: &'a VolumeId,
    /// The tags of its recovery point.
    pub(crate) tags: Result<Tags, Error>,
    pub(crate) volume: Result<Volume, Error>,
}

/// Integrates the volume of a completed job of this account and Region, from its first observation.
///
/// # Errors
/// As [`integrate`], except that operators are not notified of a permanent failure.
pub(crate) async fn integrate_observed(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    observed: Observed<'_>,
    trigger: Trigger,
) -> Result<Outcome, Error> {
    let Observed { id, tags, volume } = observed;
    if volume.as_ref().is_ok_and(|volume| volume.restore_test) {
        return Ok(Outcome::ignored("restore-test").with("volumeId", id.as_str()));
    }
    let untagged = || Ok(Outcome::ignored("untagged").with("volumeId", id.as_str()));
    let tags = tags?;
    let mut target = match integration_target(&tags) {
        Ok(Some(target)) => target,
        Ok(None) => return untagged(),
        Err(refusal) => {
            let refusal = VolumeRefusal::Tag(refusal);
            return refuse(ports, &EBS_VOLUME, restore, &refusal).await;
        }
    };
    if let Err(outcome) = redirect_to_drill(restore, &mut target) {
        return Ok(outcome);
    }
    let volume = volume?;
    if let Some((attached, item)) =
        already_recorded(ports.ops_items(), &restore.job, &volume).await?
    {
        let outcome = attached.outcome(&restore.job, Some(&item.id));
        if attached.is_recorded_as_mounted(&item) {
            return Ok(outcome);
        }
        return match path_to_mount(ports, &target) {
            Some(path) => {
                mount_and_record(
                    ports,
                    clock,
                    restore,
                    &target,
                    path,
                    (attached, Some(item)),
                    trigger,
                )
                .await
            }
            None => Ok(outcome),
        };
    }
    let own = own_logical_id(&tags).filter(|_| volume.attachments.is_empty() && !target.assumed);
    let own = target.stack.as_deref().zip(own);
    let holders: Vec<InstanceId> = volume
        .attachments
        .iter()
        .map(|attachment| attachment.instance.clone())
        .collect();
    let (found, twin) = join(
        find_instance_early(ports, ServerReference::from(&target), &holders),
        OptionFuture::from(own.map(|(stack, own)| stack_volume(ports, stack, own))),
    )
    .await;
    if let Some(refusal) = twin.transpose()?.flatten() {
        return refuse(ports, &EBS_VOLUME, restore, &refusal).await;
    }
    match found? {
        Target::Found(instance) => {
            attach_and_record(ports, clock, restore, &target, (volume, instance), trigger).await
        }
        Target::NotYet(fault) => Err(Error::Retryable(fault)),
        Target::Refused(refusal) => {
            let refusal = VolumeRefusal::Target(refusal);
            refuse(ports, &EBS_VOLUME, restore, &refusal).await
        }
        Target::Untagged => untagged(),
    }
}

/// The attachment that the volume shows, if the OpsItem of the job records it.
async fn already_recorded(
    items: &impl OpsItems,
    job: &RestoreJob,
    volume: &Volume,
) -> Result<Option<(Attached, OpsItem)>, Error> {
    let Some(attachment) = volume
        .attachments
        .iter()
        .find(|a| a.state == AttachmentState::Attached)
    else {
        return Ok(None);
    };
    let Some(item) = first_of(items, &restore_key(&job.id)).await? else {
        return Ok(None);
    };
    let attached = Attached {
        volume: volume.id.clone(),
        instance: attachment.instance.clone(),
        device: attachment.device.clone(),
        by_this_run: false,
        refused_device: None,
        size: volume.size,
    };
    let recorded = attached.is_recorded(&item) && records_volume(&item, &volume.id);
    Ok(recorded.then_some((attached, item)))
}

/// The path at which the runbook mounts the volume; `None` if nothing is mounted.
fn path_to_mount<'a>(ports: &impl MountPorts, target: &'a IntegrationTarget) -> Option<&'a str> {
    ports.mount_runbook().name()?;
    target.mount.as_deref()
}

/// Mounts an attached volume, and records the result in `item`, the OpsItem of the job. An event waits for a runbook
/// that ends soon. The reconciler does not: its next run follows it.
///
/// # Errors
/// As [`integrate`]. Operators are notified if the runbook cannot be started.
async fn mount_and_record(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    target: &IntegrationTarget,
    path: &str,
    (attached, item): (Attached, Option<OpsItem>),
    trigger: Trigger,
) -> Result<Outcome, Error> {
    let patience = match trigger {
        Trigger::Event => MOUNT_PATIENCE,
        Trigger::Reconciler => Duration::ZERO,
    };
    let request = attached.mount_request(path);
    let progress = follow(ports, clock, restore, &request, item.as_ref(), patience).await;
    match progress {
        Ok(MountProgress::Pending(what)) => {
            // After a failure or a refusal, the item says what prevented the mount.
            if let Some(item) = &item
                && !says(item, MOUNTED_VOLUME.state_key, MOUNTED_VOLUME.integrating)
            {
                let attached_at =
                    integrated_at(&EBS_VOLUME, restore, item).unwrap_or_else(|| clock.now());
                let change = OpsItemChange {
                    // The reconciler follows only what is open.
                    status: Some(Status::Open),
                    ..attached.change(restore, target, true, Some(item), attached_at)
                };
                ports.ops_items().update(&item.id, &change).await?;
            }
            let id = item.as_ref().map(|item| &item.id);
            Ok(attached.named(Outcome::pending(what), &restore.job, id))
        }
        Ok(MountProgress::Refused(refusal)) => {
            refuse(ports, &MOUNTED_VOLUME, restore, &refusal).await
        }
        Ok(MountProgress::Done(answers)) => {
            let now = clock.now();
            let id = record_result(
                ports,
                restore,
                attached.by_this_run,
                None,
                |item| attached.is_recorded_as_mounted(item),
                |item| attached.mounted_change(restore, target, (path, &answers), item, now),
            )
            .await?;
            Ok(attached.named(Outcome::integrated(), &restore.job, id.as_ref()))
        }
        // The reconciler records it itself.
        Err(Error::Permanent(fault)) if trigger == Trigger::Event => {
            match record_attach_failure(ports, restore, &fault).await {
                Err(later @ Error::Retryable(_)) => Err(later),
                Ok(()) | Err(Error::Permanent(_)) => Err(Error::Permanent(fault)),
            }
        }
        Err(error) => Err(error),
    }
}

/// The refusal of a volume that the stack owns under this logical id: if the stack has created it in this
/// Region, the restored volume would be a second one.
///
/// # Errors
/// Those of the port.
pub(crate) async fn stack_volume(
    ports: &impl TargetPorts,
    stack: &str,
    logical_id: &str,
) -> Result<Option<VolumeRefusal>, Error> {
    let resource = ports.stack_resources().describe(stack, logical_id).await?;
    let exists = resource.is_some_and(|resource| {
        resource.resource_type == "AWS::EC2::Volume"
            && !resource.status.is_failed_or_deleted()
            && resource.status != ResourceStatus::DeleteSkipped
    });
    Ok(exists.then(|| VolumeRefusal::StackVolume {
        stack: stack.to_owned(),
        logical_id: logical_id.to_owned(),
    }))
}

/// Attaches the volume and records the result in the OpsItem of the job. For an event, the item is claimed
/// concurrently with the attachment.
///
/// # Errors
/// As [`integrate`], except that operators are not notified of a permanent failure.
async fn attach_and_record(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    target: &IntegrationTarget,
    (volume, instance): (Volume, Instance),
    trigger: Trigger,
) -> Result<Outcome, Error> {
    let (id, size) = (volume.id.clone(), volume.size);
    let path = path_to_mount(ports, target);
    let wanted = target.device.as_ref();
    let reserved = &restore.planned.reserved;
    let claims = trigger == Trigger::Event
        && matches!(
            next_step(&volume, &instance, wanted, reserved),
            Step::Attach { .. }
        );
    let new = new_item(restore);
    let (result, claim) = join(
        attach_and_confirm(ports, clock, restore, wanted, (volume, instance), trigger),
        OptionFuture::from(claims.then(|| ports.ops_items().create(&new))),
    )
    .await;
    let by_this_run =
        matches!(&result, Ok(AttachResult::Attached(attached)) if attached.by_this_run);
    if !by_this_run {
        let resolved = resolve_claim(ports.ops_items(), restore, claim.as_ref()).await;
        if result.is_ok() {
            resolved?;
        }
    }
    match result? {
        AttachResult::Attached(attached) => {
            let attached = Attached { size, ..attached };
            let now = clock.now();
            let item = record_result(
                ports,
                restore,
                by_this_run,
                claim,
                |item| attached.is_recorded(item),
                |item| attached.change(restore, target, path.is_some(), item, now),
            )
            .await?;
            let Some(path) = path else {
                return Ok(attached.outcome(&restore.job, item.as_ref()));
            };
            let item = match &item {
                Some(id) => Some(ports.ops_items().get(id).await?),
                None => None,
            };
            mount_and_record(
                ports,
                clock,
                restore,
                target,
                path,
                (attached, item),
                trigger,
            )
            .await
        }
        AttachResult::Refused(refusal) => refuse(ports, &EBS_VOLUME, restore, &refusal).await,
        AttachResult::Detached => Ok(Outcome::ignored("taken-off").with("volumeId", id.as_str())),
    }
}

/// Records that the attachment or the mount keeps failing, and notifies operators, once.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn record_attach_failure(
    ports: &impl IntegrationPorts,
    restore: &Restore,
    failure: &Fault,
) -> Result<(), Error> {
    let is_detached = async || match restore.job.created_volume() {
        Some(volume) => Ok(ports
            .volumes()
            .describe(&volume)
            .await?
            .attachments
            .is_empty()),
        None => Ok(false),
    };
    // Only the runbook that mounts is an automation.
    let kind = if failure.operation().contains("AutomationExecution") {
        &MOUNTED_VOLUME
    } else {
        &EBS_VOLUME
    };
    record_failure(ports, kind, restore, failure, is_detached).await
}
