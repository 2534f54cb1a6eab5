//! DynamoDB: tables and their settings.

#[cfg(test)]
mod tests;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::tag_resource::TagResourceError;
use aws_sdk_dynamodb::operation::update_continuous_backups::UpdateContinuousBackupsError;
use aws_sdk_dynamodb::operation::update_table::UpdateTableError;
use aws_sdk_dynamodb::operation::update_time_to_live::UpdateTimeToLiveError;
use aws_sdk_dynamodb::types::{
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, StreamSpecification,
    StreamViewType, TableDescription, Tag, TimeToLiveSpecification,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use chrono::DateTime;
use recovery_core::aws::arn::Arn;
use recovery_core::aws::table::{
    ChangeAnswer, ContinuousBackups, Stream, Table, TableChange, TableClass, TimeToLive,
    TimeToLiveStatus,
};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::Tables;
use recovery_core::tags::Tags;

use crate::client::{Config, Lazy, client};
use crate::error::{SdkError, classify, code, incomplete, message};

/// DynamoDB in the recovery Region.
#[derive(Debug)]
pub struct DynamoDb {
    client: Lazy<Client>,
}

const DESCRIBE_CONTINUOUS_BACKUPS: &str = "dynamodb:DescribeContinuousBackups";
const DESCRIBE_TABLE: &str = "dynamodb:DescribeTable";
const DESCRIBE_TIME_TO_LIVE: &str = "dynamodb:DescribeTimeToLive";
const LIST_TAGS_OF_RESOURCE: &str = "dynamodb:ListTagsOfResource";
const TAG_RESOURCE: &str = "dynamodb:TagResource";
const UPDATE_CONTINUOUS_BACKUPS: &str = "dynamodb:UpdateContinuousBackups";
const UPDATE_TABLE: &str = "dynamodb:UpdateTable";
const UPDATE_TIME_TO_LIVE: &str = "dynamodb:UpdateTimeToLive";

/// The codes of an error that says that the table does not exist. While DynamoDB creates a table, every operation except
/// DescribeTable answers so.
const NOT_FOUND: [&str; 2] = ["ResourceNotFoundException", "TableNotFoundException"];

/// The codes of an error that says that the change is accepted later: another change is under way, too many
/// changes of tables are, or the table was created some seconds ago.
const BUSY: [&str; 5] = [
    "ResourceInUseException",
    "LimitExceededException",
    "ContinuousBackupsUnavailableException",
    NOT_FOUND[0],
    NOT_FOUND[1],
];

/// Parts of the messages of a ValidationException that say that the table has such a setting. DynamoDB has no code for it.
const UNCHANGED: [&str; 3] = [
    "already has an enabled stream",
    "TimeToLive is already enabled",
    "TimeToLive is active on a different AttributeName",
];

impl DynamoDb {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[
        DESCRIBE_CONTINUOUS_BACKUPS,
        DESCRIBE_TABLE,
        DESCRIBE_TIME_TO_LIVE,
        LIST_TAGS_OF_RESOURCE,
        TAG_RESOURCE,
        UPDATE_CONTINUOUS_BACKUPS,
        UPDATE_TABLE,
        UPDATE_TIME_TO_LIVE,
    ];

    /// The IAM actions to describe tables.
    pub const LOOKUP_ACTIONS: &'static [&'static str] = &[DESCRIBE_TABLE];

    pub fn new(config: &Config) -> DynamoDb {
        DynamoDb {
            client: client!(config, aws_sdk_dynamodb),
        }
    }
}

impl Tables for DynamoDb {
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html>
    async fn describe(&self, name: &str) -> Result<Option<Table>, Error> {
        let answer = self.client.describe_table().table_name(name).send().await;
        match found(DESCRIBE_TABLE, name, answer)? {
            None => Ok(None),
            Some(answer) => {
                let missing = || incomplete(DESCRIBE_TABLE, name, "table");
                described(name, answer.table.ok_or_else(missing)?).map(Some)
            }
        }
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html>
    async fn continuous_backups(&self, name: &str) -> Result<Option<ContinuousBackups>, Error> {
        let answer = self
            .client
            .describe_continuous_backups()
            .table_name(name)
            .send()
            .await;
        let Some(answer) = found(DESCRIBE_CONTINUOUS_BACKUPS, name, answer)? else {
            return Ok(None);
        };
        let recovery = answer
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .ok_or_else(|| {
                incomplete(
                    DESCRIBE_CONTINUOUS_BACKUPS,
                    name,
                    "description of point-in-time recovery",
                )
            })?;
        let status = recovery.point_in_time_recovery_status;
        Ok(Some(ContinuousBackups {
            enabled: status == Some(PointInTimeRecoveryStatus::Enabled),
            days: recovery
                .recovery_period_in_days
                .and_then(|days| u8::try_from(days).ok()),
        }))
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html>
    async fn time_to_live(&self, name: &str) -> Result<Option<TimeToLive>, Error> {
        let answer = self
            .client
            .describe_time_to_live()
            .table_name(name)
            .send()
            .await;
        let Some(answer) = found(DESCRIBE_TIME_TO_LIVE, name, answer)? else {
            return Ok(None);
        };
        let missing = || incomplete(DESCRIBE_TIME_TO_LIVE, name, "status of time to live");
        let ttl = answer.time_to_live_description.ok_or_else(missing)?;
        Ok(Some(TimeToLive {
            status: TimeToLiveStatus::from(ttl.time_to_live_status.ok_or_else(missing)?.as_str()),
            attribute: ttl.attribute_name,
        }))
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTagsOfResource.html>
    async fn list_tags(&self, table: &Arn) -> Result<Option<Tags>, Error> {
        let mut tags = Tags::new();
        let mut page = None;
        loop {
            let answer = self
                .client
                .list_tags_of_resource()
                .resource_arn(table.as_str())
                .set_next_token(page)
                .send()
                .await;
            let Some(answer) = found(LIST_TAGS_OF_RESOURCE, table.as_str(), answer)? else {
                return Ok(None);
            };
            let listed = answer.tags.unwrap_or_default();
            tags.extend(listed.into_iter().map(|tag| (tag.key, tag.value)));
            page = answer.next_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(Some(tags));
            }
        }
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html>
    async fn update(&self, name: &str, change: &TableChange) -> Result<ChangeAnswer, Error> {
        let request = self.client.update_table().table_name(name);
        let request = match change {
            TableChange::Stream(view) => {
                let stream = StreamSpecification::builder()
                    .stream_enabled(true)
                    .stream_view_type(StreamViewType::from(view.as_str()))
                    .build()
                    .map_err(|error| {
                        let error = SdkError::<UpdateTableError>::construction_failure(error);
                        classify(UPDATE_TABLE, name, error)
                    })?;
                request.stream_specification(stream)
            }
            TableChange::Class(class) => request.table_class(class.as_str().into()),
            TableChange::Protection => request.deletion_protection_enabled(true),
        };
        changed(UPDATE_TABLE, name, request.send().await)
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateContinuousBackups.html>
    async fn update_continuous_backups(
        &self,
        name: &str,
        days: Option<u8>,
    ) -> Result<ChangeAnswer, Error> {
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .set_recovery_period_in_days(days.map(i32::from))
            .build()
            .map_err(|error| {
                let error = SdkError::<UpdateContinuousBackupsError>::construction_failure(error);
                classify(UPDATE_CONTINUOUS_BACKUPS, name, error)
            })?;
        let answer = self
            .client
            .update_continuous_backups()
            .table_name(name)
            .point_in_time_recovery_specification(recovery)
            .send()
            .await;
        changed(UPDATE_CONTINUOUS_BACKUPS, name, answer)
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>
    async fn update_time_to_live(
        &self,
        name: &str,
        attribute: &str,
    ) -> Result<ChangeAnswer, Error> {
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(attribute)
            .build()
            .map_err(|error| {
                let error = SdkError::<UpdateTimeToLiveError>::construction_failure(error);
                classify(UPDATE_TIME_TO_LIVE, name, error)
            })?;
        let answer = self
            .client
            .update_time_to_live()
            .table_name(name)
            .time_to_live_specification(ttl)
            .send()
            .await;
        changed(UPDATE_TIME_TO_LIVE, name, answer)
    }

    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html>
    async fn tag(&self, table: &Arn, tags: &Tags) -> Result<ChangeAnswer, Error> {
        let tags = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                let error = SdkError::<TagResourceError>::construction_failure(error);
                classify(TAG_RESOURCE, table.as_str(), error)
            })?;
        let answer = self
            .client
            .tag_resource()
            .resource_arn(table.as_str())
            .set_tags(Some(tags))
            .send()
            .await;
        changed(TAG_RESOURCE, table.as_str(), answer)
    }
}

/// The answer to a read; `None` if DynamoDB says that the table does not exist.
fn found<T, E>(
    operation: &'static str,
    subject: &str,
    answer: Result<T, SdkError<E>>,
) -> Result<Option<T>, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if code(&error).is_some_and(|code| NOT_FOUND.contains(&code)) => Ok(None),
        Err(error) => Err(classify(operation, subject, error)),
    }
}

/// The answer to a change.
fn changed<T, E>(
    operation: &'static str,
    subject: &str,
    answer: Result<T, SdkError<E>>,
) -> Result<ChangeAnswer, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let Err(error) = answer else {
        return Ok(ChangeAnswer::Accepted);
    };
    let error_code = code(&error).unwrap_or_default().to_owned();
    let text = message(&error).unwrap_or_default().to_owned();
    let fault = |remedy: &str| {
        Fault::new(operation, subject, text.clone(), remedy).with_code(error_code.clone())
    };
    if BUSY.contains(&error_code.as_str()) {
        return Ok(ChangeAnswer::Busy(fault(
            "No action needed. The change is tried again automatically.",
        )));
    }
    if error_code == "ValidationException" {
        if UNCHANGED.iter().any(|part| text.contains(part)) {
            return Ok(ChangeAnswer::Unchanged);
        }
        return Ok(ChangeAnswer::Rejected(fault("Make this setting yourself.")));
    }
    Err(classify(operation, subject, error))
}

/// A table of DescribeTable.
fn described(name: &str, table: TableDescription) -> Result<Table, Error> {
    let missing = |member| incomplete(DESCRIBE_TABLE, name, member);
    let view = table
        .stream_specification
        .filter(|stream| stream.stream_enabled)
        .and_then(|stream| stream.stream_view_type);
    // The ARN of the latest stream stays after the stream was disabled.
    let stream = view
        .map(|view| {
            Ok::<_, Error>(Stream {
                arn: table
                    .latest_stream_arn
                    .ok_or_else(|| missing("ARN of the stream"))?,
                view: view.as_str().into(),
            })
        })
        .transpose()?;
    let created = table
        .creation_date_time
        .and_then(|created| DateTime::from_timestamp(created.secs(), created.subsec_nanos()))
        .ok_or_else(|| missing("time of creation"))?;
    Ok(Table {
        arn: Arn::parse(&table.table_arn.ok_or_else(|| missing("ARN"))?)?,
        id: table.table_id.ok_or_else(|| missing("id"))?,
        status: table
            .table_status
            .ok_or_else(|| missing("status"))?
            .as_str()
            .into(),
        created,
        stream,
        // Only tables of another class have one.
        class: table
            .table_class_summary
            .and_then(|summary| summary.table_class)
            .map_or(TableClass::Standard, |class| class.as_str().into()),
        protected: table.deletion_protection_enabled.unwrap_or(false),
    })
}
