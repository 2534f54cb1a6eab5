//! Answers a signal: keeps its OpsItem, tells people, starts the recovery runbook.
//!
//! Events about one incident come several times, in pages and out of order. What has been done is
//! read from the incident's OpsItem, so every one of them leads to the same end.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use crate::error::Error;
use crate::event::{self, alarm, health};
use crate::ops_item::{
    INCIDENT, KIND, NewOpsItem, OpsItem, OpsItemChange, Status, add_resources, find_or_create_where,
};
use crate::outcome::Outcome;
use crate::ports::{Notification, ResponsePorts};
use crate::respond::{self, Incident, Judgement, Policy, Response, State};

/// Operational data: when AWS last said what the item says.
const UPDATED: &str = "recovery:updated";
/// Operational data: the messages that people have been told of, separated by spaces.
const NOTIFIED: &str = "recovery:notified";
/// Operational data: the execution of the recovery runbook.
const EXECUTION: &str = "recovery:runbook-execution";
/// Operational data: the other incidents that the item refers to, separated by spaces.
const RELATED: &str = "recovery:related";
/// Other incidents that an item refers to at most.
const MOST_RELATED: usize = 10;
/// Operational data that OpsCenter shows as runbooks to start from the item:
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/OpsCenter-manually-create-OpsItems.html>.
const AUTOMATIONS: &str = "/aws/automations";
/// Operational data: the Region in trouble.
const REGION: &str = "recovery:region";

/// Parses the payload and answers it: what the function `health-event-responder` does.
///
/// # Errors
/// [`Error::Permanent`] for an event that cannot be read, and those of the ports.
pub async fn handle_health(
    ports: &impl ResponsePorts,
    policy: &Policy,
    payload: &serde_json::Value,
) -> Result<Outcome, Error> {
    let event = event::parse(payload)?;
    if event.source != health::SOURCE {
        return Ok(Outcome::ignored("source"));
    }
    if event.detail_type != health::EVENT {
        return Ok(Outcome::ignored("detail-type"));
    }
    let judgement = respond::health::judge(&health::health_event(&event)?, policy);
    carry_out(ports, policy, judgement).await
}

/// Parses the payload and answers it: what the function `alarm-responder` does.
///
/// # Errors
/// [`Error::Permanent`] for an event that cannot be read, and those of the ports.
pub async fn handle_alarm(
    ports: &impl ResponsePorts,
    policy: &Policy,
    payload: &serde_json::Value,
) -> Result<Outcome, Error> {
    let event = event::parse(payload)?;
    if event.source != alarm::SOURCE {
        return Ok(Outcome::ignored("source"));
    }
    if event.detail_type != alarm::STATE_CHANGE {
        return Ok(Outcome::ignored("detail-type"));
    }
    let judgement = respond::alarm::judge(&alarm::alarm_change(&event)?, policy);
    carry_out(ports, policy, judgement).await
}

async fn carry_out(
    ports: &impl ResponsePorts,
    policy: &Policy,
    judgement: Judgement,
) -> Result<Outcome, Error> {
    match judgement {
        Judgement::Ignore(reason) => Ok(Outcome::ignored(reason)),
        Judgement::Respond(incident, responses) => {
            respond(ports, policy, &incident, &responses).await
        }
    }
}

async fn respond(
    ports: &impl ResponsePorts,
    policy: &Policy,
    incident: &Incident,
    responses: &[Response],
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::responded().with("incident", incident.key.as_str());
    let mut item = None;
    if responses.contains(&Response::Track) {
        let Some(tracked) = track(ports, incident).await? else {
            return Ok(Outcome::ignored("no-incident"));
        };
        outcome = match (incident.state, tracked.status) {
            (State::Over, Status::Resolved) => Outcome::resolved(),
            _ => Outcome::responded(),
        }
        .with("incident", incident.key.as_str())
        .with("opsItemId", tracked.id.as_str());
        item = Some(tracked);
    }
    // Trouble that is told of after its end alarms nobody and starts nothing; an end that is told of
    // after the next trouble calms nobody.
    let superseded = item
        .as_ref()
        .is_some_and(|item| item.status != status(incident.state));
    if responses.contains(&Response::Notify) && !superseded {
        notify(ports, incident, item.as_mut()).await?;
    }
    if let Some(runbook) = policy
        .runbook
        .as_deref()
        .filter(|_| responses.contains(&Response::Recover) && !superseded)
    {
        let execution = recover(ports, incident, runbook, item.as_ref()).await?;
        outcome = outcome.with("automationExecutionId", execution);
    }
    // Last, since nothing hangs on it.
    if let Some(item) = &item {
        add_resources(ports, item, &incident.resources).await?;
        if item.status == Status::Open {
            relate_open_incidents(ports).await?;
        }
    }
    Ok(outcome)
}

/// Creates or updates the incident's OpsItem. News that are older than what it says change nothing.
/// Nothing, where there is no item and this signal is none to begin one with.
async fn track(ports: &impl ResponsePorts, incident: &Incident) -> Result<Option<OpsItem>, Error> {
    let new = NewOpsItem {
        key: incident.key.clone(),
        title: incident.title.clone(),
        description: incident.description.clone(),
        severity: incident.severity,
        category: "Availability",
        data: data(incident),
    };
    let known = |item: &OpsItem| item.data.get(UPDATED).and_then(|text| event::date(text));
    // What ended long ago is another incident than what begins now.
    let counts = |item: &OpsItem| match (incident.reopens_within, incident.updated, known(item)) {
        (Some(limit), Some(told), Some(known)) => {
            item.status == Status::Open || told - known <= limit
        }
        _ => true,
    };
    // An old event that comes again must not take the open item of the next incident for a repetition
    // of the one that is over.
    let repeats = |first: &OpsItem, younger: &OpsItem| {
        incident.reopens_within.is_none()
            || first.status == Status::Open
            || known(younger) <= known(first)
    };
    let mut item = if incident.opens {
        find_or_create_where(ports, &new, counts, repeats).await?
    } else {
        match ports.find(&new.key).await?.into_iter().find(counts) {
            Some(item) => item,
            None => return Ok(None),
        }
    };
    let known = known(&item);
    let newer = match (incident.updated, known) {
        (Some(told), Some(known)) => told > known,
        (None, Some(_)) => false,
        (Some(_), None) => true,
        // Where nothing says when, what is over stays over.
        (None, None) => item.status == Status::Open,
    };
    let status = status(incident.state);
    // The end is an end even when it carries the same time as the last news before it.
    let ends = incident.state == State::Over
        && item.status == Status::Open
        && (newer || incident.updated == known);
    if newer || ends {
        let change = OpsItemChange {
            title: Some(new.limited_title()),
            description: Some(new.limited_description()),
            severity: Some(incident.severity),
            status: Some(status),
            data: data(incident),
            ..OpsItemChange::default()
        };
        ports.update(&item.id, &change).await?;
        item.status = status;
    }
    Ok(Some(item))
}

/// The status of an item whose incident is in this state.
fn status(state: State) -> Status {
    match state {
        State::Open => Status::Open,
        State::Over => Status::Resolved,
    }
}

fn data(incident: &Incident) -> BTreeMap<&'static str, String> {
    // As exact as it was told: an alarm can change twice within a second.
    let updated = incident
        .updated
        .map(|time: DateTime<Utc>| (UPDATED, time.to_rfc3339_opts(SecondsFormat::AutoSi, true)));
    let runbooks: Vec<_> = incident
        .runbooks
        .iter()
        .map(|name| json!({"automationType": "AWS:SSM:Automation", "automationId": name}))
        .collect();
    let runbooks = (!runbooks.is_empty()).then(|| (AUTOMATIONS, json!(runbooks).to_string()));
    [
        (KIND, INCIDENT.to_owned()),
        (REGION, crate::text::shown(&incident.region)),
    ]
    .into_iter()
    .chain(updated)
    .chain(runbooks)
    .collect()
}

/// Tells people of this message, unless the item says that they have been told.
async fn notify(
    ports: &impl ResponsePorts,
    incident: &Incident,
    item: Option<&mut OpsItem>,
) -> Result<(), Error> {
    let key: String = crate::text::shown(&incident.message_key)
        .chars()
        .map(|c| if c.is_whitespace() { '-' } else { c })
        .collect();
    let told = item
        .as_ref()
        .and_then(|item| item.data.get(NOTIFIED))
        .cloned()
        .unwrap_or_default();
    if told.split(' ').any(|told| told == key) {
        return Ok(());
    }
    let link = item
        .as_ref()
        .map_or(String::new(), |item| format!("\nOpsItem: {}\n", item.id));
    ports
        .notify(&Notification {
            subject: incident.title.clone(),
            message: format!("{}{link}", incident.message),
            attributes: vec![
                ("kind", incident.kind.to_owned()),
                ("severity", incident.severity.as_str().to_owned()),
                ("region", crate::text::shown(&incident.region)),
            ],
        })
        .await?;
    if let Some(item) = item {
        // The newest last; old ones make way when the field is full.
        let mut keys: Vec<&str> = told.split(' ').filter(|key| !key.is_empty()).collect();
        keys.push(&key);
        let surplus = keys.len().saturating_sub(80);
        let keys = keys.split_off(surplus).join(" ");
        let change = OpsItemChange {
            data: [(NOTIFIED, keys.clone())].into(),
            ..OpsItemChange::default()
        };
        ports.update(&item.id, &change).await?;
        item.data.insert(NOTIFIED.to_owned(), keys);
    }
    Ok(())
}

/// Starts the recovery runbook, once for each incident: the token is made of the incident's key and
/// its OpsItem, since the same alarm can be another incident next year.
async fn recover(
    ports: &impl ResponsePorts,
    incident: &Incident,
    runbook: &str,
    item: Option<&OpsItem>,
) -> Result<String, Error> {
    if let Some(execution) = item.and_then(|item| item.data.get(EXECUTION)) {
        return Ok(execution.clone());
    }
    let mut parameters = vec![("Incident", incident.key.as_str().to_owned())];
    if let Some(item) = item {
        parameters.push(("OpsItemId", item.id.to_string()));
    }
    let purpose = item.map_or("recover".to_owned(), |item| format!("recover {}", item.id));
    let token = incident.key.token(&purpose);
    let execution = ports.start(runbook, &token, &parameters).await?;
    if let Some(item) = item {
        let change = OpsItemChange {
            data: [(EXECUTION, execution.clone())].into(),
            ..OpsItemChange::default()
        };
        ports.update(&item.id, &change).await?;
    }
    Ok(execution)
}

/// Makes the items of all incidents that are open refer to each other: they concern one workload.
async fn relate_open_incidents(ports: &impl ResponsePorts) -> Result<(), Error> {
    let mut open = ports.open_incidents().await?;
    open.sort_by(|a, b| a.id.cmp(&b.id));
    for item in &open {
        let others: Vec<_> = open
            .iter()
            .map(|other| other.id.clone())
            .filter(|other| *other != item.id)
            .take(MOST_RELATED)
            .collect();
        let mark: Vec<&str> = others.iter().map(|other| other.as_str()).collect();
        let mark = mark.join(" ");
        if others.is_empty() || item.data.get(RELATED) == Some(&mark) {
            continue;
        }
        let change = OpsItemChange {
            related: Some(others),
            data: [(RELATED, mark)].into(),
            ..OpsItemChange::default()
        };
        ports.update(&item.id, &change).await?;
    }
    Ok(())
}
