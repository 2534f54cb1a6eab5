//! CloudFormation: resources of stacks.

state! {
    /// The status of a stack resource, as far as decisions need it.
    ///
    /// See <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackResourceDetail.html>.
    ResourceStatus {
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateComplete = "CREATE_COMPLETE",
        CreateFailed = "CREATE_FAILED",
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteComplete = "DELETE_COMPLETE",
        DeleteSkipped = "DELETE_SKIPPED",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        UpdateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS",
        ImportRollbackInProgress = "IMPORT_ROLLBACK_IN_PROGRESS",
        ExportRollbackInProgress = "EXPORT_ROLLBACK_IN_PROGRESS",
    }
}

impl ResourceStatus {
    /// Whether CloudFormation failed to create the resource, or is deleting it, or has deleted it.
    pub(crate) fn is_failed_or_deleted(&self) -> bool {
        matches!(
            self,
            ResourceStatus::CreateFailed
                | ResourceStatus::DeleteInProgress
                | ResourceStatus::DeleteComplete
        )
    }

    /// Whether the resource may be replaced now. CloudFormation then still names the old one.
    pub(crate) fn is_changing(&self) -> bool {
        matches!(
            self,
            ResourceStatus::UpdateInProgress
                | ResourceStatus::RollbackInProgress
                | ResourceStatus::UpdateRollbackInProgress
                | ResourceStatus::ImportRollbackInProgress
                | ResourceStatus::ExportRollbackInProgress
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackResource {
    /// `AWS::EC2::Instance`, …
    pub resource_type: String,
    /// The physical id; absent while the resource is being created.
    pub physical_id: Option<String>,
    /// Its status.
    pub status: ResourceStatus,
}
