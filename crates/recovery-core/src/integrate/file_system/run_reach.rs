//! Makes a restored file system reachable: one of EFS gets mount targets. Reads where clients reach it, and how they
//! mount it.

use futures_util::future::try_join3;

use crate::aws::file_system::{EfsAnswer, FileSystemId, FsxState, FsxType};
use crate::error::Error;
use crate::integrate::file_system::decide::{
    Network, Observed, RESTORED_DIRECTORY, Step, next_step,
};
use crate::integrate::file_system::mount::MountSource;
use crate::integrate::file_system::record::Reachable;
use crate::integrate::file_system::refusal::FileSystemRefusal;
use crate::integrate::mount::request::MountType;
use crate::plan::item::FileSystemTarget;
use crate::ports::{EfsFileSystems, FileSystemIntegrationPorts, FsxFileSystems, Subnets};
use crate::reference::SECURITY_GROUP;
use crate::reference::run::References;
use crate::text::code;

/// Whether clients can reach the file system.
pub(super) enum Reach {
    Reached(Box<Reachable>),
    /// This takes minutes.
    Pending(String),
    /// A rule forbids it.
    Refused(FileSystemRefusal),
    /// A restore testing plan created it.
    RestoreTest,
}

/// `mounts` is whether there is a runbook that mounts.
pub(super) async fn reach(
    ports: &impl FileSystemIntegrationPorts,
    id: &FileSystemId,
    target: &FileSystemTarget,
    mounts: bool,
) -> Result<Reach, Error> {
    match id {
        FileSystemId::Efs(id) => reach_efs(ports, id, target, mounts).await,
        FileSystemId::Fsx(id) => reach_fsx(ports, id).await,
        FileSystemId::Volume(id) => reach_volume(ports, id).await,
    }
}

/// Settings of a file system of EFS that a restore loses.
const LOST_OF_EFS: &str = "the file system policy (without one, every client that reaches a mount target has full access), lifecycle management, throughput mode, automatic backups, replication, other access points (their ids are new)";

async fn reach_efs(
    ports: &impl FileSystemIntegrationPorts,
    id: &str,
    target: &FileSystemTarget,
    mounts: bool,
) -> Result<Reach, Error> {
    let efs = ports.efs();
    let (found, targets, access_points) = try_join3(
        efs.describe(id),
        efs.list_mount_targets(id),
        efs.list_access_points(id),
    )
    .await?;
    let Some(file_system) = found else {
        return Ok(Reach::Refused(FileSystemRefusal::Gone {
            id: id.to_owned(),
        }));
    };
    if file_system.restore_test {
        return Ok(Reach::RestoreTest);
    }
    let network = match network_of(ports, target).await? {
        Ok(network) => network,
        Err(reach) => return Ok(reach),
    };
    let seen = Observed {
        file_system,
        targets,
        access_points,
    };
    let mut created = Vec::new();
    let mut acted = false;
    loop {
        let new = match next_step(&seen, &network, &created) {
            Step::Done => break,
            Step::Wait(what) => return Ok(Reach::Pending(what)),
            Step::Refuse(refusal) => return Ok(Reach::Refused(refusal)),
            Step::CreateMountTarget(new) => new,
        };
        let answer = efs.create_mount_target(&new).await?;
        let what = format!("mount target in {}", new.subnet);
        created.push(new.subnet);
        match answer {
            EfsAnswer::Created => acted = true,
            // The next run reads it, and decides whether it is ours.
            EfsAnswer::Exists => {}
            EfsAnswer::Busy(fault) => {
                return Ok(Reach::Pending(format!(
                    "EFS to accept the {what} ({})",
                    fault.message()
                )));
            }
            EfsAnswer::Rejected(fault) => {
                let message = fault.message().to_owned();
                return Ok(Reach::Refused(FileSystemRefusal::Rejected {
                    what,
                    message,
                }));
            }
        }
    }
    let finds_directory = mounts && target.mount.is_some() && target.server.is_some();
    let point = match seen.access_point() {
        // The mount waits for it, and says so in the OpsItem.
        Some(point) if !point.state.is_usable() && finds_directory => None,
        Some(point) if !point.state.is_usable() => {
            return Ok(Reach::Pending(format!(
                "{} (now {})",
                point.id, point.state
            )));
        }
        point => point,
    };
    let addresses = seen.addresses().join(" ");
    let arn = &seen.file_system.arn;
    let mut values = vec![
        ("id", id.to_owned()),
        ("arn", arn.to_string()),
        ("dns-name", efs_dns_name(id, arn.partition(), arn.region())),
        ("addresses", addresses.clone()),
    ];
    if let Some(point) = point {
        values.push(("access-point", point.id.clone()));
        values.push(("directory", point.path.clone()));
    }
    let source = MountSource {
        mount_type: MountType::Efs,
        source: id.to_owned(),
        export: point.map(|point| point.path.clone()),
        addresses: seen.addresses(),
        access_point: point.map(|point| point.id.clone()),
    };
    let mut left = Vec::new();
    if point.is_none() && !finds_directory {
        left.push(format!(
            "AWS Backup restored the files into a directory `{RESTORED_DIRECTORY}…`, not into the root, and no API names it. On an instance that can reach the file system, mount it, find this directory, and create an access point to it: `aws efs create-access-point --file-system-id {id} --root-directory Path={RESTORED_DIRECTORY}…`, without CreationInfo. Then run the integration of this restore job again: it publishes the access point."
        ));
    }
    Ok(Reach::Reached(Box::new(Reachable {
        id: id.to_owned(),
        noun: "EFS file system",
        address: addresses,
        values,
        lost: LOST_OF_EFS,
        left,
        mount: Some(source),
        acted,
    })))
}

/// The DNS name of a file system of EFS. No API returns it
/// (<https://docs.aws.amazon.com/efs/latest/ug/mounting-fs-mount-cmd-dns-name.html>).
fn efs_dns_name(id: &str, partition: &str, region: &str) -> String {
    let suffix = match partition {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    format!("{id}.efs.{region}.{suffix}")
}

/// The subnets and security groups that the tags name, or what the integration waits for.
async fn network_of(
    ports: &impl FileSystemIntegrationPorts,
    target: &FileSystemTarget,
) -> Result<Result<Network, Reach>, Error> {
    let mut references = References::new(ports, target.stack.as_deref());
    let subnets = references.subnets(&target.subnets).await?;
    let mut security_groups = Vec::new();
    for reference in &target.security_groups {
        let group = references.find(reference, &SECURITY_GROUP).await?;
        security_groups.extend(group);
    }
    if let Some(refusal) = references.refused {
        return Ok(Err(Reach::Refused(FileSystemRefusal::Reference(refusal))));
    }
    if !references.awaited.is_empty() {
        return Ok(Err(Reach::Pending(references.awaited.join(", "))));
    }
    Ok(Ok(Network {
        subnets: ports.subnets().list(&subnets).await?,
        security_groups,
    }))
}

/// The share that every file system of FSx for Windows File Server has at first. No API lists shares
/// (<https://docs.aws.amazon.com/fsx/latest/WindowsGuide/using-file-shares.html>).
const DEFAULT_SHARE: &str = "share";

fn gone(id: &str) -> Reach {
    Reach::Refused(FileSystemRefusal::Gone { id: id.to_owned() })
}

/// What prevents the use of a file system or volume of FSx for good.
fn hindrance(
    restore_test: bool,
    id: &str,
    state: &FsxState,
    failure: &Option<String>,
) -> Option<Reach> {
    if restore_test {
        return Some(Reach::RestoreTest);
    }
    state.is_dead().then(|| {
        Reach::Refused(FileSystemRefusal::Unusable {
            id: id.to_owned(),
            state: state.to_string(),
            message: failure.clone(),
        })
    })
}

async fn reach_fsx(ports: &impl FileSystemIntegrationPorts, id: &str) -> Result<Reach, Error> {
    let Some(found) = ports.fsx().describe(id).await? else {
        return Ok(gone(id));
    };
    if let Some(hindrance) = hindrance(found.restore_test, id, &found.state, &found.failure) {
        return Ok(hindrance);
    }
    let needs_mount_name = found.kind == FsxType::Lustre;
    let address = match (&found.dns_name, &found.mount_name) {
        (Some(name), mount)
            if found.state.is_usable() && (mount.is_some() || !needs_mount_name) =>
        {
            name.clone()
        }
        _ => return Ok(Reach::Pending(format!("{id} (now {})", found.state))),
    };
    let (noun, lost) = match &found.kind {
        FsxType::Lustre => (
            "file system of FSx for Lustre",
            "data repository associations, automatic backups, alarms",
        ),
        FsxType::OpenZfs => (
            "file system of FSx for OpenZFS",
            "automatic backups, alarms, S3 access points",
        ),
        FsxType::Windows => (
            "file system of FSx for Windows File Server",
            "DNS aliases and their service principal names, automatic backups, audit logs, alarms",
        ),
        _ => ("file system of FSx", "automatic backups, alarms"),
    };
    let volume_path = match &found.root_volume {
        Some(root) => {
            let path = ports.fsx().volume_path(root).await?;
            if path.is_none() {
                return Ok(Reach::Pending(format!("the root volume {root} to show")));
            }
            path
        }
        None => None,
    };
    let mut values = vec![
        ("id", found.id.clone()),
        ("arn", found.arn.to_string()),
        ("dns-name", address.clone()),
    ];
    let mount_name = found.mount_name.clone();
    values.extend(mount_name.map(|name| ("mount-name", name)));
    values.extend(volume_path.clone().map(|path| ("volume-path", path)));
    let export = match found.kind {
        FsxType::Lustre => found.mount_name.map(|name| (MountType::Lustre, name)),
        FsxType::OpenZfs => volume_path.map(|path| (MountType::OpenZfs, path)),
        FsxType::Windows => Some((MountType::Windows, DEFAULT_SHARE.to_owned())),
        _ => None,
    };
    let mount = export.map(|(mount_type, export)| MountSource {
        mount_type,
        source: address.clone(),
        export: Some(export),
        addresses: Vec::new(),
        access_point: None,
    });
    Ok(Reach::Reached(Box::new(Reachable {
        id: found.id,
        noun,
        address,
        values,
        lost,
        left: Vec::new(),
        mount,
        acted: false,
    })))
}

async fn reach_volume(ports: &impl FileSystemIntegrationPorts, id: &str) -> Result<Reach, Error> {
    let Some(found) = ports.fsx().volume(id).await? else {
        return Ok(gone(id));
    };
    if let Some(hindrance) = hindrance(found.restore_test, id, &found.state, &found.failure) {
        return Ok(hindrance);
    }
    let Some(machine) = ports.fsx().storage_machine(&found.machine).await? else {
        return Ok(gone(&found.machine));
    };
    let Some(host) = machine.nfs.as_ref().or(machine.smb.as_ref()) else {
        return Ok(Reach::Pending(format!(
            "the storage virtual machine {} to have an address",
            found.machine
        )));
    };
    if !found.state.is_usable() {
        return Ok(Reach::Pending(format!("{id} (now {})", found.state)));
    }
    let mut left = Vec::new();
    let path = found.junction_path.clone().unwrap_or_default();
    if path.is_empty() {
        left.push(format!(
            "The volume {} has no junction path, so that no client can mount it. Set one: `aws fsx update-volume --volume-id {} --ontap-configuration JunctionPath=/…`.",
            code(id),
            found.id
        ));
    }
    let mut values = vec![
        ("id", found.id.clone()),
        ("arn", found.arn.to_string()),
        ("dns-name", host.clone()),
    ];
    if !path.is_empty() {
        values.push(("junction-path", path.clone()));
    }
    values.extend(machine.smb.clone().map(|smb| ("smb-dns-name", smb)));
    let nfs = machine.nfs.clone().filter(|_| !path.is_empty());
    let mount = nfs.map(|host| MountSource {
        mount_type: MountType::Ontap,
        source: host,
        export: Some(path.clone()),
        addresses: Vec::new(),
        access_point: None,
    });
    Ok(Reach::Reached(Box::new(Reachable {
        address: format!("{host}:{path}"),
        id: found.id,
        noun: "volume of FSx for ONTAP",
        values,
        lost: "snapshots and their policy, SMB shares, SnapMirror, automatic backups, alarms",
        left,
        mount,
        acted: false,
    })))
}
