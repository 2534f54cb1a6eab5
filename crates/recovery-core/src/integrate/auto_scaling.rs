//! Which instance of an Auto Scaling group a restored resource belongs to.

use crate::aws::arn::InstanceId;
use crate::aws::auto_scaling::{Group, Member, Phase};
use crate::text::{code, first_few};

/// Which member of a group is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Member(InstanceId),
    /// None yet. The text says what is awaited.
    NotYet(String),
    /// Several members serve: it is unknown which one is meant.
    Several(usize),
}

/// The member that a restored resource belongs to: the first of `holders`, which have it already, or else
/// the only member that serves. While the group has more members than its desired capacity, it is
/// replacing some of them, and the choice waits for that.
pub fn choose(group: &Group, holders: &[InstanceId]) -> Choice {
    let holder = group
        .members
        .iter()
        .find(|member| holders.contains(&member.instance));
    match holder.map(|holder| (holder, holder.phase())) {
        Some((holder, Phase::Serves | Phase::Standby)) => {
            return Choice::Member(holder.instance.clone());
        }
        Some((holder, Phase::Terminates)) => {
            return Choice::NotYet(format!(
                "the group to terminate {}, which still has the restored resource",
                holder.instance
            ));
        }
        Some((_, Phase::Other)) | None => {}
    }
    let serving: Vec<&Member> = group
        .members
        .iter()
        .filter(|member| member.phase() == Phase::Serves)
        .collect();
    match *serving {
        [] => Choice::NotYet(awaited(group)),
        [only] => Choice::Member(only.instance.clone()),
        _ if serving.len() > group.desired => Choice::NotYet(format!(
            "the group to have no more than its desired capacity of {} (now {})",
            group.desired,
            listed(&group.members)
        )),
        _ => Choice::Several(serving.len()),
    }
}

/// The members that serve, by id: those that a restored file system is mounted on.
///
/// # Errors
/// What is awaited, if there are none.
pub fn serving(group: &Group) -> Result<Vec<InstanceId>, String> {
    let mut serving: Vec<InstanceId> = group
        .members
        .iter()
        .filter(|member| member.phase() == Phase::Serves)
        .map(|member| member.instance.clone())
        .collect();
    serving.sort();
    match serving.as_slice() {
        [] => Err(awaited(group)),
        _ => Ok(serving),
    }
}

/// What is awaited while no member serves.
fn awaited(group: &Group) -> String {
    match &*listed(&group.members) {
        "" => "the group to have an instance".to_owned(),
        members => format!("the group to have an instance in service (now {members})"),
    }
}

fn listed(members: &[Member]) -> String {
    let shown = |member: &Member| format!("{} {}", member.instance, code(&member.lifecycle));
    first_few(members.iter().map(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(desired: usize, lifecycles: &[&str]) -> Group {
        let member = |(n, lifecycle): (usize, &&str)| Member {
            instance: InstanceId::new(format!("i-{}", n + 1)),
            lifecycle: (*lifecycle).to_owned(),
        };
        Group {
            desired,
            members: lifecycles.iter().enumerate().map(member).collect(),
        }
    }

    fn on(instance: &str) -> Vec<InstanceId> {
        vec![InstanceId::new(instance)]
    }

    fn the(instance: &str) -> Choice {
        Choice::Member(InstanceId::new(instance))
    }

    #[track_caller]
    fn waits_for(choice: &Choice, parts: &[&str]) {
        let Choice::NotYet(what) = choice else {
            panic!("{choice:?}");
        };
        for part in parts {
            assert!(what.contains(part), "{what}");
        }
    }

    #[test]
    fn only_members_that_serve_or_are_about_to_count() {
        for serving in ["InService", "Pending", "Pending:Wait", "Pending:Proceed"] {
            for other in [
                "Terminating",
                "Terminating:Wait",
                "Terminating:Proceed",
                "Terminated",
                "Detaching",
                "Detached",
                "EnteringStandby",
                "Standby",
                "Quarantined",
                "Warmed:Pending",
                "Warmed:Pending:Wait",
                "Warmed:Running",
                "Warmed:Stopped",
                "Warmed:Hibernated",
                "Unheard:Of",
                "PendingOfSomeNewKind",
            ] {
                let group = group(1, &[other, serving]);
                assert_eq!(choose(&group, &[]), the("i-2"), "{other}, {serving}");
            }
        }
    }

    #[test]
    fn a_group_without_one_that_serves_is_waited_for() {
        waits_for(&choose(&group(1, &[]), &[]), &["to have an instance"]);
        waits_for(
            &choose(&group(1, &["Warmed:Stopped", "Terminating:Wait"]), &[]),
            &["i-1 `Warmed:Stopped`, i-2 `Terminating:Wait`"],
        );
        let many = group(1, &["Warmed:Stopped"; 7]);
        waits_for(&choose(&many, &[]), &["and 2 more"]);
    }

    #[test]
    fn all_members_that_serve_are_listed_by_id() {
        let mut members = group(2, &["InService", "Terminating", "Pending:Wait", "Standby"]);
        members.members.reverse();
        let ids = [InstanceId::new("i-1"), InstanceId::new("i-3")];
        assert_eq!(serving(&members), Ok(ids.to_vec()));
        let none = serving(&group(1, &["Terminating"])).unwrap_err();
        assert!(none.contains("(now i-1 `Terminating`)"), "{none}");
        assert!(serving(&group(1, &[])).is_err());
    }

    /// An instance refresh launches the new one before it terminates the old one.
    #[test]
    fn a_group_with_more_than_it_wants_is_waited_for() {
        let refreshed = group(1, &["InService", "Pending"]);
        waits_for(
            &choose(&refreshed, &[]),
            &["desired capacity of 1", "i-2 `Pending`"],
        );
    }

    #[test]
    fn of_several_that_serve_nobody_can_know_which_one_is_meant() {
        let two = group(2, &["InService", "InService", "Terminating"]);
        assert_eq!(choose(&two, &[]), Choice::Several(2));
        assert_eq!(choose(&two, &on("i-2")), the("i-2"));
        assert_eq!(choose(&two, &on("i-elsewhere")), Choice::Several(2));
    }

    #[test]
    fn the_member_that_has_the_resource_keeps_it_until_it_is_terminated() {
        for keeps in ["InService", "Pending:Wait", "Standby", "EnteringStandby"] {
            let group = group(1, &[keeps, "InService"]);
            assert_eq!(choose(&group, &on("i-1")), the("i-1"), "{keeps}");
        }
        for leaves in ["Terminating", "Terminating:Wait", "Terminated"] {
            let group = group(1, &[leaves, "InService"]);
            waits_for(&choose(&group, &on("i-1")), &["terminate i-1"]);
        }
        // It is not on its way out: that it has the resource is for a person to see.
        let detached = group(1, &["Detaching", "InService"]);
        assert_eq!(choose(&detached, &on("i-1")), the("i-2"));
    }
}
