//! What an owner is asked is explained, and nothing is assumed about where they run.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::sam::{members, strings, template};

#[test]
fn every_parameter_says_what_it_is_and_what_it_must_be() {
    for (name, parameter) in members(&template()["Parameters"]) {
        let description = parameter["Description"].as_str().unwrap_or_default();
        assert!(
            description.len() > 20 && description.ends_with('.'),
            "{name}: {description:?}"
        );
        let checked = parameter.get("AllowedValues").is_some()
            || (parameter.get("AllowedPattern").is_some()
                && parameter.get("ConstraintDescription").is_some());
        assert!(checked, "{name} takes anything");
    }
}

#[test]
fn no_parameter_assumes_a_region_an_account_or_a_target() {
    for (name, parameter) in members(&template()["Parameters"]) {
        let default = match &parameter["Default"] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let region = |text: &str| {
            let parts: Vec<&str> = text.split('-').collect();
            parts.len() >= 3 && parts.last().is_some_and(|last| last.parse::<u8>().is_ok())
        };
        let account = |text: &str| text.len() == 12 && text.chars().all(|c| c.is_ascii_digit());
        assert!(!region(&default) && !account(&default), "{name}: {default}");
        assert!(
            !default.contains("arn:") && !default.contains('@'),
            "{name}: {default}"
        );
    }
    assert!(
        template()["Parameters"]["PrimaryRegion"]
            .get("Default")
            .is_none()
    );
}

#[test]
fn every_parameter_is_used_and_has_its_place_in_the_console() {
    let declared: BTreeSet<String> = members(&template()["Parameters"])
        .map(|(name, _)| name.clone())
        .collect();
    let groups = &template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let grouped: Vec<String> = groups
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| strings(&group["Parameters"]))
        .collect();
    assert_eq!(
        grouped.len(),
        declared.len(),
        "a parameter stands in two groups, or in none"
    );
    assert_eq!(BTreeSet::from_iter(grouped), declared);
    let used = ["Resources", "Conditions", "Globals"].map(|part| template()[part].to_string());
    for name in declared {
        let references = [format!("{{\"Ref\":\"{name}\"}}"), format!("${{{name}}}")];
        assert!(
            used.iter()
                .any(|part| references.iter().any(|reference| part.contains(reference))),
            "{name} is used nowhere"
        );
    }
}

#[test]
fn every_output_says_what_it_is() {
    for (name, output) in members(&template()["Outputs"]) {
        assert!(
            output["Description"]
                .as_str()
                .is_some_and(|text| text.len() > 15),
            "{name}"
        );
    }
}

#[test]
fn no_arn_names_a_partition_a_region_or_an_account() {
    let text = crate::support::repository::text("template.yaml");
    for (number, line) in text.lines().enumerate() {
        let code = line.split(" #").next().unwrap_or(line);
        let pattern = code.contains("AllowedPattern");
        assert!(
            pattern || !code.contains("arn:aws"),
            "template.yaml:{}: {line}",
            number + 1
        );
        assert!(
            !code.contains("us-west-2") && !code.contains("111122223333"),
            "template.yaml:{}: {line}",
            number + 1
        );
    }
}
