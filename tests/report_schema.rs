//! The published schema of reports, and the reports that are made.

use std::collections::BTreeSet;

use recovery_core::fakes::Story;
use serde_json::Value;

use crate::support::reports::json_of;
use crate::support::repository::text;

fn schema() -> Value {
    serde_json::from_str(&text("docs/report.schema.json")).expect("the schema is JSON")
}

/// What this checker knows of JSON Schema. A word that it does not know is a failure: nothing in the
/// schema goes unchecked.
const WORDS: [&str; 17] = [
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "const",
    "description",
    "enum",
    "items",
    "maxItems",
    "maximum",
    "minimum",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// What of `value` is not as `schema` says, each with its place.
fn objections(root: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for word in schema.as_object().expect("a schema is an object").keys() {
        assert!(WORDS.contains(&word.as_str()), "{word} is not checked");
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/$defs/").expect("references are local");
        objections(root, &root["$defs"][name], value, place, found);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        objections(root, part, value, place, found);
    }
    let mut object = |what: String| found.push(format!("{place}: {what}"));
    let fits = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some(other) => panic!("{other} is not checked"),
    };
    if !fits {
        object(format!("{value} is no {}", schema["type"]));
        return;
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        object(format!("{value} is not {only}"));
    }
    if let Some(one) = schema["enum"].as_array()
        && !one.contains(value)
    {
        object(format!("{value} is none of these"));
    }
    let number = value.as_i64();
    for (bound, holds) in [
        ("minimum", number >= schema["minimum"].as_i64()),
        ("maximum", number <= schema["maximum"].as_i64()),
    ] {
        if schema.get(bound).is_some() && !holds {
            object(format!("{value} is beyond the {bound}"));
        }
    }
    // The one pattern there is: a moment.
    if schema.get("pattern").is_some() {
        let moment = value.as_str().unwrap_or_default();
        if !moment.ends_with('Z') || chrono::DateTime::parse_from_rfc3339(moment).is_err() {
            object(format!("{value} is no moment"));
        }
    }
    if let Some(elements) = value.as_array() {
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        if elements.len() as u64 > most {
            object(format!("{} elements", elements.len()));
        }
        for (number, element) in elements.iter().enumerate() {
            let place = format!("{place}/{number}");
            objections(root, &schema["items"], element, &place, found);
        }
    }
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("names are text");
            if !members.contains_key(name) {
                found.push(format!("{place}: {name} is missing"));
            }
        }
        for (name, member) in members {
            match schema["properties"].get(name) {
                Some(of) => objections(root, of, member, &format!("{place}/{name}"), found),
                None if schema["additionalProperties"] == false => {
                    found.push(format!("{place}: {name} is unknown"));
                }
                None => {}
            }
        }
    }
}

fn check(json: &str) -> Vec<String> {
    let (root, value) = (schema(), serde_json::from_str(json).expect("it is JSON"));
    let mut found = Vec::new();
    objections(&root, &root, &value, "", &mut found);
    found
}

fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for seed in 0..30 {
        for items in [1, 2, 7, 40] {
            let whole = Story::whole(items, seed);
            stories.push(whole.clone());
            stories.push(whole.clone().drill());
            stories.push(whole.clone().retried(2));
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
fn every_report_is_as_the_schema_says() {
    for story in stories() {
        let json = json_of(&story);
        assert_eq!(check(&json), Vec::<String>::new(), "{story:?}");
    }
}

/// Each member of the schema is one that a report can have.
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
    fn promised(schema: &Value, found: &mut BTreeSet<String>) {
        if let Value::Object(members) = schema {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| promised(member, found));
        }
    }
    let mut occurring = BTreeSet::new();
    for story in stories() {
        let report = serde_json::from_str(&json_of(&story)).expect("it is JSON");
        names(&report, &mut occurring);
    }
    let mut expected = BTreeSet::new();
    promised(&schema(), &mut expected);
    // Only where the input asks to go back to a moment.
    expected.remove("restoreTo");
    assert_eq!(&expected - &occurring, BTreeSet::new());
}

#[test]
fn what_is_no_report_is_told_apart() {
    let whole = json_of(&Story::whole(2, 1));
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("\"mode\":\"recover\"", "\"mode\":\"both\""),
        ("\"wave\":0", "\"wave\":12"),
        ("\"complete\":true", "\"complete\":1"),
        ("\"redrives\":0,", ""),
        ("\"redrives\":0", "\"redrives\":-1"),
        ("\"redrives\":0", "\"redrives\":0,\"more\":1"),
        ("T03:40:00Z", "T03:40:00"),
    ] {
        assert!(whole.contains(from), "{from}");
        assert!(!check(&whole.replace(from, to)).is_empty(), "{to}");
    }
}

/// The example that others can build against. Where the form changes, so does its version.
#[test]
fn the_example_is_what_is_made() {
    let made: Value = serde_json::from_str(&json_of(&Story::whole(3, 1))).expect("it is JSON");
    let kept: Value =
        serde_json::from_str(&text("tests/golden/recovery-report.json")).expect("it is JSON");
    assert_eq!(made, kept);
}
