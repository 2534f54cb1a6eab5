//! `template.yaml` and the templates of `infra/` as CloudFormation would evaluate them, with
//! intrinsics resolved as far as they are used, and with the files that `AWS::Include` names. Aliases and
//! merge keys are resolved, as the SAM CLI does. The SAM transform is not applied: what `Globals` share is
//! merged by those who ask.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::repository::{files, text};

/// The system itself.
const TEMPLATE: &str = "template.yaml";
/// What stands in the primary Region.
pub(crate) const PRIMARY: &str = "infra/primary-region.yaml";
/// What stands in the backup Region of AWS Health.
pub(crate) const HEALTH_BACKUP: &str = "infra/health-backup-region.yaml";
/// Examples of alarms.
pub(crate) const ALARMS: &str = "infra/workload-alarms.yaml";
/// The pipeline of golden AMIs.
pub(crate) const GOLDEN_AMI: &str = "infra/golden-ami.yaml";
/// A workload, for both Regions.
pub(crate) const WORKLOAD: &str = "infra/example-workload.yaml";
/// All templates.
pub(crate) const TEMPLATES: [&str; 6] = [
    TEMPLATE,
    PRIMARY,
    HEALTH_BACKUP,
    ALARMS,
    GOLDEN_AMI,
    WORKLOAD,
];

/// The templates, their short-form intrinsics in their long form (`{"Fn::Sub": …}`).
static PARSED: LazyLock<BTreeMap<&str, Value>> = LazyLock::new(|| {
    TEMPLATES
        .into_iter()
        .map(|path| {
            let mut parsed: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text(path))
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            parsed
                .apply_merge()
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            let written = with_includes(long_form(parsed));
            assert!(
                !written.to_string().contains("\"<<\""),
                "{path}: a merge key inside of another is not resolved"
            );
            (path, written)
        })
        .collect()
});

/// The folders of the files that `template.yaml` includes.
const INCLUDED: [&str; 2] = ["infra/dashboards", "infra/runbooks"];

/// All templates, and the files that they include.
pub(crate) fn templates_and_included() -> Vec<String> {
    let included = INCLUDED.iter().flat_map(|folder| {
        files(folder)
            .into_iter()
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .map(move |name| format!("{folder}/{name}"))
    });
    TEMPLATES
        .iter()
        .copied()
        .map(str::to_owned)
        .chain(included)
        .collect()
}

/// What the tests give for parameters without a default.
const GIVEN: [(&str, &str); 3] = [
    ("PrimaryRegion", "us-east-1"),
    ("RecoveryRegion", "eu-west-1"),
    ("RecoveryAccountId", "111122223333"),
];

/// With these, every function of the template is there.
pub(crate) const EVERY_FUNCTION: [(&str, &str); 5] = [
    ("RecoveryWorkload", "shop"),
    ("RegionSwitchAction", "on"),
    (
        "RoutingClusterEndpoints",
        "us-east-1=https://1a.route53-recovery-cluster.us-east-1.amazonaws.com/v1,\
         us-west-2=https://2b.route53-recovery-cluster.us-west-2.amazonaws.com/v1,\
         eu-west-1=https://3c.route53-recovery-cluster.eu-west-1.amazonaws.com/v1,\
         ap-northeast-1=https://4d.route53-recovery-cluster.ap-northeast-1.amazonaws.com/v1,\
         ap-southeast-2=https://5e.route53-recovery-cluster.ap-southeast-2.amazonaws.com/v1",
    ),
    (
        "RoutingControlsOn",
        "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/west",
    ),
    (
        "RoutingControlsOff",
        "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/east,\
         arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/south",
    ),
];

/// A restored file system is mounted by a rule, without the functions.
pub(crate) const MOUNTED_BY_RULE: [(&str, &str); 3] = [
    (
        "MountSourceArn",
        "arn:aws:elasticfilesystem:us-east-1:111122223333:file-system/fs-06d8cf961666f5ad3",
    ),
    ("MountInstanceTag", "role=web"),
    ("MountPath", "/shared"),
];

/// A template as deployed in a Region with certain parameters.
pub(crate) struct Deployed {
    template: &'static Value,
    region: String,
    stack_name: String,
    parameters: BTreeMap<String, Value>,
}

/// The template itself, nothing evaluated.
pub(crate) fn template() -> &'static Value {
    template_at(TEMPLATE)
}

/// The template in this file, nothing evaluated.
pub(crate) fn template_at(path: &str) -> &'static Value {
    &PARSED[path]
}

/// `template.yaml` deployed in us-west-2 with these parameters and the defaults of the others.
pub(crate) fn deployed(given: &[(&str, &str)]) -> Deployed {
    deployed_in("us-west-2", TEMPLATE, given)
}

/// The template in this file, deployed in this Region with these parameters and the defaults of the
/// others.
pub(crate) fn deployed_in(region: &str, path: &str, given: &[(&str, &str)]) -> Deployed {
    let template = template_at(path);
    let parameters = members(&template["Parameters"])
        .map(|(name, declared)| {
            let value = given
                .iter()
                .chain(&GIVEN)
                .find(|(given, _)| given == name)
                .map(|(_, value)| (*value).to_owned())
                .or_else(|| match &declared["Default"] {
                    Value::String(text) => Some(text.clone()),
                    Value::Null => None,
                    number => Some(number.to_string()),
                })
                .unwrap_or_else(|| panic!("the parameter {name} has no default and is not given"));
            let value = if declared["Type"] == "CommaDelimitedList" {
                json!(value.split(',').collect::<Vec<_>>())
            } else {
                json!(value)
            };
            (name.clone(), value)
        })
        .collect();
    for (name, _) in given {
        assert!(
            template["Parameters"].get(name).is_some(),
            "{path} has no parameter {name}"
        );
    }
    Deployed {
        template,
        region: region.to_owned(),
        stack_name: "rapid-recovery".to_owned(),
        parameters,
    }
}

impl Deployed {
    /// The same, as a stack of this name.
    pub(crate) fn named(mut self, stack_name: &str) -> Deployed {
        stack_name.clone_into(&mut self.stack_name);
        self
    }

    /// The partition that the Region is in, and the end of host names there.
    fn partition(&self) -> (&'static str, &'static str) {
        match self.region.split('-').next() {
            Some("cn") => ("aws-cn", "amazonaws.com.cn"),
            _ if self.region.starts_with("us-gov-") => ("aws-us-gov", "amazonaws.com"),
            _ => ("aws", "amazonaws.com"),
        }
    }

    /// Names and properties of all resources of a type. Resources whose condition does not hold
    /// are absent.
    pub(crate) fn resources(&self, of_type: &str) -> BTreeMap<String, Value> {
        members(&self.template["Resources"])
            .filter(|(_, resource)| resource["Type"] == of_type)
            .filter(|(_, resource)| {
                resource["Condition"]
                    .as_str()
                    .is_none_or(|name| self.condition(name))
            })
            .map(|(name, resource)| (name.clone(), self.evaluated(&resource["Properties"])))
            .collect()
    }

    /// The members of `Globals.Function`.
    pub(crate) fn function_globals(&self) -> Value {
        self.evaluated(&self.template["Globals"]["Function"])
    }

    /// What the template's `Rules` say against these parameters.
    pub(crate) fn objections(&self) -> Vec<String> {
        members(&self.template["Rules"])
            .filter(|(_, rule)| {
                rule.get("RuleCondition")
                    .is_none_or(|condition| self.evaluated(condition) == true)
            })
            .flat_map(|(_, rule)| rule["Assertions"].as_array().into_iter().flatten())
            .filter(|assertion| self.evaluated(&assertion["Assert"]) != true)
            .map(|assertion| assertion["AssertDescription"].to_string())
            .collect()
    }

    /// `value` with its intrinsics resolved, and without what is `AWS::NoValue`.
    pub(crate) fn evaluated(&self, value: &Value) -> Value {
        self.evaluate(value).unwrap_or(Value::Null)
    }

    /// The value, or nothing for `AWS::NoValue`.
    fn evaluate(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Object(object) => match intrinsic(object) {
                Some((name, argument)) => self.intrinsic(name, argument),
                None => Some(
                    object
                        .iter()
                        .filter_map(|(key, value)| Some((key.clone(), self.evaluate(value)?)))
                        .collect::<Map<_, _>>()
                        .into(),
                ),
            },
            Value::Array(elements) => Some(
                elements
                    .iter()
                    .filter_map(|element| self.evaluate(element))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            other => Some(other.clone()),
        }
    }

    fn intrinsic(&self, name: &str, argument: &Value) -> Option<Value> {
        let evaluated = || self.evaluated(argument);
        Some(match name {
            "Ref" => return self.reference(argument.as_str()?),
            "Fn::GetAtt" => {
                let path = match argument {
                    Value::String(path) => path.clone(),
                    parts => strings(parts).join("."),
                };
                let (resource, attribute) = path.split_once('.').expect("Resource.Attribute");
                self.assert_resource(resource);
                json!(attribute_of(resource, attribute))
            }
            "Fn::Sub" => match argument {
                Value::String(text) => json!(self.substituted(text, &Value::Null)),
                parts => json!(self.substituted(
                    parts[0].as_str().expect("Fn::Sub begins with text"),
                    &parts[1]
                )),
            },
            "Fn::If" => {
                let branches = argument.as_array().expect("Fn::If takes a list");
                let holds = self.condition(branches[0].as_str()?);
                return self.evaluate(&branches[if holds { 1 } else { 2 }]);
            }
            "Fn::Join" => {
                let arguments = evaluated();
                let separator = arguments[0].as_str().expect("Fn::Join begins with text");
                json!(strings(&arguments[1]).join(separator))
            }
            "Fn::Split" => {
                let arguments = evaluated();
                let separator = arguments[0].as_str().expect("Fn::Split begins with text");
                let text = arguments[1].as_str().expect("Fn::Split splits text");
                json!(text.split(separator).collect::<Vec<_>>())
            }
            "Fn::Select" => {
                let arguments = evaluated();
                let index = arguments[0].as_u64().expect("Fn::Select takes a number");
                arguments[1][usize::try_from(index).ok()?].clone()
            }
            "Fn::GetAZs" => json!(["a", "b", "c"].map(|zone| format!("{}{zone}", self.region))),
            // Not the addresses themselves: so many parts of a block, told apart.
            "Fn::Cidr" => {
                let arguments = evaluated();
                let parts = arguments[1].as_u64().expect("Fn::Cidr takes a count");
                (0..parts)
                    .map(|part| json!(format!("{} part {part}", arguments[0])))
                    .collect::<Vec<_>>()
                    .into()
            }
            "Fn::Equals" => {
                let arguments = evaluated();
                json!(arguments[0] == arguments[1])
            }
            "Fn::EachMemberIn" => {
                let arguments = evaluated();
                let allowed = strings(&arguments[1]);
                json!(
                    strings(&arguments[0])
                        .iter()
                        .all(|member| allowed.contains(member))
                )
            }
            "Fn::Contains" => {
                let arguments = evaluated();
                json!(strings(&arguments[0]).contains(&strings(&arguments[1]).concat()))
            }
            "Fn::Not" => json!(evaluated()[0] != json!(true)),
            "Fn::And" => json!(evaluated().as_array()?.iter().all(|holds| *holds == true)),
            "Fn::Or" => json!(evaluated().as_array()?.iter().any(|holds| *holds == true)),
            _ => panic!("the tests do not know {name}: add it to support/sam.rs"),
        })
    }

    fn condition(&self, name: &str) -> bool {
        let condition = self.template["Conditions"]
            .get(name)
            .unwrap_or_else(|| panic!("there is no condition {name}"));
        self.evaluated(condition) == true
    }

    fn reference(&self, name: &str) -> Option<Value> {
        Some(match name {
            "AWS::NoValue" => return None,
            "AWS::AccountId" => json!("111122223333"),
            "AWS::Region" => json!(self.region),
            "AWS::Partition" => json!(self.partition().0),
            "AWS::URLSuffix" => json!(self.partition().1),
            "AWS::StackName" => json!(self.stack_name),
            "AWS::StackId" => json!(format!(
                "arn:{}:cloudformation:{}:111122223333:stack/{}/5b9ea3d0-c86a-11f0-8b3a-0a3f2f1d7c55",
                self.partition().0,
                self.region,
                self.stack_name
            )),
            _ => match self.parameters.get(name) {
                Some(value) => value.clone(),
                None => {
                    self.assert_resource(name);
                    json!(self.reference_to(name))
                }
            },
        })
    }

    /// `text` with each `${…}` replaced: by the member of `own` that has its name, or else by what
    /// the template says of it.
    fn substituted(&self, text: &str, own: &Value) -> String {
        let mut rest = text;
        let mut result = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').expect("${…} is closed");
            result.push_str(before);
            let value = match (own.get(name), name.split_once('.')) {
                (Some(value), _) => self.evaluated(value),
                (None, Some((resource, attribute))) => json!(attribute_of(resource, attribute)),
                (None, None) => self.reference(name).expect("Fn::Sub of a value"),
            };
            result.push_str(value.as_str().expect("Fn::Sub of text"));
            rest = after;
        }
        result + rest
    }

    /// What `Ref` of a resource stands for in these tests: a topic's or a state machine's is its ARN, of
    /// others the name.
    pub(crate) fn reference_to(&self, resource: &str) -> String {
        match self.template["Resources"][resource]["Type"].as_str() {
            Some("AWS::SNS::Topic") => attribute_of(resource, "TopicArn"),
            Some("AWS::Serverless::StateMachine") => attribute_of(resource, "Arn"),
            _ => resource.to_owned(),
        }
    }

    fn assert_resource(&self, name: &str) {
        assert!(
            self.template["Resources"].get(name).is_some(),
            "there is no resource {name}"
        );
    }
}

/// What an attribute of a resource stands for in these tests.
pub(crate) fn attribute_of(resource: &str, attribute: &str) -> String {
    if attribute == "TopicArn" {
        format!("arn:aws:sns:us-west-2:111122223333:{resource}")
    } else if attribute.ends_with("Arn") {
        format!("arn:aws:placeholder:us-west-2:111122223333:{resource}")
    } else {
        resource.to_owned()
    }
}

/// The members of an object, in order.
pub(crate) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A text or a list of texts as a list.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(elements) => elements.iter().flat_map(strings).collect(),
        Value::Null => Vec::new(),
        other => panic!("{other} is no text"),
    }
}

fn intrinsic(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = object.iter().next().filter(|_| object.len() == 1)?;
    (name == "Ref" || name.starts_with("Fn::")).then_some((name.as_str(), argument))
}

/// The value with each `Fn::Transform` of `AWS::Include` replaced by the members of the file that it
/// names, next to what stands beside it. CloudFormation reads these files before everything else.
fn with_includes(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .flat_map(|(key, value)| match included(&key, &value) {
                Some(Value::Object(members)) => members.into_iter().collect::<Vec<_>>(),
                Some(other) => panic!("an included file is a mapping, not {other}"),
                None => vec![(key, with_includes(value))],
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(elements) => elements.into_iter().map(with_includes).collect(),
        other => other,
    }
}

/// The content of the file that an `AWS::Include` names. It has no short-form intrinsics: CloudFormation
/// does not know them there (AWS CloudFormation guide, transform-aws-include).
fn included(key: &str, value: &Value) -> Option<Value> {
    if key != "Fn::Transform" || value["Name"] != "AWS::Include" {
        return None;
    }
    let path = value["Parameters"]["Location"].as_str()?;
    Some(
        serde_yaml_ng::from_str(&text(path))
            .unwrap_or_else(|error| panic!("{path}: {error}; intrinsics in their long form only")),
    )
}

fn long_form(value: serde_yaml_ng::Value) -> Value {
    use serde_yaml_ng::Value as Yaml;
    match value {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                "Ref" => "Ref".to_owned(),
                "Condition" => "Condition".to_owned(),
                function => format!("Fn::{function}"),
            };
            Value::Object(Map::from_iter([(name, long_form(tagged.value))]))
        }
        Yaml::Sequence(elements) => elements.into_iter().map(long_form).collect(),
        Yaml::Mapping(members) => members
            .into_iter()
            .map(|(key, value)| {
                let key = key.as_str().expect("keys are text").to_owned();
                (key, long_form(value))
            })
            .collect::<Map<_, _>>()
            .into(),
        plain => serde_json::to_value(plain).expect("YAML scalars are JSON scalars"),
    }
}
