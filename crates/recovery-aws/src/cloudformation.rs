//! CloudFormation: the resources of stacks.

use aws_sdk_cloudformation::Client;
use recovery_core::aws::cloudformation::{ListedResource, StackResource, StackState};
use recovery_core::error::Error;
use recovery_core::ports::{StackResources, Stacks};

use crate::client::{Config, Lazy, client};
use crate::error::{SdkError, classify, code, incomplete, message};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// CloudFormation in the recovery Region.
#[derive(Debug)]
pub struct CloudFormation {
    client: Lazy<Client>,
}

/// The SDK's replacement for a missing required member that is an enumeration. A missing text becomes empty.
pub(crate) const ABSENT: &str = "no value was set";
const DESCRIBE_STACK_RESOURCE: &str = "cloudformation:DescribeStackResource";
const DESCRIBE_STACKS: &str = "cloudformation:DescribeStacks";
const LIST_STACK_RESOURCES: &str = "cloudformation:ListStackResources";

impl CloudFormation {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[
        DESCRIBE_STACK_RESOURCE,
        DESCRIBE_STACKS,
        LIST_STACK_RESOURCES,
    ];

    /// The IAM actions to resolve references, of which none is an instance of a volume.
    pub const REFERENCE_ACTIONS: &'static [&'static str] = &[DESCRIBE_STACKS, LIST_STACK_RESOURCES];

    pub fn new(config: &Config) -> CloudFormation {
        CloudFormation {
            client: client!(config, aws_sdk_cloudformation),
        }
    }
}

impl StackResources for CloudFormation {
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResource.html>
    async fn describe(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        let subject = || format!("{stack}/{logical_id}");
        let answer = self
            .client
            .describe_stack_resource()
            .stack_name(stack)
            .logical_resource_id(logical_id)
            .send()
            .await;
        let detail = match answer {
            Ok(answer) => answer.stack_resource_detail,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(classify(DESCRIBE_STACK_RESOURCE, subject(), error)),
        };
        let missing = |member| incomplete(DESCRIBE_STACK_RESOURCE, &subject(), member);
        let detail = detail.ok_or_else(|| missing("StackResourceDetail"))?;
        Ok(Some(StackResource {
            resource_type: detail
                .resource_type
                .filter(|kind| !kind.is_empty())
                .ok_or_else(|| missing("ResourceType"))?,
            physical_id: detail.physical_resource_id.filter(|id| !id.is_empty()),
            status: detail
                .resource_status
                .filter(|status| status.as_str() != ABSENT)
                .ok_or_else(|| missing("ResourceStatus"))?
                .as_str()
                .into(),
        }))
    }

    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html>
    async fn list(&self, stack: &str) -> Result<Option<Vec<ListedResource>>, Error> {
        let missing = |member| incomplete(LIST_STACK_RESOURCES, stack, member);
        let mut pages = self
            .client
            .list_stack_resources()
            .stack_name(stack)
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(classify(LIST_STACK_RESOURCES, stack, error)),
            };
            for summary in page.stack_resource_summaries.unwrap_or_default() {
                let text = |text: Option<String>| text.filter(|text| !text.is_empty());
                found.push(ListedResource {
                    logical_id: text(summary.logical_resource_id)
                        .ok_or_else(|| missing("LogicalResourceId"))?,
                    resource: StackResource {
                        resource_type: text(summary.resource_type)
                            .ok_or_else(|| missing("ResourceType"))?,
                        physical_id: text(summary.physical_resource_id),
                        status: summary
                            .resource_status
                            .filter(|status| status.as_str() != ABSENT)
                            .ok_or_else(|| missing("ResourceStatus"))?
                            .as_str()
                            .into(),
                    },
                });
            }
        }
        Ok(Some(found))
    }
}

impl Stacks for CloudFormation {
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html>
    async fn describe(&self, stack: &str) -> Result<Option<StackState>, Error> {
        let answer = self.client.describe_stacks().stack_name(stack).send().await;
        let stacks = match answer {
            Ok(answer) => answer.stacks.unwrap_or_default(),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(classify(DESCRIBE_STACKS, stack, error)),
        };
        let missing = |member| incomplete(DESCRIBE_STACKS, stack, member);
        let described = stacks.into_iter().next().ok_or_else(|| missing("Stacks"))?;
        Ok(Some(StackState {
            status: described
                .stack_status
                .filter(|status| status.as_str() != ABSENT)
                .ok_or_else(|| missing("StackStatus"))?
                .as_str()
                .to_owned(),
            reason: described
                .stack_status_reason
                .filter(|reason| !reason.is_empty()),
        }))
    }
}

/// Whether the stack, or a resource in it, does not exist. This has the same code as malformed input.
fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    code(error) == Some("ValidationError")
        && message(error).is_some_and(|text| text.contains("does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    async fn described(wire: &Wire) -> Result<Option<StackResource>, Error> {
        StackResources::describe(&CloudFormation::new(&wire.config()), "shop", "Server").await
    }

    fn detail(inner: &str) -> Answer {
        Answer::query(
            "DescribeStackResource",
            &format!("<StackResourceDetail>{inner}</StackResourceDetail>"),
        )
    }

    #[tokio::test]
    async fn describes_a_resource_by_stack_and_logical_id_with_every_field() {
        let wire = Wire::answering([detail(
            "<StackName>shop</StackName><LogicalResourceId>Server</LogicalResourceId>\
             <PhysicalResourceId>i-0a1b2c3d4e5f60718</PhysicalResourceId><ResourceType>AWS::EC2::Instance</ResourceType>\
             <LastUpdatedTimestamp>2026-11-23T06:00:00.000Z</LastUpdatedTimestamp><ResourceStatus>CREATE_COMPLETE</ResourceStatus>",
        )]);
        assert_eq!(
            described(&wire).await.unwrap(),
            Some(StackResource {
                resource_type: "AWS::EC2::Instance".to_owned(),
                physical_id: Some("i-0a1b2c3d4e5f60718".to_owned()),
                status: "CREATE_COMPLETE".into(),
            })
        );
        let form = wire.only().form();
        assert_eq!(form["StackName"], "shop");
        assert_eq!(form["LogicalResourceId"], "Server");
        assert_eq!(form.len(), 2);
    }

    #[tokio::test]
    async fn returns_no_physical_id_for_a_resource_in_creation() {
        for physical_id in [
            "",
            "<PhysicalResourceId/>",
            "<PhysicalResourceId></PhysicalResourceId>",
        ] {
            let wire = Wire::answering([detail(&format!(
                "{physical_id}<ResourceType>AWS::EC2::Instance</ResourceType><ResourceStatus>CREATE_IN_PROGRESS</ResourceStatus>"
            ))]);
            let resource = described(&wire).await.unwrap().unwrap();
            assert_eq!(resource.physical_id, None);
            assert_eq!(resource.status.as_str(), "CREATE_IN_PROGRESS");
        }
    }

    #[tokio::test]
    async fn names_the_missing_field_of_a_response() {
        for (answer, missing) in [
            (
                Answer::query("DescribeStackResource", ""),
                "StackResourceDetail",
            ),
            (
                detail("<ResourceStatus>CREATE_COMPLETE</ResourceStatus>"),
                "ResourceType",
            ),
            (
                detail("<ResourceType>AWS::EC2::Instance</ResourceType>"),
                "ResourceStatus",
            ),
        ] {
            let error = described(&Wire::answering([answer])).await.unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert!(error.fault().message().ends_with(missing), "{error}");
            assert_eq!(error.fault().subject(), "shop/Server");
        }
    }

    #[tokio::test]
    async fn returns_none_only_for_missing_stacks_and_resources() {
        for message in [
            "Stack &apos;shop&apos; does not exist",
            "Stack with id shop does not exist",
            "Resource Server does not exist for stack shop",
        ] {
            let wire = Wire::answering([Answer::query_error(400, "ValidationError", message)]);
            assert_eq!(described(&wire).await.unwrap(), None);
        }
        for (code, message) in [
            (
                "ValidationError",
                "1 validation error detected: Value at 'stackName' failed to satisfy constraint",
            ),
            (
                "AccessDenied",
                "User is not authorized; the role does not exist",
            ),
        ] {
            let wire = Wire::answering([Answer::query_error(400, code, message)]);
            let error = described(&wire).await.unwrap_err();
            assert_eq!(error.error_type(), "Permanent", "{error}");
            assert_eq!(error.fault().code(), Some(code));
        }
    }

    fn listing(members: &str, next: &str) -> Answer {
        Answer::query(
            "ListStackResources",
            &format!("<StackResourceSummaries>{members}</StackResourceSummaries>{next}"),
        )
    }

    fn stacks(members: &str) -> Answer {
        Answer::query("DescribeStacks", &format!("<Stacks>{members}</Stacks>"))
    }

    #[tokio::test]
    async fn lists_the_resources_of_every_page() {
        let member = |id: &str, physical_id: &str, status: &str| {
            format!(
                "<member><LogicalResourceId>{id}</LogicalResourceId>{physical_id}<ResourceType>AWS::EC2::SecurityGroup</ResourceType>\
                 <LastUpdatedTimestamp>2026-11-23T06:00:00.000Z</LastUpdatedTimestamp><ResourceStatus>{status}</ResourceStatus></member>"
            )
        };
        let physical = "<PhysicalResourceId>sg-0a1b2c3d</PhysicalResourceId>";
        let wire = Wire::answering([
            listing(
                &member("Web", physical, "CREATE_COMPLETE"),
                "<NextToken>n</NextToken>",
            ),
            listing(&member("Db", "", "CREATE_IN_PROGRESS"), ""),
        ]);
        let listed = CloudFormation::new(&wire.config())
            .list("shop")
            .await
            .unwrap();
        let resource = |id: &str, physical_id: Option<&str>, status: &str| ListedResource {
            logical_id: id.to_owned(),
            resource: StackResource {
                resource_type: "AWS::EC2::SecurityGroup".to_owned(),
                physical_id: physical_id.map(str::to_owned),
                status: status.into(),
            },
        };
        assert_eq!(
            listed,
            Some(vec![
                resource("Web", Some("sg-0a1b2c3d"), "CREATE_COMPLETE"),
                resource("Db", None, "CREATE_IN_PROGRESS"),
            ])
        );
        assert_eq!(wire.sent()[1].form()["NextToken"], "n");
    }

    #[tokio::test]
    async fn describes_a_stack_and_returns_none_for_a_missing_one() {
        let wire = Wire::answering([
            stacks(
                "<member><StackName>shop</StackName><CreationTime>2026-11-23T06:00:00.000Z</CreationTime>\
                 <StackStatus>CREATE_FAILED</StackStatus><StackStatusReason>quota</StackStatusReason></member>",
            ),
            Answer::query_error(400, "ValidationError", "Stack with id shop does not exist"),
            Answer::query_error(400, "ValidationError", "Stack with id shop does not exist"),
        ]);
        let cloudformation = CloudFormation::new(&wire.config());
        assert_eq!(
            Stacks::describe(&cloudformation, "shop").await.unwrap(),
            Some(StackState {
                status: "CREATE_FAILED".to_owned(),
                reason: Some("quota".to_owned()),
            })
        );
        assert_eq!(
            Stacks::describe(&cloudformation, "shop").await.unwrap(),
            None
        );
        assert_eq!(cloudformation.list("shop").await.unwrap(), None);
    }

    #[tokio::test]
    async fn retries_throttled_calls() {
        let wire = Wire::answering([
            Answer::query_error(400, "Throttling", "Rate exceeded"),
            Answer::query_error(503, "ServiceUnavailable", "Try again."),
            detail("<ResourceType>T</ResourceType><ResourceStatus>S</ResourceStatus>"),
        ]);
        assert!(described(&wire).await.unwrap().is_some());
        assert_eq!(wire.sent().len(), 3);
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([detail(""), listing("", ""), stacks("")]);
        described(&wire).await.unwrap_err();
        let cloudformation = CloudFormation::new(&wire.config());
        cloudformation.list("shop").await.unwrap();
        Stacks::describe(&cloudformation, "shop").await.unwrap_err();
        assert_eq!(wire.actions(), listed(CloudFormation::ACTIONS));
        assert_eq!(
            called_in("cloudformation", include_str!("cloudformation.rs")),
            listed(CloudFormation::ACTIONS)
        );
    }
}
