//! An item of a plan: one restore and its target; and a resource that is refused.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::aws::backup::RecoveryPoint;
use crate::aws::ec2::DeviceName;
use crate::plan::candidates::BackupPeriod;
use crate::plan::refusal::ItemRefusal;
use crate::tags;
use crate::tags::IntegrationTarget;
use crate::text::shown;

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point to restore.
    pub recovery_point_arn: String,
    /// `EBS`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When the recovery point was created.
    pub created_at: DateTime<Utc>,
    /// Its age when the plan was made, in seconds.
    pub age_seconds: i64,
    /// 0 to 9, lower first.
    pub wave: u8,
    /// Where the restored resource is integrated.
    pub target: Target,
    /// The known part of the metadata for `StartRestoreJob`. The rest is read when the restore starts.
    pub metadata: BTreeMap<String, String>,
    /// Size of the recovery point in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size_bytes: Option<u64>,
    /// What the restore will need.
    pub predictions: Predictions,
    /// The recovery point whose tags are used, if the one to restore has no usable tags.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tags_from: Option<TagsFrom>,
    /// When the resource was backed up. It decides between volumes that claim one device, and is not a
    /// part of the plan's JSON.
    #[serde(skip)]
    pub period: Option<BackupPeriod>,
}

/// Another recovery point of the same resource, whose tags replace the missing ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagsFrom {
    pub recovery_point_arn: String,
    pub created_at: DateTime<Utc>,
}

/// Where a restored resource is integrated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The stack in this Region: according to the tags, or to the drill.
    pub stack: String,
    /// Logical id of an instance or an Auto Scaling group in it.
    pub logical_id: String,
    /// The device name that the tag `recovery:device` sets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// The mount point in the guest operating system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mount: Option<String>,
    /// Optional tags whose values cannot be used, with their remedies. The defaults apply.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unusable_tags: Vec<String>,
    /// Whether stack and logical id come from CloudFormation's own tags.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub assumed: bool,
    /// Device names on the target that other volumes of the workload claim.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reserved: Vec<String>,
    /// Why the target could not be used when the plan was made. The restore checks it again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// What a restore will need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predictions {
    /// Size of the volume in GiB, which counts against the Region's quota for volume storage.
    #[serde(rename = "volumeGiB", skip_serializing_if = "Option::is_none", default)]
    pub volume_gib: Option<u64>,
}

/// A resource that the plan does not restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point that was considered last.
    pub recovery_point_arn: String,
    /// The resource type, for example EBS or RDS.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When that recovery point was created.
    pub created_at: DateTime<Utc>,
    /// The reason code, in kebab case.
    pub reason: String,
    /// What was found.
    pub why: String,
    /// What fixes it.
    pub remedy: String,
}

impl Refused {
    pub fn new(point: &RecoveryPoint, refusal: &ItemRefusal) -> Refused {
        Refused {
            resource_arn: point.resource.to_string(),
            recovery_point_arn: point.arn.to_string(),
            resource_type: point.resource_type.clone(),
            created_at: point.created,
            reason: refusal.reason().to_owned(),
            why: refusal.to_string(),
            remedy: refusal.remedy(),
        }
    }

    pub fn of_item(item: &Item, refusal: &ItemRefusal) -> Refused {
        Refused {
            resource_arn: item.resource_arn.clone(),
            recovery_point_arn: item.recovery_point_arn.clone(),
            resource_type: item.resource_type.clone(),
            created_at: item.created_at,
            reason: refusal.reason().to_owned(),
            why: refusal.to_string(),
            remedy: refusal.remedy(),
        }
    }

    /// Whether the workload of the resource is unknown.
    pub fn may_be_elsewhere(&self) -> bool {
        [ItemRefusal::TAGS_ELSEWHERE, ItemRefusal::TAGS_UNREAD].contains(&self.reason.as_str())
    }
}

impl Item {
    /// What an operator should know about the item.
    pub fn note(&self) -> Option<String> {
        let from = self.tags_from.as_ref()?;
        Some(format!(
            "Recovery point {} of {} has no usable tags. It is restored, with the tags of recovery point {} of {}.",
            shown(&self.recovery_point_arn),
            shown(&self.resource_arn),
            shown(&from.recovery_point_arn),
            from.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        ))
    }
}

impl Target {
    /// The target for the integration.
    ///
    /// # Errors
    /// The invalid member and why, if the target does not come from a plan.
    pub fn integration_target(&self) -> Result<IntegrationTarget, String> {
        if !tags::is_stack_name(&self.stack) {
            return Err(format!("{} is not a stack name", shown(&self.stack)));
        }
        if !tags::is_logical_id(&self.logical_id) {
            return Err(format!("{} is not a logical id", shown(&self.logical_id)));
        }
        let device = match &self.device {
            None => None,
            Some(device) => Some(
                DeviceName::parse(device)
                    .ok_or_else(|| format!("{} is not a device name", shown(device)))?,
            ),
        };
        Ok(IntegrationTarget {
            stack: self.stack.clone(),
            logical_id: self.logical_id.clone(),
            device,
            mount: self.mount.clone(),
            unusable_tags: Vec::new(),
            assumed: self.assumed,
        })
    }
}
