//! Which instance or Auto Scaling group a stack resource is, and why it is not a target.

use crate::aws::arn::InstanceId;
use crate::aws::cloudformation::{ResourceStatus, StackResource};
use crate::error::{Error, Fault};
use crate::integrate::kind::ResourceKind;
use crate::tags::IntegrationTarget;
use crate::text::code;

/// The target according to the tags of a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<T> {
    Found(T),
    /// A rule forbids to use the resource that they name.
    Refused(TargetRefusal),
    /// No target. The owner set no target tags, and CloudFormation's own tags name neither an instance nor an
    /// Auto Scaling group. They describe the resource that was backed up.
    Untagged,
}

/// A resource in a stack, as tags name it.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Name of the stack.
    pub stack: &'a str,
    /// Logical id of the resource in the stack.
    pub logical_id: &'a str,
    /// Whether it is taken from CloudFormation's own tags, because the owner named none.
    pub assumed: bool,
}

impl<'a> From<&'a IntegrationTarget> for Reference<'a> {
    fn from(target: &'a IntegrationTarget) -> Reference<'a> {
        Reference {
            stack: &target.stack,
            logical_id: &target.logical_id,
            assumed: target.assumed,
        }
    }
}

impl Reference<'_> {
    /// The error for a target that is not ready yet.
    pub(crate) fn not_yet(&self, what: impl Into<String>) -> Error {
        Error::Retryable(Fault::new(
            "cloudformation:DescribeStackResource",
            format!("{}/{}", self.stack, self.logical_id),
            what,
            "Deploy the stack of the target in this Region. The function checks again automatically, at the latest at the next run of restore-reconciler.",
        ))
    }
}

/// Why the resource that the tags name is not a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetRefusal {
    /// It is neither an instance nor an Auto Scaling group.
    Type {
        stack: String,
        logical_id: String,
        /// The resource's type in CloudFormation.
        resource_type: String,
    },
    /// CloudFormation failed to create it, or is deleting it.
    Failed {
        stack: String,
        logical_id: String,
        /// The resource's status.
        status: ResourceStatus,
    },
    /// The Auto Scaling group has several instances, and nothing says which one is meant.
    SeveralInstances {
        group: String,
        /// How many of its instances serve.
        count: usize,
    },
}

impl TargetRefusal {
    /// The reason code, in kebab case.
    pub fn reason(&self) -> &'static str {
        match self {
            TargetRefusal::Type { .. } => "target-type",
            TargetRefusal::Failed { .. } => "target-failed",
            TargetRefusal::SeveralInstances { .. } => "several-instances",
        }
    }

    /// The explanation, for a resource of this kind.
    pub fn why(&self, kind: &ResourceKind) -> String {
        match self {
            TargetRefusal::Type {
                stack,
                logical_id,
                resource_type,
            } => format!(
                "{logical_id} in stack {stack} is of type {}, to which a {} cannot be attached",
                code(resource_type),
                kind.noun
            ),
            TargetRefusal::Failed {
                stack,
                logical_id,
                status,
            } => format!("{logical_id} in stack {stack} is {}", code(status.as_str())),
            TargetRefusal::SeveralInstances { group, count } => format!(
                "the Auto Scaling group {} has {count} instances, but a {} belongs to one instance",
                code(group),
                kind.noun
            ),
        }
    }

    /// The instruction to the operator, for a resource of this kind.
    pub fn remedy(&self, kind: &ResourceKind) -> String {
        match self {
            TargetRefusal::Type { logical_id, .. } => format!(
                "Now, {} yourself. For later recoveries, set the tag recovery:logical-id to an AWS::EC2::Instance or an AWS::AutoScaling::AutoScalingGroup instead of {logical_id}.",
                kind.by_hand_in_sentence()
            ),
            TargetRefusal::Failed { stack, .. } => format!(
                "Check the events of stack {stack}, and update it to a complete state. Then run the integration of this restore job again."
            ),
            TargetRefusal::SeveralInstances { group, .. } => format!(
                "{} to the right instance yourself. Or set the capacity of {} to 1, and run the integration of this restore job again.",
                kind.by_hand,
                code(group)
            ),
        }
    }
}

/// A stack resource that runs instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// An instance.
    Instance(InstanceId),
    /// An Auto Scaling group, by name.
    Group(String),
}

/// What the stack resource is, or why it is not a target.
///
/// # Errors
/// [`Error::Retryable`] while the stack or the resource does not exist or is changing.
pub(crate) fn server(
    reference: Reference<'_>,
    resource: Option<StackResource>,
) -> Result<Target<Server>, Error> {
    let Reference {
        stack,
        logical_id,
        assumed,
    } = reference;
    let Some(StackResource {
        resource_type,
        physical_id,
        status,
    }) = resource
    else {
        if assumed {
            return Ok(Target::Untagged);
        }
        return Err(reference.not_yet("the stack or the resource in it does not exist yet"));
    };
    if status.is_failed_or_deleted() {
        return Ok(Target::Refused(TargetRefusal::Failed {
            stack: stack.to_owned(),
            logical_id: logical_id.to_owned(),
            status,
        }));
    }
    if status.is_changing() {
        return Err(reference.not_yet(format!("the resource is changing ({status})")));
    }
    let physical_id = physical_id.ok_or_else(|| {
        reference.not_yet(format!("the resource has no physical id yet ({status})"))
    });
    match resource_type.as_str() {
        "AWS::EC2::Instance" => Ok(Target::Found(Server::Instance(InstanceId::new(
            physical_id?,
        )))),
        "AWS::AutoScaling::AutoScalingGroup" => Ok(Target::Found(Server::Group(physical_id?))),
        _ if assumed => Ok(Target::Untagged),
        _ => Ok(Target::Refused(TargetRefusal::Type {
            stack: stack.to_owned(),
            logical_id: logical_id.to_owned(),
            resource_type,
        })),
    }
}
