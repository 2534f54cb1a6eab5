//! The decision about an AWS Health event.

use super::{Incident, Judgement, Policy, Response, State, runbook, time};
use crate::arn::Arn;
use crate::event::health::HealthEvent;
use crate::ops_item::{ItemKey, Severity};
use crate::text::{code, markdown_quotation, quotation, shown, within};

/// The service that AWS Health names when a whole Region is in trouble.
const WHOLE_REGION: &str = "MULTIPLE_SERVICES";

/// Judges a Health event by the owner's policy.
pub fn judge(event: &HealthEvent, policy: &Policy) -> Judgement {
    if event.category != "issue" {
        return Judgement::Ignore("category");
    }
    let region = event.region.as_deref().unwrap_or("unknown");
    let primary = region == policy.primary_region;
    // A Region that is not said might be ours: people are told, nothing is started.
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
    let own_resources_only = event.scope.as_deref() == Some("ACCOUNT_SPECIFIC");
    let state = state(event);
    let severity = |state| match (state, primary, whole_region, own_resources_only) {
        (State::Over, ..) => Severity::Low,
        (State::Open, true, true, _) => Severity::Critical,
        (State::Open, _, _, false) => Severity::High,
        (State::Open, _, _, true) => Severity::Medium,
    };
    let severities = (severity(state), severity(state.other()));
    let incident = describe(event, policy, region, state, severities, whole_region);
    let mut responses = policy.responses.clone();
    responses.sort();
    responses.dedup();
    responses.retain(|response| match response {
        Response::Track | Response::Notify => true,
        Response::Recover => {
            primary && state == State::Open && !own_resources_only && policy.runbook.is_some()
        }
    });
    Judgement::Respond(incident, responses)
}

/// Whether the trouble is over. AWS leaves `statusCode` open for a while after it has said
/// `[RESOLVED]` and given an end time.
fn state(event: &HealthEvent) -> State {
    let ended = match (event.end, event.updated) {
        (Some(end), Some(updated)) => end <= updated,
        _ => false,
    };
    if event.status.as_deref() == Some("closed")
        || event.description.starts_with("[RESOLVED]")
        || ended
    {
        State::Over
    } else {
        State::Open
    }
}

fn describe(
    event: &HealthEvent,
    policy: &Policy,
    region: &str,
    state: State,
    (severity, otherwise): (Severity, Severity),
    whole_region: bool,
) -> Incident {
    let what = match (whole_region, event.service.as_str()) {
        (true, _) => "several services".to_owned(),
        (false, "") => "an unnamed service".to_owned(),
        (false, service) => shown(service),
    };
    let title = |state| match state {
        State::Open => format!("AWS Health: {what} in trouble in {region}"),
        State::Over => format!("AWS Health: {what} in {region} reported as resolved"),
    };
    let (title, otherwise) = (title(state), (title(state.other()), otherwise));
    let (meaning, action) = if state == State::Over {
        (
            "AWS reports this trouble as resolved.",
            "Check that the workload works in the primary Region. If a recovery was started, decide whether to go on with it.",
        )
    } else if region == policy.recovery_region {
        (
            "The recovery Region is in trouble. Nothing is lost, but a recovery now could be slow or fail.",
            "Do not start a recovery or a drill without looking at this first.",
        )
    } else if whole_region {
        (
            "The Region where the workload runs is in trouble as a whole. EventBridge and AWS Backup there may be late or silent.",
            "Look at the workload itself. If customers are affected and no end is in sight, start the recovery; each minute of deciding counts in the recovery time.",
        )
    } else {
        (
            "A service that the workload may depend on is in trouble.",
            "Look at the workload itself. If customers are affected and no end is in sight, start the recovery.",
        )
    };
    // Pages come in any order, and each names its own: what stands here is the same for all of them.
    let affected = if event.pages > 1 {
        format!(
            "named on {} pages: see the event in AWS Health",
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
        format!("{}{more}", listed.join(", "))
    };
    let runbook = runbook(policy);
    let said = within(&event.description, 900);
    // What is to be done stands before what may be long: the end is what an OpsItem's limit cuts.
    let description = format!(
        "**What happened.** {meaning}\n\n\
         **What to do.** {action} {runbook}\n\n\
         - Service: {service}\n- Region: {region}\n- Event: {event_code}\n- Since: {since}\n- Last news: {updated}\n- Affected: {affected}\n\n\
         **AWS says.**\n{quote}",
        service = code(&event.service),
        region = code(region),
        event_code = code(&event.code),
        since = time(event.start),
        updated = time(event.updated),
        quote = if said.is_empty() {
            "nothing yet".to_owned()
        } else {
            markdown_quotation(&said)
        },
    );
    let message = format!(
        "{title}.\n\n{meaning}\n\nSince: {since}\nLast news: {updated}\nEvent: {event_code}\n\nAWS says:\n{said}\n\nWhat you must do: {action}\n",
        since = time(event.start),
        updated = time(event.updated),
        event_code = shown(&event.code),
        said = quotation(&said),
    );
    Incident {
        kind: "health-event",
        key: ItemKey::new("health-event", &event.arn),
        reopens_within: None,
        opens: true,
        message_key: event.message_key.clone(),
        state,
        severity,
        title,
        otherwise,
        description,
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
    const WATCH: [Response; 2] = [Response::Track, Response::Notify];

    #[test]
    fn how_bad_and_what_to_do() {
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
        // The code alone says it as well.
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
        check(own, Severity::Medium, &WATCH);
        check(
            HealthEvent {
                scope: None,
                ..event()
            },
            Severity::High,
            &ALL,
        );
        // The recovery Region itself: never a reason to recover into it.
        let recovery = HealthEvent {
            region: Some("us-west-2".to_owned()),
            ..whole.clone()
        };
        check(recovery, Severity::High, &WATCH);
        for region in [Some("global".to_owned()), None] {
            check(
                HealthEvent {
                    region,
                    ..whole.clone()
                },
                Severity::High,
                &WATCH,
            );
        }
    }

    #[test]
    fn what_is_over_starts_nothing() {
        let check = |event: HealthEvent| {
            let (incident, responses) = judged(&event);
            assert_eq!(incident.state, State::Over);
            assert_eq!(responses, WATCH);
        };
        check(HealthEvent {
            status: Some("closed".to_owned()),
            ..event()
        });
        check(HealthEvent {
            description: "[RESOLVED] It works again.".to_owned(),
            ..event()
        });
        check(HealthEvent {
            end: crate::event::date("2026-11-23T05:29:00Z"),
            ..event()
        });
        // An end that is still to come is none.
        let (incident, _) = judged(&HealthEvent {
            end: crate::event::date("2026-11-23T09:00:00Z"),
            ..event()
        });
        assert_eq!(incident.state, State::Open);
    }

    #[test]
    fn what_does_not_concern_us_is_ignored() {
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
    fn nothing_is_started_without_a_runbook_or_the_owners_word() {
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
        assert_eq!(responses(&without), WATCH);
        assert_eq!(responses(&track), [Response::Track]);
    }

    #[test]
    fn text_of_aws_stays_a_quotation() {
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
