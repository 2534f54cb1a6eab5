//! `docs/report.schema.json` is derived from the types of a report, and every report satisfies it.

use std::collections::BTreeSet;

use jsonschema::Validator;
use recovery_core::fakes::Story;
use recovery_core::report::{Report, VERSION};
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value, json};

use crate::support::reports::json_of;
use crate::support::repository::{function_packages, root, text};

const PATH: &str = "docs/report.schema.json";

/// Restrictions that the types do not express: no other members, absent members are never null, numbers
/// are never negative. Descriptions are one line each.
fn restricted(schema: &mut Schema) {
    let nullable = schema
        .get("anyOf")
        .and_then(Value::as_array)
        .and_then(|any| {
            let (null, of): (Vec<_>, Vec<_>) = any.iter().partition(|it| it["type"] == "null");
            (null.len() == 1 && of.len() == 1).then(|| of[0].clone())
        });
    if let Some(Value::Object(of)) = nullable {
        schema.remove("anyOf");
        of.into_iter().for_each(|(name, value)| {
            schema.insert(name, value);
        });
    }
    if let Some([of, Value::String(null)]) = schema
        .get("type")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        && null == "null"
    {
        let of = of.clone();
        schema.insert("type".to_owned(), of);
    }
    if schema.get("type") == Some(&json!("integer")) {
        schema.remove("format");
        schema.insert("minimum".to_owned(), json!(0));
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// The schema, derived from the types of a report.
fn derived() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Report>();
    RecursiveTransform(restricted).transform(&mut schema);
    format!("{:#}\n", json!(schema))
}

#[test]
fn published_schema_matches_the_types() {
    let derived = derived();
    if derived == text(PATH) {
        return;
    }
    let made = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.schema.json");
    std::fs::write(&made, derived).expect("the folder exists");
    panic!(
        "{PATH} differs from the types of recovery_core::report. If that is intended, raise its VERSION if \
         readers have to know, and: cp {} {}",
        made.display(),
        root().join(PATH).display()
    );
}

/// Only this test needs schemars. It must not be linked into a function.
#[test]
fn functions_do_not_depend_on_schemars() {
    let core = text("crates/recovery-core/Cargo.toml");
    assert!(core.contains("schemars = { workspace = true, optional = true }"));
    let functions = function_packages();
    let functions = functions.iter().map(|name| format!("functions/{name}"));
    let shared = ["crates/recovery-aws", "crates/recovery-lambda"].map(str::to_owned);
    for folder in functions.chain(shared) {
        let manifest = text(&format!("{folder}/Cargo.toml"));
        assert!(!manifest.contains("schema"), "{folder}");
    }
    assert!(!text("Cargo.toml").contains("\"schema\""));
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&text(PATH)).expect("the schema is JSON");
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("it is a JSON schema")
}

fn objections(validator: &Validator, json: &str) -> Vec<String> {
    let report = serde_json::from_str(json).expect("it is JSON");
    validator
        .iter_errors(&report)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for seed in 0..30 {
        for items in [1, 2, 7, 40] {
            let whole = Story::whole(items, seed);
            stories.push(whole.clone());
            stories.push(whole.clone().drill());
            stories.push(whole.clone().retried(2));
            stories.push(whole.clone().with_databases(2));
            stories.push(whole.clone().with_a_mount());
            stories.push(Story {
                refused: 3,
                untagged: 1,
                ..whole.clone().untracked().left(items / 2 + 1)
            });
        }
    }
    stories.push(Story::whole(450, 1).left(250));
    stories
}

#[test]
fn every_report_satisfies_the_schema() {
    let validator = validator();
    for story in stories() {
        let objections = objections(&validator, &json_of(&story));
        assert_eq!(objections, Vec::<String>::new(), "{story:?}");
    }
}

/// Every member of the schema occurs in some report.
#[test]
fn every_member_of_the_schema_occurs() {
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    found.insert(name.clone());
                    names(member, found);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| names(element, found)),
            _ => {}
        }
    }
    fn described(schema: &Value, found: &mut BTreeSet<String>) {
        if let Value::Object(members) = schema {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| described(member, found));
        }
    }
    let mut occurring = BTreeSet::new();
    for story in stories() {
        let report = serde_json::from_str(&json_of(&story)).expect("it is JSON");
        names(&report, &mut occurring);
    }
    let mut expected = BTreeSet::new();
    let schema = serde_json::from_str(&text(PATH)).expect("the schema is JSON");
    described(&schema, &mut expected);
    // Only if the input has `restoreTo`.
    expected.remove("restoreTo");
    assert_eq!(&expected - &occurring, BTreeSet::new());
}

#[test]
fn schema_rejects_invalid_reports() {
    let validator = validator();
    let report = json_of(&Story::whole(2, 1));
    for (from, to) in [
        ("\"version\":3", "\"version\":2"),
        ("\"mode\":\"recover\"", "\"mode\":\"both\""),
        ("\"phase\":\"detect\"", "\"phase\":\"dream\""),
        ("\"wave\":0", "\"wave\":12"),
        ("\"complete\":true", "\"complete\":1"),
        ("\"redrives\":0,", ""),
        ("\"redrives\":0", "\"redrives\":-1"),
        ("\"redrives\":0", "\"redrives\":0,\"more\":1"),
        ("\"redrives\":0", "\"redrives\":0,\"restoreTo\":null"),
        ("\"achievedSeconds\":", "\"achievedSeconds\":-"),
        ("\"met\":true", "\"met\":null"),
        ("T03:40:00Z", "T03:40:00"),
    ] {
        assert!(report.contains(from), "{from}");
        let other = report.replacen(from, to, 1);
        assert!(!objections(&validator, &other).is_empty(), "{to}");
    }
}

/// The published example. If the format changes, its version changes.
#[test]
fn example_report_matches_the_generated_one() {
    let made: Value = serde_json::from_str(&json_of(&Story::whole(3, 1))).expect("it is JSON");
    let path = "tests/golden/recovery-report.json";
    let kept: Value = serde_json::from_str(&text(path)).expect("it is JSON");
    assert_eq!(made["version"], VERSION);
    assert_eq!(made, kept, "{path}");
}
