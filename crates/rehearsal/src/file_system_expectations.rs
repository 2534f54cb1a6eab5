//! The expectations of file systems and mounts.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::guest_mounts::{mounted_how, mounts_of};
use crate::observations::{Played, RestoredFileSystem};
use crate::store_expectations::was_deleted;
use crate::workload::FileSystemKind;

/// Where file systems are mounted, and how.
pub(crate) fn file_systems_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    for restored in &played.file_systems {
        let name = restored.file_system.name;
        let what = match restored.file_system.kind {
            FileSystemKind::Efs => {
                "has mount targets in the subnets of the stack, and an access point to the directory of the restore"
            }
            FileSystemKind::Lustre => "is in the subnet of the stack",
        };
        expect(
            &format!("the {name} {what}"),
            restored.state == restored.expected,
            format!("{}, expected {}", restored.state, restored.expected),
        );
        let published =
            |(leaf, value): (&String, &String)| restored.published.get(leaf) == Some(value);
        expect(
            &format!("the addresses of the {name} are published"),
            !restored.addresses.is_empty() && restored.addresses.iter().all(published),
            format!(
                "{:?}, expected {:?}",
                restored.published, restored.addresses
            ),
        );
        mount_held(played, restored, expect);
    }
}

/// It is mounted on its servers only, once on each, and shows the files of the recovery point.
fn mount_held(
    played: &Played,
    restored: &RestoredFileSystem,
    expect: &mut impl FnMut(&str, bool, String),
) {
    let RestoredFileSystem {
        file_system,
        servers,
        source,
        recovery_point,
        job,
        addresses,
        ..
    } = restored;
    let (name, path) = (file_system.name, file_system.mount);
    let (on, how) = match file_system.kind {
        FileSystemKind::Efs => (
            "on both instances of its group, through the access point",
            "tls",
        ),
        FileSystemKind::Lustre => ("on its instance", "lustre"),
    };
    let mounted = mounts_of(played, source);
    let through = addresses.get("access-point");
    // A lost answer of Systems Manager may lead to another run, which finds the path mounted.
    let is_once = mounted.len() == servers.len();
    expect(
        &format!("the {name} is mounted once {on}, with the files of its recovery point"),
        is_once && is_mounted_where(played, source, servers, path, recovery_point),
        format!(
            "{}; the instances show {}",
            mounted
                .iter()
                .map(|run| mounted_how(run))
                .collect::<Vec<_>>()
                .join("; "),
            played.mounts
        ),
    );
    let (is_told, found) = is_reported_mounted(played, job, path, servers, how);
    let told_through = item_of(played, job)["mount"]["accessPoint"].as_str();
    expect(
        &format!("the report shows where the {name} is mounted"),
        is_told && told_through == through.map(String::as_str),
        found,
    );
}

/// Whether this source is mounted at the path on these instances, on no others, and shows the files of `origin`.
pub(crate) fn is_mounted_where(
    played: &Played,
    source: &str,
    servers: &BTreeSet<String>,
    path: &str,
    origin: &str,
) -> bool {
    let mut found = BTreeSet::new();
    for (instance, mounts) in played.mounts.as_object().into_iter().flatten() {
        for mount in mounts.as_array().into_iter().flatten() {
            if mount["source"] != source {
                continue;
            }
            if mount["path"] != path || mount["restoredFrom"] != origin {
                return false;
            }
            found.insert(instance.clone());
        }
    }
    !servers.is_empty() && found == *servers
}

/// Whether the report and its page say where and how the resource of a job is mounted; and what the report says.
pub(crate) fn is_reported_mounted(
    played: &Played,
    job: &str,
    path: &str,
    servers: &BTreeSet<String>,
    how: &str,
) -> (bool, String) {
    let mount = &item_of(played, job)["mount"];
    let instances = mount["instanceIds"].as_array();
    let instances: BTreeSet<String> = instances
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    let page = played.recovery.page.as_deref().unwrap_or_default();
    let is_on_page = page.contains(&format!("mounted at {path} on "));
    (
        mount["path"] == path && mount["how"] == how && instances == *servers && is_on_page,
        mount.to_string(),
    )
}

/// The item of the report with this restore job.
fn item_of<'a>(played: &'a Played, job: &str) -> &'a Value {
    let items = played.recovery.said("/items").as_array();
    items
        .into_iter()
        .flatten()
        .find(|item| item["jobId"] == job)
        .unwrap_or(&Value::Null)
}

/// What drills made of file systems, and what they left.
pub(crate) fn drilled_file_systems_held(
    played: &Played,
    expect: &mut impl FnMut(&str, bool, String),
) {
    let drill = &played.drill;
    let items = drill.recovery.said("/items").as_array();
    let made: Vec<&str> = items
        .into_iter()
        .flatten()
        .filter(|item| item["type"] == "EFS" || item["type"] == "FSx")
        .filter_map(|item| item["restoredArn"].as_str())
        .collect();
    expect(
        "the clean-up of the drill deletes its file systems with mount targets and access points, and no others",
        made.len() == played.file_systems.len()
            && made.iter().all(|arn| was_deleted(played, arn))
            && drill.file_systems_left.is_empty()
            && played.file_systems.iter().all(|it| it.state == it.expected),
        format!("{made:?}; left: {:?}", drill.file_systems_left),
    );
    let workload: BTreeSet<&str> = played
        .file_systems
        .iter()
        .flat_map(|restored| &restored.servers)
        .chain(played.restores.iter().map(|restore| &restore.instance))
        .map(String::as_str)
        .collect();
    let ids = made.iter().filter_map(|arn| arn.rsplit('/').next());
    let ids: Vec<&str> = ids.collect();
    let (mut mounted, mut astray) = (0, Vec::new());
    for run in played.of_kind("guest") {
        let text = |member: &str| run[member].as_str().unwrap_or_default();
        if ids.iter().any(|id| text("source").starts_with(id)) {
            mounted += 1;
            if workload.contains(text("instance")) {
                astray.push(mounted_how(run));
            }
        }
    }
    expect(
        "the file systems of the drill are mounted on the instances of its stack only",
        mounted > 0 && astray.is_empty(),
        match astray.as_slice() {
            [] => format!("{mounted} run(s) of the mount script"),
            astray => astray.join("; "),
        },
    );
}
