//! EFS: file systems, their mount targets and access points.

#[cfg(test)]
mod tests;

use aws_sdk_efs::Client;
use aws_sdk_efs::operation::create_access_point::CreateAccessPointError;
use aws_sdk_efs::types::{
    AccessPointDescription, FileSystemDescription, MountTargetDescription, RootDirectory, Tag,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use recovery_core::aws::arn::Arn;
use recovery_core::aws::file_system::{
    AccessPoint, EfsAnswer, EfsFileSystem, MountTarget, NewAccessPoint, NewMountTarget,
};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::EfsFileSystems;
use recovery_core::tags::RESTORE_TEST;

use crate::client::{Config, Lazy, client};
use crate::error::{SdkError, classify, code, incomplete, message};

/// EFS in the recovery Region.
#[derive(Debug)]
pub struct Efs {
    client: Lazy<Client>,
}

const CREATE_ACCESS_POINT: &str = "elasticfilesystem:CreateAccessPoint";
const CREATE_MOUNT_TARGET: &str = "elasticfilesystem:CreateMountTarget";
const DESCRIBE_ACCESS_POINTS: &str = "elasticfilesystem:DescribeAccessPoints";
const DESCRIBE_FILE_SYSTEMS: &str = "elasticfilesystem:DescribeFileSystems";
const DESCRIBE_MOUNT_TARGETS: &str = "elasticfilesystem:DescribeMountTargets";

/// The code of an error that says that the file system does not exist.
const NOT_FOUND: &str = "FileSystemNotFound";

/// The codes of errors that say that the zone has a mount target, or that the token was used for an access point.
const EXISTS: [&str; 2] = ["AccessPointAlreadyExists", "MountTargetConflict"];

/// The codes of errors that only a change of the network or of a quota can end
/// (<https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html>,
/// <https://docs.aws.amazon.com/efs/latest/ug/API_CreateAccessPoint.html>).
const REJECTED: [&str; 10] = [
    "AccessPointLimitExceeded",
    "AvailabilityZonesMismatch",
    "BadRequest",
    "IpAddressInUse",
    "NetworkInterfaceLimitExceeded",
    "NoFreeAddressesInSubnet",
    "SecurityGroupLimitExceeded",
    "SecurityGroupNotFound",
    "SubnetNotFound",
    "UnsupportedAvailabilityZone",
];

impl Efs {
    /// The IAM actions of the calls in this file. `CreateMountTarget` also needs `ec2:CreateNetworkInterface`,
    /// `ec2:DescribeSubnets` and `ec2:DescribeNetworkInterfaces`, and `CreateAccessPoint` with tags
    /// `elasticfilesystem:TagResource`.
    pub const ACTIONS: &'static [&'static str] = &[
        CREATE_ACCESS_POINT,
        CREATE_MOUNT_TARGET,
        DESCRIBE_ACCESS_POINTS,
        DESCRIBE_FILE_SYSTEMS,
        DESCRIBE_MOUNT_TARGETS,
    ];

    /// The IAM action to describe file systems.
    pub const LOOKUP_ACTIONS: &'static [&'static str] = &[DESCRIBE_FILE_SYSTEMS];

    /// The IAM action to describe mount targets.
    pub const MOUNT_TARGET_ACTIONS: &'static [&'static str] = &[DESCRIBE_MOUNT_TARGETS];

    pub fn new(config: &Config) -> Efs {
        Efs {
            client: client!(config, aws_sdk_efs),
        }
    }
}

impl EfsFileSystems for Efs {
    /// <https://docs.aws.amazon.com/efs/latest/ug/API_DescribeFileSystems.html>
    async fn describe(&self, id: &str) -> Result<Option<EfsFileSystem>, Error> {
        let answer = self
            .client
            .describe_file_systems()
            .file_system_id(id)
            .send()
            .await;
        let Some(answer) = found(DESCRIBE_FILE_SYSTEMS, id, answer)? else {
            return Ok(None);
        };
        let listed = answer.file_systems.unwrap_or_default().into_iter().next();
        listed.map(file_system).transpose()
    }

    /// <https://docs.aws.amazon.com/efs/latest/ug/API_DescribeMountTargets.html>
    async fn list_mount_targets(&self, file_system: &str) -> Result<Vec<MountTarget>, Error> {
        let mut targets = Vec::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .describe_mount_targets()
                .file_system_id(file_system)
                .set_marker(page)
                .send()
                .await;
            let Some(answer) = found(DESCRIBE_MOUNT_TARGETS, file_system, answer)? else {
                return Ok(Vec::new());
            };
            for target in answer.mount_targets.unwrap_or_default() {
                targets.push(mount_target(file_system, target)?);
            }
            page = answer.next_marker.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(targets);
            }
        }
    }

    /// <https://docs.aws.amazon.com/efs/latest/ug/API_DescribeAccessPoints.html>
    async fn list_access_points(&self, file_system: &str) -> Result<Vec<AccessPoint>, Error> {
        let mut points = Vec::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .describe_access_points()
                .file_system_id(file_system)
                .set_next_token(page)
                .send()
                .await;
            let Some(answer) = found(DESCRIBE_ACCESS_POINTS, file_system, answer)? else {
                return Ok(Vec::new());
            };
            for point in answer.access_points.unwrap_or_default() {
                points.push(access_point(file_system, point)?);
            }
            page = answer.next_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(points);
            }
        }
    }

    /// <https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html>
    async fn create_mount_target(&self, new: &NewMountTarget) -> Result<EfsAnswer, Error> {
        let answer = self
            .client
            .create_mount_target()
            .file_system_id(&new.file_system)
            .subnet_id(&new.subnet)
            .set_security_groups(Some(new.security_groups.clone()))
            .send()
            .await;
        created(CREATE_MOUNT_TARGET, &new.subnet, answer)
    }

    /// <https://docs.aws.amazon.com/efs/latest/ug/API_CreateAccessPoint.html>
    async fn create_access_point(&self, new: &NewAccessPoint) -> Result<EfsAnswer, Error> {
        let tags = new
            .tags
            .iter()
            .map(|(key, value)| Tag::builder().key(*key).value(value).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                let error = SdkError::<CreateAccessPointError>::construction_failure(error);
                classify(CREATE_ACCESS_POINT, new.file_system.as_str(), error)
            })?;
        let answer = self
            .client
            .create_access_point()
            .file_system_id(&new.file_system)
            .client_token(&new.token)
            .root_directory(RootDirectory::builder().path(&new.path).build())
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await;
        created(CREATE_ACCESS_POINT, &new.file_system, answer)
    }
}

/// The answer to a read; `None` if EFS says that the file system does not exist.
fn found<T, E>(
    operation: &'static str,
    subject: &str,
    answer: Result<T, SdkError<E>>,
) -> Result<Option<T>, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(classify(operation, subject, error)),
    }
}

/// The answer to a creation.
fn created<T, E>(
    operation: &'static str,
    subject: &str,
    answer: Result<T, SdkError<E>>,
) -> Result<EfsAnswer, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let Err(error) = answer else {
        return Ok(EfsAnswer::Created);
    };
    let error_code = code(&error).unwrap_or_default().to_owned();
    let text = message(&error).unwrap_or_default().to_owned();
    let fault = |remedy: &str| {
        Fault::new(operation, subject, text.clone(), remedy).with_code(error_code.clone())
    };
    if EXISTS.contains(&error_code.as_str()) {
        return Ok(EfsAnswer::Exists);
    }
    if error_code == "IncorrectFileSystemLifeCycleState" {
        return Ok(EfsAnswer::Busy(fault(
            "No action needed. The call is tried again automatically.",
        )));
    }
    if REJECTED.contains(&error_code.as_str()) {
        return Ok(EfsAnswer::Rejected(fault("Fix the cause that EFS names.")));
    }
    Err(classify(operation, subject, error))
}

fn file_system(listed: FileSystemDescription) -> Result<EfsFileSystem, Error> {
    let id = listed.file_system_id;
    let arn = listed
        .file_system_arn
        .ok_or_else(|| incomplete(DESCRIBE_FILE_SYSTEMS, &id, "ARN"))?;
    Ok(EfsFileSystem {
        arn: Arn::parse(&arn)?,
        state: listed.life_cycle_state.as_str().into(),
        restore_test: listed.tags.iter().any(|tag| tag.key == RESTORE_TEST),
        id,
    })
}

fn mount_target(subject: &str, listed: MountTargetDescription) -> Result<MountTarget, Error> {
    Ok(MountTarget {
        id: listed.mount_target_id,
        subnet: listed.subnet_id,
        zone: listed
            .availability_zone_name
            .ok_or_else(|| incomplete(DESCRIBE_MOUNT_TARGETS, subject, "Availability Zone"))?,
        address: listed.ip_address,
        state: listed.life_cycle_state.as_str().into(),
    })
}

fn access_point(subject: &str, listed: AccessPointDescription) -> Result<AccessPoint, Error> {
    let missing = |member| incomplete(DESCRIBE_ACCESS_POINTS, subject, member);
    let root = listed.root_directory;
    Ok(AccessPoint {
        id: listed.access_point_id.ok_or_else(|| missing("id"))?,
        creates_directory: root.as_ref().is_some_and(|it| it.creation_info.is_some()),
        path: root
            .and_then(|root| root.path)
            .unwrap_or_else(|| "/".to_owned()),
        state: listed
            .life_cycle_state
            .ok_or_else(|| missing("state"))?
            .as_str()
            .into(),
    })
}
