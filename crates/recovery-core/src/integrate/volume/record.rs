//! What the OpsItem of a restore job says about the attachment of its volume.

use chrono::{DateTime, Utc};

use crate::aws::arn::{InstanceId, OpsItemId, VolumeId};
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::ec2::DeviceName;
use crate::integrate::record::{IntegrationResult, result_change};
use crate::integrate::volume::kind::{DEVICE, EBS_VOLUME, INSTANCE, REFUSED_DEVICE, VOLUME};
use crate::ops_item::{INTEGRATION, says};
use crate::ops_item::{OpsItem, OpsItemChange};
use crate::outcome::Outcome;
use crate::tags::{IntegrationTarget, UnusableTag};
use crate::text::code;

/// A volume that is attached to its instance.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) volume: VolumeId,
    pub(super) instance: InstanceId,
    pub(super) device: String,
    /// Whether this run called `AttachVolume` and received the answer.
    pub(super) by_this_run: bool,
    /// The device name of the owner's tag, if EC2 has refused it in this run.
    pub(super) refused_device: Option<DeviceName>,
}

impl Attached {
    /// The answer of the function. `item` is the id of the job's OpsItem, if it has one.
    pub(super) fn outcome(&self, job: &RestoreJob, item: Option<&OpsItemId>) -> Outcome {
        let outcome = if self.by_this_run {
            Outcome::integrated()
        } else {
            Outcome::already_integrated()
        };
        outcome
            .with("restoreJobId", job.id.as_str())
            .with("volumeId", self.volume.as_str())
            .with("instanceId", self.instance.as_str())
            .with("device", self.device.clone())
            .with_item(item)
    }

    /// Whether the item records that a volume is attached to this instance under this device name.
    pub(super) fn is_recorded(&self, item: &OpsItem) -> bool {
        says(item, INTEGRATION, EBS_VOLUME.integrated)
            && says(item, INSTANCE, self.instance.as_str())
            && says(item, DEVICE, &self.device)
    }

    /// The change that records the attachment in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        target: &IntegrationTarget,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let Attached {
            volume,
            instance,
            device,
            ..
        } = self;
        let refused_before = || DeviceName::parse(item?.data.get(REFUSED_DEVICE)?);
        let refused_device = self.refused_device.clone().or_else(refused_before);
        let result = IntegrationResult {
            title: format!("Restored volume {volume} attached to {instance}"),
            done: format!(
                "{} is attached to {} as {}",
                code(volume.as_str()),
                code(instance.as_str()),
                code(device)
            ),
            notes: Vec::new(),
            left: self.left_to_do(target, refused_device.as_ref()),
            data: vec![
                (VOLUME, volume.to_string()),
                (INSTANCE, instance.to_string()),
                (DEVICE, device.clone()),
            ],
        };
        result_change(&EBS_VOLUME, restore, result, now)
    }

    /// What a person must still do once the volume is attached.
    fn left_to_do(
        &self,
        target: &IntegrationTarget,
        refused_device: Option<&DeviceName>,
    ) -> Vec<String> {
        let mount = target.mount.as_ref().map(|mount| {
            format!(
                "Mount the volume at {} in the guest operating system. On Nitro instances, find the device by its serial number {} \
                 (`lsblk -o +SERIAL`). Do not create a file system on it.",
                code(mount),
                code(&self.volume.as_str().replace('-', ""))
            )
        });
        // An earlier refusal counts only if the volume has another device name now.
        let refused_device = refused_device
            .filter(|refused| refused.as_str() != self.device)
            .map(UnusableTag::refused_device);
        let unusable = target.unusable_tags.iter().chain(&refused_device).map(|unusable| {
            format!(
                "An optional tag could not be used: {unusable}. {} For later recoveries, correct the tag of the protected resource in the primary Region.",
                unusable.remedy()
            )
        });
        mount.into_iter().chain(unusable).collect()
    }
}

/// Whether the item records that this volume is attached.
pub(super) fn records_volume(item: &OpsItem, volume: &VolumeId) -> bool {
    says(item, VOLUME, volume.as_str())
}

/// Whether the item records that the volume of its job is attached to this instance.
pub(super) fn records_instance(item: &OpsItem, instance: &InstanceId) -> bool {
    says(item, INSTANCE, instance.as_str())
}
