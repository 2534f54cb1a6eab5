//! The conditions for restored buckets and instances.

use recovery_core::aws::arn::{InstanceId, OpsItemId, RestoreJobId};
use recovery_core::aws::ec2::InstanceState;
use recovery_core::aws::instance::TargetState;
use recovery_core::fakes::{State, StoredItem};
use recovery_core::ops_item::{OpsItemChange, Status, restore_key};

use crate::buckets::{BucketPurpose, RestoredBucket};
use crate::data_stores::DRILL;
use crate::executor::Millis;
use crate::invariants::{items_of, one_item, says_drill};
use crate::parties::{MINUTE, Plan};
use crate::servers::{RestoredServer, ServerPurpose};
use crate::sites::{OWN_SERVER, Site, strangers_are_untouched};
use crate::world::Sim;

/// No run lives longer. What it does may follow from what it read at its beginning.
const RUN: Millis = 5 * MINUTE;
/// The longest time from a read of the health of a target to its registration, and until the target shows.
const REGISTRATION: Millis = 2 * MINUTE;
/// When the reconciler has invoked everything that was not done.
const RECONCILED: Millis = 3 * MINUTE;

fn violated(sim: &Sim, what: String) {
    sim.inner().ledger.violations.push(what);
}

/// An instance is to be registered with a target group: its tags name the group in its own stack, and it is not one of
/// its targets.
pub(crate) fn registers(sim: &Sim, arn: &str, id: &InstanceId) {
    let servers = &sim.sites.servers;
    let Some(server) = servers.iter().find(|it| it.instance == *id) else {
        return violated(sim, format!("{id}, which was not restored, is registered"));
    };
    let now = sim.now();
    let is_wanted = server.wanted(&sim.sites).any(|group| group.arn == arn);
    let is_of_stack = server.purpose == ServerPurpose::OfStack
        && own_server_exists(
            &sim.world.state(),
            sim.sites.site(server.site, server.drill),
        )
        && sim.sites.site(server.site, server.drill).is_early;
    let is_workload = matches!(
        server.purpose,
        ServerPurpose::Tagged | ServerPurpose::OfStack
    );
    if !is_wanted || !is_workload || is_of_stack {
        return violated(sim, format!("{id} is registered with {arn}"));
    }
    let target = (arn.to_owned(), id.clone());
    // One that was terminated is a target no more.
    let is_target = sim.world.state().servers.targets.contains_key(&target);
    let (registered, deregistered) = {
        let inner = sim.inner();
        let registered = inner.ledger.targets.get(&target).copied();
        (registered, inner.ledger.deregistered.get(&target).copied())
    };
    if is_target && registered.is_some_and(|at| now > at + REGISTRATION) {
        violated(sim, format!("{id} is registered with {arn} again"));
    }
    if deregistered.is_some_and(|at| now > at + RUN) {
        violated(
            sim,
            format!("its owner took {id} out of {arn}, and it is registered again"),
        );
    }
}

fn own_server_exists(state: &State, site: &Site) -> bool {
    let key = (site.stack.clone(), OWN_SERVER.to_owned());
    state.stack_resources.contains_key(&key)
}

/// A parameter was written. Whether it is one of a bucket or an instance: then that can be used, and the parameter has
/// its value.
pub(crate) fn published(sim: &Sim, name: &str) -> bool {
    let Some((path, leaf)) = name.rsplit_once('/') else {
        return false;
    };
    let sites = &sim.sites;
    let (found, tags) = {
        let state = sim.world.state();
        let parameter = state.parameters.get(name);
        let value = parameter.map(|it| it.value.clone()).unwrap_or_default();
        (
            value,
            parameter.map(|it| it.tags.clone()).unwrap_or_default(),
        )
    };
    let is_drill = path.ends_with(&format!("/drill/{DRILL}"));
    if is_drill && tags.get("recovery:drill").map(String::as_str) != Some(DRILL) {
        violated(
            sim,
            format!("{name}, which belongs to a drill, has the tags {tags:?}"),
        );
    }
    let mut buckets = sites.buckets.iter().filter(|it| it.path() == path);
    if let Some(bucket) = buckets.next() {
        let wanted = bucket.parameters().into_iter().find(|(it, _)| it == name);
        if !bucket.is_published || bucket.purpose != BucketPurpose::Tagged {
            violated(sim, format!("{name}, which belongs to nobody, is written"));
        } else if wanted.as_ref().map(|(_, value)| value) != Some(&found) {
            violated(sim, format!("{name} is {found:?}, and not {wanted:?}"));
        } else if is_gone(sim, &bucket.name) {
            violated(sim, format!("{name} is published, but does not exist"));
        }
        return true;
    }
    let Some(server) = sites.servers.iter().find(|it| it.path() == path) else {
        return false;
    };
    if !server.is_published || server.purpose != ServerPurpose::Tagged && !is_late(sim, server) {
        violated(sim, format!("{name}, which belongs to nobody, is written"));
        return true;
    }
    let inner = sim.inner();
    let addresses = inner.ledger.addresses.get(&server.instance);
    let is_known = match leaf {
        "public-ip" => addresses.is_some_and(|all| all.contains(&found)),
        "public-dns-name" => {
            let address = found.trim_end_matches(".compute");
            addresses.is_some_and(|all| all.iter().any(|it| it == address))
        }
        _ => server
            .parameters()
            .contains(&(name.to_owned(), found.clone())),
    };
    let has_served = inner.ledger.served.contains(&server.instance);
    drop(inner);
    if !is_known {
        violated(
            sim,
            format!("{name} is {found:?}, and not that of {}", server.instance),
        );
    }
    if !has_served {
        violated(
            sim,
            format!("{name} is published, but nothing answers there"),
        );
    }
    true
}

/// Whether the stack creates the same instance itself, and did so after the restore had completed.
fn is_late(sim: &Sim, server: &RestoredServer) -> bool {
    let site = sim.sites.site(server.site, server.drill);
    server.purpose == ServerPurpose::OfStack && !site.is_early
}

/// Whether the bucket does not exist, and no run that lives has seen it.
fn is_gone(sim: &Sim, bucket: &str) -> bool {
    let exists = sim.world.state().buckets.contains_key(bucket);
    let emptied = sim.inner().ledger.emptied.get(bucket).copied();
    !exists && emptied.is_none_or(|at| sim.now() > at + RUN)
}

/// An OpsItem is updated.
pub(crate) fn update(sim: &Sim, id: &OpsItemId, was: Option<&str>, change: &OpsItemChange) {
    let key = {
        let state = sim.world.state();
        let key = state.items.iter().find(|stored| stored.item.id == *id);
        key.map(|stored| stored.key.clone())
    };
    let is_of = |job: &RestoreJobId| key.as_ref() == Some(&restore_key(job));
    let sites = &sim.sites;
    let says = change.data.get("recovery:integration").map(String::as_str);
    let (job, result) = if let Some(bucket) = sites.buckets.iter().find(|it| is_of(&it.id)) {
        if says == Some("complete") || says == Some("partial") {
            bucket_is_recorded(sim, bucket, says, change);
        }
        if change
            .title
            .as_deref()
            .is_some_and(|it| it.ends_with("bucket-gone"))
        {
            sim.inner().ledger.lost.insert(bucket.id.clone());
        }
        (&bucket.id, bucket.result())
    } else if let Some(server) = sites.servers.iter().find(|it| is_of(&it.id)) {
        if says == Some("integrated") {
            server_is_recorded(sim, server, change);
        }
        (&server.id, "integrated")
    } else {
        return;
    };
    let is_kept = says.is_none() || says == was || matches!(says, Some("refused" | "failing"));
    if was == Some(result) && !is_kept {
        violated(
            sim,
            format!("{id} of {job} says {was:?}, and then {says:?}"),
        );
    }
    let resolved = sim.inner().ledger.resolved_by_person.get(id).copied();
    let is_opened = says == was && change.status == Some(Status::Open);
    if resolved.is_some_and(|at| sim.now() > at + RUN) && is_opened {
        violated(
            sim,
            format!("{id} of {job}, which a user resolved, is opened again"),
        );
    }
}

fn bucket_is_recorded(
    sim: &Sim,
    bucket: &RestoredBucket,
    says: Option<&str>,
    change: &OpsItemChange,
) {
    let job = &bucket.id;
    if bucket.purpose != BucketPurpose::Tagged || says != Some(bucket.result()) {
        return violated(sim, format!("{job} of {} says {says:?}", bucket.name));
    }
    let resolves = change.status == Some(Status::Resolved);
    if resolves && bucket.is_partial() {
        violated(
            sim,
            format!("{job} is resolved, but something is left to do"),
        );
    }
    if is_gone(sim, &bucket.name) {
        violated(
            sim,
            format!("{job} says {says:?} of a bucket that does not exist"),
        );
    }
    let missing = bucket.missing(&sim.world.state());
    if !missing.is_empty() {
        violated(
            sim,
            format!("{job} says {says:?}, but {missing:?} is missing"),
        );
    }
    // A bucket that is created again does not have its objects.
    let (emptied, is_lost) = {
        let inner = sim.inner();
        let emptied = inner.ledger.emptied.get(&bucket.name).copied();
        (emptied, inner.ledger.lost.contains(job))
    };
    if is_lost && emptied.is_some_and(|at| sim.now() > at + RUN) {
        violated(
            sim,
            format!("{job} says {says:?}, but its bucket was deleted"),
        );
    }
}

fn server_is_recorded(sim: &Sim, server: &RestoredServer, change: &OpsItemChange) {
    let job = &server.id;
    if server.purpose != ServerPurpose::Tagged && !is_late(sim, server) {
        violated(sim, format!("{job} of {:?} is integrated", server.purpose));
    }
    if !sim.inner().ledger.served.contains(&server.instance) {
        violated(
            sim,
            format!("{job} is integrated, but {} never served", server.instance),
        );
    }
    let missing = server.missing(&sim.world.state());
    if !missing.is_empty() {
        violated(
            sim,
            format!("{job} is integrated, but {missing:?} is missing"),
        );
    }
    if change.status == Some(Status::Resolved) && server.leaves_something(sim) == Some(true) {
        violated(
            sim,
            format!("{job} is resolved, but something is left to do"),
        );
    }
}

impl RestoredBucket {
    /// What its OpsItem records in the end.
    fn result(&self) -> &'static str {
        match self.is_partial() {
            true => "partial",
            false => "complete",
        }
    }

    /// The parameters that do not have their values.
    fn missing(&self, state: &State) -> Vec<String> {
        let is_published = self.is_published && !self.is_empty();
        let all = self.parameters().into_iter().filter(|_| is_published);
        missing(state, all)
    }
}

impl RestoredServer {
    /// The parameters that do not have their values.
    fn missing(&self, state: &State) -> Vec<String> {
        let all = self.parameters().into_iter().filter(|_| self.is_published);
        missing(state, all)
    }
}

fn missing(state: &State, parameters: impl Iterator<Item = (String, String)>) -> Vec<String> {
    parameters
        .filter(|(name, value)| state.parameters.get(name).map(|it| &it.value) != Some(value))
        .map(|(name, _)| name)
        .collect()
}

/// The expected result of a restore, from the real state of the world.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Ignored,
    Integrated,
    /// Objects are missing: the reason, and what the item says.
    Partial(&'static str, [&'static str; 2]),
    Refused(&'static str),
    /// It cannot be used yet.
    Waiting,
    /// What the runs saw decides.
    Either,
}

fn end_of_bucket(sim: &Sim, bucket: &RestoredBucket) -> End {
    match bucket.purpose {
        BucketPurpose::Untagged | BucketPurpose::Test | BucketPurpose::SingleObjects => {
            return End::Ignored;
        }
        BucketPurpose::WithoutTarget => return End::Refused("tag-missing"),
        BucketPurpose::Tagged | BucketPurpose::Copy => {}
    }
    let state = sim.world.state();
    if !state.buckets.contains_key(&bucket.name) {
        return End::Refused("bucket-gone");
    }
    if sim.inner().ledger.emptied.contains_key(&bucket.name) {
        return End::Either;
    }
    let site = sim.sites.site(bucket.site, bucket.drill);
    let key = (site.stack.clone(), bucket.logical_id());
    match (bucket.purpose, bucket.share) {
        _ if !state.stack_resources.contains_key(&key) => End::Waiting,
        (BucketPurpose::Copy, _) => End::Refused("bucket-name"),
        _ if bucket.is_empty() => {
            End::Partial("nothing-restored", ["no objects", "Compare the tag"])
        }
        _ if bucket.is_partial() => End::Partial(
            "restore-partial",
            ["One or more objects failed", "again: AWS Backup adds"],
        ),
        _ => End::Integrated,
    }
}

fn end_of_server(sim: &Sim, server: &RestoredServer) -> End {
    match server.purpose {
        ServerPurpose::Untagged | ServerPurpose::Test => return End::Ignored,
        ServerPurpose::WithoutSecurityGroups => return End::Refused("tag-missing"),
        ServerPurpose::Tagged | ServerPurpose::OfStack => {}
    }
    let state = sim.world.state();
    let Some(shown) = state.servers.servers.get(&server.instance) else {
        return End::Refused("instance-gone");
    };
    let site = sim.sites.site(server.site, server.drill);
    if server.purpose == ServerPurpose::OfStack && own_server_exists(&state, site) {
        return End::Refused("stack-instance");
    }
    let mut is_awaited = false;
    for group in server.wanted(&sim.sites) {
        let key = (site.stack.clone(), group.logical_id.to_owned());
        let resource = state.stack_resources.get(&key);
        match resource.map(|it| it.status.as_str()) {
            Some("CREATE_FAILED") => return End::Refused("reference-failed"),
            None => is_awaited = true,
            Some(_) => {}
        }
    }
    if is_awaited {
        return End::Waiting;
    }
    let mut groups = server.wanted(&sim.sites);
    if groups.any(|group| !state.servers.target_groups.contains_key(&group.arn)) {
        return End::Refused("target-group-gone");
    }
    match shown.state {
        InstanceState::Running => {}
        InstanceState::Stopping | InstanceState::Stopped => {
            return End::Refused("instance-stopped");
        }
        InstanceState::ShuttingDown | InstanceState::Terminated => {
            return End::Refused("instance-gone");
        }
        _ => return End::Waiting,
    }
    if server.wanted(&sim.sites).any(|group| !group.is_suitable) {
        return End::Refused("target-group-unsuitable");
    }
    // Everything else can be done: it is registered, and then its checks and its health decide.
    let is_unregistered = server.wanted(&sim.sites).any(|group| {
        let target = (group.arn.clone(), server.instance.clone());
        let health = state.servers.targets.get(&target);
        health.is_none_or(|it| it.state == TargetState::Draining)
    });
    match is_unregistered || server.serves(&sim.sites, &state) {
        true => End::Integrated,
        false => End::Waiting,
    }
}

/// The conditions once the faults have ended and the reconciler has run.
pub(crate) fn at_rest(sim: &Sim, plan: &Plan) -> Result<(), String> {
    if sim.sites.sites.is_empty() {
        return Ok(());
    }
    strangers_are_untouched(sim)?;
    for bucket in &sim.sites.buckets {
        let missing = bucket.missing(&sim.world.state());
        let restored = Restored {
            id: &bucket.id,
            drill: bucket.drill,
            is_tagged_by_plan: bucket.is_tagged_by_plan,
            quiet: bucket.quiet,
            is_disturbed: bucket.is_disturbed,
            leaves_something: Some(false),
            integrated: bucket.result(),
            subject: "Restored bucket not complete",
            said: "No object is missing in the bucket",
            missing,
            end: end_of_bucket(sim, bucket),
        };
        let what = restored.at_rest(sim, plan);
        what.map_err(|what| format!("{} ({}): {what}", bucket.id, bucket.name))?;
    }
    for server in &sim.sites.servers {
        let missing = server.missing(&sim.world.state());
        let restored = Restored {
            id: &server.id,
            drill: server.drill,
            is_tagged_by_plan: server.is_tagged_by_plan,
            quiet: server.quiet,
            is_disturbed: server.is_disturbed,
            leaves_something: server.leaves_something(sim),
            integrated: "integrated",
            subject: "Restored instance not integrated",
            said: "user data",
            missing,
            end: end_of_server(sim, server),
        };
        let what = restored.at_rest(sim, plan);
        what.map_err(|what| format!("{} ({}): {what}", server.id, server.instance))?;
    }
    Ok(())
}

/// A restored bucket or instance, and what must have become of it.
struct Restored<'a> {
    id: &'a RestoreJobId,
    drill: bool,
    is_tagged_by_plan: bool,
    quiet: bool,
    is_disturbed: bool,
    leaves_something: Option<bool>,
    /// The value of `recovery:integration` in the end.
    integrated: &'static str,
    /// How the subjects of its refusals begin.
    subject: &'static str,
    /// What the OpsItem of one that is integrated says.
    said: &'static str,
    missing: Vec<String>,
    end: End,
}

impl Restored<'_> {
    fn at_rest(&self, sim: &Sim, plan: &Plan) -> Result<(), String> {
        let items = items_of(sim, self.id);
        one_item(sim, plan, self.id, self.drill, self.integrated, &items)?;
        let inner = sim.inner();
        let ledger = &inner.ledger;
        if self.drill {
            return says_drill(ledger, self.id, &items);
        }
        let item = items.first();
        let data = |key: &str| item?.item.data.get(key).map(String::as_str);
        let said = data("recovery:integration");
        let told: Vec<&str> = ledger
            .told
            .iter()
            .filter(|told| told.job == self.id.as_str())
            .map(|told| told.subject.as_str())
            .collect();
        if self.quiet && !told.is_empty() {
            return Err(format!(
                "notified {told:?} of a restore that nothing hinders"
            ));
        }
        let is_integrated = said == Some(self.integrated);
        let late = plan.weather.calm.max(plan.settled - 5 * MINUTE) + RECONCILED;
        let mut invocations = ledger.invocations.iter();
        if is_integrated && invocations.any(|(at, job)| job == self.id && *at > late) {
            return Err(format!(
                "its item says {said:?}, but the reconciler invokes its integrator"
            ));
        }
        // The item of a restore that cannot be integrated may have been resolved by a user.
        let by_person = |item: &StoredItem| ledger.resolved_by_person.contains_key(&item.item.id);
        if items.iter().any(by_person) {
            return Ok(());
        }
        let tags_are_known = !self.is_tagged_by_plan || data("recovery:tags-from").is_some();
        let end = match tags_are_known {
            true => &self.end,
            false => &End::Ignored,
        };
        self.ends_as(end, item, &told)
    }

    fn ends_as(&self, end: &End, item: Option<&StoredItem>, told: &[&str]) -> Result<(), String> {
        let data = |key: &str| item?.item.data.get(key).map(String::as_str);
        let said = data("recovery:integration");
        let open = item.is_some_and(|it| it.item.status == Status::Open);
        let description = item.map_or("", |it| it.description.as_str());
        let is_integrated = said == Some(self.integrated);
        let shown = format!("its item says {said:?}, open: {open}, and {told:?} was notified");
        let refused = |reason: &str| {
            let subject = format!("{}: {reason}", self.subject);
            open && told.contains(&subject.as_str())
        };
        match end {
            End::Ignored => {
                if said.is_some() || !told.is_empty() {
                    return Err(format!("skipped, but {shown}"));
                }
            }
            // It was integrated before.
            End::Refused(_) | End::Waiting if is_integrated => {}
            End::Refused(reason) => {
                if said != Some("refused") || !refused(reason) {
                    return Err(format!("must be refused ({reason}), but {shown}"));
                }
            }
            End::Waiting => {
                if said == Some("refused") && !open {
                    return Err(format!("waits, but {shown}"));
                }
            }
            End::Partial(reason, words) => {
                if !is_integrated || !refused(reason) {
                    return Err(format!("objects are missing, but {shown}"));
                }
                for words in words {
                    if !description.contains(words) {
                        return Err(format!("objects are missing, but it says {description:?}"));
                    }
                }
                self.has_all()?;
            }
            End::Integrated => {
                if !is_integrated {
                    return Err(format!("could be integrated, but {shown}"));
                }
                self.has_all()?;
                // Later events of one that was changed may have opened it.
                if self.is_disturbed {
                    return Ok(());
                }
                if self.leaves_something.is_some_and(|leaves| leaves != open) {
                    let left = data("recovery:left-to-do");
                    return Err(format!("integrated, but {shown}; left: {left:?}"));
                }
                let is_empty = description.contains("contains no object");
                if !description.contains(self.said) && !is_empty {
                    return Err(format!("integrated, but it says {description:?}"));
                }
            }
            End::Either => {}
        }
        Ok(())
    }

    fn has_all(&self) -> Result<(), String> {
        match self.missing.is_empty() {
            true => Ok(()),
            false => Err(format!("integrated, but {:?} is missing", self.missing)),
        }
    }
}
