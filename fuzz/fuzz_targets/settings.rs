//! Settings are valid, or one error names all invalid values.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use fuzz::{assert_visible, restore_integrator};
use libfuzzer_sys::fuzz_target;
use recovery_lambda::{ResponderSettings, SettingsError};

const NAMES: [&str; 9] = [
    "ACCOUNT_ID",
    "AWS_REGION",
    "DRILL_RESTORE_ROLE_ARN",
    "MOUNT_RUNBOOK",
    "OTHER_RUNBOOKS",
    "PRIMARY_REGION",
    "RECOVERY_RUNBOOK",
    "RESPONSES",
    "TOPIC_ARN",
];
/// The settings of the responders.
const RESPONDERS: [&str; 6] = [
    "AWS_REGION",
    "OTHER_RUNBOOKS",
    "PRIMARY_REGION",
    "RECOVERY_RUNBOOK",
    "RESPONSES",
    "TOPIC_ARN",
];
const USUAL: [&str; 9] = [
    "111122223333",
    "us-west-2",
    "arn:aws:iam::111122223333:role/drill-restore",
    "MountFileSystem",
    "off,StartWorkloadInstances",
    "us-east-1",
    "off",
    "track,notify",
    "arn:aws:sns:us-west-2:111122223333:topic",
];

fn variables(input: &mut Unstructured<'_>) -> Result<BTreeMap<&'static str, String>> {
    let mut variables = BTreeMap::new();
    for (name, usual) in NAMES.into_iter().zip(USUAL) {
        let value = match input.int_in_range(0..=4)? {
            0 => continue,
            1 => input.arbitrary::<&str>()?.to_owned(),
            2 => format!("{usual}{}", input.arbitrary::<&str>()?),
            _ => usual.to_owned(),
        };
        variables.insert(name, value);
    }
    Ok(variables)
}

/// Asserts that the error names every missing setting and no valid one.
fn assert_named(error: &SettingsError, variables: &BTreeMap<&'static str, String>, used: &[&str]) {
    let text = error.to_string();
    assert_visible(&text);
    assert!(text.len() < 3_000, "{} bytes", text.len());
    for (name, usual) in NAMES
        .into_iter()
        .zip(USUAL)
        .filter(|(name, _)| used.contains(name))
    {
        match variables.get(name).map(|value| value.trim()) {
            None | Some("") => assert!(text.contains(&format!("{name} is not set")), "{text}"),
            Some(value) if value == usual => {
                let problems = text.split("; ").flat_map(|part| part.split(": "));
                let blamed = problems.clone().any(|part| part.starts_with(name));
                // A hostile value may look like the name of another variable.
                let quoted = variables.values().any(|value| value.contains(name));
                assert!(!blamed || quoted, "{name}: {text}");
            }
            Some(_) => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(variables) = variables(&mut Unstructured::new(bytes)) else {
        return;
    };
    let read = |name: &str| variables.get(name).cloned();
    let is_region = |text: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !text.is_empty() && text.chars().all(plain)
    };
    let is_topic = |topic: &Option<String>| {
        topic
            .as_ref()
            .is_none_or(|arn| arn.starts_with("arn:") && arn.contains(":sns:"))
    };
    match ResponderSettings::from_variables(&read) {
        Ok(ResponderSettings { policy, topic }) => {
            assert!(is_region(&policy.primary_region) && is_region(&policy.recovery_region));
            assert!(!policy.responses.is_empty() && is_topic(&topic));
            for runbook in policy.runbook.iter().chain(&policy.other_runbooks) {
                assert!(
                    runbook != "off" && runbook.is_ascii() && !runbook.contains([' ', '`', '{'])
                );
            }
        }
        Err(error) => assert_named(&error, &variables, &RESPONDERS),
    }
    match restore_integrator::Settings::from_variables(&read) {
        Ok(restore_integrator::Settings {
            ownership,
            topic,
            mount_runbook,
        }) => {
            assert!(mount_runbook.is_none_or(|runbook| runbook != "off" && !runbook.contains(' ')));
            let scope = ownership.scope;
            assert!(ownership.drill_role.starts_with("arn:"));
            assert!(scope.account.chars().all(|c| c.is_ascii_digit()) && !scope.account.is_empty());
            assert!(is_region(&scope.region) && is_topic(&topic));
        }
        Err(error) => {
            assert_named(
                &error,
                &variables,
                &[
                    "ACCOUNT_ID",
                    "AWS_REGION",
                    "DRILL_RESTORE_ROLE_ARN",
                    "MOUNT_RUNBOOK",
                    "TOPIC_ARN",
                ],
            );
        }
    }
});
