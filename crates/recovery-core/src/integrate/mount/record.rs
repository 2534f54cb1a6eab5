//! What the OpsItem of a restore job records of its mount.

use serde::{Deserialize, Serialize};

use crate::integrate::mount::answer::InstanceAnswer;
use crate::integrate::mount::request::MountType;
use crate::ops_item::OpsItem;

/// Operational data: the [`Mount`], as JSON.
const MOUNT_RECORD: &str = "recovery:mounted";

/// Where a restored volume or file system is mounted, as the instances answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The path in the guest operating system.
    pub path: String,
    /// The instances on which it is mounted at this path, now and at each boot.
    pub instance_ids: Vec<String>,
    /// How: the file system of a volume, for example ext4; tls, tls-iam or nfs for EFS; lustre, nfs or smb for FSx.
    /// Several are separated by spaces.
    pub how: String,
    /// The access point of EFS through which it is mounted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access_point: Option<String>,
}

impl Mount {
    /// What the instances answered.
    pub(crate) fn of(
        mount_type: MountType,
        path: &str,
        access_point: Option<&str>,
        answers: &[InstanceAnswer],
    ) -> Mount {
        let of_type = match mount_type {
            MountType::Ebs | MountType::Efs => "",
            MountType::Lustre => "lustre",
            MountType::OpenZfs | MountType::Ontap => "nfs",
            MountType::Windows => "smb",
        };
        let own = |answer: &InstanceAnswer| match mount_type {
            MountType::Ebs => answer.file_system.clone(),
            _ => answer.transport.clone(),
        };
        let mut how: Vec<String> = answers
            .iter()
            .map(|answer| own(answer).unwrap_or_else(|| of_type.to_owned()))
            .filter(|how| !how.is_empty())
            .collect();
        how.sort();
        how.dedup();
        Mount {
            path: path.to_owned(),
            instance_ids: answers.iter().map(|it| it.instance_id.clone()).collect(),
            how: how.join(" "),
            access_point: access_point.map(str::to_owned),
        }
    }

    /// The operational data.
    pub(crate) fn data(&self) -> (&'static str, String) {
        let json = serde_json::to_string(self).unwrap_or_default();
        (MOUNT_RECORD, json)
    }

    /// What an item records; `None` if it records no mount.
    pub(crate) fn recorded(item: &OpsItem) -> Option<Mount> {
        serde_json::from_str(item.data.get(MOUNT_RECORD)?).ok()
    }

    /// In a line: `mounted at /data on 2 instances (tls, fsap-1)`.
    pub(crate) fn line(&self) -> String {
        let Mount {
            path,
            instance_ids,
            how,
            access_point,
        } = self;
        let on = match instance_ids.as_slice() {
            [one] => one.clone(),
            several => format!("{} instances", several.len()),
        };
        let how: Vec<&str> = [Some(how.as_str()), access_point.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        match how.as_slice() {
            [] => format!("mounted at {path} on {on}"),
            how => format!("mounted at {path} on {on} ({})", how.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::arn::OpsItemId;
    use crate::integrate::mount::answer::MountOutcome;
    use crate::ops_item::Status;

    fn answer(id: &str, transport: Option<&str>, file_system: Option<&str>) -> InstanceAnswer {
        InstanceAnswer {
            instance_id: id.to_owned(),
            outcome: MountOutcome::Mounted,
            reason: None,
            found: None,
            remedy: None,
            device: None,
            file_system: file_system.map(str::to_owned),
            transport: transport.map(str::to_owned),
            directory: None,
        }
    }

    #[test]
    fn says_path_instances_and_how() {
        let lines = [
            (MountType::Ebs, None, vec![answer("i-1", None, Some("xfs"))]),
            (
                MountType::Efs,
                Some("fsap-1"),
                vec![
                    answer("i-1", Some("tls"), None),
                    answer("i-2", Some("tls"), None),
                ],
            ),
            (
                MountType::Efs,
                None,
                vec![
                    answer("i-1", Some("tls"), None),
                    answer("i-2", Some("nfs"), None),
                ],
            ),
            (MountType::Lustre, None, vec![answer("i-1", None, None)]),
            (MountType::Ebs, None, vec![answer("i-1", None, None)]),
        ]
        .map(|(mount_type, point, answers)| Mount::of(mount_type, "/data", point, &answers).line());
        assert_eq!(
            lines,
            [
                "mounted at /data on i-1 (xfs)",
                "mounted at /data on 2 instances (tls, fsap-1)",
                "mounted at /data on 2 instances (nfs tls)",
                "mounted at /data on i-1 (lustre)",
                "mounted at /data on i-1",
            ]
        );
    }

    #[test]
    fn the_record_is_read_back() {
        let answers = [answer("i-1", Some("tls"), None)];
        let mount = Mount::of(MountType::Efs, "/data", Some("fsap-1"), &answers);
        let (key, value) = mount.data();
        let item = |value: String| OpsItem {
            id: OpsItemId::new("oi-1"),
            status: Status::Open,
            data: [(key.to_owned(), value)].into(),
            created: None,
        };
        assert_eq!(Mount::recorded(&item(value)), Some(mount));
        assert_eq!(Mount::recorded(&item("none".to_owned())), None);
    }
}
