//! File systems: of Amazon EFS with their mount targets and access points, and of Amazon FSx.

use crate::aws::arn::Arn;
use crate::error::Fault;

/// The resource type of Amazon EFS in AWS Backup.
pub const EFS: &str = "EFS";
/// The resource type of Amazon FSx in AWS Backup, for file systems and for volumes of ONTAP.
pub const FSX: &str = "FSx";
/// Their resource types.
pub(crate) const FILE_SYSTEM_TYPES: &[&str] = &[EFS, FSX];

/// A file system, or a volume of ONTAP, by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystemId {
    /// A file system of EFS: `fs-…`.
    Efs(String),
    /// A file system of FSx: `fs-…`.
    Fsx(String),
    /// A volume of FSx for ONTAP: `fsvol-…`. AWS Backup restores volumes, not file systems, of ONTAP.
    Volume(String),
}

impl FileSystemId {
    /// According to the ARN of a restored or protected resource.
    pub fn of(arn: &Arn) -> Option<FileSystemId> {
        match arn.service() {
            "elasticfilesystem" => arn.resource_id("file-system").map(str::to_owned),
            _ => None,
        }
        .map(FileSystemId::Efs)
        .or_else(|| {
            if arn.service() != "fsx" {
                return None;
            }
            let own = arn.resource_id("file-system");
            own.map(|id| FileSystemId::Fsx(id.to_owned())).or_else(|| {
                let (_, volume) = arn.resource_id("volume")?.split_once('/')?;
                Some(FileSystemId::Volume(volume.to_owned()))
            })
        })
    }

    pub fn as_str(&self) -> &str {
        match self {
            FileSystemId::Efs(id) | FileSystemId::Fsx(id) | FileSystemId::Volume(id) => id,
        }
    }
}

state! {
    /// The state of a file system, mount target or access point of EFS.
    ///
    /// See <https://docs.aws.amazon.com/efs/latest/ug/API_FileSystemDescription.html>.
    EfsState {
        Creating = "creating",
        Available = "available",
        Updating = "updating",
        Deleting = "deleting",
        Deleted = "deleted",
        Error = "error",
    }
}

impl EfsState {
    /// Whether no later state is one in which it can be used.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(
            self,
            EfsState::Deleting | EfsState::Deleted | EfsState::Error
        )
    }

    /// Whether it can be used.
    pub fn is_usable(&self) -> bool {
        matches!(self, EfsState::Available | EfsState::Updating)
    }
}

/// A file system of EFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EfsFileSystem {
    pub id: String,
    pub arn: Arn,
    pub state: EfsState,
    /// Whether a restore test created it. AWS Backup then deletes it soon.
    pub restore_test: bool,
}

/// A mount target of EFS: the address of a file system in one Availability Zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountTarget {
    pub id: String,
    pub subnet: String,
    pub zone: String,
    pub address: Option<String>,
    pub state: EfsState,
}

/// An access point of EFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPoint {
    pub id: String,
    /// The directory that is its root.
    pub path: String,
    /// Whether it creates a directory that does not exist, which would hide that the data are elsewhere.
    pub creates_directory: bool,
    pub state: EfsState,
}

/// A mount target to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMountTarget {
    pub file_system: String,
    pub subnet: String,
    pub security_groups: Vec<String>,
}

/// An access point to create. It creates no directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccessPoint {
    pub file_system: String,
    /// The same token creates only one.
    pub token: String,
    /// The directory that is its root.
    pub path: String,
    pub tags: Vec<(&'static str, String)>,
}

/// The answer to the creation of a mount target or an access point.
#[derive(Debug)]
pub enum EfsAnswer {
    /// EFS creates it.
    Created,
    /// One exists in this zone, or with this token.
    Exists,
    /// Not now: the file system is being changed.
    Busy(Fault),
    /// EFS rejects it.
    Rejected(Fault),
}

state! {
    /// The type of a file system of FSx.
    FsxType {
        Lustre = "LUSTRE",
        OpenZfs = "OPENZFS",
        Windows = "WINDOWS",
        Ontap = "ONTAP",
    }
}

state! {
    /// The state of a file system or volume of FSx.
    ///
    /// See <https://docs.aws.amazon.com/fsx/latest/APIReference/API_FileSystem.html>.
    FsxState {
        Available = "AVAILABLE",
        Created = "CREATED",
        Creating = "CREATING",
        Deleting = "DELETING",
        Failed = "FAILED",
        Misconfigured = "MISCONFIGURED",
        MisconfiguredUnavailable = "MISCONFIGURED_UNAVAILABLE",
        Pending = "PENDING",
        Updating = "UPDATING",
    }
}

impl FsxState {
    /// Whether no later state is one in which it can be used, unless a person acts.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(
            self,
            FsxState::Deleting
                | FsxState::Failed
                | FsxState::Misconfigured
                | FsxState::MisconfiguredUnavailable
        )
    }

    /// Whether it can be used. A volume of ONTAP is `CREATED` first.
    pub fn is_usable(&self) -> bool {
        matches!(
            self,
            FsxState::Available | FsxState::Created | FsxState::Updating
        )
    }
}

/// A file system of FSx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsxFileSystem {
    pub id: String,
    pub arn: Arn,
    pub kind: FsxType,
    pub state: FsxState,
    /// Why it failed, in the words of FSx.
    pub failure: Option<String>,
    /// Where clients reach it.
    pub dns_name: Option<String>,
    /// The name that clients of Lustre mount. It differs from that of the source.
    pub mount_name: Option<String>,
    /// The volume of OpenZFS that contains all others.
    pub root_volume: Option<String>,
    /// Whether a restore test created it.
    pub restore_test: bool,
}

/// A volume of FSx for ONTAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsxVolume {
    pub id: String,
    pub arn: Arn,
    pub state: FsxState,
    /// Why it failed, in the words of FSx.
    pub failure: Option<String>,
    /// The storage virtual machine that serves it.
    pub machine: String,
    /// Where the storage virtual machine mounts it.
    pub junction_path: Option<String>,
    /// Whether a restore test created it.
    pub restore_test: bool,
}

/// Where a storage virtual machine of FSx for ONTAP is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageMachine {
    /// The DNS name for NFS.
    pub nfs: Option<String>,
    /// The DNS name for SMB, if it is a member of a domain.
    pub smb: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_id_from_the_arn() {
        let check = |text: &str, expected: Option<FileSystemId>| {
            assert_eq!(FileSystemId::of(&Arn::parse(text).unwrap()), expected);
        };
        check(
            "arn:aws:elasticfilesystem:us-west-2:1:file-system/fs-1",
            Some(FileSystemId::Efs("fs-1".to_owned())),
        );
        check(
            "arn:aws:fsx:us-west-2:1:file-system/fs-2",
            Some(FileSystemId::Fsx("fs-2".to_owned())),
        );
        check(
            "arn:aws:fsx:us-west-2:1:volume/fs-2/fsvol-3",
            Some(FileSystemId::Volume("fsvol-3".to_owned())),
        );
        check("arn:aws:fsx:us-west-2:1:volume/fsvol-3", None);
        check("arn:aws:elasticfilesystem:us-west-2:1:access-point/a", None);
        check("arn:aws:ec2:us-west-2:1:file-system/fs-1", None);
    }
}
