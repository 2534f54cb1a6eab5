//! CloudFormation: the resources of stacks.

use aws_sdk_cloudformation::Client;
use recovery_core::error::Error;
use recovery_core::ports::{StackResource, StackResources};

use crate::client::Config;
use crate::error::{classify, code, incomplete, message};

/// CloudFormation in the recovery Region.
#[derive(Debug)]
pub struct CloudFormation {
    client: Client,
}

const DESCRIBE_STACK_RESOURCE: &str = "cloudformation:DescribeStackResource";

impl CloudFormation {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_STACK_RESOURCE];

    /// A client on `config`.
    pub fn new(config: &Config) -> CloudFormation {
        CloudFormation {
            client: Client::new(config),
        }
    }
}

impl StackResources for CloudFormation {
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResource.html>
    async fn stack_resource(
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
            // A missing stack and a missing resource have the same code as malformed input.
            Err(error)
                if code(&error) == Some("ValidationError")
                    && message(&error).is_some_and(|text| text.contains("does not exist")) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(classify(DESCRIBE_STACK_RESOURCE, subject(), error)),
        };
        let missing = |member| incomplete(DESCRIBE_STACK_RESOURCE, &subject(), member);
        let detail = detail.ok_or_else(|| missing("StackResourceDetail"))?;
        Ok(Some(StackResource {
            resource_type: detail
                .resource_type
                .ok_or_else(|| missing("ResourceType"))?,
            physical_id: detail.physical_resource_id.filter(|id| !id.is_empty()),
            status: detail
                .resource_status
                .ok_or_else(|| missing("ResourceStatus"))?
                .as_str()
                .to_owned(),
        }))
    }
}
