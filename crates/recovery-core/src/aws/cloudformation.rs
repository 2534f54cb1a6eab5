//! CloudFormation: resources of stacks.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackResource {
    /// `AWS::EC2::Instance`, …
    pub resource_type: String,
    /// The physical id; absent while the resource is being created.
    pub physical_id: Option<String>,
    /// `CREATE_COMPLETE`, …
    pub status: String,
}
