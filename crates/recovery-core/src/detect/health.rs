//! The decision about an AWS Health event.

use crate::aws::arn::Arn;
use crate::detect::{
    CHECK_AFTER_END, DECIDE, Incident, Judgement, Policy, Response, State, began, done, runbook,
    time,
};
use crate::event::health::HealthEvent;
use crate::explanation::Explanation;
use crate::ops_item::{ItemKey, Severity};
use crate::text::{code, markdown_quotation, markdown_within, quotation, shown, within};

/// The service that AWS Health names if a whole Region is impaired.
const WHOLE_REGION: &str = "MULTIPLE_SERVICES";

/// Decides about a Health event, according to the policy.
pub fn judge(event: &HealthEvent, policy: &Policy) -> Judgement {
    if event.category != "issue" {
        return Judgement::Ignore("category");
    }
    let region = event.region.as_deref().unwrap_or("unknown");
    let primary = region == policy.primary_region;
    // An event without a Region may concern the workload: operators are notified, nothing is started.
    let concerns_us =
        primary || [policy.recovery_region.as_str(), "global", "unknown"].contains(&region);
    if !concerns_us {
        return Judgement::Ignore("region");
    }
    let whole_region = event.service == WHOLE_REGION
        || event
            .code
            .split('_')
            .collect::<Vec<_>>()
            .starts_with(&["AWS", "MULTIPLE", "SERVICES"]);
    let own_resources_only = names_own_resources_only(event, whole_region);
    let signs = signs(event);
    let state = signs.state;
    let severity = |state| match (state, primary, whole_region, own_resources_only) {
        (State::Over, ..) => Severity::Low,
        (State::Open, ..) if signs.informational => Severity::Low,
        (State::Open, true, true, _) => Severity::Critical,
        (State::Open, _, _, false) => Severity::High,
        (State::Open, _, _, true) => Severity::Medium,
    };
    let severities = (severity(state), severity(state.other()));
    let mut responses = policy.responses.clone();
    responses.sort();
    responses.dedup();
    responses.retain(|response| match response {
        Response::Track | Response::Notify => true,
        Response::Recover => {
            primary && signs.call_for_recovery() && !own_resources_only && policy.runbook.is_some()
        }
    });
    let scope = Scope {
        region,
        whole_region,
    };
    let incident = describe(event, policy, scope, signs, severities, &responses);
    Judgement::Respond(incident, responses)
}

/// Whether only resources of one account are affected. An event that names resources and is not marked as
/// public concerns only these, except when a whole Region is impaired.
fn names_own_resources_only(event: &HealthEvent, whole_region: bool) -> bool {
    match event.scope.as_deref() {
        Some("ACCOUNT_SPECIFIC") => true,
        Some("PUBLIC") => false,
        _ => !whole_region && event.entities.iter().any(|entity| is_resource(entity)),
    }
}

/// Whether an affected entity is a resource: AWS Health also lists accounts, and `UNKNOWN`.
fn is_resource(entity: &str) -> bool {
    let account = entity.strip_prefix("AWS_ACCOUNT").unwrap_or(entity);
    !(entity == "UNKNOWN" || account.chars().all(|c| c.is_ascii_digit()))
}

/// The state of the issue, according to the fields and the text of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signs {
    state: State,
    /// AWS reports no impairment.
    informational: bool,
    /// Some fields say that the issue has ended, others that it has not.
    contradictory: bool,
}

impl Signs {
    fn call_for_recovery(self) -> bool {
        self.state == State::Open && !self.informational && !self.contradictory
    }
}

/// The first line of many descriptions: `Current severity level: Operating normally`.
const SEVERITY_LINE: &str = "current severity level:";
/// The mark before the text, or before its last part, after the issue has ended.
const RESOLVED: &str = "[resolved]";

/// Determines the state. `statusCode` stays open for a while after AWS has written `[RESOLVED]`, so the text
/// counts, too. An end time alone is not an end: AWS has sent events under investigation with the time of
/// their last update as their end.
fn signs(event: &HealthEvent) -> Signs {
    let text = event.description.to_ascii_lowercase();
    let (level, text) = match text.strip_prefix(SEVERITY_LINE) {
        Some(rest) => {
            let (level, text) = rest.split_once('\n').unwrap_or((rest, ""));
            (level.trim().trim_end_matches('.'), text.trim_start())
        }
        None => ("", text.as_str()),
    };
    let impaired = !["", "operating normally", "informational"].contains(&level);
    let end_time_passed = match (event.end, event.updated) {
        (Some(end), Some(updated)) => end <= updated,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let mentions_end = text.contains(RESOLVED);
    let says_over = level == "operating normally"
        || text.starts_with(RESOLVED)
        || mentions_end && end_time_passed;
    let closed = event.status.as_deref() == Some("closed");
    let over = closed || says_over && !impaired;
    Signs {
        state: if over { State::Over } else { State::Open },
        informational: level == "informational"
            || level.is_empty() && text.trim_start_matches('[').starts_with("informational"),
        contradictory: !over && (end_time_passed || mentions_end),
    }
}

/// The Region of an event, and whether all of it is impaired.
#[derive(Clone, Copy)]
struct Scope<'a> {
    region: &'a str,
    whole_region: bool,
}

fn describe(
    event: &HealthEvent,
    policy: &Policy,
    Scope {
        region,
        whole_region,
    }: Scope<'_>,
    signs: Signs,
    (severity, otherwise): (Severity, Severity),
    responses: &[Response],
) -> Incident {
    let state = signs.state;
    let what = match (whole_region, event.service.as_str()) {
        (true, _) => "multiple services".to_owned(),
        (false, "") => "an unnamed service".to_owned(),
        (false, service) => shown(service),
    };
    let title = |state| match state {
        State::Open if signs.informational => {
            format!("AWS Health: information about {what} in {region}")
        }
        State::Open => format!("AWS Health: issue with {what} in {region}"),
        State::Over => format!("AWS Health: issue with {what} in {region} resolved"),
    };
    let (title, otherwise) = (title(state), (title(state.other()), otherwise));
    let (meaning, action) = if state == State::Over {
        ("AWS reports this issue as resolved.", CHECK_AFTER_END)
    } else if signs.informational {
        (
            "AWS informs about this service, and reports no impairment.",
            "Read what AWS says, and check whether it concerns the workload. This event is not a reason for a recovery.",
        )
    } else if region == policy.recovery_region {
        (
            "The recovery Region is impaired. No data is lost, but a recovery could be slow or fail now.",
            "Read what AWS says before you start a recovery or a drill.",
        )
    } else if signs.contradictory {
        (
            "The event says both that this issue is open and that it has ended. It is treated as open, but starts no recovery.",
            "Check the event in AWS Health and the workload itself. If users are affected and no end is in sight, start the recovery. The time until you decide counts in the RTO.",
        )
    } else if whole_region {
        (
            "Multiple services of the primary Region are impaired. Events of EventBridge and AWS Backup there can be late or missing.",
            DECIDE,
        )
    } else {
        (
            "A service that the workload may depend on is impaired.",
            DECIDE,
        )
    };
    // Pages arrive in any order, and each names its own entities. This text is the same for all pages.
    let affected = if event.pages > 1 {
        format!(
            "listed on {} pages: see the event in AWS Health",
            event.pages
        )
    } else if event.entities.is_empty() {
        "none named".to_owned()
    } else {
        let listed: Vec<String> = event
            .entities
            .iter()
            .take(10)
            .map(|entity| code(entity))
            .collect();
        let more = match event.entities.len().saturating_sub(10) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", markdown_within(&listed.join(", "), 500))
    };
    let account = event.affected_account.as_deref();
    let said = match event.description.trim() {
        "" => "nothing yet",
        said => said,
    };
    let done = done(policy, responses, true);
    let explanation = Explanation {
        happened: format!(
            "{meaning}\n\n- Service: {service}\n- Region: {region}\n- Event: {event_code}\n- Since: {since}\n- Last update: {updated}\n{account}- Affected: {affected}",
            account = account.map_or(String::new(), |account| format!(
                "- Account: {}\n",
                code(account)
            )),
            service = code(&event.service),
            region = code(region),
            event_code = code(&event.code),
            since = began(event.start, event.updated),
            updated = time(event.updated),
        ),
        why: format!("AWS says:\n{}", markdown_quotation(&within(said, 900))),
        done: done.clone(),
        action: format!("{action} {}", runbook(policy)),
    };
    let message = Explanation {
        happened: format!(
            "{meaning}\n- Event: {event_code}\n- Since: {since}\n- Last update: {updated}{account}",
            account = account.map_or(String::new(), |account| format!(
                "\n- Account: {}",
                shown(account)
            )),
            since = began(event.start, event.updated),
            updated = time(event.updated),
            event_code = shown(&event.code),
        ),
        why: format!("AWS says:\n{}", quotation(&within(said, 900))),
        done,
        action: action.to_owned(),
    };
    Incident {
        kind: "health-event",
        key: ItemKey::new("health-event", &event.arn),
        reopens_within: None,
        opens: true,
        // A message with the same key may change from open to over.
        message_key: match state {
            State::Open => event.message_key.clone(),
            State::Over => format!("{}@over", event.message_key),
        },
        state,
        severity,
        title,
        otherwise,
        description: explanation.markdown(),
        message,
        began: event.start,
        updated: event.updated,
        region: region.to_owned(),
        runbooks: policy.runbooks(),
        resources: event
            .entities
            .iter()
            .filter_map(|entity| Arn::parse(entity).ok())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> HealthEvent {
        let time = |text| crate::event::date(text);
        HealthEvent {
            arn: "arn:aws:health:us-east-1::event/S3/AWS_S3_OPERATIONAL_ISSUE/X_1".to_owned(),
            service: "S3".to_owned(),
            code: "AWS_S3_OPERATIONAL_ISSUE".to_owned(),
            category: "issue".to_owned(),
            scope: Some("PUBLIC".to_owned()),
            message_key: "m".to_owned(),
            status: Some("open".to_owned()),
            region: Some("us-east-1".to_owned()),
            start: time("2026-11-23T05:00:00Z"),
            end: None,
            updated: time("2026-11-23T05:30:00Z"),
            description: "We are investigating.".to_owned(),
            entities: Vec::new(),
            pages: 1,
            affected_account: None,
        }
    }

    fn policy() -> Policy {
        Policy {
            primary_region: "us-east-1".to_owned(),
            recovery_region: "us-west-2".to_owned(),
            responses: vec![Response::Recover, Response::Track, Response::Notify],
            runbook: Some("Recover".to_owned()),
            other_runbooks: vec!["StartWorkloadInstances".to_owned()],
        }
    }

    fn judged(event: &HealthEvent) -> (Incident, Vec<Response>) {
        match judge(event, &policy()) {
            Judgement::Respond(incident, responses) => (incident, responses),
            Judgement::Ignore(reason) => panic!("ignored: {reason}"),
        }
    }

    const ALL: [Response; 3] = [Response::Track, Response::Notify, Response::Recover];
    const TRACK_AND_NOTIFY: [Response; 2] = [Response::Track, Response::Notify];

    #[test]
    fn chooses_severity_and_responses() {
        let check = |event: HealthEvent, severity: Severity, responses: &[Response]| {
            let (incident, actual) = judged(&event);
            assert_eq!(incident.severity, severity, "{}", incident.title);
            assert_eq!(actual, responses, "{}", incident.title);
        };
        check(event(), Severity::High, &ALL);
        let whole = HealthEvent {
            service: "MULTIPLE_SERVICES".to_owned(),
            code: "AWS_MULTIPLE_SERVICES_OPERATIONAL_ISSUE".to_owned(),
            ..event()
        };
        check(whole.clone(), Severity::Critical, &ALL);
        // The event type code alone suffices.
        check(
            HealthEvent {
                service: String::new(),
                ..whole.clone()
            },
            Severity::Critical,
            &ALL,
        );
        let own = HealthEvent {
            scope: Some("ACCOUNT_SPECIFIC".to_owned()),
            ..event()
        };
        check(own, Severity::Medium, &TRACK_AND_NOTIFY);
        check(
            HealthEvent {
                scope: None,
                ..event()
            },
            Severity::High,
            &ALL,
        );
        // An issue of the recovery Region never starts a recovery.
        let recovery = HealthEvent {
            region: Some("us-west-2".to_owned()),
            ..whole.clone()
        };
        check(recovery, Severity::High, &TRACK_AND_NOTIFY);
        for region in [Some("global".to_owned()), None] {
            check(
                HealthEvent {
                    region,
                    ..whole.clone()
                },
                Severity::High,
                &TRACK_AND_NOTIFY,
            );
        }
    }

    #[test]
    fn closed_events_start_no_recovery() {
        let check = |event: HealthEvent| {
            let (incident, responses) = judged(&event);
            assert_eq!(incident.state, State::Over);
            assert_eq!(responses, TRACK_AND_NOTIFY);
        };
        check(HealthEvent {
            status: Some("closed".to_owned()),
            ..event()
        });
        check(HealthEvent {
            description: "[RESOLVED] It works again.".to_owned(),
            ..event()
        });
        for text in [
            "Current severity level: Operating normally\n\n[RESOLVED] It works again.",
            "Current severity level: Operating normally",
            "current severity level:  Operating Normally.\n\nThe error rates are as usual.",
            "Current severity level: Informational\n\n[Resolved] It works again.",
        ] {
            check(HealthEvent {
                description: text.to_owned(),
                ..event()
            });
        }
        // Consistent signs.
        check(HealthEvent {
            description: "We are investigating. [RESOLVED] It works again.".to_owned(),
            end: crate::event::date("2026-11-23T05:29:00Z"),
            ..event()
        });
        check(HealthEvent {
            description: "Current severity level: Informational\n\nPlease read.".to_owned(),
            status: Some("closed".to_owned()),
            ..event()
        });
    }

    #[test]
    fn contradictory_events_stay_open_and_start_no_recovery() {
        let check = |event: HealthEvent, responses: &[Response]| {
            let (incident, actual) = judged(&event);
            assert_eq!(incident.state, State::Open, "{event:?}");
            assert_eq!(incident.severity, Severity::High, "{event:?}");
            assert_eq!(actual, responses, "{event:?}");
        };
        let ended = |event: HealthEvent| HealthEvent {
            end: event.updated,
            ..event
        };
        let text = |text: &str| HealthEvent {
            description: text.to_owned(),
            ..event()
        };
        check(ended(event()), &TRACK_AND_NOTIFY);
        check(
            ended(HealthEvent {
                status: None,
                ..event()
            }),
            &TRACK_AND_NOTIFY,
        );
        check(
            HealthEvent {
                updated: None,
                ..ended(event())
            },
            &TRACK_AND_NOTIFY,
        );
        check(
            text("Current severity level: Disruption\n\n[RESOLVED] It works again."),
            &TRACK_AND_NOTIFY,
        );
        check(
            text("We are investigating. The first cause is [RESOLVED]."),
            &TRACK_AND_NOTIFY,
        );
        let (incident, _) = judged(&ended(event()));
        assert!(
            incident
                .message
                .happened
                .contains("both that this issue is open and that it has ended"),
            "{}",
            incident.message.happened
        );
        // A future end is not a contradiction, and neither is a severity line.
        let to_come = HealthEvent {
            end: crate::event::date("2026-11-23T09:00:00Z"),
            ..event()
        };
        check(to_come, &ALL);
        check(
            text("Current severity level: Degradation\n\nWe are investigating."),
            &ALL,
        );
    }

    #[test]
    fn informational_events_have_low_severity() {
        for text in [
            "Current severity level: Informational\n\nWe are watching error rates.",
            "[Informational] We are watching error rates.",
            "Informational message: we are watching error rates.",
        ] {
            let (incident, responses) = judged(&HealthEvent {
                service: "MULTIPLE_SERVICES".to_owned(),
                description: text.to_owned(),
                ..event()
            });
            assert_eq!(incident.state, State::Open, "{text}");
            assert_eq!(incident.severity, Severity::Low, "{text}");
            assert_eq!(responses, TRACK_AND_NOTIFY, "{text}");
            assert_eq!(
                incident.title,
                "AWS Health: information about multiple services in us-east-1"
            );
        }
    }

    #[test]
    fn event_with_resources_and_without_scope_is_not_public() {
        let named = |scope: Option<&str>, entity: &str| HealthEvent {
            scope: scope.map(str::to_owned),
            entities: vec![entity.to_owned()],
            ..event()
        };
        for scope in [None, Some("NONE")] {
            let (incident, responses) = judged(&named(scope, "i-0123456789abcdef0"));
            assert_eq!(incident.severity, Severity::Medium);
            assert_eq!(responses, TRACK_AND_NOTIFY);
            // Accounts are not resources.
            for entity in ["UNKNOWN", "AWS_ACCOUNT", "111122223333"] {
                let (incident, responses) = judged(&named(scope, entity));
                assert_eq!(incident.severity, Severity::High, "{entity}");
                assert_eq!(responses, ALL, "{entity}");
            }
        }
        let (incident, responses) = judged(&named(Some("PUBLIC"), "i-0123456789abcdef0"));
        assert_eq!(incident.severity, Severity::High);
        assert_eq!(responses, ALL);
        let whole = HealthEvent {
            service: "MULTIPLE_SERVICES".to_owned(),
            ..named(None, "i-0123456789abcdef0")
        };
        assert_eq!(judged(&whole).0.severity, Severity::Critical);
    }

    #[test]
    fn closed_message_has_another_key() {
        let over = HealthEvent {
            status: Some("closed".to_owned()),
            ..event()
        };
        assert_ne!(judged(&event()).0.message_key, judged(&over).0.message_key);
    }

    #[test]
    fn names_another_affected_account() {
        let other = HealthEvent {
            affected_account: Some("444455556666".to_owned()),
            ..event()
        };
        let (incident, _) = judged(&other);
        assert!(
            incident
                .description
                .contains("\n- Account: `444455556666`\n")
        );
        assert!(
            incident
                .message
                .happened
                .ends_with("\n- Account: 444455556666")
        );
        assert!(!judged(&event()).0.message.happened.contains("Account"));
    }

    #[test]
    fn ignores_other_categories_and_regions() {
        let check = |event: HealthEvent, reason: &'static str| {
            assert_eq!(judge(&event, &policy()), Judgement::Ignore(reason));
        };
        for category in [
            "scheduledChange",
            "accountNotification",
            "investigation",
            "",
        ] {
            check(
                HealthEvent {
                    category: category.to_owned(),
                    ..event()
                },
                "category",
            );
        }
        check(
            HealthEvent {
                region: Some("eu-west-1".to_owned()),
                ..event()
            },
            "region",
        );
    }

    #[test]
    fn starts_nothing_without_runbook_or_configuration() {
        let without = Policy {
            runbook: None,
            ..policy()
        };
        let track = Policy {
            responses: vec![Response::Track],
            ..policy()
        };
        let responses = |policy: &Policy| match judge(&event(), policy) {
            Judgement::Respond(_, responses) => responses,
            Judgement::Ignore(reason) => panic!("ignored: {reason}"),
        };
        assert_eq!(responses(&without), TRACK_AND_NOTIFY);
        assert_eq!(responses(&track), [Response::Track]);
    }

    #[test]
    fn quotes_texts_of_aws() {
        let (incident, _) = judged(&HealthEvent {
            description: "First.\n# Not a heading".to_owned(),
            service: "S3`".to_owned(),
            ..event()
        });
        assert!(
            incident.description.contains("\n> `# Not a heading`"),
            "{}",
            incident.description
        );
        assert!(
            incident.description.contains("`S3'`"),
            "{}",
            incident.description
        );
        assert!(incident.description.len() <= crate::ops_item::DESCRIPTION_LIMIT);
    }
}
