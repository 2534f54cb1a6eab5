//! CloudFormation: resources of stacks.

/// A resource that a CloudFormation stack made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackResource {
    /// `AWS::EC2::Instance`, …
    pub resource_type: String,
    /// The id of the resource itself; absent while it is being created.
    pub physical_id: Option<String>,
    /// `CREATE_COMPLETE`, …
    pub status: String,
}
