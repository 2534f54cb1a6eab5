//! Attaches a volume: calls EC2, and checks until the volume shows that it is attached.

use futures_util::future::try_join;

use crate::aws::backup::Restore;
use crate::aws::ec2::{Attachment, DeviceName, Instance, Volume};
use crate::error::Error;
use crate::integrate::backoff::{Backoff, RESERVE};
use crate::integrate::record::Trigger;
use crate::integrate::run_record::{open_item, record_data};
use crate::integrate::volume::attempt::{AttachResult, Attempt, Next};
use crate::integrate::volume::kind::{EBS_VOLUME, REFUSED_DEVICE};
use crate::integrate::volume::record::records_instance;
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::ports::{Clock, Instances, IntegrationPorts, Volumes};

/// Attaches the volume under the device name that the owner wants, or else under a free one, and checks until
/// it is attached, a rule forbids it, or the time is up. For the reconciler, the OpsItem of the job is opened
/// before the first call.
///
/// # Errors
/// [`Error::Retryable`] if the time is up, and if a call failed that can succeed later; [`Error::Permanent`]
/// if a call cannot succeed.
pub(super) async fn attach_and_confirm(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    wanted: Option<&DeviceName>,
    (volume, instance): (Volume, Instance),
    trigger: Trigger,
) -> Result<AttachResult, Error> {
    let mut backoff = Backoff::of(volume.id.as_str());
    let mut attempt = Attempt::new(volume, instance, wanted, &restore.planned.reserved);
    let mut opens_item = trigger == Trigger::Reconciler;
    let mut next = attempt.next();
    loop {
        next = match next {
            Next::Attach(device) => {
                let instance = &attempt.instance().id;
                if std::mem::take(&mut opens_item)
                    && !open_item(ports.ops_items(), &EBS_VOLUME, restore, |item| {
                        records_instance(item, instance)
                    })
                    .await?
                {
                    return Ok(AttachResult::Detached);
                }
                let volume = &attempt.volume().id;
                let answer = ports.volumes().attach(volume, instance, &device).await;
                attempt.answered(device, answer)?
            }
            Next::AttachAfterBackoff(fault) => {
                let pause = backoff.next();
                if clock.remaining() < pause + RESERVE {
                    return Err(Error::Retryable(fault));
                }
                clock.sleep(pause).await;
                attempt.next()
            }
            Next::RecordRefusedDevice(device) => {
                record_data(ports.ops_items(), restore, REFUSED_DEVICE, device.as_str()).await?;
                Next::Check
            }
            Next::Check => {
                let pause = attempt.pause();
                if clock.remaining() < pause + RESERVE {
                    return Err(attempt.out_of_time());
                }
                clock.sleep(pause).await;
                let observed = observe(ports, &attempt).await;
                attempt.observed(observed)?
            }
            Next::End(AttachResult::Refused(refusal)) => {
                let refusal = with_owner(ports, refusal).await;
                return Ok(AttachResult::Refused(refusal));
            }
            Next::End(result) => return Ok(result),
        };
    }
}

/// The volume and the instance as they are now. If EC2 has accepted the attachment and the volume shows it,
/// the instance is not read again.
async fn observe(
    ports: &impl IntegrationPorts,
    attempt: &Attempt<'_>,
) -> Result<(Volume, Instance), Error> {
    let (volume, instance) = (&attempt.volume().id, attempt.instance());
    if !attempt.is_accepted() {
        return try_join(
            ports.volumes().describe(volume),
            ports.instances().describe(&instance.id),
        )
        .await;
    }
    let volume = ports.volumes().describe(volume).await?;
    let shows = |attachment: &Attachment| attachment.instance == instance.id;
    let instance = match volume.attachments.iter().any(shows) {
        true => instance.clone(),
        false => ports.instances().describe(&instance.id).await?,
    };
    Ok((volume, instance))
}

/// The refusal of a device name that another volume has, with the stack that created that volume, if one did.
/// If that cannot be read, the refusal stays as it is.
async fn with_owner(ports: &impl IntegrationPorts, refusal: VolumeRefusal) -> VolumeRefusal {
    let VolumeRefusal::DeviceTaken {
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
        Some(owner) => VolumeRefusal::StackDevice {
            device,
            instance,
            holder,
            owner,
        },
        None => VolumeRefusal::DeviceTaken {
            device,
            instance,
            holder: Some(holder),
        },
    }
}
