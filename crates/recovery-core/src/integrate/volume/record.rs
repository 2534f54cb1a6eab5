//! What the OpsItem of a restore job says about the attachment of its volume.

use chrono::{DateTime, Utc};

use crate::aws::arn::{InstanceId, OpsItemId, VolumeId};
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::ec2::DeviceName;
use crate::integrate::mount::answer::InstanceAnswer;
use crate::integrate::mount::record::Mount;
use crate::integrate::mount::request::{MountRequest, MountType, Operation};
use crate::integrate::record::{IntegrationResult, result_change};
use crate::integrate::volume::kind::{
    DEVICE, EBS_VOLUME, INSTANCE, MOUNTED_VOLUME, REFUSED_DEVICE, VOLUME,
};
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
    /// The size of the volume in GiB.
    pub(super) size: Option<i32>,
}

impl Attached {
    /// The answer of the function. `item` is the id of the job's OpsItem, if it has one.
    pub(super) fn outcome(&self, job: &RestoreJob, item: Option<&OpsItemId>) -> Outcome {
        self.named(
            if self.by_this_run {
                Outcome::integrated()
            } else {
                Outcome::already_integrated()
            },
            job,
            item,
        )
    }

    /// The outcome with what it is about.
    pub(super) fn named(
        &self,
        outcome: Outcome,
        job: &RestoreJob,
        item: Option<&OpsItemId>,
    ) -> Outcome {
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

    /// Whether the item records this attachment, and that the volume is mounted.
    pub(super) fn is_recorded_as_mounted(&self, item: &OpsItem) -> bool {
        self.is_recorded(item) && says(item, MOUNTED_VOLUME.state_key, MOUNTED_VOLUME.integrated)
    }

    /// What the runbook is asked to do.
    pub(super) fn mount_request(&self, path: &str) -> MountRequest {
        MountRequest {
            path: Some(path.to_owned()),
            size_gib: self.size,
            ..MountRequest::new(
                Operation::Mount,
                MountType::Ebs,
                self.volume.as_str(),
                vec![self.instance.clone()],
            )
        }
    }

    /// The change that records in the job's item, of which `item` is known, that the volume is mounted.
    pub(super) fn mounted_change(
        &self,
        restore: &Restore,
        target: &IntegrationTarget,
        (path, answers): (&str, &[InstanceAnswer]),
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let Attached {
            volume,
            instance,
            device,
            ..
        } = self;
        let in_guest = answers.first().map_or(String::new(), |answer| {
            let file_system = answer.file_system.as_deref().unwrap_or("file system");
            let device = answer.device.as_deref().unwrap_or("unknown");
            format!(" ({} on {})", code(file_system), code(device))
        });
        let result = IntegrationResult {
            title: format!("Restored volume {volume} mounted at {path} on {instance}"),
            done: format!(
                "{} is attached to {} as {}, and mounted at {}{in_guest}, now and at each boot",
                code(volume.as_str()),
                code(instance.as_str()),
                code(device),
                code(path),
            ),
            notes: Vec::new(),
            left: self.unusable_tags(target, item),
            continues: None,
            data: vec![Mount::of(MountType::Ebs, path, None, answers).data()],
        };
        result_change(&MOUNTED_VOLUME, restore, result, now)
    }

    /// The change that records the attachment in the job's item, of which `item` is known. With `mounts`, the runbook
    /// mounts it next.
    pub(super) fn change(
        &self,
        restore: &Restore,
        target: &IntegrationTarget,
        mounts: bool,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let Attached {
            volume,
            instance,
            device,
            ..
        } = self;
        let mount = target.mount.as_deref();
        let continues = mount.filter(|_| mounts).map(|path| {
            format!(
                "The runbook MountFileSystem mounts the volume at {}. It waits for the agent of the instance, at most 36 minutes.",
                code(path)
            )
        });
        let by_hand = mount
            .filter(|_| !mounts)
            .map(|path| self.mount_by_hand(path));
        let result = IntegrationResult {
            title: format!("Restored volume {volume} attached to {instance}"),
            done: format!(
                "{} is attached to {} as {}",
                code(volume.as_str()),
                code(instance.as_str()),
                code(device)
            ),
            notes: Vec::new(),
            left: by_hand
                .into_iter()
                .chain(self.unusable_tags(target, item))
                .collect(),
            data: [
                (VOLUME, volume.to_string()),
                (INSTANCE, instance.to_string()),
                (DEVICE, device.clone()),
            ]
            .into_iter()
            .chain(continues.is_some().then(|| {
                let kind = &MOUNTED_VOLUME;
                (kind.state_key, kind.integrating.to_owned())
            }))
            .collect(),
            continues,
        };
        result_change(&EBS_VOLUME, restore, result, now)
    }

    /// The instruction to mount it.
    fn mount_by_hand(&self, path: &str) -> String {
        format!(
            "Mount the volume at {} in the guest operating system. On Nitro instances, find the device by its serial number {} \
             (`lsblk -o +SERIAL`). Do not create a file system on it.",
            code(path),
            code(&self.volume.as_str().replace('-', ""))
        )
    }

    /// What a person must still do about optional tags that could not be used.
    fn unusable_tags(&self, target: &IntegrationTarget, item: Option<&OpsItem>) -> Vec<String> {
        let refused_before = || DeviceName::parse(item?.data.get(REFUSED_DEVICE)?);
        // An earlier refusal counts only if the volume has another device name now.
        let refused_device = self
            .refused_device
            .clone()
            .or_else(refused_before)
            .filter(|refused| refused.as_str() != self.device)
            .map(|refused| UnusableTag::refused_device(&refused));
        let unusable = target.unusable_tags.iter().chain(&refused_device);
        unusable
            .map(|unusable| {
                format!(
                    "An optional tag could not be used: {unusable}. {} For later recoveries, correct the tag of the protected resource in the primary Region.",
                    unusable.remedy()
                )
            })
            .collect()
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
