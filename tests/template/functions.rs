//! The functions of the template correspond to the packages of the repository, and so do their settings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::repository::{function_packages, text};
use crate::support::sam::{
    Deployed, EVERY_FUNCTION, TEMPLATES, attribute_of, deployed, members, strings, template,
    templates_and_included,
};

/// Every tag of a resource, by its name and where it is.
fn tags_of_resources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, resource) in members(&template()["Resources"]) {
        for (property, tags) in members(&resource["Properties"]) {
            if property.ends_with("Tags") {
                found.push((name.clone(), tags.to_string()));
            }
        }
    }
    found
}

#[test]
fn the_tags_of_the_stack_are_set_once() {
    assert!(text("samconfig.toml").contains("\ntags = \"application=rapid-recovery\"\n"));
    assert_eq!(tags_of_resources(), []);
}

#[test]
fn stack_and_functions_have_the_project_version() {
    let template = template();
    assert_eq!(
        template["Outputs"]["Version"]["Value"],
        recovery_core::VERSION
    );
    let tags = &template["Globals"]["Function"]["Tags"];
    assert_eq!(tags["application-version"], recovery_core::VERSION);
    for (name, function) in deployed(&EVERY_FUNCTION).resources("AWS::Serverless::Function") {
        assert!(
            function["Tags"].is_null(),
            "{name} has tags in the place of the shared ones"
        );
    }
}

/// `restore-integrator` → `RestoreIntegratorFunction`.
fn logical_id(package: &str) -> String {
    let capitalized = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    };
    let words: String = package.split('-').map(capitalized).collect();
    words + "Function"
}

/// Reads a function's settings from variables, as its `main` does; the problems, if any.
type Read = fn(&dyn Fn(&str) -> Option<String>) -> Result<(), String>;

/// Each package with the settings that its code declares and reads.
fn settings() -> Vec<(&'static str, &'static [&'static str], Read)> {
    macro_rules! of {
        ($package:ident) => {
            (
                stringify!($package),
                $package::Settings::NAMES,
                (|variables| {
                    $package::Settings::from_variables(variables)
                        .map(drop)
                        .map_err(|error| error.to_string())
                }) as Read,
            )
        };
    }
    vec![
        of!(alarm_responder),
        of!(database_integrator),
        of!(health_event_responder),
        of!(opsitem_creator),
        of!(recovery_planner),
        of!(recovery_reporter),
        of!(region_switch_action),
        of!(restore_integrator),
        of!(restore_reconciler),
        of!(restore_test_validator),
        of!(restore_starter),
        of!(routing_shifter),
        of!(file_system_integrator),
        of!(table_integrator),
    ]
}

/// Those that are there with their parameters only.
const OPTIONAL: [&str; 2] = ["region_switch_action", "routing_shifter"];

#[test]
fn only_functions_with_parameters_are_optional() {
    let of = |parameters: &[(&str, &str)]| -> BTreeSet<String> {
        deployed(parameters)
            .resources("AWS::Serverless::Function")
            .into_keys()
            .collect()
    };
    let optional: BTreeSet<String> = OPTIONAL
        .iter()
        .map(|package| logical_id(&package.replace('_', "-")))
        .collect();
    assert_eq!(&of(&EVERY_FUNCTION) - &of(&[]), optional);
    let added = |parameters: &[(&str, &str)]| -> Vec<String> {
        (&of(parameters) - &of(&[])).into_iter().collect()
    };
    assert_eq!(added(&EVERY_FUNCTION[..2]), ["RegionSwitchActionFunction"]);
    assert_eq!(added(&EVERY_FUNCTION[2..4]), ["RoutingShifterFunction"]);
    assert!(added(&EVERY_FUNCTION[2..3]).is_empty());
}

fn environment(deployed: &Deployed, function: &str) -> BTreeMap<String, String> {
    let functions = deployed.resources("AWS::Serverless::Function");
    members(&functions[function]["Environment"]["Variables"])
        .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
        .collect()
}

#[test]
fn packages_and_functions_correspond() {
    let packages: BTreeMap<String, String> = function_packages()
        .into_iter()
        .map(|package| (logical_id(&package), package))
        .collect();
    let functions = deployed(&EVERY_FUNCTION).resources("AWS::Serverless::Function");
    assert_eq!(
        functions.keys().collect::<Vec<_>>(),
        packages.keys().collect::<Vec<_>>()
    );
    for (function, package) in &packages {
        let metadata = &template()["Resources"][function]["Metadata"];
        assert_eq!(metadata["BuildMethod"], "rust-cargolambda", "{function}");
        assert_eq!(
            metadata["BuildProperties"]["Binary"], **package,
            "{function}"
        );
    }
}

#[test]
fn these_tests_cover_every_function_package() {
    let known: BTreeSet<String> = settings()
        .iter()
        .map(|(package, ..)| package.replace('_', "-"))
        .collect();
    assert_eq!(known, BTreeSet::from_iter(function_packages()));
}

#[test]
fn template_sets_exactly_the_variables_that_each_function_reads() {
    for (package, names, _) in settings() {
        let set = environment(
            &deployed(&EVERY_FUNCTION),
            &logical_id(&package.replace('_', "-")),
        );
        let set: BTreeSet<&str> = set.keys().map(String::as_str).collect();
        assert_eq!(set, names.iter().copied().collect(), "{package}");
    }
}

#[test]
fn each_function_accepts_the_settings_of_the_template() {
    let only_on: Vec<_> = EVERY_FUNCTION
        .into_iter()
        .filter(|(name, _)| *name != "RoutingControlsOff")
        .collect();
    let cases: [&[(&str, &str)]; 5] = [
        &[],
        &EVERY_FUNCTION,
        &only_on,
        &[("Responses", "track"), ("PrimaryRegion", "cn-north-1")],
        &[
            ("Responses", "track,notify,recover"),
            ("RecoveryRunbook", "StartRegionRecovery"),
        ],
    ];
    for parameters in cases {
        let deployed = deployed(parameters);
        let there = deployed.resources("AWS::Serverless::Function");
        for (package, names, read) in settings() {
            let function = logical_id(&package.replace('_', "-"));
            if !there.contains_key(&function) {
                assert!(OPTIONAL.contains(&package), "{package} with {parameters:?}");
                continue;
            }
            let set = environment(&deployed, &function);
            let with = |name: &str| match name {
                // Lambda's own.
                "AWS_REGION" => Some("us-west-2".to_owned()),
                _ => set.get(name).cloned(),
            };
            assert_eq!(read(&with), Ok(()), "{package} with {parameters:?}");
            // Each of them is needed: none has a default in the code.
            for missing in names {
                let without = |name: &str| with(name).filter(|_| name != *missing);
                let problems = read(&without).unwrap_err();
                assert!(
                    problems.contains(&format!("{missing} is not set")),
                    "{package} without {missing}: {problems}"
                );
            }
            let nowhere = |name: &str| with(name).filter(|_| name != "AWS_REGION");
            let reads_region = ![
                "opsitem_creator",
                "recovery_planner",
                "recovery_reporter",
                "routing_shifter",
            ]
            .contains(&package);
            assert_eq!(
                read(&nowhere).is_err(),
                reads_region,
                "{package} without a Region"
            );
        }
    }
}

#[test]
fn every_rule_may_invoke_its_targets() {
    let deployed = deployed(&[]);
    let permissions: BTreeSet<(String, String)> = deployed
        .resources("AWS::Lambda::Permission")
        .into_values()
        .map(|permission| {
            assert_eq!(permission["Principal"], "events.amazonaws.com");
            assert_eq!(permission["Action"], "lambda:InvokeFunction");
            let text = |member: &str| permission[member].as_str().unwrap().to_owned();
            (text("SourceArn"), text("FunctionName"))
        })
        .collect();
    let mut targets = BTreeSet::new();
    for (rule, properties) in deployed.resources("AWS::Events::Rule") {
        let of_rule = properties["Targets"].as_array().unwrap();
        assert!((1..=5).contains(&of_rule.len()), "{rule}");
        for target in of_rule {
            let package = target["Id"].as_str().unwrap();
            if package == HEARTBEAT_LOG {
                assert_log_takes_events(&deployed, target);
                continue;
            }
            let function = logical_id(package);
            let arn = |name: &str| format!("arn:aws:placeholder:us-west-2:111122223333:{name}");
            assert_eq!(target["Arn"], arn(&function), "{rule}");
            targets.insert((arn(&rule), function));
        }
    }
    assert_eq!(permissions, targets);
}

/// The one target that is no function.
const HEARTBEAT_LOG: &str = "heartbeat-log";

/// Asserts that EventBridge may write to the log group that `target` names.
fn assert_log_takes_events(deployed: &Deployed, target: &Value) {
    let group = target["Arn"]
        .as_str()
        .and_then(|arn| arn.strip_prefix("arn:aws:logs:us-west-2:111122223333:log-group:"))
        .expect("the heartbeat goes to a log group of this account and Region");
    let name = deployed.resources("AWS::Logs::LogGroup")[group]["LogGroupName"].clone();
    assert!(
        name.as_str()
            .is_some_and(|name| name.starts_with("/aws/events/")),
        "{name}"
    );
    let policies = deployed.resources("AWS::Logs::ResourcePolicy");
    let written = policies["HeartbeatLogPolicy"]["PolicyDocument"]
        .as_str()
        .expect("a policy of logs is JSON in a text");
    let policy: Value = serde_json::from_str(written).expect("a policy of logs is JSON in a text");
    let mut allowed = Vec::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        allowed.extend(strings(&statement["Action"]));
        assert_eq!(statement["Resource"], attribute_of(group, "Arn"));
        assert!(
            strings(&statement["Principal"]["Service"])
                .contains(&"events.amazonaws.com".to_owned())
        );
    }
    assert_eq!(allowed, ["logs:CreateLogStream", "logs:PutLogEvents"]);
}

/// What a state machine or a person invokes.
const INVOKED_DIRECTLY: [&str; 5] = [
    "recovery-planner",
    "recovery-reporter",
    "region-switch-action",
    "restore-starter",
    "routing-shifter",
];

#[test]
fn every_function_is_invoked_by_a_rule_or_directly() {
    let mut targeted: BTreeSet<String> = deployed(&[])
        .resources("AWS::Events::Rule")
        .into_values()
        .flat_map(|rule| rule["Targets"].as_array().cloned().unwrap_or_default())
        .filter_map(|target| target["Id"].as_str().map(str::to_owned))
        .filter(|target| target != HEARTBEAT_LOG)
        .collect();
    for package in INVOKED_DIRECTLY {
        assert!(targeted.insert(package.to_owned()), "{package}");
    }
    assert_eq!(targeted, BTreeSet::from_iter(function_packages()));
    // By rules alone: what SAM would make of `Events` has no dead-letter queue of ours.
    for (function, properties) in deployed(&EVERY_FUNCTION).resources("AWS::Serverless::Function") {
        assert!(properties.get("Events").is_none(), "{function}");
    }
}

/// The lines that a function takes in the template and in the files that it includes: the resources and
/// outputs whose names begin with its name, and the lines that name it elsewhere. Rules that invoke it are
/// not counted: an event has its own list in CONTRIBUTING.md.
fn lines_of(package: &str) -> usize {
    let function = logical_id(package);
    let stem = function.trim_end_matches("Function");
    let template = text("template.yaml");
    let (_, resources) = template.split_once("\nResources:\n").expect("resources");
    let mut lines = 0;
    let mut block = Vec::new();
    for line in resources.lines().chain(["  End:"]) {
        // A comment belongs to what follows it.
        let starts = line.starts_with("  ") && !line.starts_with("   ");
        let continues = block.iter().all(|above: &&str| above.starts_with("  #"));
        if starts && !continues {
            lines += lines_of_block(&block, stem, &function);
            block.clear();
        }
        block.push(line);
    }
    let included = templates_and_included().into_iter().skip(TEMPLATES.len());
    lines
        + included
            .map(|path| {
                let text = text(&path);
                text.lines().filter(|line| line.contains(&function)).count()
            })
            .sum::<usize>()
}

/// How many of these lines belong to the function: all of a resource of its own.
fn lines_of_block(block: &[&str], stem: &str, function: &str) -> usize {
    let name = block
        .iter()
        .find(|line| !line.starts_with("  #"))
        .map_or("", |line| line.trim_start());
    let of_rule = ["AWS::Events::Rule", "AWS::Lambda::Permission"]
        .iter()
        .any(|kind| block.iter().any(|line| line.ends_with(kind)));
    if name.starts_with(stem) {
        block.len()
    } else if of_rule {
        0
    } else {
        block.iter().filter(|line| line.contains(function)).count()
    }
}

/// With few settings and permissions of its own, which are what differs between functions.
#[test]
fn a_further_function_takes_at_most_60_lines_of_the_template() {
    for package in [
        "opsitem-creator",
        "alarm-responder",
        "restore-test-validator",
    ] {
        let lines = lines_of(package);
        assert!((40..=60).contains(&lines), "{package} takes {lines} lines");
    }
    let pattern = format!("with {} lines in all", lines_of("opsitem-creator"));
    assert!(text("CONTRIBUTING.md").contains(&pattern), "{pattern}");
}
