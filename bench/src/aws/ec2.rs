//! EC2: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html>.

use std::time::Instant;

use testkit::answers::{self, xml};
use testkit::http::{Form, Request};

use super::Answer;
use super::world::{World, ids};

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let form = request.form();
    let action = form.get("Action").unwrap_or_default().to_owned();
    let answer = match action.as_str() {
        "DescribeTags" => describe_tags(world, &form),
        "DescribeSnapshots" => describe_snapshots(&form),
        "DescribeVolumes" => describe_volumes(world, &form),
        "DescribeInstances" => describe_instances(world, &form),
        "AttachVolume" => attach_volume(world, &form),
        _ => Err((
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        )),
    };
    let answer = match answer {
        Ok(inner) => Answer::new(200, "text/xml;charset=UTF-8", answers::ec2(&action, &inner)),
        Err((code, message)) => Answer::new(
            400,
            "text/xml;charset=UTF-8",
            answers::ec2_error(code, &message),
        ),
    };
    (action, answer)
}

type Outcome = Result<String, (&'static str, String)>;

/// `Filter.1.Name`, `Filter.1.Value.1`, …
fn filters(form: &Form) -> Vec<(&str, Vec<&str>)> {
    (1..)
        .map_while(|index| {
            let name = form.get(&format!("Filter.{index}.Name"))?;
            Some((name, form.list(&format!("Filter.{index}.Value"))))
        })
        .collect()
}

fn describe_tags(world: &World, form: &Form) -> Outcome {
    let wanted = filters(form)
        .iter()
        .all(|(name, values)| *name != "resource-id" || values.contains(&ids::SNAPSHOT));
    let tags = world.tags.iter().filter(|_| wanted).map(|(key, value)| {
        format!(
            "<item><resourceId>{}</resourceId><resourceType>snapshot</resourceType><key>{}</key><value>{}</value></item>",
            ids::SNAPSHOT,
            xml(key),
            xml(value)
        )
    });
    Ok(format!("<tagSet>{}</tagSet>", tags.collect::<String>()))
}

/// `attaching` as long as EC2 takes, then `attached`.
fn attachment_state(world: &World) -> &'static str {
    match world.accepted {
        Some(accepted) if accepted.elapsed() < world.attaching => "attaching",
        _ => "attached",
    }
}

/// The volume's origin.
fn describe_snapshots(form: &Form) -> Outcome {
    for id in form.list("SnapshotId") {
        if id != ids::SNAPSHOT {
            return Err((
                "InvalidSnapshot.NotFound",
                format!("The snapshot '{id}' does not exist."),
            ));
        }
    }
    Ok(format!(
        "<snapshotSet><item><snapshotId>{}</snapshotId><volumeId>vol-ffffffff</volumeId><status>completed</status><startTime>2026-10-20T05:00:11.000Z</startTime><progress>100%</progress><ownerId>111122223333</ownerId><volumeSize>100</volumeSize><description>This snapshot is created by the AWS Backup service.</description><encrypted>true</encrypted><storageTier>standard</storageTier></item></snapshotSet>",
        ids::SNAPSHOT
    ))
}

fn describe_volumes(world: &mut World, form: &Form) -> Outcome {
    let by_id = form.list("VolumeId");
    for id in &by_id {
        if ![ids::VOLUME, ids::TEST_VOLUME].contains(id) {
            return Err((
                "InvalidVolume.NotFound",
                format!("The volume '{id}' does not exist."),
            ));
        }
    }
    let by_filter = form.list("Filter.1.Value");
    let (id, zone, device) = if [by_id, by_filter].contains(&vec![ids::TEST_VOLUME]) {
        (ids::TEST_VOLUME, "us-west-2a".to_owned(), None)
    } else {
        let device = world.device.clone();
        (ids::VOLUME, world.volume_zone.clone(), device)
    };
    let (state, attachments) = match device {
        Some(device) => {
            let attachment = attachment_state(world);
            world.confirmed |= world.accepted.is_some() && attachment == "attached";
            let attachments = format!(
                "<item><volumeId>{id}</volumeId><instanceId>{}</instanceId><device>{device}</device><status>{attachment}</status><attachTime>2026-10-20T15:11:22.000Z</attachTime><deleteOnTermination>false</deleteOnTermination></item>",
                ids::INSTANCE,
            );
            ("in-use", attachments)
        }
        None => ("available", String::new()),
    };
    Ok(format!(
        "<volumeSet><item><volumeId>{id}</volumeId><size>100</size><snapshotId>{}</snapshotId><availabilityZone>{zone}</availabilityZone><availabilityZoneId>usw2-az1</availabilityZoneId><status>{state}</status><createTime>2026-10-20T15:02:31.512Z</createTime><attachmentSet>{attachments}</attachmentSet><volumeType>gp3</volumeType><iops>3000</iops><throughput>125</throughput><encrypted>true</encrypted><kmsKeyId>arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab</kmsKeyId><multiAttachEnabled>false</multiAttachEnabled></item></volumeSet>",
        ids::SNAPSHOT,
    ))
}

fn describe_instances(world: &World, form: &Form) -> Outcome {
    for id in form.list("InstanceId") {
        if id != ids::INSTANCE {
            return Err((
                "InvalidInstanceID.NotFound",
                format!("The instance ID '{id}' does not exist"),
            ));
        }
    }
    let mut tags = vec![
        ("Name", "orders database"),
        ("aws:cloudformation:stack-name", ids::STACK),
        ("aws:cloudformation:logical-id", ids::LOGICAL_ID),
    ];
    if world.grouped {
        tags = vec![
            ("Name", "orders database"),
            ("aws:autoscaling:groupName", ids::GROUP),
        ];
    }
    let shown = filters(form).iter().all(|(name, values)| {
        let value = match *name {
            "instance-state-name" => Some("running"),
            "instance-id" => Some(ids::INSTANCE),
            name => name.strip_prefix("tag:").and_then(|key| {
                tags.iter()
                    .find(|(known, _)| *known == key)
                    .map(|(_, value)| *value)
            }),
        };
        value.is_some_and(|value| values.contains(&value))
    });
    if !shown {
        return Ok("<reservationSet/>".to_owned());
    }
    let tags: String = tags
        .iter()
        .map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>"))
        .collect();
    let mapping = |device: &str, volume: &str, state: &str| {
        format!(
            "<item><deviceName>{device}</deviceName><ebs><volumeId>{volume}</volumeId><status>{state}</status><attachTime>2026-10-20T15:00:02.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item>"
        )
    };
    let mut mappings = mapping("/dev/xvda", "vol-0f1e2d3c4b5a69788", "attached");
    if let Some(device) = &world.device {
        mappings += &mapping(device, ids::VOLUME, attachment_state(world));
    }
    Ok(format!(
        "<reservationSet><item><reservationId>r-0b22a22eec53b9321</reservationId><ownerId>111122223333</ownerId><groupSet/><instancesSet><item><instanceId>{instance}</instanceId><imageId>ami-0abcd1234efgh5678</imageId><instanceState><code>16</code><name>running</name></instanceState><privateDnsName>ip-10-0-1-12.us-west-2.compute.internal</privateDnsName><dnsName/><reason/><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>m6i.large</instanceType><launchTime>2026-10-20T15:00:01.000Z</launchTime><placement><availabilityZone>{zone}</availabilityZone><groupName/><tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring><subnetId>subnet-0b22a22eec53b9321</subnetId><vpcId>vpc-0b22a22eec53b9321</vpcId><privateIpAddress>10.0.1.12</privateIpAddress><sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-0b22a22eec53b9321</groupId><groupName>orders</groupName></item></groupSet><architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>{mappings}</blockDeviceMapping><virtualizationType>hvm</virtualizationType><clientToken>f3a1e6c2-example</clientToken><tagSet>{tags}</tagSet><hypervisor>xen</hypervisor><networkInterfaceSet><item><networkInterfaceId>eni-0b22a22eec53b9321</networkInterfaceId><subnetId>subnet-0b22a22eec53b9321</subnetId><vpcId>vpc-0b22a22eec53b9321</vpcId><description/><ownerId>111122223333</ownerId><status>in-use</status><macAddress>02:68:88:bb:cc:dd</macAddress><privateIpAddress>10.0.1.12</privateIpAddress><sourceDestCheck>true</sourceDestCheck><interfaceType>interface</interfaceType></item></networkInterfaceSet><ebsOptimized>true</ebsOptimized><enaSupport>true</enaSupport><cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions><metadataOptions><state>applied</state><httpTokens>required</httpTokens><httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint></metadataOptions></item></instancesSet></item></reservationSet>",
        instance = ids::INSTANCE,
        zone = world.instance_zone,
    ))
}

fn attach_volume(world: &mut World, form: &Form) -> Outcome {
    let of = |name: &str| form.get(name).unwrap_or_default().to_owned();
    if of("VolumeId") != ids::VOLUME || of("InstanceId") != ids::INSTANCE {
        return Err((
            "InvalidParameterValue",
            "another volume or instance".to_owned(),
        ));
    }
    if world.volume_zone != world.instance_zone {
        return Err((
            "InvalidVolume.ZoneMismatch",
            "The volume is not in the same availability zone as the instance".to_owned(),
        ));
    }
    if world.device.is_some() {
        return Err((
            "VolumeInUse",
            format!("{} is already attached to an instance", ids::VOLUME),
        ));
    }
    let device = of("Device");
    world.accepted = Some(Instant::now());
    let inner = format!(
        "<volumeId>{}</volumeId><instanceId>{}</instanceId><device>{}</device><status>{}</status><attachTime>2026-10-20T15:11:22.000Z</attachTime>",
        ids::VOLUME,
        ids::INSTANCE,
        xml(&device),
        attachment_state(world)
    );
    world.device = Some(device);
    Ok(inner)
}
