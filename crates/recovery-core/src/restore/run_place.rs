//! Resolves where a planned restore goes: the instance of a volume, the network of a database, the name of a
//! table.

use serde::Deserialize;

use crate::aws::ec2::Instance;
use crate::error::{Error, Fault};
use crate::integrate::run_target::find_instance;
use crate::integrate::target::{ServerReference, Target as Found};
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::plan::item::{DatabaseTarget, Item, Target, VolumeTarget};
use crate::plan::names::NameKind;
use crate::plan::resource_type::{Restorable, Support, rules};
use crate::plan::restore_metadata::{DatabasePlace, Place};
use crate::ports::{Objects, StartingPorts, TargetPorts};
use crate::reference::run::{Awaited, Resolution, Resolver};
use crate::reference::{
    CLUSTER_PARAMETER_GROUP, OPTION_GROUP, PARAMETER_GROUP, Reference, ReferenceRefusal,
    SECURITY_GROUP, SERVER, SUBNET_GROUP, Wanted,
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
            Destination::Volume(_) => None,
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
    let mut network = Network {
        resolver: Resolver::new(ports),
        stack: target.stack.as_deref(),
        awaited: Vec::new(),
        refused: None,
    };
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

/// The references of a database: all are resolved, so that all that is missing is known at once.
struct Network<'a, P> {
    resolver: Resolver<'a, P>,
    stack: Option<&'a str>,
    awaited: Vec<String>,
    refused: Option<ReferenceRefusal>,
}

impl<P: TargetPorts> Network<'_, P> {
    async fn find(&mut self, text: &str, wanted: &Wanted) -> Result<Option<String>, Error> {
        let Some(reference) = Reference::parse(text) else {
            return Err(not_planned(format!(
                "{} is not a reference",
                crate::text::shown(text)
            )));
        };
        let resolution = self
            .resolver
            .resolve(self.stack, &reference, wanted)
            .await?;
        Ok(self.keep(resolution))
    }

    async fn only(&mut self, wanted: &Wanted) -> Result<Option<String>, Error> {
        let Some(stack) = self.stack else {
            return Err(not_planned(format!("it names no {}", wanted.noun)));
        };
        let resolution = self.resolver.only(stack, wanted).await?;
        Ok(self.keep(resolution))
    }

    fn keep(&mut self, resolution: Resolution) -> Option<String> {
        match resolution {
            Resolution::Found(resource) => return Some(resource.id),
            Resolution::NotYet(Awaited { what, .. }) => {
                if !self.awaited.contains(&what) {
                    self.awaited.push(what);
                }
            }
            Resolution::Refused(refusal) => {
                self.refused.get_or_insert(refusal);
            }
        }
        None
    }
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
