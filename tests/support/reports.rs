//! Reports of the recoveries that stories describe.

use recovery_core::fakes::{DRILL_ROLE, Story};
use recovery_core::report::run::ReportConfig;
use recovery_core::report::{Objectives, Report};

use super::disturbed::{Disturbed, finish};

/// The objectives of these tests.
pub(crate) fn config() -> ReportConfig {
    ReportConfig {
        bucket: "recovery".to_owned(),
        objectives: Objectives {
            rto_minutes: Some(60),
            rpo_minutes: Some(15),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// The stored JSON of its report.
pub(crate) fn json_of(story: &Story) -> String {
    let (world, payload) = story
        .told("report")
        .expect("the names of a story are names");
    let ports = Disturbed::not(&world);
    let outcome = finish(recovery_reporter::handle(
        &ports,
        &ports,
        &ports,
        &config(),
        &payload,
    ))
    .expect("nothing goes wrong");
    let key = outcome.id("reportKey").expect("it is kept").to_owned();
    let state = world.state();
    state.backups.objects[&key].clone()
}

/// Its stored report.
pub(crate) fn report_of(story: &Story) -> Report {
    serde_json::from_str(&json_of(story)).expect("it is a report")
}
