//! What the runbook is asked to mount, and which directory it found.

use crate::aws::arn::InstanceId;
use crate::integrate::file_system::decide::RESTORED_DIRECTORY;
use crate::integrate::file_system::refusal::FileSystemRefusal;
use crate::integrate::mount::answer::InstanceAnswer;
use crate::integrate::mount::request::{MountRequest, MountType, Operation};
use crate::plan::item::FileSystemTarget;
use crate::tags::LOGICAL_ID;
use crate::text::{code, shown};

/// The longest path of an access point's root directory
/// (<https://docs.aws.amazon.com/efs/latest/ug/API_RootDirectory.html>).
const LONGEST_DIRECTORY: usize = 100;

/// How instances mount a file system. All values are read from AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountSource {
    pub(super) mount_type: MountType,
    /// The id of a file system of EFS, or the host name of one of FSx.
    pub(super) source: String,
    /// What of it is mounted.
    pub(super) export: Option<String>,
    /// Of EFS: the mount targets, each with its zone.
    pub(super) addresses: Vec<String>,
    /// Of EFS: the access point that serves the restored files.
    pub(super) access_point: Option<String>,
}

/// A file system that the runbook mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedMount {
    pub(super) source: MountSource,
    pub(super) path: String,
    /// The stack in which the reference is resolved.
    pub(super) stack: Option<String>,
    /// The reference to an instance or an Auto Scaling group.
    pub(super) server: String,
}

impl WantedMount {
    /// According to the target; `None` if the tags name no path or no instance, or nothing says how it is mounted
    /// there.
    pub(super) fn of(
        target: &FileSystemTarget,
        source: Option<MountSource>,
    ) -> Option<WantedMount> {
        let path = target.mount.clone()?;
        let source = source?;
        // On Windows, a volume of ONTAP is a share, which no API names.
        if source.mount_type == MountType::Ontap && !path.starts_with('/') {
            return None;
        }
        Some(WantedMount {
            source,
            path,
            stack: target.stack.clone(),
            server: target.server.clone()?,
        })
    }

    /// Whether an access point must be created first.
    pub(super) fn needs_access_point(&self) -> bool {
        self.source.mount_type == MountType::Efs && self.source.access_point.is_none()
    }

    /// Mount it on these instances.
    pub(super) fn request(&self, instances: Vec<InstanceId>) -> MountRequest {
        let MountSource {
            mount_type,
            source,
            export,
            addresses,
            access_point,
        } = self.source.clone();
        MountRequest {
            path: Some(self.path.clone()),
            export,
            addresses,
            access_point,
            ..MountRequest::new(Operation::Mount, mount_type, source, instances)
        }
    }

    /// Find the directory with the restored files, on this instance.
    pub(super) fn directory_request(&self, instance: InstanceId) -> MountRequest {
        MountRequest {
            addresses: self.source.addresses.clone(),
            ..MountRequest::new(
                Operation::FindRestoredDirectory,
                MountType::Efs,
                self.source.source.clone(),
                vec![instance],
            )
        }
    }
}

/// The directory that the runbook found.
///
/// # Errors
/// A [`FileSystemRefusal`] if AWS Backup gives no such name.
pub(super) fn directory_of(answers: &[InstanceAnswer]) -> Result<String, FileSystemRefusal> {
    let found = answers
        .iter()
        .find_map(|answer| answer.directory.as_deref())
        .unwrap_or_default();
    let is_usable = found.len() <= LONGEST_DIRECTORY
        && found.strip_prefix(RESTORED_DIRECTORY).is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c))
        });
    if is_usable {
        return Ok(found.to_owned());
    }
    Err(FileSystemRefusal::Directory {
        found: shown(found),
    })
}

/// What a person must do to mount it, if the tags name a path and the runbook does not mount it.
pub(super) fn left_to_mount(target: &FileSystemTarget, is_switched_on: bool) -> Option<String> {
    let path = code(target.mount.as_deref()?);
    Some(match &target.server {
        Some(server) => format!("Mount it at {path} on {} yourself.", code(server)),
        None if is_switched_on => format!(
            "Mount it at {path} yourself, because no tag names its instances. For later recoveries, name the instance or the Auto Scaling group in the tag {LOGICAL_ID} of the protected resource: of a volume of ONTAP, after the storage virtual machine."
        ),
        None => format!("Mount it at {path} yourself."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::refusal::Refusal;

    fn target() -> FileSystemTarget {
        FileSystemTarget {
            server: Some("Web".to_owned()),
            mount: Some("/shared".to_owned()),
            ..FileSystemTarget::default()
        }
    }

    fn source(mount_type: MountType) -> MountSource {
        MountSource {
            mount_type,
            source: "fs-1".to_owned(),
            export: Some("/aws-backup-restore_1".to_owned()),
            addresses: vec!["us-west-2a=10.0.1.5".to_owned()],
            access_point: Some("fsap-1".to_owned()),
        }
    }

    #[test]
    fn is_mounted_if_path_and_instances_are_named() {
        let efs = || Some(source(MountType::Efs));
        let wanted = WantedMount::of(&target(), efs()).unwrap();
        assert!(!wanted.needs_access_point());
        let request = wanted.request(vec![InstanceId::new("i-1")]);
        assert_eq!(request.path.as_deref(), Some("/shared"));
        assert_eq!(request.access_point.as_deref(), Some("fsap-1"));
        assert_eq!(request.export.as_deref(), Some("/aws-backup-restore_1"));
        assert_eq!(request.addresses, ["us-west-2a=10.0.1.5"]);
        let mut missing = target();
        missing.server = None;
        assert_eq!(WantedMount::of(&missing, efs()), None);
        missing = target();
        missing.mount = None;
        assert_eq!(WantedMount::of(&missing, efs()), None);
        assert_eq!(WantedMount::of(&target(), None), None);
        let ontap = Some(source(MountType::Ontap));
        assert!(WantedMount::of(&target(), ontap.clone()).is_some());
        missing.mount = Some("D:".to_owned());
        assert_eq!(WantedMount::of(&missing, ontap), None);
    }

    #[test]
    fn the_directory_is_found_without_access_point_and_path() {
        let wanted = WantedMount::of(
            &target(),
            Some(MountSource {
                access_point: None,
                export: None,
                ..source(MountType::Efs)
            }),
        )
        .unwrap();
        assert!(wanted.needs_access_point());
        let request = wanted.directory_request(InstanceId::new("i-1"));
        assert_eq!(request.operation, Operation::FindRestoredDirectory);
        assert_eq!(request.addresses, ["us-west-2a=10.0.1.5"]);
        assert_eq!((request.path, request.export), (None, None));
    }

    #[test]
    fn only_a_directory_of_aws_backup_is_served() {
        let answer = |directory: Option<&str>| {
            let json = serde_json::json!({
                "instanceId": "i-1", "outcome": "found", "directory": directory,
            });
            directory_of(&[serde_json::from_value(json).unwrap()])
        };
        let own = "/aws-backup-restore_2026-11-23T03-10-00-000Z";
        assert_eq!(answer(Some(own)), Ok(own.to_owned()));
        let long = format!("{own}{}", "x".repeat(100));
        for other in [
            "/",
            "/orders",
            "/aws-backup-restore_",
            "/aws-backup-restore_1/..",
            "/aws-backup-restore_1 2",
            long.as_str(),
        ] {
            let refusal = answer(Some(other)).unwrap_err();
            assert_eq!(refusal.reason(), "restored-directory-unusable", "{other}");
        }
        assert!(answer(None).is_err());
    }

    #[test]
    fn says_what_is_left_to_mount() {
        let left = |target: &FileSystemTarget, on| left_to_mount(target, on).unwrap();
        let mut target = target();
        assert_eq!(
            left(&target, true),
            "Mount it at `/shared` on `Web` yourself."
        );
        target.server = None;
        assert_eq!(left(&target, false), "Mount it at `/shared` yourself.");
        assert!(left(&target, true).contains("recovery:logical-id"));
        target.mount = None;
        assert_eq!(left_to_mount(&target, true), None);
    }
}
