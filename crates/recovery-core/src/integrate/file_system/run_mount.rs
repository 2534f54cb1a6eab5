//! Mounts a file system that clients can reach: finds the instances, creates the access point of EFS, and follows the
//! runbook.

use std::time::Duration;

use crate::aws::arn::InstanceId;
use crate::aws::backup::Restore;
use crate::aws::file_system::{EfsAnswer, NewAccessPoint};
use crate::error::Error;
use crate::integrate::auto_scaling::serving;
use crate::integrate::file_system::decide::{AccessPointStep, access_point_step};
use crate::integrate::file_system::mount::{WantedMount, directory_of};
use crate::integrate::file_system::refusal::{FileSystemRefusal, MOST_INSTANCES};
use crate::integrate::mount::answer::InstanceAnswer;
use crate::integrate::mount::request::MountRequest;
use crate::integrate::mount::run::{MountProgress, follow};
use crate::integrate::target::Server;
use crate::ops_item::{OpsItem, restore_key};
use crate::ports::{
    AutoScalingGroups, Clock, EfsFileSystems, FileSystemIntegrationPorts, Instances, MountPorts,
    TargetPorts,
};
use crate::reference::run::{Resolution, Resolver, not_planned};
use crate::reference::{Reference, SERVER};
use crate::tags::DRILL;
use crate::text::{code, shown};

/// How long a run waits for the runbook. Where the agents of the instances are connected, it takes some seconds.
const PATIENCE: Duration = Duration::from_secs(45);

/// How a mount stands.
pub(super) enum Mounting {
    /// It continues. The text says what is awaited.
    Pending(String),
    /// A person must act.
    Refused(FileSystemRefusal),
    /// Every instance has it.
    Mounted(Vec<InstanceAnswer>),
}

/// Takes the next steps of the mount. `item` is the OpsItem of the restore job, which records the executions of the
/// runbook; `drill` is the name of the drill that the restore belongs to.
///
/// # Errors
/// Those of the ports.
pub(super) async fn mount(
    ports: &impl FileSystemIntegrationPorts,
    clock: &impl Clock,
    restore: &Restore,
    drill: Option<&str>,
    wanted: &WantedMount,
    item: Option<&OpsItem>,
) -> Result<Mounting, Error> {
    let instances = match find_servers(ports, wanted).await? {
        Servers::Found(instances) => instances,
        Servers::NotYet(what) => return Ok(Mounting::Pending(what)),
        Servers::Refused(refusal) => return Ok(Mounting::Refused(refusal)),
    };
    if !wanted.needs_access_point() {
        let request = wanted.request(instances);
        return run(ports, clock, restore, &request, item).await;
    }
    // Any instance finds it. The same one is asked each time, so that the execution is found again.
    let Some(first) = instances.into_iter().next() else {
        return Ok(Mounting::Pending(
            "the group to have an instance".to_owned(),
        ));
    };
    let request = wanted.directory_request(first);
    match run(ports, clock, restore, &request, item).await? {
        Mounting::Mounted(answers) => match directory_of(&answers) {
            Ok(directory) => create_access_point(ports, restore, drill, wanted, directory).await,
            Err(refusal) => Ok(Mounting::Refused(refusal)),
        },
        other => Ok(other),
    }
}

/// Starts the runbook for this request, or follows it.
async fn run(
    ports: &impl MountPorts,
    clock: &impl Clock,
    restore: &Restore,
    request: &MountRequest,
    item: Option<&OpsItem>,
) -> Result<Mounting, Error> {
    let progress = follow(ports, clock, restore, request, item, PATIENCE).await?;
    Ok(match progress {
        MountProgress::Pending(what) => Mounting::Pending(what),
        MountProgress::Refused(refusal) => Mounting::Refused(FileSystemRefusal::Mount(refusal)),
        MountProgress::Done(answers) => Mounting::Mounted(answers),
    })
}

/// Creates the access point to the directory with the restored files. The next run reads it.
async fn create_access_point(
    ports: &impl FileSystemIntegrationPorts,
    restore: &Restore,
    drill: Option<&str>,
    wanted: &WantedMount,
    directory: String,
) -> Result<Mounting, Error> {
    let id = &wanted.source.source;
    let awaited = format!("an access point of {id} to {directory} to be available");
    let points = ports.efs().list_access_points(id).await?;
    match access_point_step(&points, &directory) {
        AccessPointStep::Wait => return Ok(Mounting::Pending(awaited)),
        AccessPointStep::Refuse(refusal) => return Ok(Mounting::Refused(refusal)),
        AccessPointStep::Create => {}
    }
    let new = NewAccessPoint {
        file_system: id.clone(),
        token: restore_key(&restore.job.id).token("access-point"),
        path: directory,
        tags: drill
            .map(|name| (DRILL, name.to_owned()))
            .into_iter()
            .collect(),
    };
    Ok(match ports.efs().create_access_point(&new).await? {
        EfsAnswer::Created | EfsAnswer::Exists => Mounting::Pending(awaited),
        EfsAnswer::Busy(fault) => Mounting::Pending(format!(
            "EFS to accept the access point to {} ({})",
            new.path,
            fault.message()
        )),
        EfsAnswer::Rejected(fault) => Mounting::Refused(FileSystemRefusal::Rejected {
            what: format!("access point to {}", new.path),
            message: fault.message().to_owned(),
        }),
    })
}

/// The instances that mount the file system.
enum Servers {
    Found(Vec<InstanceId>),
    /// They do not exist yet. The text says what is awaited.
    NotYet(String),
    Refused(FileSystemRefusal),
}

/// The instance that the reference leads to, or all members of the Auto Scaling group that serve.
async fn find_servers(ports: &impl TargetPorts, wanted: &WantedMount) -> Result<Servers, Error> {
    let text = wanted.server.as_str();
    let Some(reference) = Reference::parse(text) else {
        return Err(not_planned(format!("{} is not a reference", shown(text))));
    };
    let resolution = Resolver::new(ports)
        .resolve(wanted.stack.as_deref(), &reference, &SERVER)
        .await?;
    let resource = match resolution {
        Resolution::Found(resource) => resource,
        Resolution::NotYet(awaited) => return Ok(Servers::NotYet(awaited.what)),
        Resolution::Refused(refusal) => {
            return Ok(Servers::Refused(FileSystemRefusal::Reference(refusal)));
        }
    };
    match Server::of(&resource.resource_type, resource.id) {
        Server::Instance(id) => {
            let instance = ports.instances().describe(&id).await?;
            Ok(match instance.state.is_ending() {
                false => Servers::Found(vec![id]),
                true => Servers::Refused(FileSystemRefusal::InstanceGone {
                    instance: id,
                    state: instance.state,
                }),
            })
        }
        Server::Group(name) => {
            let Some(group) = ports.groups().describe(&name).await? else {
                return Ok(Servers::NotYet(format!(
                    "the group {} to exist",
                    code(&name)
                )));
            };
            Ok(match serving(&group) {
                Ok(instances) if instances.len() > MOST_INSTANCES => {
                    Servers::Refused(FileSystemRefusal::TooManyInstances {
                        group: name,
                        count: instances.len(),
                    })
                }
                Ok(instances) => Servers::Found(instances),
                Err(awaited) => Servers::NotYet(awaited),
            })
        }
    }
}
