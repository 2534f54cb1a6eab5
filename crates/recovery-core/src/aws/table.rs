//! DynamoDB tables, and their settings.

use chrono::{DateTime, Utc};

use crate::aws::arn::Arn;
use crate::error::Fault;
use crate::tags::Tags;

/// The resource type of tables in AWS Backup.
pub const DYNAMODB: &str = "DynamoDB";

/// The name in the ARN of a table.
pub(crate) fn table_name(created: &Arn) -> Option<&str> {
    created
        .resource_id("table")
        .filter(|name| created.service() == "dynamodb" && !name.contains('/'))
}

state! {
    /// The status of a table. [`Archiving`](TableStatus::Archiving) and
    /// [`Archived`](TableStatus::Archived) follow when its key has been unusable for seven days.
    TableStatus {
        Creating = "CREATING",
        Updating = "UPDATING",
        Deleting = "DELETING",
        Active = "ACTIVE",
        KeyUnusable = "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        Archiving = "ARCHIVING",
        Archived = "ARCHIVED",
    }
}

state! {
    /// What the records of a stream contain.
    StreamView {
        KeysOnly = "KEYS_ONLY",
        NewImage = "NEW_IMAGE",
        OldImage = "OLD_IMAGE",
        NewAndOldImages = "NEW_AND_OLD_IMAGES",
    }
}

state! {
    /// The class of a table. It decides what storage and requests cost.
    TableClass {
        Standard = "STANDARD",
        InfrequentAccess = "STANDARD_INFREQUENT_ACCESS",
    }
}

state! {
    /// Whether items expire.
    TimeToLiveStatus {
        Enabling = "ENABLING",
        Enabled = "ENABLED",
        Disabling = "DISABLING",
        Disabled = "DISABLED",
    }
}

/// A table of `DescribeTable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub arn: Arn,
    /// It differs from that of a table that had this name before.
    pub id: String,
    pub status: TableStatus,
    pub created: DateTime<Utc>,
    /// Its stream, if it has one.
    pub stream: Option<Stream>,
    pub class: TableClass,
    /// Whether it is protected against deletion.
    pub protected: bool,
}

/// The stream of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub arn: String,
    pub view: StreamView,
}

/// Continuous backups of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContinuousBackups {
    /// Whether the table can be restored to a point in time.
    pub enabled: bool,
    /// For how many days.
    pub days: Option<u8>,
}

/// The expiry of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeToLive {
    pub status: TimeToLiveStatus,
    /// The attribute that has the time.
    pub attribute: Option<String>,
}

/// A change of `UpdateTable`. One call makes one kind of change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// Enable a stream.
    Stream(StreamView),
    Class(TableClass),
    /// Protect the table against deletion.
    Protection,
}

/// A change of a table's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingChange {
    /// Add these tags.
    Tags(Tags),
    Table(TableChange),
    /// Enable continuous backups, for this many days. `None`: DynamoDB's default.
    ContinuousBackups(Option<u8>),
    /// Let items expire, at the time in this attribute.
    TimeToLive(String),
}

/// The answer to a change.
#[derive(Debug)]
pub enum ChangeAnswer {
    /// DynamoDB carries it out.
    Accepted,
    /// The table has a setting of this kind already.
    Unchanged,
    /// Not now: the table is being changed, or not all of it exists yet.
    Busy(Fault),
    /// DynamoDB rejects it.
    Rejected(Fault),
}
