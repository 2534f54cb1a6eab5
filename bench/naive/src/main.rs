//! The work of restore-integrator as the SDK's first page of documentation would have it: all
//! defaults, one call after the other.

use std::time::Duration;

use aws_sdk_ec2::types::{Filter, VolumeAttachmentState};
use aws_sdk_ssm::types::{OpsItemDataType, OpsItemDataValue};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

struct Clients {
    cloudformation: aws_sdk_cloudformation::Client,
    ec2: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
}

async fn handle(clients: &Clients, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let detail = &event.payload["detail"];
    let text = |name: &str| detail[name].as_str().ok_or(format!("{name} is missing"));
    let last = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
    let snapshot = last(text("recoveryPointArn")?);
    let volume_id = last(text("createdResourceArn")?);

    let tags = clients
        .ec2
        .describe_tags()
        .filters(
            Filter::builder()
                .name("resource-id")
                .values(snapshot)
                .build(),
        )
        .send()
        .await?;
    let tag = |key: &str| {
        tags.tags()
            .iter()
            .find(|tag| tag.key() == Some(key))
            .and_then(|tag| tag.value())
            .ok_or(format!("no tag {key}"))
    };
    let volumes = clients
        .ec2
        .describe_volumes()
        .volume_ids(&volume_id)
        .send()
        .await?;
    let volume = volumes.volumes().first().ok_or("no volume")?;
    let resource = clients
        .cloudformation
        .describe_stack_resource()
        .stack_name(tag("recovery:stack")?)
        .logical_resource_id(tag("recovery:logical-id")?)
        .send()
        .await?;
    let instance_id = resource
        .stack_resource_detail()
        .and_then(|detail| detail.physical_resource_id())
        .ok_or("no physical id")?;
    let instances = clients
        .ec2
        .describe_instances()
        .instance_ids(instance_id)
        .send()
        .await?;
    let instance = instances
        .reservations()
        .first()
        .and_then(|reservation| reservation.instances().first())
        .ok_or("no instance")?;
    let zone = instance
        .placement()
        .and_then(|placement| placement.availability_zone());
    if volume.availability_zone() != zone {
        return Err("another zone".into());
    }
    let accepted = clients
        .ec2
        .attach_volume()
        .volume_id(&volume_id)
        .instance_id(instance_id)
        .device(tag("recovery:device")?)
        .send()
        .await?;
    let mut state = accepted.state().cloned();
    while state != Some(VolumeAttachmentState::Attached) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let volumes = clients
            .ec2
            .describe_volumes()
            .volume_ids(&volume_id)
            .send()
            .await?;
        let attachments = volumes.volumes().first().map(|volume| volume.attachments());
        state = attachments
            .and_then(|attachments| attachments.first()?.state())
            .cloned();
    }
    let job = text("restoreJobId")?;
    let dedup = OpsItemDataValue::builder()
        .value(json!({"dedupString": job}).to_string())
        .r#type(OpsItemDataType::SearchableString)
        .build();
    let item = clients
        .ssm
        .create_ops_item()
        .title(format!(
            "Restored volume {volume_id} attached to {instance_id}"
        ))
        .description(format!("Restore job {job}"))
        .source("rapid-recovery")
        .operational_data("/aws/dedup", dedup)
        .send()
        .await?;
    Ok(json!({"outcome": "integrated", "opsItemId": item.ops_item_id()}))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = aws_config::load_from_env().await;
    let clients = Clients {
        cloudformation: aws_sdk_cloudformation::Client::new(&config),
        ec2: aws_sdk_ec2::Client::new(&config),
        ssm: aws_sdk_ssm::Client::new(&config),
    };
    run(service_fn(|event| handle(&clients, event))).await
}
