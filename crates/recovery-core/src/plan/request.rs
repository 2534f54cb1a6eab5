//! The input of the planner.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Fault};
use crate::tags::is_stack_name;
use crate::text;

/// A recovery or a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The workload itself is recovered.
    Recover,
    /// The workload is recovered into a separate stack.
    Drill,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Recover => "recover",
            Mode::Drill => "drill",
        }
    }
}

/// The input of the planner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Value of the tag `recovery:workload`.
    pub workload: String,
    pub mode: Mode,
    /// No recovery point later than this is restored. `None`: the newest ones are.
    pub restore_to: Option<DateTime<Utc>>,
    /// Since when the workload runs in the primary Region again, after an earlier recovery.
    pub primary_since: Option<DateTime<Utc>>,
    /// The hash of the approved plan. Another plan is refused.
    pub plan_hash: Option<String>,
    /// The stack of a drill. It replaces the one that the tags name.
    pub stack: Option<String>,
}

const REMEDY: &str = "Pass {\"workload\": \"…\", \"mode\": \"recover\" or \"drill\"}. A drill also needs \"stack\". Optional: \"restoreTo\" and \"primarySince\" (RFC 3339), \"planHash\".";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    workload: String,
    mode: Mode,
    restore_to: Option<String>,
    primary_since: Option<String>,
    plan_hash: Option<String>,
    stack: Option<String>,
}

impl Request {
    /// Parses the input of the planner. Unknown members are ignored, so that the input of the state machine can
    /// be passed unchanged.
    ///
    /// # Errors
    /// [`Error::Permanent`] that names the missing or invalid member.
    pub fn parse(payload: &Value) -> Result<Request, Error> {
        let wrong = |member: &str, what: String| {
            Error::Permanent(Fault::new("parse input", member, what, REMEDY))
        };
        let input: Input = serde_path_to_error::deserialize(payload).map_err(|error| {
            wrong(
                &format!("member {}", error.path()),
                text::shown(&error.inner().to_string()),
            )
        })?;
        if !is_workload(&input.workload) {
            return Err(wrong(
                "workload",
                format!(
                    "{} is not a workload name: 1 to 50 of a-z A-Z 0-9 _ -, and the first a letter or a digit",
                    text::shown(&input.workload)
                ),
            ));
        }
        let moment = |member: &str, moment: Option<String>| {
            let parsed = moment.map(|moment| {
                DateTime::parse_from_rfc3339(moment.trim())
                    .map(|moment| moment.with_timezone(&Utc))
                    .map_err(|_| {
                        wrong(
                            member,
                            format!("{} is not a time in RFC 3339", text::shown(&moment)),
                        )
                    })
            });
            parsed.transpose()
        };
        let restore_to = moment("restoreTo", input.restore_to)?;
        let primary_since = moment("primarySince", input.primary_since)?;
        if let Some(hash) = input.plan_hash.as_deref().filter(|hash| !is_hash(hash)) {
            return Err(wrong(
                "planHash",
                format!("{} is not the hash of a plan", text::shown(hash)),
            ));
        }
        if let Some(stack) = input.stack.as_deref().filter(|name| !is_stack_name(name)) {
            return Err(wrong(
                "stack",
                format!("{} is not a stack name", text::shown(stack)),
            ));
        }
        // No default: a drill must not use the stack of the workload.
        match (input.mode, &input.stack) {
            (Mode::Recover, Some(_)) => {
                return Err(wrong("stack", "only a drill may name a stack".to_owned()));
            }
            (Mode::Drill, None) => {
                return Err(wrong("stack", "a drill must name its stack".to_owned()));
            }
            _ => {}
        }
        Ok(Request {
            workload: input.workload,
            mode: input.mode,
            restore_to,
            primary_since,
            plan_hash: input.plan_hash,
            stack: input.stack,
        })
    }
}

/// Whether this is a valid name of a drill. It becomes the value of a tag.
pub(crate) fn is_drill_name(name: &str) -> bool {
    (1..=80).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether this is a valid workload name. It becomes part of an object key.
pub fn is_workload(name: &str) -> bool {
    (1..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether this has the form of a plan's hash.
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parses_every_member_and_ignores_unknown_ones() {
        let hash = "0123456789abcdef".repeat(4);
        let read = Request::parse(&json!({
            "workload": "shop", "mode": "drill", "restoreTo": "2026-11-23T06:00:00+01:00",
            "primarySince": "2026-11-23T05:00:00Z",
            "planHash": hash, "stack": "shop-drill", "incident": {"key": "x"},
        }))
        .unwrap();
        assert_eq!(
            read,
            Request {
                workload: "shop".to_owned(),
                mode: Mode::Drill,
                restore_to: DateTime::from_timestamp(1_795_410_000, 0),
                primary_since: DateTime::from_timestamp(1_795_410_000, 0),
                plan_hash: Some(hash),
                stack: Some("shop-drill".to_owned()),
            }
        );
        // A state machine passes null for absent members.
        let read = Request::parse(&json!({
            "workload": "shop", "mode": "recover", "restoreTo": null, "planHash": null, "stack": null,
        }))
        .unwrap();
        assert_eq!(
            (read.restore_to, read.plan_hash, read.stack),
            (None, None, None)
        );
    }

    #[test]
    fn names_missing_and_invalid_members() {
        let check = |payload: Value, expected: &str| {
            let error = Request::parse(&payload).unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            let text = error.to_string();
            assert!(
                text.contains(expected) && text.contains("\"mode\""),
                "{text}"
            );
        };
        check(json!({}), "workload");
        check(json!([]), "parse input");
        check(json!({"workload": "shop"}), "mode");
        check(json!({"workload": "shop", "mode": "test"}), "mode");
        check(json!({"workload": "", "mode": "recover"}), "workload");
        check(
            json!({"workload": "../shop", "mode": "recover"}),
            "workload",
        );
        check(json!({"workload": "a/b", "mode": "recover"}), "workload");
        let with = |member: &str, value: &str| {
            let mut payload = json!({"workload": "shop", "mode": "drill", "stack": "shop-drill"});
            payload[member] = json!(value);
            payload
        };
        check(with("restoreTo", "yesterday"), "restoreTo");
        check(with("restoreTo", "2026-11-23"), "restoreTo");
        check(with("primarySince", "true"), "primarySince");
        check(with("planHash", "abc"), "planHash");
        check(with("planHash", ""), "planHash");
        check(with("stack", "9 lives"), "stack");
        check(with("mode", "recover"), "only a drill may name a stack");
        check(
            json!({"workload": "shop", "mode": "drill"}),
            "a drill must name its stack",
        );
    }
}
