//! Resource Groups Tagging API: resources of all services by their tags.

use aws_sdk_resourcegroupstagging::Client;
use aws_sdk_resourcegroupstagging::types::TagFilter;
use recovery_core::aws::arn::Arn;
use recovery_core::error::Error;
use recovery_core::ports::TaggedResources;

use crate::client::{Config, Lazy, client};
use crate::error::classify;

/// The tags of the recovery Region.
#[derive(Debug)]
pub struct Tagging {
    client: Lazy<Client>,
}

const GET_RESOURCES: &str = "tag:GetResources";

impl Tagging {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[GET_RESOURCES];

    pub fn new(config: &Config) -> Tagging {
        Tagging {
            client: client!(config, aws_sdk_resourcegroupstagging),
        }
    }
}

impl TaggedResources for Tagging {
    /// <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>
    async fn list(&self, resource_type: &str, key: &str, value: &str) -> Result<Vec<Arn>, Error> {
        let subject = || format!("{resource_type} with the tag {key}={value}");
        let mut pages = self
            .client
            .get_resources()
            .resource_type_filters(resource_type)
            .tag_filters(TagFilter::builder().key(key).values(value).build())
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(GET_RESOURCES, subject(), error))?;
            for mapping in page.resource_tag_mapping_list.unwrap_or_default() {
                found.push(Arn::parse(&mapping.resource_arn.unwrap_or_default())?);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    #[tokio::test]
    async fn lists_the_arns_of_every_page() {
        let arn = |name: &str| format!("arn:aws:rds:us-west-2:111122223333:subgrp:{name}");
        let page = |name: &str, next: &str| {
            Answer::json(&json!({
                "PaginationToken": next,
                "ResourceTagMappingList": [
                    {"ResourceARN": arn(name), "Tags": [{"Key": "Name", "Value": "orders"}]},
                ],
            }))
        };
        let wire = Wire::answering([page("a", "more"), page("b", "")]);
        let found = Tagging::new(&wire.config())
            .list("rds:subgrp", "Name", "orders")
            .await
            .unwrap();
        let found: Vec<&str> = found.iter().map(Arn::as_str).collect();
        assert_eq!(found, [arn("a"), arn("b")]);
        let sent: Vec<_> = wire.sent().iter().map(|sent| sent.json()).collect();
        let asked = json!({
            "ResourceTypeFilters": ["rds:subgrp"],
            "TagFilters": [{"Key": "Name", "Values": ["orders"]}],
        });
        let mut again = asked.clone();
        again["PaginationToken"] = json!("more");
        assert_eq!(sent, [asked, again]);
        assert_eq!(wire.actions(), listed(Tagging::ACTIONS));
        assert_eq!(
            called_in("tag", include_str!("tagging.rs")),
            listed(Tagging::ACTIONS)
        );
    }
}
