//! Integrates a restored file system: one of EFS gets mount targets in the subnets that the tags name; the
//! addresses of every type are published; the runbook mounts it; and the result is recorded.
//!
//! It can be repeated, and run twice at the same time: each step is decided from what exists. What takes
//! minutes is answered with `pending`: the state machine and the reconciler run it again.

use std::cell::Cell;

use futures_util::future::{join3, try_join3};

use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::file_system::{EfsAnswer, FileSystemId, FsxType};
use crate::error::Error;
use crate::integrate::file_system::decide::{
    Network, Observed, RESTORED_DIRECTORY, Step, next_step,
};
use crate::integrate::file_system::kind::{FILE_SYSTEM, MOUNTED_FILE_SYSTEM};
use crate::integrate::file_system::mount::{MountSource, WantedMount, left_to_mount};
use crate::integrate::file_system::record::{
    Integrated, Reachable, integrated_at, named, outcome, records_all,
};
use crate::integrate::file_system::refusal::FileSystemRefusal;
use crate::integrate::file_system::run_mount::{Mounting, mount};
use crate::integrate::kind::ResourceKind;
use crate::integrate::mount::request::MountType;
use crate::integrate::mount::{MOUNT, MOUNTING};
use crate::integrate::publish::Publication;
use crate::integrate::record::TAGS_FROM;
use crate::integrate::run_job::{Admission, admit};
use crate::integrate::run_publish::publish;
use crate::integrate::run_record::{
    record_data, record_failure, record_result, record_untagged, refuse,
};
use crate::integrate::run_tags::tags_of;
use crate::integrate::skip::{Ownership, check_drill_stack, check_inside_drill, drill_name};
use crate::ops_item::run::first_of;
use crate::ops_item::{OpsItem, restore_key, says};
use crate::outcome::Outcome;
use crate::plan::file_system::target;
use crate::plan::item::FileSystemTarget;
use crate::plan::restore_metadata::stored;
use crate::ports::{
    Clock, EfsFileSystems, FileSystemIntegrationPorts, FsxFileSystems, MountRunbook, OpsItems,
    RestoreJobs, Subnets,
};
use crate::reference::SECURITY_GROUP;
use crate::reference::run::References;
use crate::tags::{
    LOGICAL_ID, PUBLISH, SECURITY_GROUPS, STACK, SUBNETS, UnusableTag, WORKLOAD, value,
};
use crate::text::code;

/// What the deployment permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemConfig {
    /// The account, Region and drill role that this deployment may act on.
    pub ownership: Ownership,
    /// The path, with a slash at its end, below which addresses are published.
    pub publish_path: String,
}

/// Integrates a restore. Fields of its job that the event lacks are read from AWS Backup.
///
/// A file system that a drill restored is only integrated if that drill asks for it.
///
/// # Errors
/// [`Error::Retryable`] if a call failed that can succeed later; [`Error::Permanent`] if a call cannot
/// succeed. A refusal is not an error, because retrying cannot help: operators are notified, or the answer
/// contains the remedy.
pub async fn integrate(
    ports: &impl FileSystemIntegrationPorts,
    clock: &impl Clock,
    config: &FileSystemConfig,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let FileSystemConfig {
        ownership,
        publish_path,
    } = config;
    let admission = admit(
        ports.restore_jobs(),
        ownership,
        &FILE_SYSTEM,
        restore.into(),
    )
    .await?;
    let (restore, created) = match admission {
        Admission::Integrate { restore, created } => (restore, created),
        Admission::Skip(outcome) => return Ok(outcome),
    };
    let Some(id) = FileSystemId::of(&created) else {
        return Ok(Outcome::ignored("resource-type"));
    };
    if let Some(refusal) = ownership.refuses(&created) {
        return refuse(ports, &FILE_SYSTEM, &restore, &refusal).await;
    }
    let refused = async |refusal| refuse(ports, &FILE_SYSTEM, &restore, &refusal).await;
    let ignored = |reason| Ok(Outcome::ignored(reason).with("fileSystemId", id.as_str()));
    let drill = drill_name(&restore)?;
    // The item of the plan comes with each request; only the reconciler needs the record.
    if let Some(from) = &restore.planned.tags_from {
        record_data(ports.ops_items(), &restore, TAGS_FROM, from.as_str()).await?;
    }
    let (tags, is_whole, item) = join3(
        tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()),
        restores_whole(ports, &restore.job, &id),
        first_of(ports.ops_items(), &restore_key(&restore.job.id)),
    )
    .await;
    let tags = tags?;
    if ![WORKLOAD, LOGICAL_ID, SECURITY_GROUPS, SUBNETS, PUBLISH]
        .iter()
        .any(|tag| value(&tags, tag).is_some())
    {
        record_untagged(ports.ops_items(), &FILE_SYSTEM, &restore).await?;
        return ignored("untagged");
    }
    if !is_whole? {
        return ignored("partial-restore");
    }
    if let Err(outcome) = check_drill_stack(&restore, value(&tags, STACK)) {
        return Ok(outcome);
    }
    let (mut target, mut unusable) = match target(&tags, &created) {
        Ok(read) => read,
        Err(refusal) => return refused(FileSystemRefusal::Tags(refusal)).await,
    };
    if let Some(drill) = &restore.drill {
        if let Err(outcome) = check_inside_drill(&restore, target.references()) {
            return Ok(outcome);
        }
        if let Some(stack) = &mut target.stack {
            stack.clone_from(&drill.stack);
        }
    }
    let publication = Publication::of(&tags, publish_path, drill).unwrap_or_else(|tag| {
        unusable.push(tag);
        None
    });
    let mounts = ports.mount_runbook().name().is_some();
    let mut reachable = match reach(ports, &id, &target, mounts).await {
        Ok(Reach::Reached(reachable)) => *reachable,
        Ok(Reach::RestoreTest) => return ignored("restore-test"),
        Ok(Reach::Pending(what)) => {
            return Ok(Outcome::pending(what)
                .with("restoreJobId", restore.job.id.as_str())
                .with("fileSystemId", id.as_str()));
        }
        Ok(Reach::Refused(refusal)) => return refused(refusal).await,
        Err(error) => return Err(recorded(ports, &FILE_SYSTEM, &restore, error).await),
    };
    let source = reachable.mount.take().filter(|_| mounts);
    let wanted = WantedMount::of(&target, source);
    if wanted.is_none() {
        reachable.left.extend(left_to_mount(&target, mounts));
    }
    reachable.left.extend(unusable.iter().map(left_of_tag));
    let item = item?;
    let recorded_before = item
        .as_ref()
        .filter(|item| records_all(item, &reachable, wanted.is_some()));
    if let Some(item) = recorded_before.filter(|_| reachable.left.is_empty() && !reachable.acted) {
        return Ok(outcome(false, &reachable, &restore.job, Some(&item.id)));
    }
    let mut replaced = Vec::new();
    if let Some(publication) = &publication {
        let published = publish(ports, &restore, publication, &reachable.values).await;
        let published = match published {
            Ok(published) => published,
            Err(error) => return Err(recorded(ports, &FILE_SYSTEM, &restore, error).await),
        };
        reachable.acted |= published.written;
        replaced = published.replaced;
    }
    let integrated = Integrated {
        reachable: &reachable,
        publication: publication.as_ref(),
        replaced: &replaced,
        mount: wanted.as_ref(),
    };
    let is_mounted = |item: &OpsItem| integrated.is_recorded_as_mounted(item);
    if let Some(wanted) = &wanted
        && !item.as_ref().is_some_and(is_mounted)
    {
        return mount_and_record(ports, clock, &restore, drill, &integrated, wanted, item).await;
    }
    let now = clock.now();
    let was_recorded = Cell::new(false);
    let item = record_result(
        ports,
        &restore,
        reachable.acted,
        None,
        |item| {
            was_recorded.set(integrated.is_recorded(item));
            was_recorded.get()
        },
        |item| integrated.change(&restore, item, now),
    )
    .await?;
    let by_this_run = reachable.acted || !was_recorded.get();
    Ok(outcome(
        by_this_run,
        &reachable,
        &restore.job,
        item.as_ref(),
    ))
}

/// Records that clients can reach the file system, mounts it, and records that. `item` is the OpsItem of the job, if it
/// has one.
///
/// # Errors
/// As [`integrate`].
async fn mount_and_record(
    ports: &impl FileSystemIntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    drill: Option<&str>,
    integrated: &Integrated<'_>,
    wanted: &WantedMount,
    item: Option<OpsItem>,
) -> Result<Outcome, Error> {
    let Integrated { reachable, .. } = integrated;
    let now = clock.now();
    let item = match item.filter(|item| integrated.is_recorded(item)) {
        Some(item) => Some(item),
        None => {
            let id = record_result(
                ports,
                restore,
                reachable.acted,
                None,
                |item| integrated.is_recorded(item),
                |item| integrated.change(restore, item, now),
            )
            .await?;
            match id {
                Some(id) => Some(ports.ops_items().get(&id).await?),
                None => None,
            }
        }
    };
    match mount(ports, clock, restore, drill, wanted, item.as_ref()).await {
        Ok(Mounting::Pending(what)) => {
            // After a failure or a refusal, the item says what prevented the mount.
            if let Some(item) = &item
                && !says(item, MOUNT, MOUNTING)
            {
                let integrated_at = integrated_at(item, restore).unwrap_or(now);
                let change = integrated.change(restore, Some(item), integrated_at);
                ports.ops_items().update(&item.id, &change).await?;
            }
            let id = item.as_ref().map(|item| &item.id);
            Ok(named(Outcome::pending(what), reachable, &restore.job, id))
        }
        Ok(Mounting::Refused(refusal)) => {
            refuse(ports, &MOUNTED_FILE_SYSTEM, restore, &refusal).await
        }
        Ok(Mounting::Mounted(answers)) => {
            let now = clock.now();
            let mounted = (wanted, answers.as_slice());
            let id = record_result(
                ports,
                restore,
                reachable.acted,
                None,
                |item| integrated.is_recorded_as_mounted(item),
                |item| integrated.mounted_change(restore, mounted, item, now),
            )
            .await?;
            Ok(outcome(true, reachable, &restore.job, id.as_ref()))
        }
        Err(error) => Err(recorded(ports, &MOUNTED_FILE_SYSTEM, restore, error).await),
    }
}

/// What is left to do because of a tag that cannot be used.
fn left_of_tag(unusable: &UnusableTag) -> String {
    format!(
        "An optional tag could not be used: {unusable}. {} For later recoveries, correct the tag of the protected resource in the primary Region.",
        unusable.remedy()
    )
}

/// Whether the job restored a whole file system. A person can restore single files of EFS, also into a file
/// system that exists.
async fn restores_whole(
    ports: &impl FileSystemIntegrationPorts,
    job: &RestoreJob,
    id: &FileSystemId,
) -> Result<bool, Error> {
    if !matches!(id, FileSystemId::Efs(_)) {
        return Ok(true);
    }
    let metadata = ports.restore_jobs().metadata(&job.id).await?;
    Ok(stored(&metadata, "newFileSystem") != Some("false")
        && stored(&metadata, "ItemsToRestore").is_none())
}

/// The error, after it was recorded and operators were notified if no later run can succeed either: a change that
/// failed permanently.
async fn recorded(
    ports: &impl FileSystemIntegrationPorts,
    kind: &'static ResourceKind,
    restore: &Restore,
    error: Error,
) -> Error {
    let fault = match error {
        Error::Permanent(fault) if !fault.is_read_only() => fault,
        other => return other,
    };
    // Another run may have mounted it. A change of the network is only needed while nobody reaches the file system.
    let mounts = kind.state_key == MOUNTED_FILE_SYSTEM.state_key;
    let is_disconnected = async || Ok(!mounts);
    match record_failure(ports, kind, restore, &fault, is_disconnected).await {
        Err(later @ Error::Retryable(_)) => later,
        Ok(()) | Err(Error::Permanent(_)) => Error::Permanent(fault),
    }
}

/// Whether clients can reach the file system.
enum Reach {
    Reached(Box<Reachable>),
    /// This takes minutes.
    Pending(String),
    /// A rule forbids it.
    Refused(FileSystemRefusal),
    /// A restore testing plan created it.
    RestoreTest,
}

/// `mounts` is whether there is a runbook that mounts.
async fn reach(
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

async fn reach_fsx(ports: &impl FileSystemIntegrationPorts, id: &str) -> Result<Reach, Error> {
    let Some(found) = ports.fsx().describe(id).await? else {
        return Ok(Reach::Refused(FileSystemRefusal::Gone {
            id: id.to_owned(),
        }));
    };
    if found.restore_test {
        return Ok(Reach::RestoreTest);
    }
    if found.state.is_dead() {
        return Ok(Reach::Refused(FileSystemRefusal::Unusable {
            id: found.id,
            state: found.state.to_string(),
            message: found.failure,
        }));
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
    let gone = |id: &str| {
        Ok(Reach::Refused(FileSystemRefusal::Gone {
            id: id.to_owned(),
        }))
    };
    let Some(found) = ports.fsx().volume(id).await? else {
        return gone(id);
    };
    if found.restore_test {
        return Ok(Reach::RestoreTest);
    }
    if found.state.is_dead() {
        return Ok(Reach::Refused(FileSystemRefusal::Unusable {
            id: found.id,
            state: found.state.to_string(),
            message: found.failure,
        }));
    }
    let Some(machine) = ports.fsx().storage_machine(&found.machine).await? else {
        return gone(&found.machine);
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
