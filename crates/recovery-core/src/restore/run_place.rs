//! Resolves where a planned restore goes: the instance of a volume, the network of a database or of a file
//! system of FSx, the name of a table, a bucket and its settings, the network of an instance and its image.

use futures_util::future::try_join3;
use serde::Deserialize;

use crate::aws::arn::{Arn, RecoveryPointArn, TagHome};
use crate::aws::bucket::{BucketEncryption, bucket_name};
use crate::aws::ec2::{Image, ImageDevice, Instance, Subnet};
use crate::aws::file_system::FileSystemId;
use crate::error::{Error, Fault};
use crate::integrate::instance::run::stack_instance;
use crate::integrate::run_target::find_instance;
use crate::integrate::target::{ServerReference, Target as Found};
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::plan::item::{
    BucketTarget, DatabaseTarget, FileSystemTarget, InstanceTarget, Item, Target, VolumeTarget,
};
use crate::plan::names::NameKind;
use crate::plan::resource_type::{Restorable, Support, rules};
use crate::plan::restore_metadata::{
    BucketPlace, DatabasePlace, FileSystemPlace, FsxPlace, InstancePlace, Place,
};
use crate::ports::{Buckets, Images, Objects, StartingPorts, Subnets};
use crate::reference::run::{References, Resolution, Resolver};
use crate::reference::{
    BUCKET, CLUSTER_PARAMETER_GROUP, DIRECTORY, OPTION_GROUP, PARAMETER_GROUP, ReferenceRefusal,
    SECURITY_GROUP, SERVER, STORAGE_MACHINE, SUBNET, SUBNET_GROUP,
};
use crate::report::problem::failure_text;
use crate::restore::refusal::StartRefusal;

/// Whether a restore can start.
pub(super) enum Located {
    Ready(Destination),
    /// What its target waits for.
    Pending(String),
    Refused(StartRefusal),
}

/// Where a resource is restored to.
pub(super) enum Destination {
    /// The instance that a volume is attached to.
    Volume(Instance),
    Database(DatabaseDestination),
    /// The name of a table.
    Table(String),
    FileSystem(FileSystemDestination),
    Bucket(BucketDestination),
    Instance(InstanceDestination),
}

/// The network of an instance, and the volumes of its image.
pub(super) struct InstanceDestination {
    subnet: String,
    security_groups: Vec<String>,
    devices: Vec<ImageDevice>,
    with_profile: bool,
}

impl InstanceDestination {
    pub(super) fn place(&self) -> InstancePlace<'_> {
        InstancePlace {
            subnet: &self.subnet,
            security_groups: &self.security_groups,
            devices: &self.devices,
            with_profile: self.with_profile,
        }
    }
}

/// The bucket that objects are restored into, and which objects are.
pub(super) struct BucketDestination {
    bucket: String,
    source: String,
    admits_acls: bool,
    encryption: BucketEncryption,
    versions: Option<String>,
    prefixes: Vec<String>,
}

impl BucketDestination {
    pub(super) fn place(&self) -> BucketPlace<'_> {
        BucketPlace {
            bucket: &self.bucket,
            source: &self.source,
            admits_acls: self.admits_acls,
            encryption: &self.encryption,
            versions: self.versions.as_deref(),
            prefixes: &self.prefixes,
        }
    }
}

/// Where a file system is restored to.
pub(super) enum FileSystemDestination {
    /// Of EFS: the integration gives it its network.
    Efs,
    Fsx {
        subnets: Vec<Subnet>,
        security_groups: Vec<String>,
        directory: Option<String>,
    },
    /// A volume of ONTAP, in this storage virtual machine.
    Volume { machine: String },
}

impl FileSystemDestination {
    pub(super) fn place(&self) -> FileSystemPlace<'_> {
        match self {
            FileSystemDestination::Efs => FileSystemPlace::Efs,
            FileSystemDestination::Fsx {
                subnets,
                security_groups,
                directory,
            } => FileSystemPlace::Fsx(FsxPlace {
                subnets,
                security_groups,
                directory: directory.as_deref(),
            }),
            FileSystemDestination::Volume { machine } => FileSystemPlace::Volume { machine },
        }
    }
}

/// The name and the network of a database.
pub(super) struct DatabaseDestination {
    identifier: String,
    subnet_group: String,
    security_groups: Vec<String>,
    parameter_group: Option<String>,
    option_group: Option<String>,
    kind: NameKind,
}

impl Destination {
    /// For the metadata of the restore.
    pub(super) fn place(&self) -> Place<'_> {
        match self {
            Destination::Volume(instance) => Place::Zone(&instance.zone),
            Destination::Table(name) => Place::Table(name),
            Destination::FileSystem(destination) => Place::FileSystem(destination.place()),
            Destination::Bucket(destination) => Place::Bucket(destination.place()),
            Destination::Instance(destination) => Place::Instance(destination.place()),
            Destination::Database(database) => Place::Database(DatabasePlace {
                identifier: &database.identifier,
                subnet_group: &database.subnet_group,
                security_groups: &database.security_groups,
                parameter_group: database.parameter_group.as_deref(),
                option_group: database.option_group.as_deref(),
                is_cluster: database.kind == NameKind::DbCluster,
            }),
        }
    }

    /// The kind and the name of a database or table.
    pub(super) fn name(&self) -> Option<(NameKind, &str)> {
        match self {
            Destination::Volume(_)
            | Destination::FileSystem(_)
            | Destination::Bucket(_)
            | Destination::Instance(_) => None,
            Destination::Database(database) => Some((database.kind, &database.identifier)),
            Destination::Table(name) => Some((NameKind::Table, name)),
        }
    }
}

/// Finds where the item is restored to. `drill` is the name of the drill, if it is one. `stack_problems` is
/// the prefix under which the state machine records that a stack failed.
///
/// # Errors
/// Those of the ports, and [`Error::Permanent`] for an item that does not come from a plan.
pub(super) async fn locate(
    ports: &impl StartingPorts,
    item: &Item,
    drill: Option<&str>,
    stack_problems: Option<&str>,
    with_profile: bool,
) -> Result<Located, Error> {
    let Support::Restored(restorable) = rules(&item.resource_type).support else {
        let refusal = StartRefusal::TypeNotRestored(item.resource_type.clone());
        return Ok(Located::Refused(refusal));
    };
    // Also if the stack exists: it may belong to a drill, or to nobody, and then nothing is restored into it.
    if let (Some(stack), Some(prefix)) = (item.target.stack(), stack_problems)
        && let Some(refusal) = stack_problem(ports, prefix, stack).await?
    {
        return Ok(Located::Refused(refusal));
    }
    let named = |kind: NameKind, name: &str| match drill {
        None => name.to_owned(),
        Some(drill) => kind.in_drill(name, drill),
    };
    match (&item.target, restorable) {
        (Target::Volume(target), Restorable::Volume) => volume(ports, target).await,
        (Target::Database(target), Restorable::Database(kind)) => {
            let identifier = named(kind, &target.identifier);
            database(ports, target, kind, identifier).await
        }
        (Target::Table(target), Restorable::Table) => {
            let name = named(NameKind::Table, &target.name);
            Ok(Located::Ready(Destination::Table(name)))
        }
        (Target::FileSystem(target), Restorable::FileSystem) => {
            file_system(ports, target, &item.resource_arn).await
        }
        (Target::Bucket(target), Restorable::Bucket) => {
            bucket(ports, target, &item.resource_arn).await
        }
        (Target::Instance(target), Restorable::Instance) => {
            let is_drill = drill.is_some();
            let point = &item.recovery_point_arn;
            instance(ports, target, point, with_profile, is_drill).await
        }
        _ => Err(not_planned("the target does not fit the type".to_owned())),
    }
}

fn not_planned(what: String) -> Error {
    Error::Permanent(Fault::new(
        "parse input",
        "item.target",
        what,
        "Pass an item of a plan of recovery-planner.",
    ))
}

async fn volume(ports: &impl StartingPorts, target: &VolumeTarget) -> Result<Located, Error> {
    let target = target.integration_target().map_err(not_planned)?;
    let reference = ServerReference::from(&target);
    Ok(match find_instance(ports, reference).await? {
        Found::Found(instance) if instance.state.is_ending() => {
            Located::Refused(StartRefusal::Volume(VolumeRefusal::InstanceGone {
                instance: instance.id,
                state: instance.state,
            }))
        }
        Found::Found(instance) => Located::Ready(Destination::Volume(instance)),
        Found::Refused(refusal) => {
            Located::Refused(StartRefusal::Volume(VolumeRefusal::Target(refusal)))
        }
        Found::Untagged => Located::Refused(StartRefusal::Untagged),
        // A complete or failed stack does not bring it any more.
        Found::NotYet(fault) => {
            let resolution = Resolver::new(ports)
                .resolve(target.stack.as_deref(), &target.logical_id, &SERVER)
                .await?;
            match resolution {
                Resolution::Refused(refusal) => Located::Refused(StartRefusal::Reference(refusal)),
                Resolution::NotYet(awaited) => Located::Pending(awaited.what),
                Resolution::Found(_) => {
                    Located::Pending(format!("{}: {}", fault.subject(), fault.message()))
                }
            }
        }
    })
}

async fn database(
    ports: &impl StartingPorts,
    target: &DatabaseTarget,
    kind: NameKind,
    identifier: String,
) -> Result<Located, Error> {
    let mut network = References::new(ports, target.stack.as_deref());
    let subnet_group = match &target.subnet_group {
        Some(reference) => network.find(reference, &SUBNET_GROUP).await?,
        None => network.only(&SUBNET_GROUP).await?,
    };
    let mut security_groups = Vec::new();
    for reference in &target.security_groups {
        security_groups.extend(network.find(reference, &SECURITY_GROUP).await?);
    }
    let group = match kind {
        NameKind::DbCluster => &CLUSTER_PARAMETER_GROUP,
        NameKind::DbInstance | NameKind::Table => &PARAMETER_GROUP,
    };
    let parameter_group = match &target.parameter_group {
        Some(reference) => network.find(reference, group).await?,
        None => None,
    };
    let option_group = match &target.option_group {
        Some(reference) => network.find(reference, &OPTION_GROUP).await?,
        None => None,
    };
    if let Some(refusal) = network.refused {
        return Ok(Located::Refused(StartRefusal::Reference(refusal)));
    }
    Ok(match subnet_group.filter(|_| network.awaited.is_empty()) {
        None => Located::Pending(network.awaited.join(", ")),
        Some(subnet_group) => Located::Ready(Destination::Database(DatabaseDestination {
            identifier,
            subnet_group,
            security_groups,
            parameter_group,
            option_group,
            kind,
        })),
    })
}

async fn file_system(
    ports: &impl StartingPorts,
    target: &FileSystemTarget,
    resource: &str,
) -> Result<Located, Error> {
    let mut network = References::new(ports, target.stack.as_deref());
    let ready = |destination| Located::Ready(Destination::FileSystem(destination));
    match FileSystemId::of(&Arn::parse(resource)?) {
        Some(FileSystemId::Efs(_)) => Ok(ready(FileSystemDestination::Efs)),
        Some(FileSystemId::Volume(_)) => {
            let machine = match &target.storage_machine {
                Some(reference) => network.find(reference, &STORAGE_MACHINE).await?,
                None => network.only(&STORAGE_MACHINE).await?,
            };
            Ok(match (network.refused, machine) {
                (Some(refusal), _) => Located::Refused(StartRefusal::Reference(refusal)),
                (None, None) => Located::Pending(network.awaited.join(", ")),
                (None, Some(machine)) => ready(FileSystemDestination::Volume { machine }),
            })
        }
        Some(FileSystemId::Fsx(_)) => {
            let mut security_groups = Vec::new();
            for reference in &target.security_groups {
                security_groups.extend(network.find(reference, &SECURITY_GROUP).await?);
            }
            let directory = match &target.directory {
                Some(reference) => network.find(reference, &DIRECTORY).await?,
                None => None,
            };
            let subnets = network.subnets(&target.subnets).await?;
            if let Some(refusal) = network.refused {
                return Ok(Located::Refused(StartRefusal::Reference(refusal)));
            }
            if !network.awaited.is_empty() {
                return Ok(Located::Pending(network.awaited.join(", ")));
            }
            Ok(ready(FileSystemDestination::Fsx {
                subnets: ports.subnets().list(&subnets).await?,
                security_groups,
                directory,
            }))
        }
        None => Err(not_planned("the resource is not a file system".to_owned())),
    }
}

async fn instance(
    ports: &impl StartingPorts,
    target: &InstanceTarget,
    point: &str,
    with_profile: bool,
    is_drill: bool,
) -> Result<Located, Error> {
    let point = RecoveryPointArn::parse(point)?;
    let TagHome::Ec2(image) = point.tag_home() else {
        return Err(not_planned("the recovery point is not an image".to_owned()));
    };
    let mut network = References::new(ports, target.stack.as_deref());
    let subnet = match &target.subnet {
        Some(reference) => network.find(reference, &SUBNET).await?,
        None => network.only(&SUBNET).await?,
    };
    let mut security_groups = Vec::new();
    for reference in &target.security_groups {
        security_groups.extend(network.find(reference, &SECURITY_GROUP).await?);
    }
    if let Some(refusal) = network.refused {
        return Ok(Located::Refused(StartRefusal::Reference(refusal)));
    }
    let Some(subnet) = subnet.filter(|_| network.awaited.is_empty()) else {
        return Ok(Located::Pending(network.awaited.join(", ")));
    };
    let own = target.own_logical_id.as_deref();
    if let Some(refusal) = stack_instance(ports, target.stack.as_deref(), own).await? {
        return Ok(Located::Refused(StartRefusal::Instance(refusal)));
    }
    Ok(match ports.images().describe(image).await? {
        None => Located::Refused(StartRefusal::Image {
            image: image.to_owned(),
            why: None,
        }),
        Some(Image {
            unusable: Some(why),
            ..
        }) => Located::Refused(StartRefusal::Image {
            image: image.to_owned(),
            why: Some(why),
        }),
        Some(found) => Located::Ready(Destination::Instance(InstanceDestination {
            subnet,
            security_groups,
            // A volume that outlived the instance of a drill would have no tag, and nobody would delete it.
            devices: found
                .devices
                .into_iter()
                .map(|device| ImageDevice {
                    delete_on_termination: device.delete_on_termination || is_drill,
                    ..device
                })
                .collect(),
            with_profile,
        })),
    })
}

async fn bucket(
    ports: &impl StartingPorts,
    target: &BucketTarget,
    resource: &str,
) -> Result<Located, Error> {
    let source = Arn::parse(resource)?;
    let Some(source) = bucket_name(&source) else {
        return Err(not_planned("the resource is not a bucket".to_owned()));
    };
    let mut references = References::new(ports, target.stack.as_deref());
    let found = references.find(&target.bucket, &BUCKET).await?;
    let name = match (references.refused, found) {
        (Some(refusal), _) => return Ok(Located::Refused(StartRefusal::Reference(refusal))),
        (None, None) => return Ok(Located::Pending(references.awaited.join(", "))),
        (None, Some(name)) => name,
    };
    let buckets = ports.buckets();
    let awaited = || Ok(Located::Pending(format!("the bucket {name} to exist")));
    match buckets.is_versioned(&name).await? {
        None => return awaited(),
        Some(false) => return Ok(Located::Refused(StartRefusal::NotVersioned(name))),
        Some(true) => {}
    }
    let (ownership, blocks_public_acls, encryption) = try_join3(
        buckets.ownership(&name),
        buckets.blocks_public_acls(&name),
        buckets.encryption(&name),
    )
    .await?;
    let (Some(ownership), Some(blocks_public_acls), Some(encryption)) =
        (ownership, blocks_public_acls, encryption)
    else {
        return awaited();
    };
    Ok(Located::Ready(Destination::Bucket(BucketDestination {
        // An object whose list the bucket rejects would be missing, although the job is completed.
        admits_acls: ownership.admits_acls() && !blocks_public_acls,
        source: source.to_owned(),
        encryption,
        versions: target.versions.clone(),
        prefixes: target.prefixes.clone(),
        bucket: name,
    })))
}

/// What the state machine records of a stack that failed.
#[derive(Deserialize)]
struct StackProblem {
    why: Option<String>,
    error: Option<String>,
    cause: Option<String>,
    remedy: Option<String>,
}

/// The refusal because of the stack, if the state machine has recorded that it failed.
async fn stack_problem(
    ports: &impl StartingPorts,
    prefix: &str,
    stack: &str,
) -> Result<Option<StartRefusal>, Error> {
    let key = format!("{prefix}{stack}.json");
    let Some(text) = ports.objects().get(&key).await? else {
        return Ok(None);
    };
    let problem: StackProblem = serde_json::from_str(&text).map_err(|error| {
        Error::Retryable(
            Fault::new(
                "read stack problem",
                key,
                format!("the object does not describe a problem: {error}"),
                "Read the object in the recovery bucket. Delete it, then redrive the execution.",
            )
            .with_source(error),
        )
    })?;
    let why = problem
        .why
        .or_else(|| failure_text(problem.error.as_deref(), problem.cause.as_deref()))
        .unwrap_or_else(|| "the state machine gave no reason".to_owned());
    Ok(Some(StartRefusal::Reference(ReferenceRefusal::Stack {
        stack: stack.to_owned(),
        why,
        remedy: problem.remedy.unwrap_or_else(|| {
            "Check the stack in CloudFormation and fix the cause. Then redrive the execution."
                .to_owned()
        }),
    })))
}
