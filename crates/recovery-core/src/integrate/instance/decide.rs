//! Decides the next step of the integration of an instance from its observed state.

use chrono::TimeDelta;

use crate::aws::ec2::InstanceState;
use crate::aws::instance::{Checks, Server, TargetGroup, TargetHealth, TargetKind, TargetState};
use crate::integrate::instance::refusal::InstanceRefusal;

/// The restored instance, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub server: Server,
    /// `None` while EC2 shows none.
    pub checks: Option<Checks>,
    pub groups: Vec<ObservedGroup>,
    /// Whether the restore ended so long ago that waiting does not help: see [`PATIENCE`].
    pub is_overdue: bool,
}

/// How long after the end of the restore job a target group may refuse the instance, or send it no requests. Instances
/// start, and load balancers are updated, within minutes.
pub const PATIENCE: TimeDelta = TimeDelta::minutes(15);

/// A target group that the tags name, and the health of the instance in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedGroup {
    pub group: TargetGroup,
    /// `None`: it is not registered.
    pub health: Option<TargetHealth>,
}

impl ObservedGroup {
    /// Whether the instance is not a target of the group, or leaves it.
    pub(super) fn is_missing(&self) -> bool {
        matches!(
            self.health.as_ref().map(|health| &health.state),
            None | Some(TargetState::Draining | TargetState::UnhealthyDraining)
        )
    }
}

/// The next step of an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// None: it serves.
    Done {
        /// The ARNs of the target groups that no load balancer uses.
        unused: Vec<String>,
    },
    /// Register it with the target group of this ARN.
    Register(String),
    /// Check again.
    Wait(String),
    /// Stop: a rule forbids the integration.
    Refuse(InstanceRefusal),
}

/// Decides the next step. `registered` are the target groups that this run registered it with: the observation may be
/// older than that.
pub fn next_step(seen: &Observed, registered: &[String]) -> Step {
    let Observed {
        server,
        checks,
        groups,
        is_overdue,
    } = seen;
    let id = server.id.as_str();
    match &server.state {
        InstanceState::Running => {}
        state if state.is_ending() => {
            return Step::Refuse(InstanceRefusal::Gone {
                id: id.to_owned(),
                reason: server.reason.clone(),
            });
        }
        InstanceState::Stopped | InstanceState::Stopping => {
            return Step::Refuse(InstanceRefusal::Stopped {
                id: id.to_owned(),
                reason: server.reason.clone(),
            });
        }
        other => return Step::Wait(format!("{id} (now {other})")),
    }
    for ObservedGroup { group, .. } in groups {
        if group.kind != TargetKind::Instance || group.vpc != server.vpc {
            return Step::Refuse(InstanceRefusal::TargetGroup {
                id: id.to_owned(),
                group: group.arn.clone(),
                kind: group.kind.to_string(),
            });
        }
    }
    let missing = |it: &&ObservedGroup| it.is_missing() && !registered.contains(&it.group.arn);
    if let Some(it) = groups.iter().find(missing) {
        return Step::Register(it.group.arn.clone());
    }
    if !checks.as_ref().is_some_and(Checks::passed) {
        return Step::Wait(format!("the status checks of {id}"));
    }
    let mut unused = Vec::new();
    for ObservedGroup { group, health } in groups {
        match health {
            Some(health) if health.state == TargetState::Healthy || health.is_not_checked() => {}
            Some(health) if health.is_not_in_use() && group.load_balancers.is_empty() => {
                unused.push(group.arn.clone());
            }
            Some(health) if health.is_not_in_use() && *is_overdue => {
                return Step::Refuse(InstanceRefusal::Unused {
                    id: id.to_owned(),
                    zone: server.zone.clone(),
                    group: group.arn.clone(),
                    load_balancers: group.load_balancers.clone(),
                    message: health.why(),
                });
            }
            Some(health) => {
                let why = match health.why() {
                    why if why.is_empty() => why,
                    why => format!(", {why}"),
                };
                return Step::Wait(format!(
                    "{id} to be healthy in {} (now {}{why})",
                    group.arn, health.state
                ));
            }
            None => return Step::Wait(format!("{id} to show in {}", group.arn)),
        }
    }
    Step::Done { unused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::arn::InstanceId;

    const GROUP: &str = "arn:aws:elasticloadbalancing:us-west-2:1:targetgroup/web/1";
    const BALANCER: &str = "arn:aws:elasticloadbalancing:us-west-2:1:loadbalancer/app/web/2";

    fn observed(state: &str, checks: Option<[&str; 2]>, health: Option<&str>) -> Observed {
        Observed {
            server: Server {
                id: InstanceId::new("i-1"),
                state: state.into(),
                reason: None,
                vpc: Some("vpc-1".to_owned()),
                zone: Some("us-west-2a".to_owned()),
                private_address: Some("10.0.0.5".to_owned()),
                private_name: None,
                public_address: None,
                public_name: None,
                has_profile: true,
                restore_test: false,
            },
            checks: checks.map(|[instance, system]| Checks {
                instance: instance.into(),
                system: system.into(),
            }),
            groups: vec![ObservedGroup {
                group: TargetGroup {
                    arn: GROUP.to_owned(),
                    vpc: Some("vpc-1".to_owned()),
                    kind: TargetKind::Instance,
                    load_balancers: vec![BALANCER.to_owned()],
                },
                health: health.map(|state| TargetHealth {
                    state: state.into(),
                    reason: None,
                    description: None,
                }),
            }],
            is_overdue: false,
        }
    }

    #[test]
    fn decides_from_what_is_seen() {
        let ok = Some(["ok", "ok"]);
        let check = |seen: Observed, expected: &str| {
            let step = next_step(&seen, &[]);
            let shown = match &step {
                Step::Done { .. } => "done",
                Step::Register(_) => "register",
                Step::Wait(what) if what.contains("checks") => "checks",
                Step::Wait(what) if what.contains("healthy in") => "health",
                Step::Wait(_) => "wait",
                Step::Refuse(_) => "refuse",
            };
            assert_eq!(shown, expected, "{step:?}");
        };
        check(observed("pending", None, None), "wait");
        check(observed("running", None, None), "register");
        check(observed("running", ok, Some("draining")), "register");
        check(observed("running", None, Some("initial")), "checks");
        check(
            observed("running", Some(["initializing", "ok"]), Some("healthy")),
            "checks",
        );
        check(observed("running", ok, Some("initial")), "health");
        check(observed("running", ok, Some("unhealthy")), "health");
        check(observed("running", ok, Some("healthy")), "done");
        check(observed("stopped", None, None), "refuse");
        check(observed("terminated", None, None), "refuse");
        let mut foreign = observed("running", ok, None);
        foreign.groups[0].group.vpc = Some("vpc-2".to_owned());
        check(foreign, "refuse");
        let mut addresses = observed("running", ok, None);
        addresses.groups[0].group.kind = TargetKind::Ip;
        check(addresses, "refuse");
    }

    #[test]
    fn an_unused_target_is_done_only_without_a_load_balancer() {
        let check = |state: &str, reason: &str, balancers: &[&str], overdue, expected: &str| {
            let mut seen = observed("running", Some(["ok", "ok"]), Some(state));
            seen.is_overdue = overdue;
            seen.groups[0].group.load_balancers =
                balancers.iter().map(|arn| (*arn).to_owned()).collect();
            if let Some(health) = &mut seen.groups[0].health {
                health.reason = Some(reason.to_owned());
            }
            let step = next_step(&seen, &[]);
            let shown = match &step {
                Step::Done { unused } if unused.is_empty() => "done",
                Step::Done { .. } => "unused",
                Step::Register(_) => "register",
                Step::Wait(_) => "wait",
                Step::Refuse(_) => "refuse",
            };
            assert_eq!(shown, expected, "{step:?}");
        };
        let (not_in_use, some) = ("Target.NotInUse", &[BALANCER][..]);
        for overdue in [false, true] {
            check("unused", not_in_use, &[], overdue, "unused");
            check("unused", "Target.InvalidState", &[], overdue, "wait");
            check("unavailable", "Elb.InternalError", some, overdue, "wait");
            check(
                "unavailable",
                "Target.HealthCheckDisabled",
                some,
                overdue,
                "done",
            );
            check("unhealthy", "Target.Timeout", some, overdue, "wait");
        }
        check("unused", not_in_use, some, false, "wait");
        check("unused", not_in_use, some, true, "refuse");
    }

    #[test]
    fn registers_once_in_a_run() {
        let seen = observed("running", Some(["ok", "ok"]), None);
        let step = next_step(&seen, &[GROUP.to_owned()]);
        assert_eq!(step, Step::Wait(format!("i-1 to show in {GROUP}")));
    }
}
