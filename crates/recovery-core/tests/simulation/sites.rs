//! The stacks of buckets and target groups, and what is restored for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use recovery_core::aws::cloudformation::{StackResource, StackState};
use recovery_core::aws::instance::{TargetGroup, TargetHealth, TargetKind, TargetState};
use recovery_core::fakes::{LOAD_BALANCER, Parameter, State};

use crate::buckets::{self, BucketAct, RestoredBucket};
use crate::data_stores::STRANGER;
use crate::executor::Millis;
use crate::parties::{Act, Plan, chance};
use crate::servers::{self, RestoredServer, ServerAct};
use crate::world::Sim;

/// The stack of the drill.
pub(crate) const DRILL_STACK: &str = "drill";
/// The logical id of the instance that every stack creates itself.
pub(crate) const OWN_SERVER: &str = "Server";
/// The VPC of the restored instances.
pub(crate) const VPC: &str = "vpc-1";

/// A target group of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) logical_id: &'static str,
    pub(crate) arn: String,
    /// Whether instances of [`VPC`] can be its targets.
    pub(crate) is_suitable: bool,
    /// Whether a load balancer uses it. Otherwise, nothing checks its targets.
    pub(crate) is_used: bool,
}

/// A stack with two target groups, buckets, and an instance of its own.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) stack: String,
    /// The second one is created at the end.
    pub(crate) groups: [Group; 2],
    /// Whether it exists from the beginning.
    pub(crate) is_early: bool,
}

/// Stacks, and the buckets and instances that are restored for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sites {
    /// The last one is that of the drill.
    pub(crate) sites: Vec<Site>,
    pub(crate) buckets: Vec<RestoredBucket>,
    pub(crate) servers: Vec<RestoredServer>,
    /// Target groups that a person deletes, by ARN.
    pub(crate) deleted_groups: BTreeSet<String>,
}

/// Something that happens to a stack, a restored bucket or a restored instance.
#[derive(Debug, Clone)]
pub(crate) enum SiteAct {
    Bucket(BucketAct),
    Server(ServerAct),
    /// CloudFormation begins to create a stack.
    Begun(usize),
    Created(usize),
    /// It cannot create the second target group.
    Failed(usize),
}

impl Sites {
    /// The stack of a restore of the workload or of the drill.
    pub(crate) fn site(&self, number: usize, drill: bool) -> &Site {
        match self.sites.last() {
            Some(site) if drill => site,
            _ => &self.sites[number],
        }
    }

    /// The instances, by their numbers, of which a person deletes a target group.
    fn affected_servers(&self) -> Vec<usize> {
        let is_affected = |server: &RestoredServer| {
            let mut groups = server.wanted(self);
            groups.any(|group| self.deleted_groups.contains(&group.arn))
        };
        let all = self.servers.iter().enumerate();
        all.filter(|(_, server)| is_affected(server))
            .map(|(n, _)| n)
            .collect()
    }

    /// The target groups of every stack.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.sites.iter().flat_map(|site| &site.groups)
    }
}

impl Plan {
    /// Stacks with buckets and instances, in two of five worlds.
    pub(crate) fn draw_sites(&mut self, rng: &mut Rng) {
        if chance(rng, 60) {
            return;
        }
        let mut drawn = Sites::default();
        for n in 0..2 {
            let site = self.draw_site(rng, n);
            drawn.sites.push(site);
        }
        drawn.sites.push(site(rng, DRILL_STACK));
        self.add_site(0, SiteAct::Begun(2));
        self.add_site(0, SiteAct::Created(2));
        for _ in 0..rng.usize(0..=3).min(rng.usize(0..=3)) {
            self.draw_bucket(rng, &mut drawn);
        }
        for _ in 0..rng.usize(0..=3).min(rng.usize(0..=3)) {
            self.draw_server(rng, &mut drawn);
        }
        self.draw_rejections(rng, &mut drawn);
        for server in drawn.affected_servers() {
            drawn.servers[server].is_disturbed = true;
            drawn.servers[server].quiet = false;
        }
        self.sites = Arc::new(drawn);
    }

    pub(crate) fn add_site(&mut self, at: Millis, act: SiteAct) {
        self.add(at, Act::Site(act));
    }

    /// A stack that exists, comes late, fails or never comes.
    fn draw_site(&mut self, rng: &mut Rng, n: usize) -> Site {
        let calm = self.weather.calm;
        let mut site = site(rng, &format!("site-{n}"));
        let begun = rng.u64(0..calm);
        let ended = rng.u64(begun..calm);
        match rng.u32(0..100) {
            0..5 => {}
            5..10 => {
                self.add_site(begun, SiteAct::Begun(n));
                self.add_site(ended, SiteAct::Failed(n));
            }
            10..25 => {
                self.add_site(begun, SiteAct::Begun(n));
                self.add_site(ended, SiteAct::Created(n));
            }
            _ => {
                site.is_early = true;
                self.add_site(0, SiteAct::Begun(n));
                self.add_site(0, SiteAct::Created(n));
            }
        }
        site
    }
}

fn site(rng: &mut Rng, stack: &str) -> Site {
    let groups = ["Blue", "Green"].map(|logical_id| Group {
        logical_id,
        arn: arn(&format!("{stack}-{logical_id}")),
        is_suitable: !chance(rng, 8),
        is_used: !chance(rng, 10),
    });
    Site {
        stack: stack.to_owned(),
        groups,
        is_early: false,
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/{name}/1a2b3c4d")
}

/// What belongs to others and must stay as it is: a target group, a target in every target group, and a parameter next
/// to those of each restore. A parameter of each has the value of an earlier recovery.
pub(crate) fn add_strangers(sim: &Sim) {
    let sites = &sim.sites;
    if sites.sites.is_empty() {
        return;
    }
    let mut state = sim.world.state();
    // The simulation ends status checks and changes the health of targets, not a number of reads.
    state.servers.reads_until_checked = usize::MAX;
    state.servers.reads_until_healthy = usize::MAX;
    let mut add = |arn: &str, is_suitable: bool, is_used: bool| {
        let group = TargetGroup {
            arn: arn.to_owned(),
            vpc: Some(VPC.to_owned()),
            kind: match is_suitable {
                true => TargetKind::Instance,
                false => TargetKind::Ip,
            },
            load_balancers: is_used
                .then(|| LOAD_BALANCER.to_owned())
                .into_iter()
                .collect(),
        };
        let target = (arn.to_owned(), servers::stranger());
        state.servers.targets.insert(target, healthy());
        state.servers.target_groups.insert(arn.to_owned(), group);
    };
    add(&arn(STRANGER), true, true);
    for group in sites.groups() {
        add(&group.arn, group.is_suitable, group.is_used);
    }
    let published = sites.buckets.iter().map(|it| (&it.source, "name"));
    let published = published.chain(sites.servers.iter().map(|it| (&it.source, "id")));
    for (source, leaf) in published {
        for (leaf, value) in [("password", STRANGER), (leaf, "of-the-last-recovery")] {
            let parameter = Parameter {
                value: value.to_owned(),
                tags: BTreeMap::new(),
                version: 1,
            };
            let name = format!("/recovery/{source}/{leaf}");
            state.parameters.insert(name, parameter);
        }
    }
    for bucket in &sites.buckets {
        let buckets = [bucket.name.clone(), bucket.wanted(sites)];
        for name in buckets {
            state.buckets.entry(name).or_default();
        }
    }
}

/// Whether what belongs to others is as it was.
pub(crate) fn strangers_are_untouched(sim: &Sim) -> Result<(), String> {
    let state = sim.world.state();
    let targets = &state.servers.targets;
    let foreign = arn(STRANGER);
    let all = sim.sites.groups().map(|group| &group.arn);
    for arn in all.chain([&foreign]) {
        if targets.get(&(arn.clone(), servers::stranger())) != Some(&healthy()) {
            return Err(format!("the target of others in {arn} was changed"));
        }
    }
    if targets.keys().filter(|(arn, _)| *arn == foreign).count() > 1 {
        return Err(format!(
            "{foreign}, which belongs to others, has new targets"
        ));
    }
    let buckets = sim.sites.buckets.iter().map(|it| &it.source);
    for source in buckets.chain(sim.sites.servers.iter().map(|it| &it.source)) {
        let name = format!("/recovery/{source}/password");
        let parameter = state.parameters.get(&name);
        if parameter.is_none_or(|it| it.value != STRANGER || it.version != 1) {
            return Err(format!("{name}, which belongs to others, was changed"));
        }
    }
    Ok(())
}

pub(crate) fn healthy() -> TargetHealth {
    TargetHealth {
        state: TargetState::Healthy,
        reason: None,
        description: None,
    }
}

/// Lets something happen to a stack or to what is restored for it.
pub(crate) fn act(sim: &Sim, act: &SiteAct) {
    match act {
        SiteAct::Bucket(act) => buckets::act(sim, act),
        SiteAct::Server(act) => servers::act(sim, act),
        SiteAct::Begun(n) => {
            let site = &sim.sites.sites[*n];
            let mut state = sim.world.state();
            set_state(&mut state, site, "CREATE_IN_PROGRESS");
            let server = ("AWS::EC2::Instance", "i-of-the-stack".to_owned());
            add(&mut state, site, OWN_SERVER, server, "CREATE_IN_PROGRESS");
            let blue = &site.groups[0];
            add(
                &mut state,
                site,
                blue.logical_id,
                group(blue),
                "CREATE_COMPLETE",
            );
        }
        SiteAct::Created(n) => {
            let site = &sim.sites.sites[*n];
            let mut state = sim.world.state();
            let green = &site.groups[1];
            add(
                &mut state,
                site,
                green.logical_id,
                group(green),
                "CREATE_COMPLETE",
            );
            end(sim, &mut state, site, "CREATE_COMPLETE");
        }
        SiteAct::Failed(n) => {
            let site = &sim.sites.sites[*n];
            let mut state = sim.world.state();
            let green = &site.groups[1];
            add(
                &mut state,
                site,
                green.logical_id,
                group(green),
                "CREATE_FAILED",
            );
            end(sim, &mut state, site, "CREATE_FAILED");
        }
    }
}

fn group(group: &Group) -> (&'static str, String) {
    let resource_type = "AWS::ElasticLoadBalancingV2::TargetGroup";
    (resource_type, group.arn.clone())
}

fn set_state(state: &mut State, site: &Site, status: &str) {
    let to = StackState {
        status: status.to_owned(),
        reason: None,
    };
    state.stack_states.insert(site.stack.clone(), to);
}

fn add(
    state: &mut State,
    site: &Site,
    logical_id: &str,
    (resource_type, id): (&str, String),
    status: &str,
) {
    let resource = StackResource {
        resource_type: resource_type.to_owned(),
        physical_id: Some(id),
        status: status.into(),
    };
    let key = (site.stack.clone(), logical_id.to_owned());
    state.stack_resources.insert(key, resource);
}

/// CloudFormation has created everything except what has failed.
fn end(sim: &Sim, state: &mut State, site: &Site, status: &str) {
    let server = ("AWS::EC2::Instance", "i-of-the-stack".to_owned());
    add(state, site, OWN_SERVER, server, "CREATE_COMPLETE");
    for bucket in &sim.sites.buckets {
        if sim.sites.site(bucket.site, bucket.drill).stack == site.stack {
            let assets = ("AWS::S3::Bucket", bucket.wanted(&sim.sites));
            add(state, site, &bucket.logical_id(), assets, "CREATE_COMPLETE");
        }
    }
    set_state(state, site, status);
}
