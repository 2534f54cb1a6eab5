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

/// A resource of a stack, in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedResource {
    pub logical_id: String,
    pub resource: StackResource,
}

/// The state of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackState {
    /// `CREATE_COMPLETE`, …
    pub status: String,
    /// The reason that CloudFormation gives for it.
    pub reason: Option<String>,
}

impl StackState {
    /// Whether its resources are those of its template, or of an earlier one that it returned to.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(
            self.status.as_str(),
            "CREATE_COMPLETE"
                | "UPDATE_COMPLETE"
                | "UPDATE_ROLLBACK_COMPLETE"
                | "IMPORT_COMPLETE"
                | "IMPORT_ROLLBACK_COMPLETE"
                | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
                | "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
        )
    }

    /// Whether CloudFormation is creating or updating its resources.
    pub(crate) fn is_in_progress(&self) -> bool {
        !self.is_complete()
            && self.status != "REVIEW_IN_PROGRESS"
            && !self.status.starts_with("DELETE")
            && self.status.ends_with("_IN_PROGRESS")
    }
}
