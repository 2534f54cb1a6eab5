//! The conditions for databases and tables.

use recovery_core::aws::arn::{DbClusterId, DbInstanceId, OpsItemId};
use recovery_core::aws::database::{DatabaseId, DbStatus};
use recovery_core::aws::table::TableStatus;
use recovery_core::fakes::State;
use recovery_core::ops_item::{OpsItemChange, Status, restore_key};

use crate::data_stores::{DRILL, DataStore, STRANGER, StoreKind, StorePurpose, cluster, instance};
use crate::executor::Millis;
use crate::invariants::{Ledger, items_of, one_item, says_drill};
use crate::parties::{MINUTE, Plan};
use crate::world::Sim;

impl DataStore {
    /// The value of `recovery:integration` for one that is integrated.
    fn integrated(&self) -> &'static str {
        match self.kind {
            StoreKind::Table => "configured",
            StoreKind::Instance | StoreKind::Cluster => "integrated",
        }
    }

    /// Whether applications can use it, or could before.
    fn answers(&self, state: &State, ledger: &Ledger) -> bool {
        let reachable = |id: &DbInstanceId| ledger.reachable.contains(id);
        match self.kind {
            StoreKind::Instance => reachable(&DbInstanceId::new(&self.name)),
            StoreKind::Cluster => self.instances().any(|id| reachable(&id)),
            StoreKind::Table => state
                .tables
                .get(&self.name)
                .is_some_and(|table| table.table.status != TableStatus::Creating),
        }
    }
}

fn violated(sim: &Sim, what: String) {
    sim.inner().ledger.violations.push(what);
}

/// RDS has created an instance: it is one that a restored cluster of the workload lacked.
pub(crate) fn created(sim: &Sim, id: &DbInstanceId) {
    let is_wanted = |store: &&std::sync::Arc<DataStore>| store.instances().any(|it| it == *id);
    let Some(store) = sim.stores.iter().find(is_wanted) else {
        return violated(sim, format!("{id}, which no cluster needs, is created"));
    };
    let new = {
        let state = sim.world.state();
        state
            .databases
            .created
            .iter()
            .rfind(|new| new.id == *id)
            .cloned()
    };
    let Some(new) = new else { return };
    let number = store
        .instances()
        .position(|it| it == *id)
        .unwrap_or_default();
    if store.purpose != StorePurpose::Tagged
        || new.cluster != DbClusterId::new(&store.name)
        || store.classes.get(number) != Some(&new.class.as_str())
    {
        violated(sim, format!("{new:?} is not what {} needs", store.name));
    }
    let tag = match store.drill {
        true => ("recovery:drill", DRILL.to_owned()),
        false => ("recovery:workload", "shop".to_owned()),
    };
    if new.tags != [tag] {
        violated(sim, format!("{id} has the tags {:?}", new.tags));
    }
    let times = {
        let created = &mut sim.inner().ledger.created;
        let times = created.entry(id.clone()).or_default();
        *times += 1;
        *times
    };
    if times > 1 {
        violated(sim, format!("{id} is created {times} times"));
    }
}

/// A parameter was written: it belongs to a data store that can be used, and has its value.
pub(crate) fn published(sim: &Sim, name: &str) {
    let state = sim.world.state();
    let Some((path, _)) = name.rsplit_once('/') else {
        return;
    };
    let owner = sim.stores.iter().find(|store| {
        store.path() == path && store.is_published && store.purpose == StorePurpose::Tagged
    });
    let Some(store) = owner else {
        return violated(sim, format!("{name}, which belongs to nobody, is written"));
    };
    if store.is_disturbed {
        return;
    }
    let wanted = store.parameters(&state);
    let wanted = wanted.iter().find(|(it, _)| it == name);
    let found = state.parameters.get(name).map(|it| &it.value);
    if wanted.map(|(_, value)| value) != found {
        return violated(sim, format!("{name} is {found:?}, and not {wanted:?}"));
    }
    let answers = store.answers(&state, &sim.inner().ledger);
    if !answers {
        violated(sim, format!("{name} is published, but cannot be used"));
    }
    if store.kind == StoreKind::Table {
        // Others write to it as soon as they know its name.
        let missing = store.missing(&state);
        let settings: Vec<&String> = missing.iter().filter(|it| !it.contains('/')).collect();
        if !settings.is_empty() {
            violated(sim, format!("{name} is published without {settings:?}"));
        }
    }
}

/// An OpsItem is updated.
pub(crate) fn update(sim: &Sim, id: &OpsItemId, was: Option<&str>, change: &OpsItemChange) {
    let state = sim.world.state();
    let key = state.items.iter().find(|stored| stored.item.id == *id);
    let key = key.map(|stored| stored.key.clone());
    let store = sim
        .stores
        .iter()
        .find(|store| key.as_ref() == Some(&restore_key(&store.id)));
    let Some(store) = store else { return };
    let says = change.data.get("recovery:integration").map(String::as_str);
    let is_kept = says.is_none() || says == was || matches!(says, Some("refused" | "failing"));
    if was == Some(store.integrated()) && !is_kept {
        violated(sim, format!("{id} says {was:?}, and then {says:?}"));
    }
    if says == Some(store.integrated()) && change.status == Some(Status::Resolved) {
        let missing = store.missing(&state);
        if !missing.is_empty() && !store.is_disturbed {
            violated(
                sim,
                format!("{id} is resolved, but {} lacks {missing:?}", store.name),
            );
        }
    }
}

/// The expected result of a restore, from the real state of the world.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Ignored,
    Integrated,
    Refused(&'static str),
    /// It cannot be used yet.
    Waiting,
}

fn end(state: &State, store: &DataStore, tags_are_known: bool) -> End {
    match store.purpose {
        StorePurpose::Untagged | StorePurpose::Test => return End::Ignored,
        _ if !tags_are_known => return End::Ignored,
        StorePurpose::Tagged | StorePurpose::WithoutInstances | StorePurpose::Copy => {}
    }
    let status_of = |status: &DbStatus| {
        if status.is_dead() {
            Some(End::Refused("database-unusable"))
        } else if status.is_reachable() {
            None
        } else {
            Some(End::Waiting)
        }
    };
    let databases = &state.databases;
    let found = match store.database() {
        Some(DatabaseId::Instance(id)) => databases.instances.get(&id).map(|it| &it.status),
        Some(DatabaseId::Cluster(id)) => databases.clusters.get(&id).map(|it| &it.status),
        None => return end_of_table(state, store),
    };
    let Some(status) = found else {
        return End::Refused("database-gone");
    };
    match store.purpose {
        StorePurpose::Copy => return End::Refused("database-name"),
        StorePurpose::WithoutInstances => return End::Refused("tag-missing"),
        _ => {}
    }
    if let Some(end) = status_of(status) {
        return end;
    }
    for id in store.instances() {
        let Some(instance) = databases.instances.get(&id) else {
            return End::Integrated;
        };
        if instance.cluster != Some(DbClusterId::new(&store.name)) {
            return End::Refused("identifier-taken");
        }
    }
    let ids: Vec<DbInstanceId> = store.instances().collect();
    let all = ids.iter().filter_map(|id| databases.instances.get(id));
    let mut ends: Vec<End> = all.filter_map(|it| status_of(&it.status)).collect();
    // One that is lost is refused while another is created.
    ends.sort_by_key(|end| *end == End::Waiting);
    ends.into_iter().next().unwrap_or(End::Integrated)
}

fn end_of_table(state: &State, store: &DataStore) -> End {
    if store.purpose == StorePurpose::Copy {
        return End::Refused("table-name");
    }
    let Some(table) = state.tables.get(&store.name) else {
        return End::Refused("table-gone");
    };
    if table.table.created > crate::world::time(store.completed) {
        return End::Refused("table-replaced");
    }
    match table.table.status {
        TableStatus::Active => End::Integrated,
        TableStatus::Creating | TableStatus::Updating => End::Waiting,
        _ => End::Refused("table-key-unusable"),
    }
}

/// The conditions once the faults have ended and the reconciler has run.
pub(crate) fn at_rest(sim: &Sim, plan: &Plan) -> Result<(), String> {
    if plan.stores.is_empty() {
        return Ok(());
    }
    strangers_are_untouched(sim, plan)?;
    for store in &plan.stores {
        store_at_rest(sim, plan, store)
            .map_err(|what| format!("{} ({:?} {}): {what}", store.id, store.kind, store.name))?;
    }
    Ok(())
}

fn strangers_are_untouched(sim: &Sim, plan: &Plan) -> Result<(), String> {
    let state = sim.world.state();
    let databases = &state.databases;
    let own = instance(STRANGER, "postgres", "available");
    let cluster = cluster(STRANGER, "aurora-postgresql", "available", None);
    let others = databases
        .instances
        .values()
        .filter(|it| it.cluster.as_ref().map(DbClusterId::as_str) == Some(STRANGER));
    let is_same = databases.instances.get(&own.id) == Some(&own)
        && databases.clusters.get(&cluster.id) == Some(&cluster)
        && others
            .map(|it| &it.settings)
            .all(|settings| *settings == own.settings);
    let table = state.tables.get(STRANGER);
    if !is_same || table.is_none_or(|table| !table.changes.is_empty()) {
        return Err("what belongs to others was changed".to_owned());
    }
    for store in &plan.stores {
        let name = format!("/recovery/{}/password", store.source);
        let parameter = state.parameters.get(&name);
        if parameter.is_none_or(|it| it.value != STRANGER || it.version != 1) {
            return Err(format!("{name}, which belongs to others, was changed"));
        }
    }
    Ok(())
}

/// When the reconciler has invoked everything that was not done.
const RECONCILED: Millis = 3 * MINUTE;

fn store_at_rest(sim: &Sim, plan: &Plan, store: &DataStore) -> Result<(), String> {
    let items = items_of(sim, &store.id);
    one_item(
        sim,
        plan,
        &store.id,
        store.drill,
        store.integrated(),
        &items,
    )?;
    let state = sim.world.state();
    let inner = sim.inner();
    let ledger = &inner.ledger;
    if store.drill {
        // The table of a drill has no tags, and nothing of a drill is protected.
        return says_drill(ledger, &store.id, &items);
    }
    let data = |key: &str| {
        let item = items.first()?;
        item.item.data.get(key).map(String::as_str)
    };
    let said = data("recovery:integration");
    let open = items
        .first()
        .is_some_and(|it| it.item.status == Status::Open);
    let by_person = items
        .iter()
        .any(|it| ledger.resolved_by_person.contains_key(&it.item.id));
    let told: Vec<&str> = ledger
        .told
        .iter()
        .filter(|told| told.job == store.id.as_str())
        .map(|told| told.subject.as_str())
        .collect();
    let tags_are_known = !store.is_tagged_by_plan || data("recovery:tags-from").is_some();
    let end = end(&state, store, tags_are_known);
    let missing = store.missing(&state);
    if store.quiet && !told.is_empty() {
        return Err(format!(
            "notified {told:?} of a restore that nothing hinders"
        ));
    }
    if store.purpose == StorePurpose::Copy
        && store.is_published
        && !missing.iter().any(|it| it.contains('/'))
    {
        let path = store.path();
        return Err(format!("a copy for a person is published below {path}"));
    }
    let is_integrated = said == Some(store.integrated());
    if is_integrated {
        let invoked = ledger.invocations.iter().filter(|(at, job)| {
            *job == store.id && *at > plan.weather.calm.max(plan.settled - 5 * MINUTE) + RECONCILED
        });
        if invoked.count() > 0 {
            return Err("it is integrated, but the reconciler invokes its integrator".to_owned());
        }
    }
    if let StoreKind::Table = store.kind
        && ledger.unprotected.contains(&store.name)
        && state
            .tables
            .get(&store.name)
            .is_some_and(|it| it.table.protected)
        && !by_person
    {
        return Err("the owner turned its protection off, and it is on again".to_owned());
    }
    // The item of a restore that cannot be integrated may have been resolved by a user.
    if by_person {
        return Ok(());
    }
    match end {
        End::Ignored => {
            let is_gone = said == Some("refused") && store.is_disturbed;
            if !is_gone && (said.is_some() || !told.is_empty()) {
                return Err(format!(
                    "skipped, but its item says {said:?} and {told:?} was notified"
                ));
            }
        }
        // It was integrated before.
        End::Refused(_) | End::Waiting if is_integrated => {}
        End::Refused(reason) => {
            let noun = match store.kind {
                StoreKind::Table => "Restored table not configured",
                StoreKind::Instance | StoreKind::Cluster => "Restored database not integrated",
            };
            let subject = format!("{noun}: {reason}");
            if said != Some("refused") || !open || !told.contains(&subject.as_str()) {
                return Err(format!(
                    "must be refused ({reason}), but its item says {said:?}, open: {open}, and {told:?} was notified"
                ));
            }
        }
        End::Waiting => {
            if matches!(said, Some("refused")) && !open {
                return Err(format!("waits, but its item says {said:?}, open: {open}"));
            }
        }
        End::Integrated => {
            if !is_integrated {
                return Err(format!(
                    "could be integrated but is not: its item says {said:?}, and it lacks {missing:?}"
                ));
            }
            let excused = ledger.unprotected.contains(&store.name)
                || store.is_disturbed
                || denied(ledger, store)
                || data("recovery:left-to-do").is_some_and(|left| left.contains("backing"));
            if !missing.is_empty() && !excused {
                return Err(format!("integrated, but it lacks {missing:?}"));
            }
            if open != store.leaves_something() && !excused {
                return Err(format!(
                    "integrated, but its item is open: {open}; left: {:?}",
                    data("recovery:left-to-do")
                ));
            }
        }
    }
    Ok(())
}

/// Whether a change of the database was denied: then a user must make it.
fn denied(ledger: &Ledger, store: &DataStore) -> bool {
    let denied = |id: &str| ledger.denied.contains(id);
    denied(&store.name) || store.instances().any(|id| denied(id.as_str()))
}
