//! Which instance or Auto Scaling group a stack resource is, and why it is not a target.

use crate::aws::arn::InstanceId;
use crate::aws::cloudformation::{ResourceStatus, StackResource};
use crate::error::Fault;
use crate::integrate::kind::ResourceKind;
use crate::reference::{Reference, ReferenceRefusal, SERVER};
use crate::tags::IntegrationTarget;
use crate::text::code;

/// The target according to the tags of a recovery point.
#[derive(Debug)]
pub enum Target<T> {
    Found(T),
    /// It does not exist yet, or is changing. The fault says what is awaited.
    NotYet(Fault),
    /// A rule forbids to use the resource that they name.
    Refused(TargetRefusal),
    /// No target. The owner set no target tags, and CloudFormation's own tags name neither an instance nor an
    /// Auto Scaling group. They describe the resource that was backed up.
    Untagged,
}

/// The instance or Auto Scaling group that tags name.
#[derive(Debug, Clone, Copy)]
pub struct ServerReference<'a> {
    /// Name of the stack, if the reference is resolved in one.
    pub stack: Option<&'a str>,
    pub reference: &'a Reference,
    /// Whether it is taken from CloudFormation's own tags, because the owner named none.
    pub assumed: bool,
}

impl<'a> From<&'a IntegrationTarget> for ServerReference<'a> {
    fn from(target: &'a IntegrationTarget) -> ServerReference<'a> {
        ServerReference {
            stack: target.stack.as_deref(),
            reference: &target.logical_id,
            assumed: target.assumed,
        }
    }
}

impl ServerReference<'_> {
    /// The fault for a target that is not ready yet.
    pub(crate) fn not_yet(&self, what: impl Into<String>) -> Fault {
        let subject = match self.stack {
            Some(stack) => format!("{stack}/{}", self.reference),
            None => self.reference.to_string(),
        };
        Fault::new(
            "cloudformation:DescribeStackResource",
            subject,
            what,
            "Deploy the stack of the target in this Region. The function checks again automatically, at the latest at the next run of restore-reconciler.",
        )
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
    /// The reference does not lead to it.
    Reference(ReferenceRefusal),
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
            TargetRefusal::Reference(refusal) => refusal.reason(),
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
            TargetRefusal::Reference(refusal) => refusal.to_string(),
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
            TargetRefusal::Reference(refusal) => format!(
                "{} Now, {} yourself, or correct the infrastructure and run the integration of this restore job again.",
                refusal.remedy(),
                kind.by_hand_in_sentence()
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

impl Server {
    /// The server of one of the types of [`SERVER`].
    pub(crate) fn of(resource_type: &str, id: String) -> Server {
        match resource_type {
            "AWS::AutoScaling::AutoScalingGroup" => Server::Group(id),
            _ => Server::Instance(InstanceId::new(id)),
        }
    }
}

/// What the stack resource is, or why it is not a target.
pub(crate) fn server(
    reference: ServerReference<'_>,
    (stack, logical_id): (&str, &str),
    resource: Option<StackResource>,
) -> Target<Server> {
    let assumed = reference.assumed;
    let Some(StackResource {
        resource_type,
        physical_id,
        status,
    }) = resource
    else {
        if assumed {
            return Target::Untagged;
        }
        return Target::NotYet(
            reference.not_yet("the stack or the resource in it does not exist yet"),
        );
    };
    if status.is_failed_or_deleted() {
        return Target::Refused(TargetRefusal::Failed {
            stack: stack.to_owned(),
            logical_id: logical_id.to_owned(),
            status,
        });
    }
    if status.is_changing() {
        return Target::NotYet(reference.not_yet(format!("the resource is changing ({status})")));
    }
    if !SERVER.types.contains(&resource_type.as_str()) {
        return match assumed {
            true => Target::Untagged,
            false => Target::Refused(TargetRefusal::Type {
                stack: stack.to_owned(),
                logical_id: logical_id.to_owned(),
                resource_type,
            }),
        };
    }
    match physical_id {
        Some(id) => Target::Found(Server::of(&resource_type, id)),
        None => Target::NotYet(
            reference.not_yet(format!("the resource has no physical id yet ({status})")),
        ),
    }
}
