//! One test binary with these parts:
//!
//! - [`journeys`]: an event file is passed to a function's `handle` against the in-memory fakes. Checks
//!   the calls and their order, OpsItems and notifications, second deliveries and concurrent runs.
//! - [`crash_matrix`]: every kind of failure at every call of every function, in every scenario, and
//!   then another delivery: nothing is lost or done twice.
//! - [`template`]: `template.yaml` matches the event files, the functions' settings and the adapters'
//!   IAM actions.
//! - [`binaries`]: the programs, run against a fake Lambda Runtime API.
//! - [`report_schema`]: every report satisfies `docs/report.schema.json`.
//! - [`contributing`]: the files that CONTRIBUTING.md names exist.
//! - [`links`]: the links between documents point to existing documents and headings.
//! - [`reasons`]: `docs/refusals.md` lists every reason for a refusal, and no other.
//! - [`words`]: the documents use plain words.
//! - [`walkthrough`]: ARCHITECTURE.md's walkthrough of one event matches the code.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot continue has failed"
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
