//! Finds the instance that the tags of a recovery point name.

use futures_util::future::{OptionFuture, join, try_join};

use crate::aws::arn::InstanceId;
use crate::aws::ec2::Instance;
use crate::error::{Error, Fault};
use crate::integrate::auto_scaling::{Choice, choose};
use crate::integrate::target::{Server, ServerReference, Target, TargetRefusal, server};
use crate::ports::{AutoScalingGroups, Instances, StackResources, TargetPorts};
use crate::reference::SERVER;
use crate::reference::run::{Resolution, Resolver};
use crate::text::shown;

/// The instance that the reference leads to.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn find_instance(
    ports: &impl TargetPorts,
    reference: ServerReference<'_>,
) -> Result<Target<Instance>, Error> {
    let found = find_server(ports, reference).await?;
    instance_behind(ports, &[], found, Vec::new()).await
}

/// As [`find_instance`], with one call less in sequence: concurrently, it reads the instances that have
/// CloudFormation's tags of the resource. They only count if the stack names one of them. `holders` are
/// the instances that have the restored resource already: in an Auto Scaling group, they come first.
///
/// # Errors
/// As [`find_instance`]. An error of the concurrent call is ignored.
pub(crate) async fn find_instance_early(
    ports: &impl TargetPorts,
    reference: ServerReference<'_>,
    holders: &[InstanceId],
) -> Result<Target<Instance>, Error> {
    let tagged = reference
        .stack
        .zip(reference.reference.logical_id())
        .map(|(stack, logical_id)| ports.instances().list_of_stack(stack, logical_id));
    let (found, tagged) = join(find_server(ports, reference), OptionFuture::from(tagged)).await;
    let seen = tagged.and_then(Result::ok).unwrap_or_default();
    instance_behind(ports, holders, found?, seen).await
}

/// The instance or Auto Scaling group that the reference leads to. A plain logical id takes one call.
async fn find_server(
    ports: &impl TargetPorts,
    reference: ServerReference<'_>,
) -> Result<Target<Server>, Error> {
    if let Some(place) = reference.stack.zip(reference.reference.logical_id()) {
        let (stack, logical_id) = place;
        let resource = ports.stack_resources().describe(stack, logical_id).await?;
        return Ok(server(reference, place, resource));
    }
    let resolution = Resolver::new(ports)
        .resolve(reference.stack, reference.reference, &SERVER)
        .await?;
    match resolution {
        Resolution::Found(resource) => Ok(Target::Found(Server::of(
            &resource.resource_type,
            resource.id,
        ))),
        Resolution::NotYet(awaited) => Ok(Target::NotYet(
            reference.not_yet(format!("waiting for {}", awaited.what)),
        )),
        Resolution::Refused(refusal) => Ok(Target::Refused(TargetRefusal::Reference(refusal))),
    }
}

/// The instance that the server is, or that the Auto Scaling group has. `seen` are instances that have been
/// read.
async fn instance_behind(
    ports: &impl TargetPorts,
    holders: &[InstanceId],
    found: Target<Server>,
    seen: Vec<Instance>,
) -> Result<Target<Instance>, Error> {
    match found {
        Target::Found(Server::Instance(id)) => read(ports, id, seen).await.map(Target::Found),
        Target::Found(Server::Group(name)) => instance_of_group(ports, holders, name).await,
        Target::NotYet(fault) => Ok(Target::NotYet(fault)),
        Target::Refused(refusal) => Ok(Target::Refused(refusal)),
        Target::Untagged => Ok(Target::Untagged),
    }
}

/// The instance of the group. Auto Scaling says which one, and EC2, concurrently, in which state it is.
async fn instance_of_group(
    ports: &impl TargetPorts,
    holders: &[InstanceId],
    name: String,
) -> Result<Target<Instance>, Error> {
    let (group, instances) = try_join(
        ports.groups().describe(&name),
        ports.instances().list_of_group(&name),
    )
    .await?;
    let waits_for = |what: &str| {
        Ok(Target::NotYet(Fault::new(
            "autoscaling:DescribeAutoScalingGroups",
            shown(&name),
            format!("waiting for {what}"),
            "No action needed: the function checks again automatically, at the latest at the next run of restore-reconciler. If this lasts, check the activity of the Auto Scaling group.",
        )))
    };
    let Some(group) = group else {
        return waits_for("the group to exist");
    };
    let id = match choose(&group, holders) {
        Choice::Member(id) => id,
        Choice::NotYet(what) => return waits_for(&what),
        Choice::Several(count) => {
            return Ok(Target::Refused(TargetRefusal::SeveralInstances {
                group: name,
                count,
            }));
        }
    };
    let instance = read(ports, id, instances).await?;
    // The group replaces it as soon as it notices.
    if instance.state.is_ending() {
        return waits_for(&format!(
            "the group to replace {}, which is {}",
            instance.id, instance.state
        ));
    }
    Ok(Target::Found(instance))
}

/// The instance from `seen`, or from EC2.
async fn read(
    ports: &impl TargetPorts,
    id: InstanceId,
    seen: Vec<Instance>,
) -> Result<Instance, Error> {
    match seen.into_iter().find(|instance| instance.id == id) {
        Some(instance) => Ok(instance),
        None => ports.instances().describe(&id).await,
    }
}
