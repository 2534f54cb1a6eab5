//! `template.yaml` as CloudFormation would evaluate it, with intrinsics resolved as far as the
//! template uses them. No transform: what `Globals` share is merged by those who ask.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::repository::text;

/// The template, its short-form intrinsics in their long form (`{"Fn::Sub": …}`).
static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let parsed: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&text("template.yaml")).expect("template.yaml is YAML");
    long_form(parsed)
});

/// What the tests give for parameters without a default.
const GIVEN: [(&str, &str); 1] = [("PrimaryRegion", "us-east-1")];

/// The template as deployed with certain parameters.
pub(crate) struct Deployed {
    parameters: BTreeMap<String, Value>,
}

/// The template itself, nothing evaluated.
pub(crate) fn template() -> &'static Value {
    &TEMPLATE
}

/// The template deployed with these parameters and the defaults of the others.
pub(crate) fn deployed(given: &[(&str, &str)]) -> Deployed {
    let parameters = members(&TEMPLATE["Parameters"])
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
            TEMPLATE["Parameters"].get(name).is_some(),
            "there is no parameter {name}"
        );
    }
    Deployed { parameters }
}

impl Deployed {
    /// Names and properties of all resources of a type. Resources whose condition does not hold
    /// are absent.
    pub(crate) fn resources(&self, of_type: &str) -> BTreeMap<String, Value> {
        members(&TEMPLATE["Resources"])
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
        self.evaluated(&TEMPLATE["Globals"]["Function"])
    }

    /// `value` with its intrinsics resolved, and without what is `AWS::NoValue`.
    fn evaluated(&self, value: &Value) -> Value {
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
                assert_resource(resource);
                json!(attribute_of(resource, attribute))
            }
            "Fn::Sub" => json!(
                self.substituted(
                    argument
                        .as_str()
                        .expect("only the short form of Fn::Sub is used")
                )
            ),
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
            "Fn::Equals" => {
                let arguments = evaluated();
                json!(arguments[0] == arguments[1])
            }
            "Fn::Not" => json!(evaluated()[0] != json!(true)),
            "Fn::And" => json!(evaluated().as_array()?.iter().all(|holds| *holds == true)),
            "Fn::Or" => json!(evaluated().as_array()?.iter().any(|holds| *holds == true)),
            _ => panic!("the tests do not know {name}: add it to support/sam.rs"),
        })
    }

    fn condition(&self, name: &str) -> bool {
        let condition = TEMPLATE["Conditions"]
            .get(name)
            .unwrap_or_else(|| panic!("there is no condition {name}"));
        self.evaluated(condition) == true
    }

    fn reference(&self, name: &str) -> Option<Value> {
        Some(match name {
            "AWS::NoValue" => return None,
            "AWS::AccountId" => json!("111122223333"),
            "AWS::Region" => json!("us-west-2"),
            "AWS::Partition" => json!("aws"),
            "AWS::StackName" => json!("rapid-recovery"),
            _ => match self.parameters.get(name) {
                Some(value) => value.clone(),
                None => {
                    assert_resource(name);
                    json!(reference_to(name))
                }
            },
        })
    }

    fn substituted(&self, text: &str) -> String {
        let mut rest = text;
        let mut result = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').expect("${…} is closed");
            result.push_str(before);
            let value = match name.split_once('.') {
                Some((resource, attribute)) => json!(attribute_of(resource, attribute)),
                None => self.reference(name).expect("Fn::Sub of a value"),
            };
            result.push_str(value.as_str().expect("Fn::Sub of text"));
            rest = after;
        }
        result + rest
    }
}

/// What `Ref` of a resource stands for in these tests: a topic's is its ARN, of others the name.
pub(crate) fn reference_to(resource: &str) -> String {
    if TEMPLATE["Resources"][resource]["Type"] == "AWS::SNS::Topic" {
        attribute_of(resource, "TopicArn")
    } else {
        resource.to_owned()
    }
}

/// What an attribute of a resource stands for in these tests.
pub(crate) fn attribute_of(resource: &str, attribute: &str) -> String {
    if attribute.ends_with("Arn") {
        format!("arn:aws:placeholder:us-west-2:111122223333:{resource}")
    } else {
        resource.to_owned()
    }
}

fn assert_resource(name: &str) {
    assert!(
        TEMPLATE["Resources"].get(name).is_some(),
        "there is no resource {name}"
    );
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
