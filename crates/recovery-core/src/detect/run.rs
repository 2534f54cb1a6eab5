//! Responds to a signal: creates or updates its OpsItem, notifies operators, starts the recovery runbook.
//!
//! Events about one incident arrive several times, in pages and out of order. Earlier responses are read from
//! the incident's OpsItem, so the result is the same for every order.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use crate::aws::arn::OpsItemId;
use crate::detect::{CHECK_AFTER_END, DECIDE, Incident, Judgement, Policy, Response, State, done};
use crate::error::Error;
use crate::event::{alarm, health};
use crate::explanation::Explanation;
use crate::notification::Notification;
use crate::ops_item::run::{add_resources, find_or_create_where};
use crate::ops_item::{
    BEGAN, INCIDENT, KIND, NOT_CREATED, NewOpsItem, OpsItem, OpsItemChange, Status, unless_at_quota,
};
use crate::outcome::Outcome;
use crate::ports::{Notifications, OpsItems, ResponsePorts, Runbooks};
use crate::{detect, event};

/// Operational data: the time of the latest signal that the incident is open.
const TROUBLE: &str = "recovery:latest-trouble";
/// Operational data: the time of the latest signal that the incident has ended. It has its own key, so that
/// two runs that write at the same time do not overwrite each other.
const END: &str = "recovery:latest-end";
/// Operational data: the keys of the messages that operators were notified of, separated by spaces.
const NOTIFIED: &str = "recovery:notified";
/// Operational data: the execution of the recovery runbook.
const EXECUTION: &str = "recovery:runbook-execution";
/// Operational data: the other incidents that the item refers to, separated by spaces.
const RELATED: &str = "recovery:related";
/// The most other incidents that an item refers to.
const MOST_RELATED: usize = 10;
/// Operational data that OpsCenter offers as runbooks to start:
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/OpsCenter-manually-create-OpsItems.html>.
const AUTOMATIONS: &str = "/aws/automations";
/// Operational data: the affected Region.
const REGION: &str = "recovery:region";

/// Responds to the event in the payload: the function `health-event-responder`.
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
    let judgement = detect::health::judge(&health::health_event(&event)?, policy);
    carry_out(ports, policy, judgement).await
}

/// Responds to the event in the payload: the function `alarm-responder`.
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
    let judgement = detect::alarm::judge(&alarm::alarm_change(&event)?, policy);
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
    let tracks = responses.contains(&Response::Track);
    if !tracks && !incident.opens {
        return Ok(Outcome::ignored("no-incident"));
    }
    let mut outcome = Outcome::responded().with("incident", incident.key.as_str());
    let mut item = None;
    // OpsCenter's quota is used up: there is no item, and operators are notified without it.
    let mut unrecorded = false;
    // If one response fails, the others are still tried.
    let mut failures = Failures::default();
    if tracks {
        match unless_at_quota(track(ports, incident).await) {
            Ok(Some(Some(tracked))) => {
                outcome = match (incident.state, tracked.status) {
                    (State::Over, Status::Resolved) => Outcome::resolved(),
                    _ => Outcome::responded(),
                }
                .with("incident", incident.key.as_str())
                .with("opsItemId", tracked.id.as_str());
                item = Some(tracked);
            }
            Ok(Some(None)) => return Ok(Outcome::ignored("no-incident")),
            Ok(None) => {
                unrecorded = true;
                outcome = outcome.with_item(None);
            }
            // It is unknown whether there is an incident that this signal ends.
            Err(error) if !incident.opens => return Err(error),
            Err(error) => failures.add(error),
        }
    }
    // A late signal, about a state that a newer signal has replaced, neither notifies nor starts anything.
    let superseded = item
        .as_ref()
        .is_some_and(|item| item.status != status(incident.state));
    if (responses.contains(&Response::Notify) || unrecorded)
        && !superseded
        && let Err(error) = notify(
            ports,
            policy,
            incident,
            responses,
            item.as_mut(),
            unrecorded,
        )
        .await
    {
        failures.add(error);
    }
    // Only the item distinguishes an alarm's incident from the next one of the same alarm. If the quota is used
    // up, the time of the alarm's change does.
    let distinct = item.is_some() || incident.reopens_within.is_none() || unrecorded;
    if let Some(runbook) = policy
        .runbook
        .as_deref()
        .filter(|_| responses.contains(&Response::Recover) && !superseded && distinct)
    {
        match recover(ports, incident, runbook, item.as_ref()).await {
            Ok(execution) => outcome = outcome.with("automationExecutionId", execution),
            Err(error) => failures.add(error),
        }
    }
    // Last, because nothing depends on it: a failure is only logged.
    if let Some(item) = &item {
        if let Err(error) = add_resources(ports.ops_items(), item, &incident.resources).await {
            tracing::warn!(opsItemId = %item.id, %error, "the resources were not added to the OpsItem");
        }
        if item.status == Status::Open
            && let Err(error) = relate_open_incidents(ports, item).await
        {
            tracing::warn!(opsItemId = %item.id, %error, "the OpsItems of open incidents were not related");
        }
    }
    failures.first.map_or(Ok(outcome), Err)
}

/// The failures of a run that continued.
#[derive(Default)]
struct Failures {
    first: Option<Error>,
}

impl Failures {
    /// Keeps the first failure for the answer. The others are only logged.
    fn add(&mut self, error: Error) {
        if self.first.is_none() {
            self.first = Some(error);
        } else {
            tracing::warn!(%error, "another response failed, too");
        }
    }
}

/// Creates or updates the incident's OpsItem. A signal that is older than the item's latest changes nothing.
/// Returns `None` if there is no item and this signal may not open one.
async fn track(ports: &impl ResponsePorts, incident: &Incident) -> Result<Option<OpsItem>, Error> {
    let new = NewOpsItem {
        key: incident.key.clone(),
        title: incident.title.clone(),
        description: incident.description.clone(),
        severity: incident.severity,
        category: "Availability",
        data: first_data(incident),
    };
    // An item that ended long ago belongs to an earlier incident.
    let counts = |item: &OpsItem| match (incident.reopens_within, incident.updated, known(item)) {
        (Some(limit), Some(told), Some(known)) => {
            item.status == Status::Open || told - known <= limit
        }
        _ => true,
    };
    // A repeated old event must not resolve the open item of the next incident as a duplicate.
    let repeats = |first: &OpsItem, younger: &OpsItem| {
        incident.reopens_within.is_none()
            || first.status == Status::Open
            || known(younger) <= known(first)
    };
    let item = if incident.opens {
        find_or_create_where(ports.ops_items(), &new, counts, repeats).await?
    } else {
        match ports
            .ops_items()
            .list(&new.key)
            .await?
            .into_iter()
            .find(counts)
        {
            Some(item) => item,
            None => return Ok(None),
        }
    };
    let known = known(&item);
    let newer = match (incident.updated, known) {
        (Some(told), Some(known)) => told > known,
        (None, Some(_)) => false,
        (Some(_), None) => true,
        // Without any time, a resolved item stays resolved.
        (None, None) => item.status == Status::Open,
    };
    let wanted = status(incident.state);
    // An end counts, even if it has the same time as the signal before it.
    let ends = incident.state == State::Over
        && item.status == Status::Open
        && (newer || incident.updated == known);
    if newer || ends {
        let change = OpsItemChange {
            title: Some(new.limited_title()),
            description: Some(new.limited_description()),
            severity: Some(incident.severity),
            // A status that a person set, such as "in progress", stays while the incident is open.
            status: (item.status != wanted).then_some(wanted),
            data: data(incident),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
    } else if !overtaken(incident, &item) {
        return Ok(Some(item));
    }
    resolve_concurrent_update(ports, incident, &item.id)
        .await
        .map(Some)
}

/// The time of the item's latest signal of this state.
fn told(item: &OpsItem, state: State) -> Option<DateTime<Utc>> {
    item.data
        .get(time_key(state))
        .and_then(|text| event::date(text))
}

/// The time of the item's latest signal.
fn known(item: &OpsItem) -> Option<DateTime<Utc>> {
    told(item, State::Open).max(told(item, State::Over))
}

/// The state according to the item's latest signal; the end if both have the same time.
fn latest(item: &OpsItem) -> Option<State> {
    let (trouble, end) = (told(item, State::Open), told(item, State::Over));
    known(item).map(|_| {
        if end >= trouble {
            State::Over
        } else {
            State::Open
        }
    })
}

/// Whether the item shows this signal, although it knows a later one of the other state: a run wrote it, and
/// crashed before it read the item again.
fn overtaken(incident: &Incident, item: &OpsItem) -> bool {
    incident.updated.is_some()
        && told(item, incident.state) == incident.updated
        && latest(item).is_some_and(|state| state != incident.state && item.status != status(state))
}

/// Reads the item after it was written. If another run wrote a later signal in the meantime, the item is
/// changed to the state of the later signal.
async fn resolve_concurrent_update(
    ports: &impl ResponsePorts,
    incident: &Incident,
    id: &OpsItemId,
) -> Result<OpsItem, Error> {
    let mut item = ports.ops_items().get(id).await?;
    // Once is enough, unless a third run writes at the same time.
    for _ in 0..3 {
        let Some(state) = latest(&item).filter(|state| item.status != status(*state)) else {
            break;
        };
        let (title, severity) = if state == incident.state {
            (incident.title.clone(), incident.severity)
        } else {
            incident.otherwise.clone()
        };
        let overtaken = state != incident.state;
        let change = OpsItemChange {
            title: overtaken.then(|| crate::text::shown(&title)),
            description: overtaken.then(|| concurrent_update(&title, state)),
            severity: Some(severity),
            status: Some(status(state)),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(id, &change).await?;
        item = ports.ops_items().get(id).await?;
    }
    Ok(item)
}

/// The description of an item after two concurrent updates, of which the earlier one overwrote the later one.
fn concurrent_update(title: &str, state: State) -> String {
    Explanation {
        happened: format!("{}.", crate::text::code(title)),
        why: "Two signals of this incident arrived at the same time: one that it is open, and one that it has ended. This is the later one.".to_owned(),
        done: "The OpsItem shows the later signal. The text of that signal was overwritten.".to_owned(),
        action: match state {
            State::Open => DECIDE,
            State::Over => CHECK_AFTER_END,
        }
        .to_owned(),
    }
    .markdown()
}

/// The operational data with the time of the latest signal of this state.
fn time_key(state: State) -> &'static str {
    match state {
        State::Open => TROUBLE,
        State::Over => END,
    }
}

/// The status of an item whose incident is in this state.
fn status(state: State) -> Status {
    match state {
        State::Open => Status::Open,
        State::Over => Status::Resolved,
    }
}

/// The data of a new item. The RTO is counted from its beginning, so later signals do not change that time.
fn first_data(incident: &Incident) -> BTreeMap<&'static str, String> {
    let began = incident.began.map(|began| (BEGAN, exact(began)));
    data(incident).into_iter().chain(began).collect()
}

/// With the precision of the signal: an alarm can change twice within a second.
fn exact(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn data(incident: &Incident) -> BTreeMap<&'static str, String> {
    let updated = incident
        .updated
        .map(|time| (time_key(incident.state), exact(time)));
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

/// Notifies operators of this message, unless the item records that they were notified.
async fn notify(
    ports: &impl ResponsePorts,
    policy: &Policy,
    incident: &Incident,
    responses: &[Response],
    item: Option<&mut OpsItem>,
    unrecorded: bool,
) -> Result<(), Error> {
    let key: String = crate::text::shown(&incident.message_key)
        .chars()
        .map(|c| if c.is_whitespace() { '-' } else { c })
        .collect();
    let notified = item
        .as_ref()
        .and_then(|item| item.data.get(NOTIFIED))
        .cloned()
        .unwrap_or_default();
    if notified.split(' ').any(|notified| notified == key) {
        return Ok(());
    }
    let link = match &item {
        Some(item) => {
            let region = &policy.recovery_region;
            format!(
                "\n- OpsItem: {} {}",
                item.id,
                console_link(region, &item.id)
            )
        }
        None if unrecorded => format!("\n- OpsItem: {NOT_CREATED}"),
        None => String::new(),
    };
    let pointer = item.as_ref().map(|item| format!("OpsItem {}.", item.id));
    let mut message = incident.message.clone();
    message.happened.push_str(&link);
    message.done = done(policy, responses, item.is_some());
    ports
        .notifications()
        .publish(&Notification {
            subject: incident.title.clone(),
            pointer: pointer.unwrap_or_else(|| "Check the workload.".to_owned()),
            message: message.plain(&incident.title),
            attributes: vec![
                ("kind", incident.kind.to_owned()),
                ("severity", incident.severity.as_str().to_owned()),
                ("region", crate::text::shown(&incident.region)),
            ],
        })
        .await?;
    if let Some(item) = item {
        // The newest is last. The oldest are dropped, so that the value fits.
        let mut keys: Vec<&str> = notified.split(' ').filter(|key| !key.is_empty()).collect();
        keys.push(&key);
        let surplus = keys.len().saturating_sub(80);
        let keys = keys.split_off(surplus).join(" ");
        let change = OpsItemChange {
            data: [(NOTIFIED, keys.clone())].into(),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
        item.data.insert(NOTIFIED.to_owned(), keys);
    }
    Ok(())
}

/// The link to the OpsItem in the console, whose domain depends on the partition.
fn console_link(region: &str, item: &OpsItemId) -> String {
    let domain = match region.split('-').next() {
        Some("cn") => "console.amazonaws.cn",
        _ if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{domain}/systems-manager/opsitems/{item}/details?region={region}")
}

/// Starts the recovery runbook, once for each incident. The token is derived from the incident's key. The key of
/// an alarm can be another incident next year, so its token is also derived from its OpsItem or, if OpsCenter's
/// quota is used up, from the alarm's change.
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
    let purpose = match (incident.reopens_within, item) {
        (None, _) => "recover".to_owned(),
        (Some(_), Some(item)) => format!("recover {}", item.id),
        (Some(_), None) => format!("recover {}", incident.message_key),
    };
    let token = incident.key.token(&purpose);
    let execution = ports.runbooks().start(runbook, &token, &parameters).await?;
    if let Some(item) = item {
        let change = OpsItemChange {
            data: [(EXECUTION, execution.clone())].into(),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
    }
    Ok(execution)
}

/// Makes the items of open incidents refer to each other, because they concern one workload. Of many, only this
/// run's own item and those that it refers to are changed.
async fn relate_open_incidents(ports: &impl ResponsePorts, own: &OpsItem) -> Result<(), Error> {
    let mut open = ports.ops_items().list_open(INCIDENT).await?;
    // OpsCenter may not list it yet.
    if open.iter().all(|item| item.id != own.id) {
        open.push(own.clone());
    }
    open.sort_by(|a, b| a.id.cmp(&b.id));
    let others = open
        .iter()
        .filter(|item| item.id != own.id)
        .take(MOST_RELATED);
    let mut first = None;
    for item in open.iter().filter(|item| item.id == own.id).chain(others) {
        if let Err(error) = relate(ports, item, &open).await {
            let is_permanent = matches!(error, Error::Permanent(_));
            first.get_or_insert(error);
            // One item that cannot be changed does not matter. An overloaded OpsCenter does.
            if !is_permanent {
                break;
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// Makes the item refer to others that are open.
async fn relate(ports: &impl ResponsePorts, item: &OpsItem, open: &[OpsItem]) -> Result<(), Error> {
    let others: Vec<_> = open
        .iter()
        .map(|other| other.id.clone())
        .filter(|other| *other != item.id)
        .take(MOST_RELATED)
        .collect();
    let mark: Vec<&str> = others.iter().map(|other| other.as_str()).collect();
    let mark = mark.join(" ");
    if others.is_empty() || item.data.get(RELATED) == Some(&mark) {
        return Ok(());
    }
    let change = OpsItemChange {
        related: Some(others),
        data: [(RELATED, mark)].into(),
        ..OpsItemChange::default()
    };
    ports.ops_items().update(&item.id, &change).await
}
