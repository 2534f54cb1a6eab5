//! Integrates a restored file system: one of EFS gets mount targets in the subnets that the tags name; the
//! addresses of every type are published; the runbook mounts it; and the result is recorded.
//!
//! It can be repeated, and run twice at the same time: each step is decided from what exists. What takes
//! minutes is answered with `pending`: the state machine and the reconciler run it again.

use std::cell::Cell;

use futures_util::future::join3;

use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::file_system::FileSystemId;
use crate::error::Error;
use crate::integrate::file_system::kind::{FILE_SYSTEM, MOUNTED_FILE_SYSTEM};
use crate::integrate::file_system::mount::{WantedMount, left_to_mount};
use crate::integrate::file_system::record::{Integrated, named, outcome, records_all};
use crate::integrate::file_system::refusal::FileSystemRefusal;
use crate::integrate::file_system::run_mount::{Mounting, mount};
use crate::integrate::file_system::run_reach::{Reach, reach};
use crate::integrate::kind::ResourceKind;
use crate::integrate::mount::{MOUNT, MOUNTING};
use crate::integrate::publish::Publication;
use crate::integrate::record::{TAGS_FROM, integrated_at};
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
use crate::plan::restore_metadata::stored;
use crate::ports::{Clock, FileSystemIntegrationPorts, MountRunbook, OpsItems, RestoreJobs};
use crate::tags::{
    LOGICAL_ID, PUBLISH, SECURITY_GROUPS, STACK, SUBNETS, UnusableTag, WORKLOAD, value,
};

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
    reachable
        .left
        .extend(unusable.iter().map(UnusableTag::left_to_do));
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
                let integrated_at = integrated_at(&FILE_SYSTEM, restore, item).unwrap_or(now);
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
