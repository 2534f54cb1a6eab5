//! Systems Manager: OpsItems, parameters and runbooks.
//! <https://docs.aws.amazon.com/systems-manager/latest/APIReference/Welcome.html>

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use testkit::http::Request;

use super::Answer;
use super::world::{Item, World};

/// OpsItems of this key in the operational data are the same while one is open.
const DEDUP: &str = "/aws/dedup";

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let action = request
        .header("x-amz-target")
        .and_then(|target| target.strip_prefix("AmazonSSM."))
        .unwrap_or_default()
        .to_owned();
    let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let outcome = match action.as_str() {
        "CreateOpsItem" => create(world, &input),
        "DescribeOpsItems" => Ok(describe(world, &input)),
        "GetOpsItem" => get(world, &input),
        "GetParameters" => Ok(get_parameters(world, &input)),
        "PutParameter" => put_parameter(world, &input),
        "UpdateOpsItem" => update(world, &input),
        "StartAutomationExecution" => {
            Ok(json!({"AutomationExecutionId": "4105a4fc-f944-11e6-9d32-0123456789ab"}))
        }
        _ => Err(json!({"__type": "InvalidAction"})),
    };
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(body) => (400, body),
    };
    (
        action,
        Answer::new(status, "application/x-amz-json-1.1", body.to_string()),
    )
}

fn get_parameters(world: &World, input: &Value) -> Value {
    let names = input["Names"].as_array().into_iter().flatten();
    let (found, invalid): (Vec<&str>, Vec<&str>) = names
        .filter_map(Value::as_str)
        .partition(|name| world.data_stores.parameters.contains_key(*name));
    let parameters: Vec<Value> = found
        .into_iter()
        .map(|name| {
            json!({
                "ARN": format!("arn:aws:ssm:us-west-2:111122223333:parameter{name}"),
                "DataType": "text",
                "LastModifiedDate": 1_792_508_990.217,
                "Name": name,
                "Type": "String",
                "Value": world.data_stores.parameters[name],
                "Version": 1,
            })
        })
        .collect();
    json!({"InvalidParameters": invalid, "Parameters": parameters})
}

fn put_parameter(world: &mut World, input: &Value) -> Result<Value, Value> {
    let name = text(&input["Name"]);
    let exists = world.data_stores.parameters.contains_key(&name);
    if exists && input["Overwrite"] != true {
        return Err(json!({
            "__type": "ParameterAlreadyExists",
            "message": "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
        }));
    }
    world
        .data_stores
        .parameters
        .insert(name, text(&input["Value"]));
    Ok(json!({"Tier": "Standard", "Version": if exists { 2 } else { 1 }}))
}

fn texts(input: &Value) -> BTreeMap<String, String> {
    input["OperationalData"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, data)| (key.clone(), text(&data["Value"])))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn data(item: &Item) -> Map<String, Value> {
    item.data
        .iter()
        .map(|(key, value)| {
            let value = json!({"Type": "SearchableString", "Value": value});
            (key.clone(), value)
        })
        .collect()
}

fn is_open(item: &Item) -> bool {
    !["Resolved", "Closed"].contains(&item.status.as_str())
}

fn create(world: &mut World, input: &Value) -> Result<Value, Value> {
    let data = texts(input);
    let same = world.items.iter().find(|item| {
        is_open(item) && data.contains_key(DEDUP) && item.data.get(DEDUP) == data.get(DEDUP)
    });
    if let Some(item) = same {
        return Err(json!({
            "__type": "OpsItemAlreadyExistsException",
            "Message": "An OpsItem already exists.",
            "OpsItemId": item.id,
        }));
    }
    let id = format!(
        "oi-{:012x}",
        0xa1b2_c3d4_0000_u64 + world.items.len() as u64
    );
    world.items.push(Item {
        id: id.clone(),
        title: text(&input["Title"]),
        status: "Open".to_owned(),
        data,
    });
    Ok(
        json!({"OpsItemId": id, "OpsItemArn": format!("arn:aws:ssm:us-west-2:111122223333:opsitem/{id}")}),
    )
}

fn describe(world: &World, input: &Value) -> Value {
    let passes = |item: &Item, filter: &Value| {
        let values: Vec<&str> = filter["Values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        match filter["Key"].as_str() {
            Some("Status") => values.contains(&item.status.as_str()),
            Some("OperationalData") => values.iter().any(|pair| {
                let pair: Value = serde_json::from_str(pair).unwrap_or_default();
                item.data.get(&text(&pair["key"])) == Some(&text(&pair["value"]))
            }),
            _ => false,
        }
    };
    let summaries: Vec<Value> = world
        .items
        .iter()
        .enumerate()
        .filter(|(_, item)| {
            input["OpsItemFilters"]
                .as_array()
                .into_iter()
                .flatten()
                .all(|filter| passes(item, filter))
        })
        .map(|(index, item)| {
            json!({
                "OpsItemId": item.id,
                "Title": item.title,
                "Source": "rapid-recovery",
                "Severity": "3",
                "Status": item.status,
                "CreatedTime": 1_792_508_981.0 + index as f64,
                "OperationalData": data(item),
            })
        })
        .collect();
    json!({"OpsItemSummaries": summaries})
}

fn known<'a>(world: &'a mut World, input: &Value) -> Result<&'a mut Item, Value> {
    let id = text(&input["OpsItemId"]);
    let unknown = json!({"__type": "OpsItemNotFoundException", "Message": "The specified OpsItem ID doesn't exist."});
    world
        .items
        .iter_mut()
        .find(|item| item.id == id)
        .ok_or(unknown)
}

fn get(world: &mut World, input: &Value) -> Result<Value, Value> {
    let item = known(world, input)?;
    Ok(json!({"OpsItem": {
        "OpsItemId": item.id,
        "Title": item.title,
        "Source": "rapid-recovery",
        "Status": item.status,
        "CreatedTime": 1_792_508_981.0,
        "OperationalData": data(item),
    }}))
}

fn update(world: &mut World, input: &Value) -> Result<Value, Value> {
    let item = known(world, input)?;
    if let Some(title) = input["Title"].as_str() {
        item.title = title.to_owned();
    }
    if let Some(status) = input["Status"].as_str() {
        item.status = status.to_owned();
    }
    item.data.extend(texts(input));
    Ok(json!({}))
}
