//! Answers a signal: keeps its OpsItem, tells people, starts the recovery runbook.
//!
//! Events about one incident come several times, in pages and out of order. What has been done is
//! read from the incident's OpsItem, so every one of them leads to the same end.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use crate::aws::arn::OpsItemId;
use crate::detect::{Incident, Judgement, Policy, Response, State};
use crate::error::Error;
use crate::event::{alarm, health};
use crate::notification::Notification;
use crate::ops_item::run::{add_resources, find_or_create_where};
use crate::ops_item::{
    BEGAN, INCIDENT, KIND, NOT_CREATED, NewOpsItem, OpsItem, OpsItemChange, Status, unless_at_quota,
};
use crate::outcome::Outcome;
use crate::ports::{Notifications, OpsItems, ResponsePorts, Runbooks};
use crate::{detect, event};

/// Operational data: of when the latest news of trouble are.
const TROUBLE: &str = "recovery:latest-trouble";
/// Operational data: of when the latest news of an end are. Apart from the other, so that of two
/// runs that write at the same moment neither takes away what the other knows.
const END: &str = "recovery:latest-end";
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
    let judgement = detect::health::judge(&health::health_event(&event)?, policy);
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
    // There is none, and its incident is told of all the same: OpsCenter's quota is used up.
    let mut unrecorded = false;
    // No response keeps another from being tried.
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
            // Nobody knows whether there is anything that it ends.
            Err(error) if !incident.opens => return Err(error),
            Err(error) => failures.add(error),
        }
    }
    // Trouble that is told of after its end alarms nobody and starts nothing; an end that is told of
    // after the next trouble calms nobody.
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
    // Only its item tells an alarm's incident from the next one of the same alarm; where none can be
    // created, this change of the alarm does.
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
    // Last, since nothing hangs on it: not even the run.
    if let Some(item) = &item {
        if let Err(error) = add_resources(ports.ops_items(), item, &incident.resources).await {
            tracing::warn!(opsItemId = %item.id, %error, "the resources are not added to the OpsItem");
        }
        if item.status == Status::Open
            && let Err(error) = relate_open_incidents(ports, item).await
        {
            tracing::warn!(opsItemId = %item.id, %error, "open incidents are not related");
        }
    }
    failures.first.map_or(Ok(outcome), Err)
}

/// What failed in a run that went on.
#[derive(Default)]
struct Failures {
    first: Option<Error>,
}

impl Failures {
    /// Keeps the first for the answer; the others are only logged.
    fn add(&mut self, error: Error) {
        if self.first.is_none() {
            self.first = Some(error);
        } else {
            tracing::warn!(%error, "another response failed as well");
        }
    }
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
        data: first_data(incident),
    };
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
        // Where nothing says when, what is over stays over.
        (None, None) => item.status == Status::Open,
    };
    let wanted = status(incident.state);
    // The end is an end even when it carries the same time as the last news before it.
    let ends = incident.state == State::Over
        && item.status == Status::Open
        && (newer || incident.updated == known);
    if newer || ends {
        let change = OpsItemChange {
            title: Some(new.limited_title()),
            description: Some(new.limited_description()),
            severity: Some(incident.severity),
            // What a person made of it, such as "in progress", stays while it is open.
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

/// Of when an item's news of this state are.
fn told(item: &OpsItem, state: State) -> Option<DateTime<Utc>> {
    item.data
        .get(time_key(state))
        .and_then(|text| event::date(text))
}

/// Of when an item's news are.
fn known(item: &OpsItem) -> Option<DateTime<Utc>> {
    told(item, State::Open).max(told(item, State::Over))
}

/// The state that the later of an item's news tell, an end where both are of the same time.
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

/// Whether the item took this very news while it knew of later ones that say otherwise, and does not
/// stand as those say: the run that wrote it died before it looked again.
fn overtaken(incident: &Incident, item: &OpsItem) -> bool {
    incident.updated.is_some()
        && told(item, incident.state) == incident.updated
        && latest(item).is_some_and(|state| state != incident.state && item.status != status(state))
}

/// Looks at the item after it was written. Where another run has written of something later, between
/// this one's look and its writing, the item is made to stand as the later news say.
async fn resolve_concurrent_update(
    ports: &impl ResponsePorts,
    incident: &Incident,
    id: &OpsItemId,
) -> Result<OpsItem, Error> {
    let mut item = ports.ops_items().get(id).await?;
    // Once is enough unless yet another run writes just now.
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
            description: overtaken.then(|| of_two_at_once(&title, state)),
            severity: Some(severity),
            status: Some(status(state)),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(id, &change).await?;
        item = ports.ops_items().get(id).await?;
    }
    Ok(item)
}

/// The description of an item of which two changes were answered at the same moment: what the later
/// one said was overwritten.
fn of_two_at_once(title: &str, state: State) -> String {
    let action = match state {
        State::Open => {
            "Look at the workload itself. If customers are affected and no end is in sight, start the recovery."
        }
        State::Over => {
            "Check that the workload works in the primary Region. If a recovery was started, decide whether to go on with it."
        }
    };
    let title = crate::text::code(title);
    format!(
        "**What happened.** {title}. Its trouble and an end of it were answered at the same moment; this is the later of the two.\n\n**What to do.** {action}"
    )
}

/// Where an item keeps the time of the news of this state.
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

/// The data of a new item. The time of the first trouble counts in the recovery time: later news of
/// the same incident leave it as it is.
fn first_data(incident: &Incident) -> BTreeMap<&'static str, String> {
    let began = incident.began.map(|began| (BEGAN, exact(began)));
    data(incident).into_iter().chain(began).collect()
}

/// As exact as it was told: an alarm can change twice within a second.
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

/// Tells people of this message, unless the item says that they have been told.
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
    let told = item
        .as_ref()
        .and_then(|item| item.data.get(NOTIFIED))
        .cloned()
        .unwrap_or_default();
    if told.split(' ').any(|told| told == key) {
        return Ok(());
    }
    let link = match &item {
        Some(item) => {
            let region = &policy.recovery_region;
            format!("OpsItem: {} {}\n", item.id, console_link(region, &item.id))
        }
        None if unrecorded => format!("OpsItem: {NOT_CREATED}\n"),
        None => String::new(),
    };
    let pointer = item.as_ref().map(|item| format!("OpsItem {}.", item.id));
    ports
        .notifications()
        .publish(&Notification {
            subject: incident.title.clone(),
            pointer: pointer.unwrap_or_else(|| "Check the workload.".to_owned()),
            message: format!(
                "{}\nWhat is done about it: {}\n{link}",
                incident.message,
                deeds(policy, responses, unrecorded)
            ),
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
        ports.ops_items().update(&item.id, &change).await?;
        item.data.insert(NOTIFIED.to_owned(), keys);
    }
    Ok(())
}

/// What this system does about a signal, in words.
fn deeds(policy: &Policy, responses: &[Response], unrecorded: bool) -> String {
    let mut deeds = Vec::new();
    if responses.contains(&Response::Track) && !unrecorded {
        deeds.push("an OpsItem is kept".to_owned());
    }
    if let Some(runbook) = &policy.runbook
        && responses.contains(&Response::Recover)
    {
        deeds.push(format!(
            "the runbook {runbook} is started once for this incident; it waits for approval unless you waived that"
        ));
    }
    if deeds.is_empty() {
        return "nothing but this message.".to_owned();
    }
    format!("{}.", deeds.join("; "))
}

/// Where people see the OpsItem: the console has another address in each partition.
fn console_link(region: &str, item: &OpsItemId) -> String {
    let domain = match region.split('-').next() {
        Some("cn") => "console.amazonaws.cn",
        _ if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{domain}/systems-manager/opsitems/{item}/details?region={region}")
}

/// Starts the recovery runbook, once for each incident: the token is made of the incident's key and,
/// where the same key can be another incident next year, as an alarm's can, of its OpsItem, or of the
/// alarm's change where OpsCenter's quota lets no item be created.
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

/// Makes the items of incidents that are open refer to each other: they concern one workload. Of
/// many, only the run's own and those that it refers to are written.
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
            let goes_on = matches!(error, Error::Permanent(_));
            first.get_or_insert(error);
            // What cannot be written stands in nobody's way; OpsCenter's being overloaded does.
            if !goes_on {
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
