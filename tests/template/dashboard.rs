//! The dashboard shows every function, every queue and every metric of a report.

use std::collections::BTreeSet;

use recovery_core::fakes::Story;
use recovery_core::report::measures;
use serde_json::Value;

use crate::support::reports::report_of;
use crate::support::sam::{Deployed, EVERY_FUNCTION, deployed};

fn widgets() -> Vec<Value> {
    widgets_of(&deployed(&[]))
}

fn widgets_of(deployed: &Deployed) -> Vec<Value> {
    let body =
        deployed.resources("AWS::CloudWatch::Dashboard")["RecoveryDashboard"]["DashboardBody"]
            .clone();
    let body: Value = serde_json::from_str(body.as_str().unwrap()).expect("it is JSON");
    body["widgets"].as_array().unwrap().clone()
}

#[test]
fn dashboard_shows_every_function_and_queue() {
    for deployed in [deployed(&[]), deployed(&EVERY_FUNCTION)] {
        let shown: BTreeSet<String> = widgets_of(&deployed)
            .iter()
            .flat_map(|widget| widget["properties"]["metrics"].as_array().cloned())
            .flatten()
            .filter_map(|metric| metric[3].as_str().map(str::to_owned))
            .collect();
        let functions = deployed.resources("AWS::Serverless::Function");
        let mut expected: BTreeSet<String> = functions.into_keys().collect();
        for queue in deployed.resources("AWS::SQS::Queue").keys() {
            let name = crate::support::sam::attribute_of(queue, "QueueName");
            expected.insert(name);
        }
        assert_eq!(shown, expected);
    }
}

#[test]
fn dashboard_searches_only_for_metrics_of_reports() {
    let report = report_of(&Story::whole(3, 1));
    let recorded: BTreeSet<&str> = measures::of(&report)
        .values
        .iter()
        .map(|(name, ..)| *name)
        .collect();
    let mut searched = BTreeSet::new();
    for widget in widgets() {
        for metric in widget["properties"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let Some(search) = metric[0]["expression"].as_str() else {
                continue;
            };
            if search.contains(recovery_lambda::NAMESPACE) {
                let name = search.split('"').nth(1).unwrap().to_owned();
                assert!(recorded.contains(name.as_str()), "{name}");
                searched.insert(name);
            }
        }
    }
    // Those left out are flags and counts for alarms.
    assert_eq!(searched.len() + 3, recorded.len());
}

#[test]
fn widgets_do_not_overlap() {
    let mut taken = BTreeSet::new();
    for widget in widgets() {
        let number = |member: &str| widget[member].as_u64().unwrap();
        for x in number("x")..number("x") + number("width") {
            assert!(x < 24);
            for y in number("y")..number("y") + number("height") {
                assert!(taken.insert((x, y)), "{widget}");
            }
        }
    }
}
