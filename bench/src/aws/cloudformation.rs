//! CloudFormation:
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResource.html>.

use testkit::http::Request;

use super::world::{World, ids};
use super::{Answer, query, query_error};

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let form = request.form();
    let action = form.get("Action").unwrap_or_default().to_owned();
    let stack = form.get("StackName").unwrap_or_default();
    let logical_id = form.get("LogicalResourceId").unwrap_or_default();
    let targets = [
        (ids::STACK, ids::LOGICAL_ID),
        (ids::PLANNED_STACK, ids::PLANNED_LOGICAL_ID),
    ];
    let answer = if action != "DescribeStackResource" {
        query_error("InvalidAction", "this action is not faked")
    } else if !targets.contains(&(stack, logical_id)) {
        query_error(
            "ValidationError",
            &format!("Stack '{stack}' does not exist"),
        )
    } else {
        let (kind, id) = if world.grouped {
            ("AWS::AutoScaling::AutoScalingGroup", ids::GROUP)
        } else {
            ("AWS::EC2::Instance", ids::INSTANCE)
        };
        query(
            &action,
            &format!(
                "<StackResourceDetail><StackName>{stack}</StackName><StackId>arn:aws:cloudformation:us-west-2:111122223333:stack/{stack}/aaf549a0-a413-11df-adb3-5081b3858e83</StackId><LogicalResourceId>{logical_id}</LogicalResourceId><PhysicalResourceId>{id}</PhysicalResourceId><ResourceType>{kind}</ResourceType><LastUpdatedTimestamp>2026-10-20T14:59:12.104Z</LastUpdatedTimestamp><ResourceStatus>CREATE_COMPLETE</ResourceStatus><Metadata>{{}}</Metadata><DriftInformation><StackResourceDriftStatus>NOT_CHECKED</StackResourceDriftStatus></DriftInformation></StackResourceDetail>"
            ),
        )
    };
    (action, answer)
}
