//! One test binary, by what each part proves:
//!
//! - [`journeys`]: an event file goes through a function's `handle` against a world in memory. What
//!   is called in which order, what people read, and that a failure at any call, a process that
//!   dies there, a second delivery or a second run in between all lead to the same end.
//! - [`crash_matrix`]: every kind of trouble at every call of every function, in every scenario, and then
//!   another delivery: nothing is lost, and nothing is done twice.
//! - [`template`]: `template.yaml` keeps its contract with the event files, the functions' settings
//!   and the adapters' IAM actions.
//! - [`binaries`]: the programs as Lambda runs them answer a fake Runtime API as promised.
//! - [`report_schema`]: every report is as `docs/report.schema.json` says.
//! - [`contributing`]: the files that CONTRIBUTING.md names exist.
//! - [`links`]: the links between documents lead to a page and a heading.
//! - [`reasons`]: `docs/refusals.md` lists every reason for a refusal.
//! - [`words`]: the documents use plain words.
//! - [`walkthrough`]: the way of one event through the code is as ARCHITECTURE.md tells it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, and says where"
)]

mod binaries;
mod contributing;
mod crash_matrix;
mod journeys;
mod links;
mod reasons;
mod report_schema;
mod structure;
mod support;
mod template;
mod walkthrough;
mod words;
