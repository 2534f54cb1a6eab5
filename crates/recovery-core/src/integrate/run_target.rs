//! Finds the instance that the tags of a recovery point name.

use futures_util::future::{join, try_join};

use crate::aws::arn::InstanceId;
use crate::aws::cloudformation::StackResource;
use crate::aws::ec2::Instance;
use crate::error::{Error, Fault};
use crate::integrate::auto_scaling::{Choice, choose};
use crate::integrate::target::{Reference, Server, Target, TargetRefusal, server};
use crate::ports::{AutoScalingGroups, Instances, StackResources, TargetPorts};
use crate::text::shown;

/// The instance that the reference leads to.
///
/// # Errors
/// Those of the ports, and [`Error::Retryable`] while the instance does not exist.
pub(crate) async fn find_instance(
    ports: &impl TargetPorts,
    reference: Reference<'_>,
) -> Result<Target<Instance>, Error> {
    let resource = ports
        .stack_resources()
        .describe(reference.stack, reference.logical_id)
        .await?;
    instance_behind(ports, reference, &[], resource, Vec::new()).await
}

/// As [`find_instance`], with one call less in sequence: concurrently, it reads the instances that have
/// CloudFormation's tags of the resource. They only count if the stack names one of them. `holders` are
/// the instances that have the restored resource already: in an Auto Scaling group, they come first.
///
/// # Errors
/// As [`find_instance`]. An error of the concurrent call is ignored.
pub(crate) async fn find_instance_early(
    ports: &impl TargetPorts,
    reference: Reference<'_>,
    holders: &[InstanceId],
) -> Result<Target<Instance>, Error> {
    let (resource, tagged) = join(
        ports
            .stack_resources()
            .describe(reference.stack, reference.logical_id),
        ports
            .instances()
            .list_of_stack(reference.stack, reference.logical_id),
    )
    .await;
    let seen = tagged.unwrap_or_default();
    instance_behind(ports, reference, holders, resource?, seen).await
}

/// The instance that a stack resource is, or that the Auto Scaling group has. `seen` are instances that
/// have been read.
async fn instance_behind(
    ports: &impl TargetPorts,
    reference: Reference<'_>,
    holders: &[InstanceId],
    resource: Option<StackResource>,
    seen: Vec<Instance>,
) -> Result<Target<Instance>, Error> {
    match server(reference, resource)? {
        Target::Found(Server::Instance(id)) => read(ports, id, seen).await.map(Target::Found),
        Target::Found(Server::Group(name)) => instance_of_group(ports, holders, name).await,
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
        Error::Retryable(Fault::new(
            "autoscaling:DescribeAutoScalingGroups",
            shown(&name),
            format!("waiting for {what}"),
            "No action needed: the function checks again automatically, at the latest at the next run of restore-reconciler. If this lasts, check the activity of the Auto Scaling group.",
        ))
    };
    let Some(group) = group else {
        return Err(waits_for("the group to exist"));
    };
    let id = match choose(&group, holders) {
        Choice::Member(id) => id,
        Choice::NotYet(what) => return Err(waits_for(&what)),
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
        return Err(waits_for(&format!(
            "the group to replace {}, which is {}",
            instance.id, instance.state
        )));
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
