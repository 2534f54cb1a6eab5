//! What is asked of the planner.

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
    /// The word in inputs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Recover => "recover",
            Mode::Drill => "drill",
        }
    }
}

/// What is asked of the planner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Value of the tag `recovery:workload`.
    pub workload: String,
    /// A recovery or a drill.
    pub mode: Mode,
    /// The moment to go back to; otherwise the newest there is.
    pub restore_to: Option<DateTime<Utc>>,
    /// Since when the workload has run in the primary Region again, after a recovery here.
    pub primary_since: Option<DateTime<Utc>>,
    /// The hash of the plan that was looked at: another plan is refused.
    pub plan_hash: Option<String>,
    /// The drill's stack, in the place of the one that the tags name.
    pub stack: Option<String>,
}

/// What an input must look like.
const REMEDY: &str = "Pass {\"workload\": \"…\", \"mode\": \"recover\" or \"drill\"}, for a drill with \"stack\", and where wanted \"restoreTo\" and \"primarySince\" (RFC 3339) and \"planHash\".";

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
    /// Reads the input of the planner. Members it does not know are left alone: the input of the
    /// whole recovery can be passed as it is.
    ///
    /// # Errors
    /// [`Error::Permanent`] that names what is missing or wrong.
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
                    "{} is not 1 to 50 of a-z A-Z 0-9 _ - beginning with a letter or a digit",
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
                            format!("{} is no moment of RFC 3339", text::shown(&moment)),
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
                format!("{} is no hash of a plan", text::shown(hash)),
            ));
        }
        if let Some(stack) = input.stack.as_deref().filter(|name| !is_stack_name(name)) {
            return Err(wrong(
                "stack",
                format!("{} is no name of a stack", text::shown(stack)),
            ));
        }
        // Neither is assumed: a drill in the workload's own stack would be no drill.
        match (input.mode, &input.stack) {
            (Mode::Recover, Some(_)) => {
                return Err(wrong("stack", "only a drill has another stack".to_owned()));
            }
            (Mode::Drill, None) => {
                return Err(wrong(
                    "stack",
                    "a drill needs a stack of its own".to_owned(),
                ));
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

/// Whether a workload can be called so. The name becomes part of an object's key.
pub fn is_workload(name: &str) -> bool {
    (1..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether this can be the hash of a plan.
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
        check(with("mode", "recover"), "only a drill has another stack");
        check(
            json!({"workload": "shop", "mode": "drill"}),
            "a drill needs a stack of its own",
        );
    }
}
