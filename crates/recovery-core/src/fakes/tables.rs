//! DynamoDB tables.

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use crate::aws::backup::RestoreJob;
use crate::aws::table::{
    ChangeAnswer, ContinuousBackups, DYNAMODB, Stream, Table, TableChange, TableClass, TableStatus,
    TimeToLive, TimeToLiveStatus,
};
use crate::error::{Error, Fault};
use crate::fakes::{FakeClock, RESTORE_ROLE, World};
use crate::ports::{Clock, Tables};
use crate::tags::Tags;

/// A table with its settings.
#[derive(Debug, Clone)]
pub struct FakeTable {
    /// What `DescribeTable` shows.
    pub table: Table,
    /// Its continuous backups.
    pub backups: ContinuousBackups,
    /// The expiry of its items.
    pub ttl: TimeToLive,
    /// Its tags.
    pub tags: Tags,
    /// Calls of `DescribeTable` until a table that is `CREATING` or `UPDATING` shows as `ACTIVE`; `None`: never.
    pub reads_until_active: Option<usize>,
    /// Calls of `DescribeTable` during which it is `UPDATING` after a change.
    pub reads_of_a_change: usize,
    /// Calls of `UpdateContinuousBackups` until DynamoDB accepts it, once the table is `ACTIVE`.
    pub backups_unavailable: usize,
    /// Calls of `DescribeTable` until its tags can be changed again.
    pub reads_until_tags_settle: usize,
    /// Whether TTL was changed in the last hour.
    pub ttl_changed: bool,
    /// Settings that DynamoDB rejects: `stream`, `pitr`, `class`, `protection`, `ttl`, `tags`.
    pub rejects: Vec<&'static str>,
    /// The changes that DynamoDB made, in their order.
    pub changes: Vec<String>,
}

impl FakeTable {
    /// A table as a restore leaves it: `ACTIVE`, without its settings.
    pub fn restored(arn: Arn, created: DateTime<Utc>) -> FakeTable {
        FakeTable {
            table: Table {
                arn,
                id: "5f2b3c1e-0000-4000-8000-000000000001".to_owned(),
                status: TableStatus::Active,
                created,
                stream: None,
                class: TableClass::Standard,
                protected: false,
            },
            backups: ContinuousBackups {
                enabled: false,
                days: None,
            },
            ttl: TimeToLive {
                status: TimeToLiveStatus::Disabled,
                attribute: None,
            },
            tags: Tags::new(),
            reads_until_active: Some(0),
            reads_of_a_change: 1,
            backups_unavailable: 1,
            reads_until_tags_settle: 0,
            ttl_changed: false,
            rejects: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Whether DynamoDB still creates or already deletes it: then every operation except `DescribeTable` answers that it
    /// does not exist.
    fn is_hidden(&self) -> bool {
        matches!(
            self.table.status,
            TableStatus::Creating | TableStatus::Deleting
        )
    }
}

fn fault(operation: &'static str, name: &str, code: &str, message: &str) -> Fault {
    Fault::new(operation, name, message, "Nothing to do.").with_code(code)
}

impl World {
    /// The world with one completed restore of a table: job `job-1`, table `orders`, a recovery point with
    /// these tags.
    pub fn with_restored_table(tags: &[(&str, &str)]) -> World {
        let world = World::new();
        let point = "arn:aws:backup:us-west-2:111122223333:recovery-point:1";
        let arn = Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/orders").ok();
        let now = FakeClock::new().now();
        {
            let mut state = world.state();
            let tags = tags.iter();
            state.tags.insert(
                point.to_owned(),
                tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            );
            if let Some(arn) = arn.clone() {
                let created = now - TimeDelta::seconds(400);
                let table = FakeTable::restored(arn, created);
                state.tables.insert("orders".to_owned(), table);
            }
            let job = RestoreJob {
                status: Some("COMPLETED".to_owned()),
                resource_type: Some(DYNAMODB.to_owned()),
                created_resource: arn,
                recovery_point: RecoveryPointArn::parse(point).ok(),
                source_resource: Arn::parse("arn:aws:dynamodb:us-east-1:111122223333:table/orders")
                    .ok(),
                iam_role: Arn::parse(RESTORE_ROLE).ok(),
                completed: Some(now - TimeDelta::seconds(42)),
                ..RestoreJob::known_by_id(RestoreJobId::new("job-1"))
            };
            state.restore_jobs.insert(job.id.to_string(), job);
        }
        world
    }

    /// A read that only a table that is not hidden answers.
    fn read_table<T>(
        &self,
        operation: &'static str,
        name: &str,
        read: impl FnOnce(&FakeTable) -> T,
    ) -> Result<Option<T>, Error> {
        self.call(operation, name, |state| {
            let table = state.tables.get(name).filter(|table| !table.is_hidden());
            Ok(table.map(read))
        })
    }

    /// A change of a table. `kind` is the setting.
    fn change_table(
        &self,
        operation: &'static str,
        name: &str,
        kind: &'static str,
        change: impl FnOnce(&mut FakeTable) -> ChangeAnswer,
    ) -> Result<ChangeAnswer, Error> {
        self.call(operation, name, |state| {
            let table = state.tables.get_mut(name);
            let Some(table) = table.filter(|table| !table.is_hidden()) else {
                return Ok(ChangeAnswer::Busy(fault(
                    operation,
                    name,
                    "ResourceNotFoundException",
                    "Requested resource not found",
                )));
            };
            if table.rejects.contains(&kind) {
                return Ok(ChangeAnswer::Rejected(fault(
                    operation,
                    name,
                    "ValidationException",
                    "One or more parameter values were invalid",
                )));
            }
            Ok(change(table))
        })
    }
}

impl Tables for World {
    async fn describe(&self, name: &str) -> Result<Option<Table>, Error> {
        self.call("dynamodb:DescribeTable", name, |state| {
            let Some(table) = state.tables.get_mut(name) else {
                return Ok(None);
            };
            table.reads_until_tags_settle = table.reads_until_tags_settle.saturating_sub(1);
            let changes = matches!(
                table.table.status,
                TableStatus::Creating | TableStatus::Updating
            );
            match &mut table.reads_until_active {
                Some(0) if changes => table.table.status = TableStatus::Active,
                Some(reads) if changes => *reads -= 1,
                _ => {}
            }
            Ok(Some(table.table.clone()))
        })
    }

    async fn continuous_backups(&self, name: &str) -> Result<Option<ContinuousBackups>, Error> {
        self.read_table("dynamodb:DescribeContinuousBackups", name, |table| {
            table.backups
        })
    }

    async fn time_to_live(&self, name: &str) -> Result<Option<TimeToLive>, Error> {
        self.read_table("dynamodb:DescribeTimeToLive", name, |table| {
            table.ttl.clone()
        })
    }

    async fn list_tags(&self, table: &Arn) -> Result<Option<Tags>, Error> {
        let name = table.resource_id("table").unwrap_or_default();
        self.read_table("dynamodb:ListTagsOfResource", name, |table| {
            table.tags.clone()
        })
    }

    async fn update(&self, name: &str, change: &TableChange) -> Result<ChangeAnswer, Error> {
        let operation = "dynamodb:UpdateTable";
        let kind = match change {
            TableChange::Stream(_) => "stream",
            TableChange::Class(_) => "class",
            TableChange::Protection => "protection",
        };
        self.change_table(operation, name, kind, |table| {
            if table.table.status != TableStatus::Active {
                return ChangeAnswer::Busy(fault(
                    operation,
                    name,
                    "ResourceInUseException",
                    "Table is being updated",
                ));
            }
            match change {
                TableChange::Stream(_) if table.table.stream.is_some() => {
                    return ChangeAnswer::Unchanged;
                }
                TableChange::Stream(view) => {
                    table.table.stream = Some(Stream {
                        arn: format!("{}/stream/2026-11-23T06:00:00.000", table.table.arn),
                        view: view.clone(),
                    });
                    table.changes.push(format!("stream {view}"));
                }
                TableChange::Class(class) => {
                    if table.table.class != *class {
                        table.table.class = class.clone();
                        table.changes.push(format!("class {class}"));
                    }
                }
                // It has no status on its way.
                TableChange::Protection => {
                    if !std::mem::replace(&mut table.table.protected, true) {
                        table.changes.push("protection".to_owned());
                    }
                    return ChangeAnswer::Accepted;
                }
            }
            table.table.status = TableStatus::Updating;
            table.reads_until_active = Some(table.reads_of_a_change);
            ChangeAnswer::Accepted
        })
    }

    async fn update_continuous_backups(
        &self,
        name: &str,
        days: Option<u8>,
    ) -> Result<ChangeAnswer, Error> {
        let operation = "dynamodb:UpdateContinuousBackups";
        self.change_table(operation, name, "pitr", |table| {
            if table.backups_unavailable > 0 {
                table.backups_unavailable -= 1;
                return ChangeAnswer::Busy(fault(
                    operation,
                    name,
                    "ContinuousBackupsUnavailableException",
                    "Backups are being enabled for the table",
                ));
            }
            let backups = ContinuousBackups {
                enabled: true,
                days: Some(days.unwrap_or(35)),
            };
            // The same again changes nothing.
            if table.backups != backups {
                table.backups = backups;
                table.changes.push(format!("pitr {days:?}"));
            }
            ChangeAnswer::Accepted
        })
    }

    async fn update_time_to_live(
        &self,
        name: &str,
        attribute: &str,
    ) -> Result<ChangeAnswer, Error> {
        let operation = "dynamodb:UpdateTimeToLive";
        self.change_table(operation, name, "ttl", |table| {
            if table.ttl.status != TimeToLiveStatus::Disabled {
                return ChangeAnswer::Unchanged;
            }
            if table.ttl_changed {
                return ChangeAnswer::Rejected(fault(
                    operation,
                    name,
                    "ValidationException",
                    "Time to live has been modified multiple times within a fixed interval",
                ));
            }
            table.ttl = TimeToLive {
                status: TimeToLiveStatus::Enabling,
                attribute: Some(attribute.to_owned()),
            };
            table.ttl_changed = true;
            table.changes.push(format!("ttl {attribute}"));
            ChangeAnswer::Accepted
        })
    }

    async fn tag(&self, table: &Arn, tags: &Tags) -> Result<ChangeAnswer, Error> {
        let operation = "dynamodb:TagResource";
        let name = table.resource_id("table").unwrap_or_default();
        self.change_table(operation, name, "tags", |table| {
            if table.reads_until_tags_settle > 0 {
                return ChangeAnswer::Busy(fault(
                    operation,
                    name,
                    "LimitExceededException",
                    "Table tags are being updated",
                ));
            }
            table.reads_until_tags_settle = 2;
            if tags
                .iter()
                .any(|(key, value)| table.tags.get(key) != Some(value))
            {
                table.tags.extend(tags.clone());
                let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
                table.changes.push(format!("tags {}", keys.join(" ")));
            }
            ChangeAnswer::Accepted
        })
    }
}
