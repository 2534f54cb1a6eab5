//! Systems Manager: OpsItems and runbooks.

use std::collections::HashMap;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::SdkError;
use aws_sdk_ssm::operation::create_ops_item::CreateOpsItemError;
use aws_sdk_ssm::operation::describe_ops_items::DescribeOpsItemsError;
use aws_sdk_ssm::types::builders::OpsItemFilterBuilder;
use aws_sdk_ssm::types::{
    OpsItemDataType, OpsItemDataValue, OpsItemFilter, OpsItemFilterKey, OpsItemFilterOperator,
    OpsItemStatus, RelatedOpsItem,
};
use chrono::{DateTime, SecondsFormat, Utc};
use recovery_core::aws::arn::OpsItemId;
use recovery_core::error::Error;
use recovery_core::ops_item::{
    Claim, DATA_LIMIT, ItemKey, KEY, KIND, NewOpsItem, OpsItem, OpsItemChange, SOURCE, Status,
};
use recovery_core::ports::{OpsItems, Runbooks};
use recovery_core::text;
use serde_json::json;

use crate::backup::time;
use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete};

/// OpsCenter in the recovery Region.
#[derive(Debug)]
pub struct OpsCenter {
    client: Lazy<Client>,
}

const CREATE_OPS_ITEM: &str = "ssm:CreateOpsItem";
const DESCRIBE_OPS_ITEMS: &str = "ssm:DescribeOpsItems";
const GET_OPS_ITEM: &str = "ssm:GetOpsItem";
const UPDATE_OPS_ITEM: &str = "ssm:UpdateOpsItem";
const START_AUTOMATION_EXECUTION: &str = "ssm:StartAutomationExecution";

impl OpsCenter {
    /// The IAM actions of the calls of this adapter.
    pub const ACTIONS: &'static [&'static str] = &[
        CREATE_OPS_ITEM,
        DESCRIBE_OPS_ITEMS,
        GET_OPS_ITEM,
        UPDATE_OPS_ITEM,
    ];

    pub fn new(config: &Config) -> OpsCenter {
        OpsCenter {
            client: client!(config, aws_sdk_ssm),
        }
    }

    /// All items that match the filters, the oldest first.
    async fn filtered(
        &self,
        subject: &str,
        filters: Vec<OpsItemFilterBuilder>,
    ) -> Result<Vec<OpsItem>, Error> {
        let filters = filters
            .into_iter()
            .map(OpsItemFilterBuilder::build)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                let error = SdkError::<DescribeOpsItemsError>::construction_failure(error);
                classify(DESCRIBE_OPS_ITEMS, subject, error)
            })?;
        let mut found = Vec::new();
        let mut pages = self
            .client
            .describe_ops_items()
            .set_ops_item_filters(Some(filters))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(DESCRIBE_OPS_ITEMS, subject, error))?;
            for summary in page.ops_item_summaries.unwrap_or_default() {
                let id = summary
                    .ops_item_id
                    .ok_or_else(|| incomplete(DESCRIBE_OPS_ITEMS, subject, "OpsItemId"))?;
                let created = summary.created_time.map_or(0, |time| time.as_nanos());
                let item = OpsItem {
                    id: OpsItemId::new(id),
                    status: status(summary.status),
                    created: summary.created_time.and_then(time),
                    data: texts(summary.operational_data).into_iter().collect(),
                };
                found.push((created, item));
            }
        }
        found.sort_by(|(a, item_a), (b, item_b)| (a, &item_a.id).cmp(&(b, &item_b.id)));
        Ok(found.into_iter().map(|(_, item)| item).collect())
    }
}

impl OpsItems for OpsCenter {
    /// All items with this key, the oldest first.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeOpsItems.html>
    async fn list(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        let mut found = self
            .filtered(key.as_str(), vec![data_filter(KEY, key.as_str())])
            .await?;
        // The filter of the service is not exact.
        found.retain(|item| item.data.get(KEY).map(String::as_str) == Some(key.as_str()));
        Ok(found)
    }

    /// All items of this kind that are open or in progress, the oldest first.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeOpsItems.html>
    async fn list_open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        let open = filter(
            OpsItemFilterKey::Status,
            [
                OpsItemStatus::Open.as_str(),
                OpsItemStatus::InProgress.as_str(),
            ],
        );
        self.filtered(kind, vec![data_filter(KIND, kind), open])
            .await
    }

    /// All resolved items of this kind that were created after `since`, the oldest first.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeOpsItems.html>
    async fn list_resolved(
        &self,
        kind: &'static str,
        since: DateTime<Utc>,
    ) -> Result<Vec<OpsItem>, Error> {
        let resolved = filter(OpsItemFilterKey::Status, [OpsItemStatus::Resolved.as_str()]);
        let after = OpsItemFilter::builder()
            .key(OpsItemFilterKey::CreatedTime)
            .values(since.to_rfc3339_opts(SecondsFormat::Secs, true))
            .operator(OpsItemFilterOperator::GreaterThan);
        self.filtered(kind, vec![data_filter(KIND, kind), resolved, after])
            .await
    }

    /// The item with this id.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetOpsItem.html>
    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        let item = self
            .client
            .get_ops_item()
            .ops_item_id(id.as_str())
            .send()
            .await
            .map_err(|error| classify(GET_OPS_ITEM, id.as_str(), error))?
            .ops_item
            .ok_or_else(|| incomplete(GET_OPS_ITEM, id.as_str(), "OpsItem"))?;
        Ok(as_item(id, item))
    }

    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetOpsItem.html>
    async fn find(&self, id: &OpsItemId) -> Result<Option<OpsItem>, Error> {
        let answer = self
            .client
            .get_ops_item()
            .ops_item_id(id.as_str())
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some("OpsItemNotFoundException") => return Ok(None),
            answer => answer.map_err(|error| classify(GET_OPS_ITEM, id.as_str(), error))?,
        };
        let item = answer
            .ops_item
            .ok_or_else(|| incomplete(GET_OPS_ITEM, id.as_str(), "OpsItem"))?;
        Ok(Some(as_item(id, item)))
    }

    /// Creates the item, unless one that is open has the same key.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateOpsItem.html>
    async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
        let searchable = OpsItemDataType::SearchableString;
        let mut request = self
            .client
            .create_ops_item()
            .title(item.limited_title())
            .description(item.limited_description())
            .source(SOURCE)
            .category(item.category)
            .severity(item.severity.as_str())
            .operational_data("/aws/dedup", value(item.dedup(), searchable.clone()))
            .operational_data(KEY, value(item.key.as_str(), searchable.clone()));
        for (key, text) in &item.data {
            request = request.operational_data(*key, value(text, searchable.clone()));
        }
        match request.send().await {
            Ok(created) => created
                .ops_item_id
                .map(|id| Claim::Created(OpsItemId::new(id)))
                .ok_or_else(|| incomplete(CREATE_OPS_ITEM, item.key.as_str(), "OpsItemId")),
            Err(error) => match error.as_service_error() {
                Some(CreateOpsItemError::OpsItemAlreadyExistsException(exists)) => exists
                    .ops_item_id()
                    .map(|id| Claim::Existing(OpsItemId::new(id)))
                    .ok_or_else(|| {
                        incomplete(
                            CREATE_OPS_ITEM,
                            item.key.as_str(),
                            "OpsItemId in OpsItemAlreadyExistsException",
                        )
                    }),
                _ => Err(classify(CREATE_OPS_ITEM, item.key.as_str(), error)),
            },
        }
    }

    /// Changes the item.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_UpdateOpsItem.html>
    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        let mut request = self
            .client
            .update_ops_item()
            .ops_item_id(id.as_str())
            .set_title(change.limited_title())
            .set_description(change.limited_description())
            .set_severity(change.severity.map(|severity| severity.as_str().to_owned()))
            .set_status(change.status.map(|status| match status {
                Status::Open => OpsItemStatus::Open,
                Status::Resolved => OpsItemStatus::Resolved,
            }))
            .set_related_ops_items(change.related.as_ref().map(|related| {
                related
                    .iter()
                    .filter_map(|id| {
                        let related = RelatedOpsItem::builder().ops_item_id(id.as_str());
                        // Building fails only without an id.
                        related.build().ok()
                    })
                    .collect()
            }));
        for (key, text) in &change.data {
            request =
                request.operational_data(*key, value(text, OpsItemDataType::SearchableString));
        }
        request
            .send()
            .await
            .map_err(|error| classify(UPDATE_OPS_ITEM, id.as_str(), error))?;
        Ok(())
    }
}

fn as_item(id: &OpsItemId, item: aws_sdk_ssm::types::OpsItem) -> OpsItem {
    OpsItem {
        id: id.clone(),
        status: status(item.status),
        created: item.created_time.and_then(time),
        data: texts(item.operational_data).into_iter().collect(),
    }
}

/// A filter for any of these values.
fn filter<const N: usize>(key: OpsItemFilterKey, values: [&str; N]) -> OpsItemFilterBuilder {
    OpsItemFilter::builder()
        .key(key)
        .operator(OpsItemFilterOperator::Equal)
        .set_values(Some(values.map(str::to_owned).into()))
}

/// A filter for items whose operational data have this value.
fn data_filter(key: &str, value: &str) -> OpsItemFilterBuilder {
    let pair = json!({"key": key, "value": value}).to_string();
    filter(OpsItemFilterKey::OperationalData, [&pair])
}

/// A value that OpsCenter takes: not too long, and not blank.
fn value(text: impl AsRef<str>, kind: OpsItemDataType) -> OpsItemDataValue {
    let text = match text.as_ref() {
        blank if blank.trim().is_empty() => "(empty)",
        text => text,
    };
    OpsItemDataValue::builder()
        .value(text::within(text, DATA_LIMIT))
        .r#type(kind)
        .build()
}

fn texts(data: Option<HashMap<String, OpsItemDataValue>>) -> HashMap<String, String> {
    data.unwrap_or_default()
        .into_iter()
        .filter_map(|(key, data)| Some((key, data.value?)))
        .collect()
}

/// The status, reduced to open or resolved. In progress, pending and unknown statuses are open.
fn status(status: Option<OpsItemStatus>) -> Status {
    match status {
        Some(OpsItemStatus::Resolved | OpsItemStatus::Closed) => Status::Resolved,
        _ => Status::Open,
    }
}

/// Systems Manager Automation in the recovery Region.
#[derive(Debug)]
pub struct RunbookRunner {
    client: Lazy<Client>,
}

impl RunbookRunner {
    /// The IAM actions of the calls of this adapter.
    pub const ACTIONS: &'static [&'static str] = &[START_AUTOMATION_EXECUTION];

    pub fn new(config: &Config) -> RunbookRunner {
        RunbookRunner {
            client: client!(config, aws_sdk_ssm),
        }
    }
}

impl Runbooks for RunbookRunner {
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartAutomationExecution.html>
    async fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<String, Error> {
        let mut request = self
            .client
            .start_automation_execution()
            .document_name(runbook)
            .client_token(token);
        for (name, value) in parameters {
            request = request.parameters(*name, vec![value.clone()]);
        }
        request
            .send()
            .await
            .map_err(|error| classify(START_AUTOMATION_EXECUTION, runbook, error))?
            .automation_execution_id
            .ok_or_else(|| incomplete(START_AUTOMATION_EXECUTION, runbook, "AutomationExecutionId"))
    }
}

#[cfg(test)]
mod tests;
