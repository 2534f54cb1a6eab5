//! EC2: volumes, instances, and the tags of snapshots and images.

use std::collections::BTreeMap;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::SdkError;
use aws_sdk_ec2::operation::attach_volume::AttachVolumeError;
use aws_sdk_ec2::operation::describe_tags::builders::DescribeTagsFluentBuilder;
use aws_sdk_ec2::operation::describe_volumes::builders::DescribeVolumesFluentBuilder;
use aws_sdk_ec2::types::Filter;
use aws_sdk_ec2::{Client, types};
use recovery_core::aws::arn::{InstanceId, VolumeId};
use recovery_core::aws::ec2::{
    AttachAnswer, Attachment, DeviceName, Instance, Snapshot, Subnet, Volume,
};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::{Instances, Snapshots, Subnets, Volumes};
use recovery_core::tags::{CLOUDFORMATION_LOGICAL_ID, CLOUDFORMATION_STACK, RESTORE_TEST, Tags};

use crate::backup::time;
use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete, message};

/// EC2 in the recovery Region.
#[derive(Debug)]
pub struct Ec2 {
    client: Lazy<Client>,
}

const ATTACH_VOLUME: &str = "ec2:AttachVolume";
const DESCRIBE_INSTANCES: &str = "ec2:DescribeInstances";
const DESCRIBE_SNAPSHOTS: &str = "ec2:DescribeSnapshots";
const DESCRIBE_SUBNETS: &str = "ec2:DescribeSubnets";
const DESCRIBE_TAGS: &str = "ec2:DescribeTags";
const DESCRIBE_VOLUMES: &str = "ec2:DescribeVolumes";

impl Ec2 {
    /// The IAM actions that an integration needs.
    pub const INTEGRATION_ACTIONS: &'static [&'static str] = &[
        ATTACH_VOLUME,
        DESCRIBE_INSTANCES,
        DESCRIBE_TAGS,
        DESCRIBE_VOLUMES,
    ];

    /// The IAM actions for finding an instance or the instances of a group.
    pub const TARGET_ACTIONS: &'static [&'static str] = &[DESCRIBE_INSTANCES];

    /// The IAM actions for tags.
    pub const TAG_ACTIONS: &'static [&'static str] = &[DESCRIBE_TAGS];

    /// The IAM actions for reading subnets.
    pub const SUBNET_ACTIONS: &'static [&'static str] = &[DESCRIBE_SUBNETS];

    /// The IAM actions for reading volumes.
    pub const VOLUME_ACTIONS: &'static [&'static str] = &[DESCRIBE_VOLUMES];

    /// The IAM actions for validating a restore test.
    pub const VALIDATION_ACTIONS: &'static [&'static str] = &[DESCRIBE_SNAPSHOTS, DESCRIBE_VOLUMES];

    pub fn new(config: &Config) -> Ec2 {
        Ec2 {
            client: client!(config, aws_sdk_ec2),
        }
    }

    /// All tags of a snapshot or image.
    pub(crate) async fn tags(&self, id: &str) -> Result<Tags, Error> {
        let mut tags = self.tags_together(&[id], id).await?;
        Ok(tags.remove(id).unwrap_or_default())
    }

    /// All tags of these snapshots and images, by id. EC2 accepts at most 200 values in a filter.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html>
    pub(crate) async fn tags_together(
        &self,
        ids: &[&str],
        subject: &str,
    ) -> Result<BTreeMap<String, Tags>, Error> {
        let request = self.client.describe_tags();
        self.tags_of(request, ids, subject).await
    }

    /// The tags `keys` of these snapshots and images, by id. At most [`SNAPSHOTS_AT_ONCE`](recovery_core::ports::SNAPSHOTS_AT_ONCE) ids.
    pub(crate) async fn chosen_tags(
        &self,
        ids: &[&str],
        keys: &[&str],
    ) -> Result<BTreeMap<String, Tags>, Error> {
        let request = self.client.describe_tags().filters(filter("key", keys));
        self.tags_of(request, ids, "recovery points").await
    }

    async fn tags_of(
        &self,
        request: DescribeTagsFluentBuilder,
        ids: &[&str],
        subject: &str,
    ) -> Result<BTreeMap<String, Tags>, Error> {
        let mut tags: BTreeMap<String, Tags> = BTreeMap::new();
        let mut pages = request
            .filters(filter("resource-id", ids))
            .max_results(1000)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(DESCRIBE_TAGS, subject, error))?;
            for tag in page.tags.unwrap_or_default() {
                let missing = |member| incomplete(DESCRIBE_TAGS, subject, member);
                let of = match (tag.resource_id, ids) {
                    (Some(id), _) => id,
                    (None, [only]) => (*only).to_owned(),
                    (None, _) => return Err(missing("resource id of a tag")),
                };
                let key = tag.key.ok_or_else(|| missing("key of a tag"))?;
                tags.entry(of)
                    .or_default()
                    .insert(key, tag.value.unwrap_or_default());
            }
        }
        Ok(tags)
    }

    /// The volumes of all pages.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html>
    async fn described(
        &self,
        request: DescribeVolumesFluentBuilder,
        subject: &str,
    ) -> Result<Vec<Volume>, Error> {
        let mut volumes = Vec::new();
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(DESCRIBE_VOLUMES, subject, error))?;
            for volume in page.volumes.unwrap_or_default() {
                volumes.push(translate_volume(volume, subject)?);
            }
        }
        Ok(volumes)
    }

    /// The instances of all pages that match the filters.
    async fn instances_with(
        &self,
        filters: &[(&str, &[&str])],
        subject: &str,
    ) -> Result<Vec<Instance>, Error> {
        let filters = filters.iter().map(|(name, values)| filter(name, values));
        let mut instances = Vec::new();
        let mut pages = self
            .client
            .describe_instances()
            .set_filters(Some(filters.collect()))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(DESCRIBE_INSTANCES, subject, error))?;
            for instance in page
                .reservations
                .unwrap_or_default()
                .into_iter()
                .flat_map(|reservation| reservation.instances.unwrap_or_default())
            {
                instances.push(translate(instance, subject)?);
            }
        }
        Ok(instances)
    }
}

impl Volumes for Ec2 {
    async fn describe(&self, id: &VolumeId) -> Result<Volume, Error> {
        let request = self.client.describe_volumes().volume_ids(id.as_str());
        let volumes = self.described(request, id.as_str()).await?;
        volumes
            .into_iter()
            .find(|volume| volume.id == *id)
            .ok_or_else(|| not_visible(DESCRIBE_VOLUMES, id.as_str()))
    }

    async fn list(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        // With a filter: if one of several ids does not exist, EC2 answers only with an error.
        let ids: Vec<&str> = ids.iter().map(VolumeId::as_str).collect();
        let request = self
            .client
            .describe_volumes()
            .filters(filter("volume-id", &ids));
        let subject = match ids[..] {
            [only] => only,
            _ => "restored volumes",
        };
        self.described(request, subject).await
    }

    /// Calls `AttachVolume` once, without the SDK's retries, because it has no client token
    /// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>).
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html>
    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        let subject = format!("{volume} to {instance} as {device}");
        let answer = self
            .client
            .attach_volume()
            .volume_id(volume.as_str())
            .instance_id(instance.as_str())
            .device(device.as_str())
            .customize()
            .config_override(
                aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled()),
            )
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(AttachAnswer::Accepted {
                attached: answer.state == Some(types::VolumeAttachmentState::Attached),
            }),
            Err(error) => attach_error(subject, error),
        }
    }
}

impl Instances for Ec2 {
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
    async fn describe(&self, id: &InstanceId) -> Result<Instance, Error> {
        let answer = self
            .client
            .describe_instances()
            .instance_ids(id.as_str())
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_INSTANCES, id.as_str(), error))?;
        let instance = answer
            .reservations
            .unwrap_or_default()
            .into_iter()
            .flat_map(|reservation| reservation.instances.unwrap_or_default())
            .find(|instance| instance.instance_id.as_deref() == Some(id.as_str()))
            .ok_or_else(|| not_visible(DESCRIBE_INSTANCES, id.as_str()))?;
        translate(instance, id.as_str())
    }

    /// The instances that bear CloudFormation's own tags of this stack and logical id. CloudFormation
    /// puts them on what it makes:
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html>.
    async fn list_of_stack(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        self.instances_with(
            &[
                ("tag:aws:cloudformation:stack-name", &[stack]),
                ("tag:aws:cloudformation:logical-id", &[logical_id]),
            ],
            &format!("{stack}/{logical_id}"),
        )
        .await
    }

    /// The instances of an Auto Scaling group that are `pending` or `running`. They are not
    /// resources of the stack. EC2 Auto Scaling tags them with the group's name:
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html>.
    async fn list_of_group(&self, group: &str) -> Result<Vec<Instance>, Error> {
        self.instances_with(
            &[
                ("tag:aws:autoscaling:groupName", &[group]),
                ("instance-state-name", &["pending", "running"]),
            ],
            group,
        )
        .await
    }
}

impl Subnets for Ec2 {
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSubnets.html>
    async fn list(&self, ids: &[String]) -> Result<Vec<Subnet>, Error> {
        // Without ids, EC2 lists all subnets.
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let subject = ids.join(" ");
        let answer = self
            .client
            .describe_subnets()
            .set_subnet_ids(Some(ids.to_vec()))
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_SUBNETS, subject.as_str(), error))?;
        let mut found: BTreeMap<String, Subnet> = BTreeMap::new();
        for subnet in answer.subnets.unwrap_or_default() {
            let missing = |member| incomplete(DESCRIBE_SUBNETS, &subject, member);
            let id = subnet.subnet_id.ok_or_else(|| missing("id of a subnet"))?;
            let zone = subnet.availability_zone;
            let subnet = Subnet {
                id: id.clone(),
                zone: zone.ok_or_else(|| missing("Availability Zone of a subnet"))?,
                vpc: subnet.vpc_id.ok_or_else(|| missing("VPC of a subnet"))?,
            };
            found.insert(id, subnet);
        }
        ids.iter()
            .map(|id| {
                let subnet = found.get(id).cloned();
                subnet.ok_or_else(|| not_visible(DESCRIBE_SUBNETS, id))
            })
            .collect()
    }
}

impl Snapshots for Ec2 {
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html>
    async fn describe(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        let answer = self
            .client
            .describe_snapshots()
            .snapshot_ids(id)
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some("InvalidSnapshot.NotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_SNAPSHOTS, id, error))?,
        };
        let Some(snapshot) = answer
            .snapshots
            .unwrap_or_default()
            .into_iter()
            .find(|snapshot| snapshot.snapshot_id.as_deref() == Some(id))
        else {
            return Ok(None);
        };
        let missing = |member| incomplete(DESCRIBE_SNAPSHOTS, id, member);
        Ok(Some(Snapshot {
            id: id.to_owned(),
            size: snapshot.volume_size.ok_or_else(|| missing("volume size"))?,
            encrypted: snapshot.encrypted.ok_or_else(|| missing("encrypted"))?,
        }))
    }
}

fn attach_error(
    subject: String,
    error: SdkError<AttachVolumeError>,
) -> Result<AttachAnswer, Error> {
    let text = message(&error).unwrap_or_default().to_owned();
    let device_in_use = text.contains("is already in use");
    let device_refused =
        text.contains("is not a valid EBS device name") || text.contains("for unixDevice");
    let product_code = text.contains("Marketplace");
    let modifying = text.contains("modification state");
    let kind: fn(Fault) -> AttachAnswer = match code(&error) {
        // A throttled call has no effect: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
        Some("RequestLimitExceeded" | "EC2ThrottledException" | "Throttling") => AttachAnswer::Busy,
        // `Cannot attach volume '…' with Marketplace codes as the instance '…' is not in the 'stopped' state`,
        // `The instance configuration for this AWS Marketplace product is not supported`, `you need to accept
        // terms and subscribe`.
        Some(
            "IncorrectInstanceState"
            | "IncorrectState"
            | "UnsupportedOperation"
            | "OperationNotPermitted"
            | "OptInRequired",
        ) if product_code => AttachAnswer::ProductCode,
        Some("VolumeInUse" | "IncorrectState" | "IncorrectInstanceState") => {
            AttachAnswer::Contested
        }
        // `Cannot attach volume … when it is in modification state: MODIFYING`
        Some("OperationNotPermitted") if modifying => AttachAnswer::Modifying,
        Some("UnsupportedOperation" | "Unsupported") => AttachAnswer::Unsupported,
        Some(code) if is_of_a_key(code, &text) => AttachAnswer::KeyUnusable,
        Some("InvalidVolume.ZoneMismatch" | "InvalidVolumeID.ZoneMismatch") => {
            AttachAnswer::ZoneMismatch
        }
        Some("AttachmentLimitExceeded" | "CardAttachmentLimitExceeded") => {
            AttachAnswer::LimitExceeded
        }
        // EC2 uses this code for every invalid parameter. Only the text says that the device name is in use.
        Some("InvalidParameterValue") if device_in_use => AttachAnswer::DeviceInUse,
        Some("InvalidParameterValue") if device_refused => AttachAnswer::DeviceRefused,
        _ => return Err(classify(ATTACH_VOLUME, subject, error)),
    };
    let code = code(&error).unwrap_or_default().to_owned();
    Ok(kind(
        Fault::new(
            ATTACH_VOLUME,
            subject,
            text,
            "No action needed. The function checks volume and instance again automatically.",
        )
        .with_code(code)
        .with_source(error),
    ))
}

/// Whether this error of `AttachVolume` is about the KMS key of the volume. EC2 returns `CustomerKeyHasBeenRevoked` if
/// the key is disabled or its policy does not allow the caller, and several other codes of EC2 and KMS.
fn is_of_a_key(code: &str, text: &str) -> bool {
    let kms = ["InvalidKMSKey", "InvalidKmsKey", "KMS", "Kms"]
        .iter()
        .any(|of| code.starts_with(of));
    let not_allowed = [
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
    ]
    .contains(&code)
        && text.contains(" kms:");
    code == "CustomerKeyHasBeenRevoked" || kms && !code.contains("hrottl") || not_allowed
}

/// A filter for exactly these values. In a filter, `*`, `?` and `\` are patterns:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>.
fn filter(name: &str, values: &[&str]) -> Filter {
    let exactly = |value: &str| {
        value
            .replace('\\', r"\\")
            .replace('*', r"\*")
            .replace('?', r"\?")
    };
    Filter::builder()
        .name(name)
        .set_values(Some(values.iter().map(|value| exactly(value)).collect()))
        .build()
}

/// The error for a resource that EC2 does not show yet: EC2 is eventually consistent.
fn not_visible(operation: &'static str, id: &str) -> Error {
    Error::Retryable(Fault::new(
        operation,
        id,
        "EC2 does not show it",
        "No action needed. The function checks again automatically. If it was deleted, restore the recovery point again.",
    ))
}

fn translate_volume(volume: types::Volume, subject: &str) -> Result<Volume, Error> {
    let missing = |member| incomplete(DESCRIBE_VOLUMES, subject, member);
    let attachments = volume
        .attachments
        .unwrap_or_default()
        .into_iter()
        .filter(|attachment| attachment.state != Some(types::VolumeAttachmentState::Detached))
        .map(|attachment| {
            Ok(Attachment {
                // A volume that a service of AWS uses has no instance.
                instance: InstanceId::new(
                    attachment
                        .instance_id
                        .or(attachment.associated_resource)
                        .ok_or_else(|| missing("instance of an attachment"))?,
                ),
                device: attachment.device.unwrap_or_default(),
                state: attachment
                    .state
                    .ok_or_else(|| missing("state of an attachment"))?
                    .as_str()
                    .into(),
                since: attachment.attach_time.and_then(time),
            })
        })
        .collect::<Result<_, Error>>()?;
    let tags = volume.tags.unwrap_or_default();
    let tag = |key| {
        let mut tags = tags.iter();
        tags.find(|tag| tag.key.as_deref() == Some(key))
            .map(|tag| tag.value.as_deref().unwrap_or_default())
    };
    Ok(Volume {
        id: VolumeId::new(volume.volume_id.ok_or_else(|| missing("volume id"))?),
        state: volume
            .state
            .ok_or_else(|| missing("state"))?
            .as_str()
            .into(),
        zone: volume
            .availability_zone
            .ok_or_else(|| missing("Availability Zone"))?,
        attachments,
        key: volume.kms_key_id,
        restore_test: tag(RESTORE_TEST).is_some(),
        owner: tag(CLOUDFORMATION_STACK)
            .zip(tag(CLOUDFORMATION_LOGICAL_ID))
            .map(|(stack, logical_id)| format!("{stack}/{logical_id}")),
        size: volume.size,
        encrypted: volume.encrypted,
        // Empty for a volume that was created from none.
        snapshot: volume.snapshot_id.filter(|snapshot| !snapshot.is_empty()),
    })
}

fn translate(instance: types::Instance, subject: &str) -> Result<Instance, Error> {
    let missing = |member| incomplete(DESCRIBE_INSTANCES, subject, member);
    let devices = instance
        .block_device_mappings
        .unwrap_or_default()
        .into_iter()
        .filter_map(|mapping| {
            let volume = mapping.ebs?.volume_id?;
            Some((mapping.device_name?, VolumeId::new(volume)))
        })
        .collect();
    Ok(Instance {
        id: InstanceId::new(instance.instance_id.ok_or_else(|| missing("instance id"))?),
        state: instance
            .state
            .and_then(|state| state.name)
            .ok_or_else(|| missing("state"))?
            .as_str()
            .into(),
        zone: instance
            .placement
            .and_then(|placement| placement.availability_zone)
            .ok_or_else(|| missing("Availability Zone"))?,
        devices,
    })
}

#[cfg(test)]
mod tests;
