//! Parameters are explained, and nothing is assumed about the account and Regions.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::sam::{
    EVERY_FUNCTION, HEALTH_BACKUP, MOUNTED_BY_RULE, TEMPLATES, attribute_of, deployed, members,
    strings, template, template_at, templates_and_included,
};

/// Every parameter of every template: path, name, declaration.
fn every_parameter() -> impl Iterator<Item = (&'static str, &'static String, &'static Value)> {
    TEMPLATES.into_iter().flat_map(|path| {
        members(&template_at(path)["Parameters"])
            .map(move |(name, parameter)| (path, name, parameter))
    })
}

#[test]
fn every_parameter_has_a_description_and_constraints() {
    for (path, name, parameter) in every_parameter() {
        let description = parameter["Description"].as_str().unwrap_or_default();
        assert!(
            description.len() > 20 && description.ends_with('.'),
            "{path}: {name}: {description:?}"
        );
        let checked = parameter.get("AllowedValues").is_some()
            || (parameter.get("AllowedPattern").is_some()
                && parameter.get("ConstraintDescription").is_some())
            || (parameter["Type"] == "Number" && parameter.get("MinValue").is_some());
        assert!(checked, "{path}: {name} takes anything");
    }
}

#[test]
fn no_default_names_a_region_account_or_target() {
    for (path, name, parameter) in every_parameter() {
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
        assert!(
            !region(&default) && !account(&default),
            "{path}: {name}: {default}"
        );
        assert!(
            !default.contains("arn:") && !default.contains('@'),
            "{path}: {name}: {default}"
        );
    }
    // Where this runs and where it sends to: to be said, always.
    for (path, name, parameter) in every_parameter() {
        if ["PrimaryRegion", "RecoveryRegion", "RecoveryAccountId"].contains(&name.as_str()) {
            assert!(parameter.get("Default").is_none(), "{path}: {name}");
        }
    }
    assert!(template()["Parameters"].get("PrimaryRegion").is_some());
}

#[test]
fn every_parameter_is_used_and_grouped() {
    for path in TEMPLATES {
        let template = template_at(path);
        let declared: BTreeSet<String> = members(&template["Parameters"])
            .map(|(name, _)| name.clone())
            .collect();
        let groups = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
        let grouped: Vec<String> = groups
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|group| strings(&group["Parameters"]))
            .collect();
        assert_eq!(
            grouped.len(),
            declared.len(),
            "{path}: a parameter stands in two groups, or in none"
        );
        assert_eq!(BTreeSet::from_iter(grouped), declared, "{path}");
        // Where only the rules ask for one, it is there to find out a wrong place.
        let mut parts = vec!["Resources", "Conditions", "Globals"];
        if path == HEALTH_BACKUP {
            parts.push("Rules");
        }
        let used: Vec<String> = parts
            .into_iter()
            .map(|part| template[part].to_string())
            .collect();
        for name in declared {
            let references = [format!("{{\"Ref\":\"{name}\"}}"), format!("${{{name}}}")];
            assert!(
                used.iter()
                    .any(|part| references.iter().any(|reference| part.contains(reference))),
                "{path}: {name} is used nowhere"
            );
        }
    }
}

#[test]
fn every_output_has_a_description() {
    for path in TEMPLATES {
        for (name, output) in members(&template_at(path)["Outputs"]) {
            assert!(
                output["Description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 15),
                "{path}: {name}"
            );
        }
    }
}

#[test]
fn no_arn_hard_codes_a_partition_region_or_account() {
    let machines = crate::support::repository::files("infra/statemachines");
    let machines: Vec<String> = machines
        .iter()
        .filter_map(|file| file.file_name()?.to_str())
        .map(|name| format!("infra/statemachines/{name}"))
        .collect();
    assert!(machines.len() > 1, "{machines:?}");
    for path in templates_and_included().into_iter().chain(machines) {
        let text = crate::support::repository::text(&path);
        for (number, line) in text.lines().enumerate() {
            // A comment begins its line, or stands after a space.
            let line = line.trim_start();
            let code = line.split(" #").next().unwrap_or(line);
            let number = number + 1;
            if code.starts_with('#') {
                continue;
            }
            let pattern = code.contains("AllowedPattern");
            assert!(
                pattern || !code.contains("arn:aws"),
                "{path}:{number}: {line}"
            );
            assert!(!code.contains("111122223333"), "{path}:{number}: {line}");
            assert!(
                path == HEALTH_BACKUP || !code.contains("us-west-2"),
                "{path}:{number}: {line}"
            );
        }
    }
    for path in TEMPLATES {
        // AWS Health has its backup Regions, and the rules of that template say where it belongs.
        let parts = ["Conditions", "Globals", "Resources", "Outputs"];
        let rules = (path != HEALTH_BACKUP).then_some("Rules");
        for part in parts.into_iter().chain(rules) {
            let written = template_at(path)[part].to_string();
            for region in ["us-west-2", "us-east-1"] {
                assert!(!written.contains(region), "{path}: {part} names {region}");
            }
        }
    }
}

#[test]
fn accepts_only_a_complete_mount_by_a_rule() {
    let count = |parameters: &[(&str, &str)]| deployed(parameters).objections().len();
    let [source, tag, path] = MOUNTED_BY_RULE;
    let share = ("MountExport", "share");
    for whole in [&[][..], &[source, tag, path], &[source, tag, path, share]] {
        assert_eq!(count(whole), 0, "{whole:?}");
    }
    for part in [
        &[source][..],
        &[tag],
        &[path],
        &[share],
        &[source, tag],
        &[source, path],
        &[tag, path, share],
    ] {
        assert_eq!(count(part), 1, "{part:?}");
    }
    // Both take the same, so that no deployment starts what the runbook refuses.
    let runbook = &deployed(&[]).resources("AWS::SSM::Document")["MountFileSystem"]["Content"];
    for (parameter, of_runbook) in [
        ("MountInstanceTag", "InstanceTag"),
        ("MountPath", "Path"),
        ("MountExport", "Export"),
    ] {
        let given = template()["Parameters"][parameter]["AllowedPattern"]
            .as_str()
            .unwrap();
        let taken = runbook["parameters"][of_runbook]["allowedPattern"]
            .as_str()
            .unwrap();
        let taken = taken.trim_start_matches('^').trim_end_matches('$');
        assert!(
            taken == given || taken == format!("({given})"),
            "{parameter}: {given}, {taken}"
        );
    }
}

#[test]
fn accepts_one_complete_fail_over_configuration() {
    let objections = |parameters: &[(&str, &str)]| deployed(parameters).objections().len();
    let [workload, switch, endpoints, on, off] = EVERY_FUNCTION;
    let own = (
        "FailOverFunctionArn",
        "arn:aws:lambda:us-west-2:111122223333:function:move-the-traffic",
    );
    for whole in [
        &[][..],
        &EVERY_FUNCTION,
        &[endpoints, on],
        &[endpoints, on, off],
        &[own],
        &[switch, workload],
    ] {
        assert_eq!(objections(whole), 0, "{whole:?}");
    }
    for (parameters, count) in [
        (&[endpoints][..], 2),
        (&[on][..], 1),
        (&[off][..], 2),
        (&[endpoints, off][..], 1),
        (&[endpoints, on, ("RoutingControlsOff", on.1)][..], 1),
        (&[endpoints, on, own][..], 1),
        (&[switch][..], 1),
    ] {
        assert_eq!(objections(parameters), count, "{parameters:?}");
    }
    // What the state machine invokes.
    let hook = |parameters: &[(&str, &str)]| {
        deployed(parameters).evaluated(&template()["Outputs"]["FailOverHookArn"]["Value"])
    };
    assert_eq!(
        hook(&[endpoints, on]),
        attribute_of("RoutingShifterFunction", "Arn")
    );
    assert_eq!(hook(&[own]), own.1);
    assert_eq!(hook(&[]), "off");
}
