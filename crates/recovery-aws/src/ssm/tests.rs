//! The requests to Systems Manager, and the handling of its responses.

use std::collections::BTreeMap;

use chrono::DateTime;
use recovery_core::ops_item::Severity;
use serde_json::{Value, json};

use crate::wire::{Answer, Wire, called_in, listed};

use super::*;

const ID: &str = "oi-0a1b2c3d4e5f";

fn key() -> ItemKey {
    ItemKey::new("restore-job", "J-1")
}

fn new_item() -> NewOpsItem {
    NewOpsItem {
        key: key(),
        title: "Restore job (EBS) completed".to_owned(),
        description: "**What happened.** Restored.".to_owned(),
        severity: Severity::Medium,
        category: "Recovery",
        data: BTreeMap::from([("recovery:state", "COMPLETED".to_owned())]),
    }
}

fn summary(id: &str, created: f64, status: &str, key: &str) -> Value {
    json!({
        "OpsItemId": id,
        "CreatedTime": created,
        "Status": status,
        "Source": "rapid-recovery",
        "OperationalData": {
            "recovery:key": {"Type": "SearchableString", "Value": key},
            "recovery:integration": {"Type": "SearchableString", "Value": "refused"},
            "empty": {"Type": "SearchableString"},
        },
    })
}

async fn find(wire: &Wire) -> Result<Vec<OpsItem>, Error> {
    OpsCenter::new(&wire.config()).list(&key()).await
}

async fn get(wire: &Wire) -> Result<OpsItem, Error> {
    OpsCenter::new(&wire.config())
        .get(&OpsItemId::new(ID))
        .await
}

async fn create(wire: &Wire, item: &NewOpsItem) -> Result<Claim, Error> {
    OpsCenter::new(&wire.config()).create(item).await
}

async fn update(wire: &Wire, change: &OpsItemChange) -> Result<(), Error> {
    OpsCenter::new(&wire.config())
        .update(&OpsItemId::new(ID), change)
        .await
}

#[tokio::test]
async fn finds_ops_items_by_key_on_every_page_oldest_first() {
    let ours = "restore-job/J-1";
    let wire = Wire::answering([
        Answer::json(&json!({
            "OpsItemSummaries": [
                summary("oi-3", 1_795_413_600.5, "Open", ours),
                // The service's filter is not relied on.
                summary("oi-other", 1_795_413_000.0, "Open", "restore-job/J-10"),
            ],
            "NextToken": "token-1",
        })),
        Answer::json(&json!({"OpsItemSummaries": [], "NextToken": "token-2"})),
        Answer::json(&json!({
            "OpsItemSummaries": [
                summary("oi-2", 1_795_413_600.25, "Resolved", ours),
                summary("oi-1", 1_795_413_600.25, "InProgress", ours),
            ],
        })),
    ]);
    let found = find(&wire).await.unwrap();
    let ids: Vec<(&str, Status)> = found
        .iter()
        .map(|item| (item.id.as_str(), item.status))
        .collect();
    assert_eq!(
        ids,
        [
            ("oi-1", Status::Open),
            ("oi-2", Status::Resolved),
            ("oi-3", Status::Open)
        ]
    );
    assert_eq!(
        found[0].data,
        BTreeMap::from([
            ("recovery:key".to_owned(), ours.to_owned()),
            ("recovery:integration".to_owned(), "refused".to_owned()),
        ])
    );
    let sent = wire.sent();
    assert_eq!(
        sent[0].json(),
        json!({"OpsItemFilters": [{
            "Key": "OperationalData",
            "Values": [r#"{"key":"recovery:key","value":"restore-job/J-1"}"#],
            "Operator": "Equal",
        }]})
    );
    assert_eq!(sent[1].json()["NextToken"], "token-1");
    assert_eq!(sent[2].json()["NextToken"], "token-2");
    assert_eq!(
        sent[2].json()["OpsItemFilters"],
        sent[0].json()["OpsItemFilters"]
    );
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn filters_open_ops_items_by_kind_and_status() {
    let wire = Wire::answering([
        Answer::json(&json!({
            "OpsItemSummaries": [summary("oi-2", 2.0, "InProgress", "alarm/a")],
            "NextToken": "token-1",
        })),
        Answer::json(
            &json!({"OpsItemSummaries": [summary("oi-1", 1.0, "Open", "health-event/b")]}),
        ),
    ]);
    let open = OpsCenter::new(&wire.config())
        .list_open(recovery_core::ops_item::INCIDENT)
        .await
        .unwrap();
    let ids: Vec<&str> = open.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["oi-1", "oi-2"]);
    assert_eq!(
        wire.sent()[0].json(),
        json!({"OpsItemFilters": [
            {
                "Key": "OperationalData",
                "Values": [r#"{"key":"recovery:kind","value":"incident"}"#],
                "Operator": "Equal",
            },
            {"Key": "Status", "Values": ["Open", "InProgress"], "Operator": "Equal"},
        ]})
    );
}

#[tokio::test]
async fn accepts_no_ops_items_but_rejects_one_without_an_id() {
    let wire = Wire::answering([Answer::json(&json!({}))]);
    assert_eq!(find(&wire).await.unwrap(), []);
    let mut nameless = summary("oi-1", 0.0, "Open", "restore-job/J-1");
    nameless.as_object_mut().unwrap().remove("OpsItemId");
    let wire = Wire::answering([Answer::json(&json!({"OpsItemSummaries": [nameless]}))]);
    let error = find(&wire).await.unwrap_err();
    assert!(error.to_string().contains("no OpsItemId"), "{error}");
}

#[tokio::test]
async fn counts_only_resolved_and_closed_as_resolved() {
    for (status, expected) in [
        (json!("Open"), Status::Open),
        (json!("InProgress"), Status::Open),
        (json!("Pending"), Status::Open),
        (json!("Unheard-of"), Status::Open),
        (Value::Null, Status::Open),
        (json!("Resolved"), Status::Resolved),
        (json!("Closed"), Status::Resolved),
    ] {
        let wire = Wire::answering([Answer::json(&json!({"OpsItem": {
            "OpsItemId": ID,
            "Status": status,
            "OperationalData": {"recovery:key": {"Value": "restore-job/J-1"}},
        }}))]);
        let item = get(&wire).await.unwrap();
        assert_eq!(item.id, OpsItemId::new(ID));
        assert_eq!(item.status, expected, "{status}");
        assert_eq!(item.data["recovery:key"], "restore-job/J-1");
        assert_eq!(wire.only().json(), json!({"OpsItemId": ID}));
    }
    let error = get(&Wire::answering([Answer::json(&json!({}))]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no OpsItem."), "{error}");
}

#[tokio::test]
async fn creates_an_ops_item_with_a_deduplication_string() {
    let wire = Wire::answering([Answer::json(&json!({"OpsItemId": ID}))]);
    assert_eq!(
        create(&wire, &new_item()).await.unwrap(),
        Claim::Created(OpsItemId::new(ID))
    );
    let searchable = |value: &str| json!({"Type": "SearchableString", "Value": value});
    assert_eq!(
        wire.only().json(),
        json!({
            "Title": "Restore job (EBS) completed",
            "Description": "**What happened.** Restored.",
            "Source": "rapid-recovery",
            "Category": "Recovery",
            "Severity": "3",
            "OperationalData": {
                "/aws/dedup": searchable(r#"{"dedupString":"restore-job/J-1#dd1badab5f04aae5"}"#),
                "recovery:key": searchable("restore-job/J-1"),
                "recovery:state": searchable("COMPLETED"),
            },
        })
    );
}

#[tokio::test]
async fn returns_the_id_of_an_existing_ops_item() {
    let exists = |members: Value| {
        Wire::answering([Answer::json_error(
            400,
            "OpsItemAlreadyExistsException",
            &members,
        )])
    };
    let wire = exists(json!({"Message": "A similar OpsItem exists.", "OpsItemId": ID}));
    assert_eq!(
        create(&wire, &new_item()).await.unwrap(),
        Claim::Existing(OpsItemId::new(ID))
    );
    let wire = exists(json!({"Message": "A similar OpsItem exists."}));
    let error = create(&wire, &new_item()).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert!(
        error
            .to_string()
            .contains("no OpsItemId in OpsItemAlreadyExistsException"),
        "{error}"
    );
    let wire = Wire::answering([Answer::json(&json!({}))]);
    let error = create(&wire, &new_item()).await.unwrap_err();
    assert!(error.to_string().contains("no OpsItemId"), "{error}");
}

/// The first response was lost and the SDK retried: the OpsItem is found, not created twice.
#[tokio::test]
async fn finds_the_ops_item_after_a_lost_create_response() {
    let wire = Wire::answering([
        Answer::Silence,
        Answer::json_error(
            400,
            "OpsItemAlreadyExistsException",
            &json!({"OpsItemId": ID}),
        ),
    ]);
    assert_eq!(
        create(&wire, &new_item()).await.unwrap(),
        Claim::Existing(OpsItemId::new(ID))
    );
    assert_eq!(wire.sent()[0].json(), wire.sent()[1].json());
}

/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateOpsItem.html>
#[tokio::test]
async fn fields_satisfy_the_limits_of_opscenter() {
    let check = |body: Value| {
        assert!(body["Title"].as_str().unwrap().chars().count() <= 1024);
        assert!(!body["Title"].as_str().unwrap().contains('\n'));
        assert!(body["Description"].as_str().unwrap().chars().count() <= 2048);
        for (key, data) in body["OperationalData"].as_object().unwrap() {
            let value = data["Value"].as_str().unwrap();
            assert!(value.len() <= 20_480, "{key}");
            // The pattern of the API: at least one character that is not white space.
            assert!(!value.trim().is_empty(), "{key}");
        }
    };
    let title = format!("ä\n{}", "ä".repeat(3000));
    let description = "🌊".repeat(3000);
    let data = BTreeMap::from([
        ("recovery:long", "ä".repeat(30_000)),
        ("recovery:empty", String::new()),
        ("recovery:blank", " \n".to_owned()),
    ]);
    let wire = Wire::answering([Answer::json(&json!({"OpsItemId": ID}))]);
    let item = NewOpsItem {
        title: title.clone(),
        description: description.clone(),
        data: data.clone(),
        ..new_item()
    };
    create(&wire, &item).await.unwrap();
    check(wire.only().json());
    let wire = Wire::answering([Answer::json(&json!({}))]);
    let change = OpsItemChange {
        title: Some(title),
        description: Some(description),
        data,
        ..OpsItemChange::default()
    };
    update(&wire, &change).await.unwrap();
    check(wire.only().json());
}

#[tokio::test]
async fn update_sends_only_the_changes() {
    for (change, expected) in [
        (OpsItemChange::default(), json!({"OpsItemId": ID})),
        (
            OpsItemChange {
                status: Some(Status::Resolved),
                ..OpsItemChange::default()
            },
            json!({"OpsItemId": ID, "Status": "Resolved"}),
        ),
        (
            OpsItemChange {
                title: Some("New".to_owned()),
                description: Some("Text".to_owned()),
                severity: Some(Severity::Critical),
                status: Some(Status::Open),
                related: Some(vec![OpsItemId::new("oi-1"), OpsItemId::new("oi-2")]),
                data: BTreeMap::from([("recovery:notified", "why".to_owned())]),
            },
            json!({
                "OpsItemId": ID, "Title": "New", "Description": "Text", "Severity": "1", "Status": "Open",
                "RelatedOpsItems": [{"OpsItemId": "oi-1"}, {"OpsItemId": "oi-2"}],
                "OperationalData": {"recovery:notified": {"Type": "SearchableString", "Value": "why"}},
            }),
        ),
    ] {
        let wire = Wire::answering([Answer::json(&json!({}))]);
        update(&wire, &change).await.unwrap();
        assert_eq!(wire.only().json(), expected);
    }
}

#[tokio::test]
async fn retries_throttled_calls() {
    let wire = Wire::answering([
        Answer::json_error(
            400,
            "ThrottlingException",
            &json!({"message": "Rate exceeded"}),
        ),
        Answer::json_error(
            500,
            "InternalServerError",
            &json!({"Message": "An error occurred"}),
        ),
        Answer::json(&json!({"OpsItemId": ID})),
    ]);
    create(&wire, &new_item()).await.unwrap();
    assert_eq!(wire.sent().len(), 3);
}

const TOKEN: &str = "0a1b2c3d-4e5f-8071-82a3-b4c5d6e7f809";

#[tokio::test]
async fn starts_a_runbook_with_token_and_parameters() {
    let wire = Wire::answering([Answer::json(
        &json!({"AutomationExecutionId": "11112222-3333-4444-5555-666677778888"}),
    )]);
    let parameters = [
        ("Incident", "health-event/arn:1".to_owned()),
        ("OpsItemId", ID.to_owned()),
    ];
    let execution = RunbookRunner::new(&wire.config())
        .start("StartRegionRecovery", TOKEN, &parameters)
        .await
        .unwrap();
    assert_eq!(execution, "11112222-3333-4444-5555-666677778888");
    assert_eq!(
        wire.only().json(),
        json!({
            "DocumentName": "StartRegionRecovery",
            "ClientToken": TOKEN,
            "Parameters": {"Incident": ["health-event/arn:1"], "OpsItemId": [ID]},
        })
    );
}

#[tokio::test]
async fn returns_an_error_that_names_the_runbook() {
    let start = async |answer: Answer| {
        let wire = Wire::answering([answer]);
        RunbookRunner::new(&wire.config_without_retries())
            .start("StartRegionRecovery", TOKEN, &[])
            .await
            .unwrap_err()
    };
    let error = start(Answer::json(&json!({}))).await;
    assert!(
        error.to_string().contains("no AutomationExecutionId"),
        "{error}"
    );
    for (status, code, expected) in [
        (400, "AutomationDefinitionNotFoundException", "Permanent"),
        (
            400,
            "InvalidAutomationExecutionParametersException",
            "Permanent",
        ),
        (400, "IdempotentParameterMismatch", "Permanent"),
        (
            429,
            "AutomationExecutionLimitExceededException",
            "Retryable",
        ),
        (
            400,
            "AutomationExecutionLimitExceededException",
            "Retryable",
        ),
    ] {
        let error = start(Answer::json_error(status, code, &json!({"Message": "No."}))).await;
        assert_eq!(error.error_type(), expected, "{code}");
        assert_eq!(error.fault().subject(), "StartRegionRecovery");
    }
}

#[tokio::test]
async fn actions_match_the_requests() {
    let wire = Wire::answering([
        Answer::json(&json!({})),
        Answer::json(&json!({"OpsItem": {}})),
        Answer::json(&json!({"OpsItemId": ID})),
        Answer::json(&json!({})),
    ]);
    find(&wire).await.unwrap();
    get(&wire).await.unwrap();
    create(&wire, &new_item()).await.unwrap();
    update(&wire, &OpsItemChange::default()).await.unwrap();
    assert_eq!(wire.actions(), listed(OpsCenter::ACTIONS));
    let wire = Wire::answering([Answer::json(&json!({"AutomationExecutionId": "e"}))]);
    RunbookRunner::new(&wire.config())
        .start("r", TOKEN, &[])
        .await
        .unwrap();
    assert_eq!(wire.actions(), listed(RunbookRunner::ACTIONS));
    let both: Vec<&str> = [OpsCenter::ACTIONS, RunbookRunner::ACTIONS].concat();
    assert_eq!(called_in("ssm", include_str!("../ssm.rs")), listed(&both));
}

#[tokio::test]
async fn returns_the_creation_date_of_an_ops_item_and_none_if_missing() {
    let wire = Wire::answering([
        Answer::json(&json!({"OpsItem": {
            "OpsItemId": "oi-1",
            "Status": "Open",
            "CreatedTime": 1_795_405_260.5,
            "OperationalData": {"recovery:began": {"Value": "2026-11-23T03:40:00Z"}},
        }})),
        Answer::json_error(400, "OpsItemNotFoundException", &json!({"Message": "no"})),
        Answer::json_error(400, "AccessDeniedException", &json!({"Message": "no"})),
    ]);
    let ops_center = OpsCenter::new(&wire.config());
    let id = OpsItemId::new("oi-1");
    assert_eq!(
        ops_center.find(&id).await.unwrap(),
        Some(OpsItem {
            id: id.clone(),
            status: Status::Open,
            created: DateTime::from_timestamp(1_795_405_260, 500_000_000),
            data: [(
                "recovery:began".to_owned(),
                "2026-11-23T03:40:00Z".to_owned()
            )]
            .into(),
        })
    );
    assert_eq!(ops_center.find(&id).await.unwrap(), None);
    ops_center.find(&id).await.unwrap_err();
}
