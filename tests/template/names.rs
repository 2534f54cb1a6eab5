//! Names are short enough for every stack name, and reusable after a stack is deleted.

use serde_json::Value;

use crate::support::sam::{GOLDEN_AMI, TEMPLATES, deployed_in, members, template_at};

/// The longest name of a stack (API reference of CloudFormation, CreateStack).
const LONGEST_STACK_NAME: usize = 128;

/// Names that are made of the stack's, and how long they may be: type, property, characters.
const MADE_OF_THE_STACKS: [(&str, &str, usize); 15] = [
    ("AWS::CloudWatch::Alarm", "AlarmName", 255),
    ("AWS::CloudWatch::CompositeAlarm", "AlarmName", 255),
    ("AWS::CloudWatch::Dashboard", "DashboardName", 255),
    ("AWS::ImageBuilder::Component", "Name", 128),
    ("AWS::ImageBuilder::DistributionConfiguration", "Name", 127),
    (
        "AWS::ImageBuilder::DistributionConfiguration",
        "ParameterName",
        1011,
    ),
    ("AWS::ImageBuilder::ImagePipeline", "Name", 128),
    ("AWS::ImageBuilder::ImageRecipe", "Name", 128),
    (
        "AWS::ImageBuilder::InfrastructureConfiguration",
        "Name",
        128,
    ),
    ("AWS::ImageBuilder::LifecyclePolicy", "Name", 128),
    ("AWS::KMS::Alias", "AliasName", 256),
    ("AWS::Logs::LogGroup", "LogGroupName", 512),
    ("AWS::Logs::ResourcePolicy", "PolicyName", 255),
    ("AWS::SNS::Topic", "TopicName", 256),
    // None yet: a name of 80 characters has no room for a stack's.
    ("AWS::Serverless::StateMachine", "Name", 80),
];

/// Stack names that a template admits, where these are shorter than CloudFormation's. In docs/limits.md.
const SHORTER: [(&str, usize); 1] = [(GOLDEN_AMI, 98)];

/// Whether a property is a name that has to be unique.
fn is_name(property: &str) -> bool {
    property.ends_with("Name") || property == "StatementId"
}

/// Names below a value: the property, and what it is written as. Tags and parameters of calls are none.
fn names(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Array(elements) => elements.iter().flat_map(names).collect(),
        Value::Object(object) => object
            .iter()
            .filter(|(property, _)| *property != "Tags" && *property != "Content")
            .flat_map(|(property, value)| {
                let own = is_name(property).then(|| (property.clone(), value.clone()));
                own.into_iter().chain(names(value))
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn names_fit_for_every_stack_name() {
    for path in TEMPLATES {
        let longest = SHORTER
            .iter()
            .find(|(shorter, _)| *shorter == path)
            .map_or(LONGEST_STACK_NAME, |(_, longest)| *longest);
        let prefix = "p".repeat(100);
        let given = given(path, &[("AlarmNamePrefix", &prefix)]);
        let deployed = deployed_in("eu-central-1", path, &given).named(&"s".repeat(longest));
        for (logical_id, resource) in members(&template_at(path)["Resources"]) {
            let of_type = resource["Type"].as_str().unwrap_or_default();
            for (property, written) in names(&resource["Properties"]) {
                if !written.to_string().contains("AWS::StackName") {
                    continue;
                }
                let most = MADE_OF_THE_STACKS
                    .iter()
                    .find(|(known, name, _)| *known == of_type && *name == property)
                    .unwrap_or_else(|| {
                        panic!("{path}: {logical_id}: how long may {property} of {of_type} be?")
                    })
                    .2;
                let name = deployed.evaluated(&written);
                let length = name.as_str().map_or(0, |name| name.chars().count());
                assert!(
                    (1..=most).contains(&length),
                    "{path}: {logical_id}: {property} has {length} characters, {most} at most"
                );
            }
        }
    }
}

/// Those of the parameters that the template has; and what an example has no default for.
fn given<'a>(path: &str, parameters: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let declared = &template_at(path)["Parameters"];
    parameters
        .iter()
        .copied()
        .chain([("DeployedAs", "primary")])
        .filter(|(name, _)| declared.get(name).is_some())
        .collect()
}

/// What is kept still has its name when the next stack of the same name is created.
#[test]
fn retained_resources_have_names_unique_to_the_stack() {
    let mut kept = 0;
    for path in TEMPLATES {
        let deployed = deployed_in("eu-central-1", path, &given(path, &[]));
        for (logical_id, resource) in members(&template_at(path)["Resources"]) {
            let policies = ["DeletionPolicy", "UpdateReplacePolicy"];
            if policies.iter().all(|policy| resource.get(policy).is_none()) {
                continue;
            }
            kept += 1;
            for (property, written) in members(&resource["Properties"]) {
                let name = deployed.evaluated(written);
                assert!(
                    !is_name(property)
                        || name.as_str().is_some_and(|name| name.contains("5b9ea3d0")),
                    "{path}: {logical_id}: {property} is {name}, which the next stack needs"
                );
            }
        }
    }
    assert!(kept > 20, "{kept}");
}
