//! What the runbook is asked to mount.

use crate::aws::arn::InstanceId;
use crate::text::first_few;

/// What the runbook does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Mount, now and at each boot.
    Mount,
    /// Find the directory into which AWS Backup restored an EFS file system. Nothing stays mounted.
    FindRestoredDirectory,
}

impl Operation {
    /// The value of the parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Mount => "mount",
            Operation::FindRestoredDirectory => "find-restored-directory",
        }
    }
}

/// The type of what is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountType {
    Ebs,
    Efs,
    Lustre,
    OpenZfs,
    Ontap,
    /// FSx for Windows File Server.
    Windows,
}

impl MountType {
    /// The value of the parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            MountType::Ebs => "EBS",
            MountType::Efs => "EFS",
            MountType::Lustre => "LUSTRE",
            MountType::OpenZfs => "OPENZFS",
            MountType::Ontap => "ONTAP",
            MountType::Windows => "WINDOWS",
        }
    }
}

/// What is mounted where: the parameters of the runbook, as `docs/mount.md` describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// The instances, at most 50.
    pub instances: Vec<InstanceId>,
    pub operation: Operation,
    pub mount_type: MountType,
    /// The id of the volume or file system, or the DNS name or address of a file system of FSx.
    pub source: String,
    /// The path in the guest: see [`is_path`].
    pub path: Option<String>,
    /// The directory of EFS, mount name, volume path, junction path or share.
    pub export: Option<String>,
    /// The addresses of the mount targets of EFS, each with its zone: `us-west-2a=10.0.1.5`.
    pub addresses: Vec<String>,
    /// The access point of EFS.
    pub access_point: Option<String>,
    /// The size of the volume, which identifies it on Xen instances.
    pub size_gib: Option<i32>,
}

impl MountRequest {
    /// A request without optional parameters.
    pub fn new(
        operation: Operation,
        mount_type: MountType,
        source: impl Into<String>,
        instances: Vec<InstanceId>,
    ) -> MountRequest {
        MountRequest {
            instances,
            operation,
            mount_type,
            source: source.into(),
            path: None,
            export: None,
            addresses: Vec::new(),
            access_point: None,
            size_gib: None,
        }
    }

    /// The parameters of the runbook. Those that are absent have its defaults.
    pub fn parameters(&self) -> Vec<(&'static str, Vec<String>)> {
        let instances = self.instances.iter().map(ToString::to_string).collect();
        let required = [
            ("InstanceIds", instances),
            ("Operation", vec![self.operation.as_str().to_owned()]),
            ("Type", vec![self.mount_type.as_str().to_owned()]),
            ("Source", vec![self.source.clone()]),
        ];
        let addresses = (!self.addresses.is_empty()).then(|| self.addresses.join(" "));
        let optional = [
            ("Path", self.path.clone()),
            ("Export", self.export.clone()),
            ("Addresses", addresses),
            ("AccessPoint", self.access_point.clone()),
            ("SizeGiB", self.size_gib.map(|size| size.to_string())),
        ];
        let given = optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, vec![value?])));
        required.into_iter().chain(given).collect()
    }

    /// What is asked for, within a sentence: `vol-1 at /data`.
    pub(crate) fn object(&self) -> String {
        match (self.operation, &self.path) {
            (Operation::FindRestoredDirectory, _) => {
                format!("the restored directory of {}", self.source)
            }
            (Operation::Mount, Some(path)) => format!("{} at {path}", self.source),
            (Operation::Mount, None) => self.source.clone(),
        }
    }

    /// The instances within a sentence.
    pub(crate) fn instances_in_sentence(&self) -> String {
        first_few(self.instances.iter().map(ToString::to_string))
    }
}

/// Whether the runbook accepts this path: an absolute path on Linux, or a drive letter or folder on Windows (`D:`,
/// `D:/orders`). The script refuses the parts `.` and `..`, and paths that it must not use.
pub fn is_path(path: &str) -> bool {
    let parts_are_usable = |rest: &str, signs: &str| {
        rest.split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
            && rest
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
    };
    if let Some(rest) = path.strip_prefix('/') {
        return rest.len() <= 254 && parts_are_usable(rest, "/._@+=-");
    }
    let mut letters = path.chars();
    let is_drive = letters
        .next()
        .is_some_and(|letter| letter.is_ascii_uppercase());
    is_drive
        && match letters.as_str() {
            ":" => true,
            folder => folder
                .strip_prefix(":/")
                .is_some_and(|rest| rest.len() <= 250 && parts_are_usable(rest, "/._@+=-")),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_runbook() {
        for path in [
            "/data",
            "/srv/data",
            "/srv/my-data_1.2@a+b=c",
            "D:",
            "D:/orders",
            "D:/orders/new",
        ] {
            assert!(is_path(path), "{path}");
        }
        for path in [
            "",
            "/",
            "//",
            "/data/",
            "/srv//data",
            "/srv/./data",
            "/srv/../data",
            "data",
            "/srv/my data",
            "/srv;reboot",
            "/srv/$(id)",
            "/srv/ä",
            "d:",
            "D",
            "D:/",
            "D:orders",
            "D:/a//b",
            "D:/../x",
            "D:\\orders",
            "DE:/x",
            "ä:",
        ] {
            assert!(!is_path(path), "{path}");
        }
        assert!(!is_path(&format!("/{}", "a".repeat(255))));
    }

    #[test]
    fn parameters_are_those_that_were_given() {
        let mut request = MountRequest::new(
            Operation::Mount,
            MountType::Ebs,
            "vol-1",
            vec![InstanceId::new("i-1"), InstanceId::new("i-2")],
        );
        request.path = Some("/data".to_owned());
        let one = |value: &str| vec![value.to_owned()];
        assert_eq!(
            request.parameters(),
            [
                ("InstanceIds", vec!["i-1".to_owned(), "i-2".to_owned()]),
                ("Operation", one("mount")),
                ("Type", one("EBS")),
                ("Source", one("vol-1")),
                ("Path", one("/data")),
            ]
        );
        let efs = MountRequest {
            addresses: vec![
                "us-west-2a=10.0.1.5".to_owned(),
                "us-west-2b=10.0.2.5".to_owned(),
            ],
            access_point: Some("fsap-1".to_owned()),
            export: Some("/restored".to_owned()),
            size_gib: Some(8),
            ..request
        };
        assert_eq!(
            efs.parameters()[5..],
            [
                ("Export", one("/restored")),
                ("Addresses", one("us-west-2a=10.0.1.5 us-west-2b=10.0.2.5")),
                ("AccessPoint", one("fsap-1")),
                ("SizeGiB", one("8")),
            ]
        );
    }
}
