//! FSx: file systems, volumes and storage virtual machines of ONTAP, and the tags of backups.

#[cfg(test)]
mod tests;

use aws_sdk_fsx::Client;
use aws_sdk_fsx::types::Tag;
use recovery_core::aws::arn::{Arn, RecoveryPointArn};
use recovery_core::aws::file_system::{FsxFileSystem, FsxVolume, StorageMachine};
use recovery_core::error::Error;
use recovery_core::ports::FsxFileSystems;
use recovery_core::tags::{RESTORE_TEST, Tags};

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete};

/// FSx in the recovery Region.
#[derive(Debug)]
pub struct Fsx {
    client: Lazy<Client>,
}

const DESCRIBE_FILE_SYSTEMS: &str = "fsx:DescribeFileSystems";
const DESCRIBE_MACHINES: &str = "fsx:DescribeStorageVirtualMachines";
const DESCRIBE_VOLUMES: &str = "fsx:DescribeVolumes";
const LIST_TAGS: &str = "fsx:ListTagsForResource";

impl Fsx {
    /// The IAM action for the tags of recovery points.
    pub const TAG_ACTIONS: &'static [&'static str] = &[LIST_TAGS];

    /// The IAM actions to describe file systems and volumes.
    pub const LOOKUP_ACTIONS: &'static [&'static str] = &[DESCRIBE_FILE_SYSTEMS, DESCRIBE_VOLUMES];

    /// The IAM actions for the integration.
    pub const INTEGRATION_ACTIONS: &'static [&'static str] =
        &[DESCRIBE_FILE_SYSTEMS, DESCRIBE_MACHINES, DESCRIBE_VOLUMES];

    pub fn new(config: &Config) -> Fsx {
        Fsx {
            client: client!(config, aws_sdk_fsx),
        }
    }

    /// The tags of the backup that is the recovery point, from every page.
    ///
    /// <https://docs.aws.amazon.com/fsx/latest/APIReference/API_ListTagsForResource.html>
    pub(crate) async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        let mut tags = Tags::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .list_tags_for_resource()
                .resource_arn(point.as_str())
                .set_next_token(page)
                .send()
                .await
                .map_err(|error| classify(LIST_TAGS, point.as_str(), error))?;
            let listed = answer.tags.unwrap_or_default().into_iter();
            tags.extend(listed.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))));
            page = answer.next_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(tags);
            }
        }
    }
}

impl FsxFileSystems for Fsx {
    /// <https://docs.aws.amazon.com/fsx/latest/APIReference/API_DescribeFileSystems.html>
    async fn describe(&self, id: &str) -> Result<Option<FsxFileSystem>, Error> {
        let request = self.client.describe_file_systems().file_system_ids(id);
        let answer = match request.send().await {
            Err(error) if code(&error) == Some("FileSystemNotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_FILE_SYSTEMS, id, error))?,
        };
        let listed = answer.file_systems.unwrap_or_default().into_iter().next();
        let Some(listed) = listed else {
            return Ok(None);
        };
        let missing = |member| incomplete(DESCRIBE_FILE_SYSTEMS, id, member);
        let arn = listed.resource_arn.ok_or_else(|| missing("ARN"))?;
        let kind = listed.file_system_type.ok_or_else(|| missing("type"))?;
        let state = listed.lifecycle.ok_or_else(|| missing("lifecycle"))?;
        Ok(Some(FsxFileSystem {
            id: id.to_owned(),
            arn: Arn::parse(&arn)?,
            kind: kind.as_str().into(),
            state: state.as_str().into(),
            failure: listed.failure_details.and_then(|details| details.message),
            dns_name: listed.dns_name,
            mount_name: listed.lustre_configuration.and_then(|it| it.mount_name),
            root_volume: listed
                .open_zfs_configuration
                .and_then(|it| it.root_volume_id),
            restore_test: is_restore_test(listed.tags.as_deref()),
        }))
    }

    /// <https://docs.aws.amazon.com/fsx/latest/APIReference/API_DescribeVolumes.html>
    async fn volume(&self, id: &str) -> Result<Option<FsxVolume>, Error> {
        let request = self.client.describe_volumes().volume_ids(id);
        let answer = match request.send().await {
            Err(error) if code(&error) == Some("VolumeNotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_VOLUMES, id, error))?,
        };
        let listed = answer.volumes.unwrap_or_default().into_iter().next();
        let Some(listed) = listed else {
            return Ok(None);
        };
        let missing = |member| incomplete(DESCRIBE_VOLUMES, id, member);
        let arn = listed.resource_arn.ok_or_else(|| missing("ARN"))?;
        let state = listed.lifecycle.ok_or_else(|| missing("lifecycle"))?;
        let ontap = listed
            .ontap_configuration
            .ok_or_else(|| missing("configuration of ONTAP"))?;
        Ok(Some(FsxVolume {
            id: id.to_owned(),
            arn: Arn::parse(&arn)?,
            state: state.as_str().into(),
            failure: listed.lifecycle_transition_reason.and_then(|it| it.message),
            machine: ontap
                .storage_virtual_machine_id
                .ok_or_else(|| missing("storage virtual machine"))?,
            junction_path: ontap.junction_path.filter(|path| !path.is_empty()),
            restore_test: is_restore_test(listed.tags.as_deref()),
        }))
    }

    /// <https://docs.aws.amazon.com/fsx/latest/APIReference/API_OpenZFSVolumeConfiguration.html>
    async fn volume_path(&self, id: &str) -> Result<Option<String>, Error> {
        let request = self.client.describe_volumes().volume_ids(id);
        let answer = match request.send().await {
            Err(error) if code(&error) == Some("VolumeNotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_VOLUMES, id, error))?,
        };
        let Some(listed) = answer.volumes.unwrap_or_default().into_iter().next() else {
            return Ok(None);
        };
        listed
            .open_zfs_configuration
            .and_then(|it| it.volume_path)
            .map(Some)
            .ok_or_else(|| incomplete(DESCRIBE_VOLUMES, id, "path of OpenZFS"))
    }

    /// <https://docs.aws.amazon.com/fsx/latest/APIReference/API_DescribeStorageVirtualMachines.html>
    async fn storage_machine(&self, id: &str) -> Result<Option<StorageMachine>, Error> {
        let answer = self
            .client
            .describe_storage_virtual_machines()
            .storage_virtual_machine_ids(id)
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some("StorageVirtualMachineNotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_MACHINES, id, error))?,
        };
        let listed = answer.storage_virtual_machines.unwrap_or_default();
        Ok(listed.into_iter().next().map(|machine| {
            let endpoints = machine.endpoints;
            let (nfs, smb) = endpoints.map_or((None, None), |it| (it.nfs, it.smb));
            StorageMachine {
                nfs: nfs.and_then(|it| it.dns_name),
                smb: smb.and_then(|it| it.dns_name),
            }
        }))
    }
}

fn is_restore_test(tags: Option<&[Tag]>) -> bool {
    tags.unwrap_or_default()
        .iter()
        .any(|tag| tag.key.as_deref() == Some(RESTORE_TEST))
}
