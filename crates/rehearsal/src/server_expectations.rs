//! The expectations of the instance that is restored from its image, and of the types of the workload.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::observations::Played;

/// Each type that a plan restores.
const TYPES: [&str; 10] = [
    "Aurora",
    "DocumentDB",
    "DynamoDB",
    "EBS",
    "EC2",
    "EFS",
    "FSx",
    "Neptune",
    "RDS",
    "S3",
];

/// Where the instance was restored, and whether it serves.
pub(crate) fn servers_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let appliance = &played.appliance;
    let name = appliance.server.name;
    expect(
        &format!(
            "the {name} runs in the network of the stack, with its profile and an encrypted volume, and is healthy in its target group"
        ),
        appliance.state == appliance.expected,
        format!("{}, expected {}", appliance.state, appliance.expected),
    );
    let published =
        |(leaf, value): (&String, &String)| appliance.published.get(leaf) == Some(value);
    expect(
        &format!("the addresses of the {name} are published"),
        appliance.addresses.iter().all(published),
        format!(
            "{:?}, expected {:?}",
            appliance.published, appliance.addresses
        ),
    );
    let items = || {
        let items = played.recovery.said("/items").as_array();
        items.into_iter().flatten()
    };
    let reported = items()
        .find(|item| item["jobId"] == appliance.job.as_str())
        .unwrap_or(&Value::Null);
    expect(
        &format!("the report names the {name}"),
        reported["integrated"] == true
            && reported["restoredArn"].as_str()
                == appliance.addresses.get("arn").map(String::as_str),
        reported.to_string(),
    );
    let types: BTreeSet<&str> = items().filter_map(|item| item["type"].as_str()).collect();
    expect(
        "the report shows a resource of each supported type",
        types == BTreeSet::from(TYPES),
        format!("{types:?}"),
    );
}

/// What a drill made of the instance.
pub(crate) fn drilled_servers_held(played: &Played, expect: &mut impl FnMut(&str, bool, String)) {
    let drill = &played.drill;
    expect(
        "the clean-up of the drill terminates its instance, and not that of the workload",
        matches!(drill.server.as_deref(), None | Some("terminated"))
            && played.appliance.state == played.appliance.expected,
        format!("{:?}; {}", drill.server, played.appliance.state),
    );
}
