//! Instances that are restored from their images: what their tags want, and what becomes of them.
//!
//! What an instance is to become is drawn here, and the tags are derived from it.

use fastrand::Rng;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{PlannedAs, RecoveryPoint, Restore, RestoreJob, RestoreRequest};
use recovery_core::aws::ec2::InstanceState;
use recovery_core::aws::instance::{CheckState, Checks, EC2, Server, TargetHealth, TargetState};
use recovery_core::fakes::{DRILL_ROLE, RESTORE_ROLE, State, volume_point};
use recovery_core::ops_item::restore_key;
use recovery_core::tags::Tags;

use crate::data_stores::{DRILL, drill};
use crate::executor::{Millis, lock};
use crate::parties::{Act, Integrator, MINUTE, Plan, chance, pick};
use crate::sites::{DRILL_STACK, Group, OWN_SERVER, SiteAct, Sites, VPC, healthy};
use crate::world::{Sim, time};

/// Why an instance was restored, and what the tags of its recovery point say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerPurpose {
    Tagged,
    Untagged,
    Test,
    /// The tags name no security groups.
    WithoutSecurityGroups,
    /// The stack creates the same instance itself.
    OfStack,
}

/// A restored instance.
#[derive(Debug, Clone)]
pub(crate) struct RestoredServer {
    pub(crate) id: RestoreJobId,
    pub(crate) instance: InstanceId,
    pub(crate) purpose: ServerPurpose,
    pub(crate) drill: bool,
    /// The number of its stack.
    pub(crate) site: usize,
    /// The target groups of the stack that the tags name, by their numbers.
    pub(crate) groups: Vec<usize>,
    /// The name of the protected instance, and the last part of the path where it is published.
    pub(crate) source: String,
    /// Whether the tags have the logical id of an instance that the stack does not create in this Region.
    is_conditional: bool,
    /// The instance profile: whether the instance had one, the restore asked for it, and it has it now.
    had_profile: bool,
    asks_for_profile: bool,
    has_profile: bool,
    pub(crate) is_public: bool,
    pub(crate) is_published: bool,
    /// Whether only an older recovery point has the tags. The plan of a recovery names it.
    pub(crate) is_tagged_by_plan: bool,
    /// Its state when the restore job has completed.
    first: &'static str,
    /// Whether a person stops or terminates it, or changes its target groups.
    pub(crate) is_disturbed: bool,
    /// Whether nothing and nobody stands in its way.
    pub(crate) quiet: bool,
    completed: Millis,
}

/// Something that happens to an instance, or to a target group.
#[derive(Debug, Clone)]
pub(crate) enum ServerAct {
    Begun(usize),
    Completed(usize),
    State(usize, &'static str),
    /// EC2 forgets one that is terminated.
    Forgotten(usize),
    /// Its status checks.
    Checked(usize, &'static str),
    /// The health of a target that is checked.
    Health(String, InstanceId, &'static str),
    /// The owner of an integrated instance takes it out of its target group.
    OwnerDeregisters(usize),
    /// A target has left its target group.
    Drained(String, InstanceId),
    /// A person deletes a target group.
    GroupDeleted(String),
    /// Target groups take no further target, or take them again.
    Rejects(Option<&'static str>),
}

/// An instance of others.
pub(crate) fn stranger() -> InstanceId {
    InstanceId::new("i-stranger")
}

impl Plan {
    pub(crate) fn draw_server(&mut self, rng: &mut Rng, drawn: &mut Sites) {
        let calm = self.weather.calm;
        let n = drawn.servers.len();
        let mut server = draw_wish(rng, n, drawn, calm / 2);
        let completed = server.completed;
        let began = completed - rng.u64(0..=completed.min(10 * MINUTE));
        self.add_server(began, ServerAct::Begun(n));
        self.add_server(completed, ServerAct::Completed(n));
        self.draw_start(rng, n, &mut server);
        self.draw_trouble(rng, n, drawn, &mut server);
        self.draw_events(rng, Integrator::Instance, &server.job(), completed);
        let own = format!("site-{}", server.site);
        self.draw_requests(rng, Integrator::Instance, &server.asked(), &own, completed);
        if chance(rng, 8) {
            server.quiet = false;
            let at = rng.u64(completed..calm);
            self.add(at, Act::PersonResolves(server.id.clone()));
        }
        let site = drawn.site(server.site, server.drill);
        server.quiet &= server.purpose == ServerPurpose::Tagged
            && !server.drill
            && !server.is_tagged_by_plan
            && !server.is_disturbed
            && site.is_early
            && server.groups.iter().all(|n| site.groups[*n].is_suitable)
            && self.weather.faults == 0;
        drawn.servers.push(server);
    }

    fn add_server(&mut self, at: Millis, act: ServerAct) {
        self.add_site(at, SiteAct::Server(act));
    }

    /// Its start, and its status checks, which sometimes fail.
    fn draw_start(&mut self, rng: &mut Rng, n: usize, server: &mut RestoredServer) {
        let calm = self.weather.calm;
        let completed = server.completed;
        if server.first == "pending" && !chance(rng, 5) {
            let at = (completed + rng.u64(1..2 * MINUTE)).min(calm);
            self.add_server(at, ServerAct::State(n, "running"));
        }
        let checked = completed + rng.u64(1..4 * MINUTE);
        let is_impaired = chance(rng, 6);
        let first = if is_impaired { "impaired" } else { "ok" };
        self.add_server(checked.min(calm), ServerAct::Checked(n, first));
        if is_impaired && chance(rng, 60) {
            let at = rng.u64(checked.min(calm)..=calm);
            self.add_server(at, ServerAct::Checked(n, "ok"));
        }
    }

    fn draw_trouble(
        &mut self,
        rng: &mut Rng,
        n: usize,
        drawn: &mut Sites,
        server: &mut RestoredServer,
    ) {
        let calm = self.weather.calm;
        let at = rng.u64(server.completed..calm);
        let mut later = at;
        let mut becomes = |plan: &mut Plan, rng: &mut Rng, state| {
            plan.add_server(later, ServerAct::State(n, state));
            later = (later + rng.u64(1..3 * MINUTE)).min(calm);
            later
        };
        server.is_disturbed = true;
        match rng.u32(0..100) {
            0..7 => {
                becomes(self, rng, "shutting-down");
                let gone = becomes(self, rng, "terminated");
                if chance(rng, 50) {
                    self.add_server(gone, ServerAct::Forgotten(n));
                }
            }
            7..18 => {
                becomes(self, rng, "stopping");
                becomes(self, rng, "stopped");
                if chance(rng, 60) {
                    becomes(self, rng, "pending");
                    becomes(self, rng, "running");
                }
            }
            18..23 => {
                let site = drawn.site(server.site, server.drill);
                let arn = site.groups[rng.usize(0..2)].arn.clone();
                self.add_server(at, ServerAct::GroupDeleted(arn.clone()));
                drawn.deleted_groups.insert(arn);
            }
            23..45 => self.add_server(at, ServerAct::OwnerDeregisters(n)),
            _ => server.is_disturbed = false,
        }
    }

    /// A while in which target groups take no further target.
    pub(crate) fn draw_rejections(&mut self, rng: &mut Rng, drawn: &mut Sites) {
        if drawn.servers.is_empty() || !chance(rng, 10) {
            return;
        }
        let from = rng.u64(0..self.weather.calm);
        let until = rng.u64(from..self.weather.calm);
        let code = pick(rng, &["TooManyTargets", "TooManyRegistrationsForTargetId"]);
        self.add_server(from, ServerAct::Rejects(Some(code)));
        self.add_server(until, ServerAct::Rejects(None));
        for server in &mut drawn.servers {
            server.quiet = false;
        }
    }
}

fn draw_wish(rng: &mut Rng, n: usize, drawn: &Sites, latest: Millis) -> RestoredServer {
    let purpose = match rng.u32(0..100) {
        0..5 => ServerPurpose::Untagged,
        5..10 => ServerPurpose::Test,
        10..15 => ServerPurpose::WithoutSecurityGroups,
        15..22 => ServerPurpose::OfStack,
        _ => ServerPurpose::Tagged,
    };
    let is_tagged = matches!(purpose, ServerPurpose::Tagged | ServerPurpose::OfStack);
    let had_profile = chance(rng, 60);
    let asks_for_profile = had_profile && chance(rng, 80);
    RestoredServer {
        id: RestoreJobId::new(format!("server-{n}")),
        instance: InstanceId::new(format!("i-restored-{n}")),
        purpose,
        drill: is_tagged && chance(rng, 15),
        site: rng.usize(0..drawn.sites.len() - 1),
        groups: (0..2).filter(|_| chance(rng, 60)).collect(),
        source: format!("web-{n}"),
        is_conditional: chance(rng, 30),
        had_profile,
        asks_for_profile,
        has_profile: asks_for_profile && !chance(rng, 15),
        is_public: chance(rng, 40),
        is_published: chance(rng, 80),
        is_tagged_by_plan: is_tagged && chance(rng, 12),
        first: pick(rng, &["running", "running", "pending"]),
        is_disturbed: false,
        quiet: true,
        completed: rng.u64(0..latest),
    }
}

impl RestoredServer {
    /// The target groups that the tags name, in the stack of the workload or of the drill.
    pub(crate) fn wanted<'a>(&self, sites: &'a Sites) -> impl Iterator<Item = &'a Group> + Clone {
        let site = sites.site(self.site, self.drill);
        self.groups
            .clone()
            .into_iter()
            .map(move |n| &site.groups[n])
    }

    /// What the state machine of its recovery or drill asks for.
    fn asked(&self) -> Restore {
        let older = RecoveryPointArn::parse(&self.point("older")).ok();
        Restore {
            drill: self.drill.then(|| drill(DRILL_STACK)),
            planned: PlannedAs {
                tags_from: older.filter(|_| self.is_tagged_by_plan),
                ..PlannedAs::default()
            },
            ..Restore::from(RestoreJob::known_by_id(self.id.clone()))
        }
    }

    fn point(&self, which: &str) -> String {
        format!("arn:aws:ec2:us-west-2::image/ami-{which}-{}", self.source)
    }

    fn arn(&self) -> String {
        format!(
            "arn:aws:ec2:us-west-2:111122223333:instance/{}",
            self.instance
        )
    }

    /// The job as AWS Backup knows it.
    fn job(&self) -> RestoreJob {
        let role = if self.drill { DRILL_ROLE } else { RESTORE_ROLE };
        let source = format!(
            "arn:aws:ec2:us-east-1:111122223333:instance/i-{}",
            self.source
        );
        RestoreJob {
            status: Some("COMPLETED".to_owned()),
            resource_type: Some(EC2.to_owned()),
            created_resource: Arn::parse(&self.arn()).ok(),
            recovery_point: RecoveryPointArn::parse(&self.point("own")).ok(),
            source_resource: Arn::parse(&source).ok(),
            iam_role: Arn::parse(role).ok(),
            restore_test: self.purpose == ServerPurpose::Test,
            completed: Some(time(self.completed)),
            ..RestoreJob::known_by_id(self.id.clone())
        }
    }

    /// The path of its parameters.
    pub(crate) fn path(&self) -> String {
        match self.drill {
            true => format!("/recovery/{}/drill/{DRILL}", self.source),
            false => format!("/recovery/{}", self.source),
        }
    }

    pub(crate) fn private_address(&self) -> String {
        format!("10.0.1.{}", self.source.trim_start_matches("web-"))
    }

    /// The parameters that it is to have whatever becomes of its public address, with their values.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let path = self.path();
        [
            ("id", self.instance.to_string()),
            ("arn", self.arn()),
            ("private-ip", self.private_address()),
            ("private-dns-name", format!("{}.internal", self.source)),
        ]
        .into_iter()
        .map(|(leaf, value)| (format!("{path}/{leaf}"), value))
        .collect()
    }

    fn tags(&self) -> Tags {
        let mut tags = vec![
            ("recovery:workload", "shop".to_owned()),
            ("recovery:stack", format!("site-{}", self.site)),
        ];
        if self.purpose != ServerPurpose::WithoutSecurityGroups {
            tags.push(("recovery:security-groups", "Web".to_owned()));
        }
        if !self.groups.is_empty() {
            let names: Vec<&str> = self.groups.iter().map(|n| ["Blue", "Green"][*n]).collect();
            tags.push(("recovery:target-groups", names.join(" ")));
        }
        let logical_id = match self.purpose {
            ServerPurpose::OfStack => Some(OWN_SERVER),
            _ => self.is_conditional.then_some("Appliance"),
        };
        tags.extend(logical_id.map(|it| ("aws:cloudformation:logical-id", it.to_owned())));
        if self.is_published {
            tags.push(("recovery:publish", format!("/recovery/{}", self.source)));
        }
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    fn request(&self) -> Option<RestoreRequest> {
        let profile = ("IamInstanceProfileName", "UseBackedUpValue");
        let profile = self.asks_for_profile.then_some(profile);
        Some(RestoreRequest {
            point: RecoveryPointArn::parse(&self.point("own")).ok()?,
            resource_type: EC2.to_owned(),
            metadata: profile
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            role: String::new(),
            token: String::new(),
            copy_tags: true,
        })
    }

    /// As EC2 shows it when the restore has completed.
    fn server(&self) -> Server {
        Server {
            id: self.instance.clone(),
            state: self.first.into(),
            reason: None,
            vpc: Some(VPC.to_owned()),
            zone: Some("us-west-2a".to_owned()),
            private_address: Some(self.private_address()),
            private_name: Some(format!("{}.internal", self.source)),
            public_address: None,
            public_name: None,
            has_profile: self.has_profile,
            restore_test: self.purpose == ServerPurpose::Test,
        }
    }

    /// Whether it answers: it is running, its checks passed, and it is healthy where that is checked.
    pub(crate) fn serves(&self, sites: &Sites, state: &State) -> bool {
        let servers = &state.servers;
        let is_running = servers
            .servers
            .get(&self.instance)
            .is_some_and(|it| it.state == InstanceState::Running);
        let checks = servers.checks.get(&self.instance);
        let is_checked = checks.is_some_and(|it| it.instance == CheckState::Ok);
        let is_served = |group: &Group| {
            let target = (group.arn.clone(), self.instance.clone());
            let health = servers.targets.get(&target).map(|it| &it.state);
            match group.is_used {
                true => health == Some(&TargetState::Healthy),
                false => health.is_some(),
            }
        };
        is_running && is_checked && self.wanted(sites).all(is_served)
    }

    /// Whether a person has something left to do, once it serves; `None` if that depends on whether a run has seen that
    /// its owner took it out of a target group that no load balancer uses.
    pub(crate) fn leaves_something(&self, sim: &Sim) -> Option<bool> {
        let deregistered = &sim.inner().ledger.deregistered;
        let is_out =
            |group: &Group| deregistered.contains_key(&(group.arn.clone(), self.instance.clone()));
        let mut unused = self.wanted(&sim.sites).filter(|group| !group.is_used);
        if self.had_profile && !self.has_profile && !self.drill {
            return Some(true);
        }
        match (unused.clone().all(is_out), unused.next()) {
            (_, None) => Some(false),
            (true, Some(_)) => None,
            (false, Some(_)) => Some(true),
        }
    }
}

/// Lets something happen to an instance or to a target group.
pub(crate) fn act(sim: &Sim, act: &ServerAct) {
    let servers = &sim.sites.servers;
    match act {
        ServerAct::Begun(n) => {
            let server = &servers[*n];
            let job = RestoreJob {
                status: Some("RUNNING".to_owned()),
                created_resource: None,
                completed: None,
                ..server.job()
            };
            let mut state = sim.world.state();
            state.restore_jobs.insert(server.id.to_string(), job);
        }
        ServerAct::Completed(n) => complete(sim, &servers[*n]),
        ServerAct::State(n, to) => change_state(sim, *n, to),
        ServerAct::Forgotten(n) => {
            let mut state = sim.world.state();
            state.servers.servers.remove(&servers[*n].instance);
        }
        ServerAct::Checked(n, to) => {
            let checks = Checks {
                instance: (*to).into(),
                system: CheckState::Ok,
            };
            let id = servers[*n].instance.clone();
            sim.world.state().servers.checks.insert(id, checks);
        }
        ServerAct::Health(arn, id, to) => {
            let mut state = sim.world.state();
            let key = (arn.clone(), id.clone());
            if let Some(target) = state.servers.targets.get_mut(&key)
                && matches!(target.state, TargetState::Initial | TargetState::Unhealthy)
            {
                target.state = (*to).into();
            }
        }
        ServerAct::OwnerDeregisters(n) => deregister(sim, &servers[*n]),
        ServerAct::Drained(arn, id) => {
            let mut state = sim.world.state();
            let key = (arn.clone(), id.clone());
            let targets = &mut state.servers.targets;
            if targets.get(&key).map(|it| &it.state) == Some(&TargetState::Draining) {
                targets.remove(&key);
            }
        }
        ServerAct::GroupDeleted(arn) => {
            let mut state = sim.world.state();
            state.servers.target_groups.remove(arn);
        }
        ServerAct::Rejects(code) => sim.world.state().servers.rejects_targets = *code,
    }
    note_serving(sim);
}

fn complete(sim: &Sim, server: &RestoredServer) {
    {
        let mut state = sim.world.state();
        let state = &mut *state;
        let job = server.job();
        state.restore_jobs.insert(server.id.to_string(), job);
        let started = server.request().map(|it| (it, server.id.clone()));
        state.backups.started.extend(started);
        let untagged = Tags::from([("Name".to_owned(), "web".to_owned())]);
        let is_tagged = server.purpose != ServerPurpose::Untagged && !server.is_tagged_by_plan;
        let tags = if is_tagged { server.tags() } else { untagged };
        state.tags.insert(server.point("own"), tags);
        let point = RecoveryPoint {
            resource_type: EC2.to_owned(),
            arn: RecoveryPointArn::parse(&server.point("own")).expect("this is an ARN"),
            ..volume_point("own", "own", time(server.completed)).expect("these are ids")
        };
        state.backups.points.push(point);
        let profile = ("IamInstanceProfileName".to_owned(), "web".to_owned());
        let stored = server.had_profile.then_some(profile).into_iter().collect();
        state.backups.metadata.insert(server.point("own"), stored);
        if server.is_tagged_by_plan {
            state.tags.insert(server.point("older"), server.tags());
        }
        let shown = server.server();
        state.servers.servers.insert(shown.id.clone(), shown);
    }
    if server.first == "running" {
        starts(sim, server);
    }
}

/// A running instance has a public address, another one after each start.
fn starts(sim: &Sim, server: &RestoredServer) {
    if !server.is_public {
        return;
    }
    let mut inner = sim.inner();
    let all = inner
        .ledger
        .addresses
        .entry(server.instance.clone())
        .or_default();
    let number = server.source.trim_start_matches("web-");
    all.push(format!("203.0.{number}.{}", all.len()));
    let address = all.last().cloned();
    let mut state = sim.world.state();
    if let Some(shown) = state.servers.servers.get_mut(&server.instance) {
        shown.public_name = address.as_ref().map(|it| format!("{it}.compute"));
        shown.public_address = address;
    }
}

/// What is terminated stays so, and only what is pending starts.
fn change_state(sim: &Sim, n: usize, to: &str) {
    let server = &sim.sites.servers[n];
    let id = &server.instance;
    {
        let mut state = sim.world.state();
        let Some(shown) = state.servers.servers.get(id) else {
            return;
        };
        let is_ending = |state: &str| matches!(state, "shutting-down" | "terminated");
        let was = shown.state.as_str().to_owned();
        let is_possible = match to {
            "running" => was == "pending",
            "pending" => was == "stopped",
            "stopping" => matches!(was.as_str(), "pending" | "running"),
            "stopped" => was == "stopping",
            _ => was != "terminated",
        };
        if !is_possible || is_ending(&was) && !is_ending(to) {
            return;
        }
        state.servers.set_state(id, to);
    }
    // One that starts again is checked again.
    if to == "pending" {
        sim.world.state().servers.checks.remove(id);
        let now = sim.now();
        let after = sim.inner().rng.u64(1_000..4 * MINUTE);
        let checked = ServerAct::Checked(n, "ok");
        lock(&sim.agenda).at(now + after, Act::Site(SiteAct::Server(checked)));
    }
    if to == "running" {
        starts(sim, server);
        for group in server.wanted(&sim.sites) {
            follow(sim, group, id);
        }
    }
}

/// The owner takes an integrated instance out of its first target group.
fn deregister(sim: &Sim, server: &RestoredServer) {
    let Some(group) = server.wanted(&sim.sites).next() else {
        return;
    };
    let now = sim.now();
    let key = restore_key(&server.id);
    let mut state = sim.world.state();
    let is_integrated = state.items.iter().any(|stored| {
        let said = stored.item.data.get("recovery:integration");
        stored.key == key && said.map(String::as_str) == Some("integrated")
    });
    let target = (group.arn.clone(), server.instance.clone());
    if let Some(health) = state.servers.targets.get_mut(&target)
        && is_integrated
    {
        health.state = TargetState::Draining;
        let mut inner = sim.inner();
        inner.ledger.targets.remove(&target);
        inner.ledger.deregistered.insert(target.clone(), now);
        let after = inner.rng.u64(1_000..5 * MINUTE);
        let drained = ServerAct::Drained(target.0, target.1);
        lock(&sim.agenda).at(now + after, Act::Site(SiteAct::Server(drained)));
    }
}

/// Elastic Load Balancing has accepted an instance. It shows the target later, and checks it.
pub(crate) fn registered(sim: &Sim, arn: &str, id: &InstanceId) {
    let now = sim.now();
    let target = (arn.to_owned(), id.clone());
    {
        let mut inner = sim.inner();
        if inner.ledger.targets.contains_key(&target) {
            return;
        }
        inner.ledger.targets.insert(target.clone(), now);
        let lag = inner.weather.ec2_lag;
        let shown = now + inner.rng.u64(0..=lag);
        inner.target_shown.insert(format!("{arn} {id}"), shown);
    }
    if let Some(group) = sim.sites.groups().find(|group| group.arn == arn) {
        follow(sim, group, id);
    }
    note_serving(sim);
}

/// What the health checks say of a new target, or of one that runs again.
fn follow(sim: &Sim, group: &Group, id: &InstanceId) {
    let key = (group.arn.clone(), id.clone());
    {
        let mut state = sim.world.state();
        let Some(target) = state.servers.targets.get_mut(&key) else {
            return;
        };
        if target.state != TargetState::Initial {
            return;
        }
        if !group.is_used {
            *target = TargetHealth {
                state: TargetState::Unused,
                reason: Some("Target.NotInUse".to_owned()),
                ..healthy()
            };
            return;
        }
    }
    let now = sim.now();
    let mut inner = sim.inner();
    let health = |after: Millis, state: &'static str| {
        let act = ServerAct::Health(group.arn.clone(), id.clone(), state);
        lock(&sim.agenda).at(now + after, Act::Site(SiteAct::Server(act)));
    };
    let first = inner.rng.u64(5_000..2 * MINUTE);
    match inner.rng.u32(0..100) {
        0..5 => health(first, "unhealthy"),
        5..25 => {
            health(first, "unhealthy");
            health(first + inner.rng.u64(1..4 * MINUTE), "healthy");
        }
        _ => health(first, "healthy"),
    }
}

/// Records which instances have served.
fn note_serving(sim: &Sim) {
    let state = sim.world.state();
    let mut inner = sim.inner();
    for server in &sim.sites.servers {
        if server.serves(&sim.sites, &state) {
            inner.ledger.served.insert(server.instance.clone());
        }
    }
}
