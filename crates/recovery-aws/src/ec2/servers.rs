//! Images, and instances that were restored from them.

use recovery_core::aws::arn::InstanceId;
use recovery_core::aws::ec2::{Image, ImageDevice};
use recovery_core::aws::instance::{Checks, Server};
use recovery_core::error::Error;
use recovery_core::ports::{Images, Servers};
use recovery_core::tags::RESTORE_TEST;

use crate::ec2::{DESCRIBE_INSTANCES, Ec2};
use crate::error::{classify, code, incomplete};

pub(super) const DESCRIBE_IMAGES: &str = "ec2:DescribeImages";
pub(super) const DESCRIBE_STATUS: &str = "ec2:DescribeInstanceStatus";

/// The codes of errors that say that EC2 does not know the image.
const NO_IMAGE: [&str; 2] = ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"];
/// The code of the error that says that EC2 does not know the instance.
const NO_INSTANCE: &str = "InvalidInstanceID.NotFound";

impl Images for Ec2 {
    /// A disabled image is described only if the call asks for it.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html>
    async fn describe(&self, id: &str) -> Result<Option<Image>, Error> {
        let answer = self
            .client
            .describe_images()
            .image_ids(id)
            .include_disabled(true)
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error).is_some_and(|code| NO_IMAGE.contains(&code)) => {
                return Ok(None);
            }
            answer => answer.map_err(|error| classify(DESCRIBE_IMAGES, id, error))?,
        };
        let Some(image) = answer
            .images
            .unwrap_or_default()
            .into_iter()
            .find(|image| image.image_id.as_deref() == Some(id))
        else {
            return Ok(None);
        };
        let state = image
            .state
            .ok_or_else(|| incomplete(DESCRIBE_IMAGES, id, "state"))?;
        let devices = image.block_device_mappings.unwrap_or_default().into_iter();
        Ok(Some(Image {
            devices: devices
                .filter_map(|mapping| {
                    let ebs = mapping.ebs?;
                    Some(ImageDevice {
                        name: mapping.device_name?,
                        snapshot: ebs.snapshot_id?,
                        delete_on_termination: ebs.delete_on_termination.unwrap_or(true),
                    })
                })
                .collect(),
            unusable: (state.as_str() != "available").then(|| {
                let reason = image.state_reason.and_then(|reason| reason.message);
                match reason {
                    Some(reason) => format!("{}: {reason}", state.as_str()),
                    None => state.as_str().to_owned(),
                }
            }),
        }))
    }
}

impl Servers for Ec2 {
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
    async fn find(&self, id: &InstanceId) -> Result<Option<Server>, Error> {
        let answer = self
            .client
            .describe_instances()
            .instance_ids(id.as_str())
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some(NO_INSTANCE) => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_INSTANCES, id.as_str(), error))?,
        };
        let Some(found) = answer
            .reservations
            .unwrap_or_default()
            .into_iter()
            .flat_map(|reservation| reservation.instances.unwrap_or_default())
            .find(|instance| instance.instance_id.as_deref() == Some(id.as_str()))
        else {
            return Ok(None);
        };
        let state = found
            .state
            .and_then(|state| state.name)
            .ok_or_else(|| incomplete(DESCRIBE_INSTANCES, id.as_str(), "state"))?;
        // Absent names and addresses are empty texts.
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let tags = found.tags.unwrap_or_default();
        Ok(Some(Server {
            id: id.clone(),
            state: state.as_str().into(),
            reason: text(found.state_reason.and_then(|reason| reason.message)),
            vpc: text(found.vpc_id),
            zone: text(
                found
                    .placement
                    .and_then(|placement| placement.availability_zone),
            ),
            private_address: text(found.private_ip_address),
            private_name: text(found.private_dns_name),
            public_address: text(found.public_ip_address),
            public_name: text(found.public_dns_name),
            has_profile: found.iam_instance_profile.is_some(),
            restore_test: tags
                .iter()
                .any(|tag| tag.key.as_deref() == Some(RESTORE_TEST)),
        }))
    }

    /// Without `IncludeAllInstances`, EC2 shows the checks of running instances only.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html>
    async fn checks(&self, id: &InstanceId) -> Result<Option<Checks>, Error> {
        let answer = self
            .client
            .describe_instance_status()
            .instance_ids(id.as_str())
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some(NO_INSTANCE) => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_STATUS, id.as_str(), error))?,
        };
        let found = answer
            .instance_statuses
            .unwrap_or_default()
            .into_iter()
            .find(|status| status.instance_id.as_deref() == Some(id.as_str()));
        Ok(found.and_then(|found| {
            let instance = found.instance_status?.status?;
            let system = found.system_status?.status?;
            Some(Checks {
                instance: instance.as_str().into(),
                system: system.as_str().into(),
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire};

    fn answering(answer: Answer) -> (Wire, Ec2) {
        let wire = Wire::answering([answer]);
        let ec2 = Ec2::new(&wire.config());
        (wire, ec2)
    }

    #[tokio::test]
    async fn describes_an_image_and_its_volumes() {
        let inner = "<imagesSet><item><imageId>ami-1</imageId><imageState>available</imageState>\
            <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><snapshotId>snap-1</snapshotId>\
            <deleteOnTermination>true</deleteOnTermination></ebs></item>\
            <item><deviceName>/dev/sdb</deviceName><virtualName>ephemeral0</virtualName></item>\
            </blockDeviceMapping></item></imagesSet>";
        let (wire, ec2) = answering(Answer::ec2("DescribeImages", inner));
        let image = Images::describe(&ec2, "ami-1").await.unwrap().unwrap();
        assert_eq!(image.unusable, None);
        assert_eq!(
            image.devices,
            [ImageDevice {
                name: "/dev/xvda".to_owned(),
                snapshot: "snap-1".to_owned(),
                delete_on_termination: true,
            }]
        );
        assert_eq!(wire.only().form()["IncludeDisabled"], "true");
        let disabled = "<imagesSet><item><imageId>ami-1</imageId><imageState>disabled</imageState></item></imagesSet>";
        let (_, ec2) = answering(Answer::ec2("DescribeImages", disabled));
        let image = Images::describe(&ec2, "ami-1").await.unwrap().unwrap();
        assert_eq!(image.unusable.as_deref(), Some("disabled"));
        let (_, ec2) = answering(Answer::ec2_error(400, "InvalidAMIID.NotFound", "none"));
        assert_eq!(Images::describe(&ec2, "ami-1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn finds_an_instance() {
        let inner = "<reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>\
            <instanceState><code>16</code><name>running</name></instanceState><vpcId>vpc-1</vpcId>\
            <placement><availabilityZone>us-west-2a</availabilityZone></placement>\
            <privateIpAddress>10.0.1.7</privateIpAddress><privateDnsName>ip-1</privateDnsName><dnsName/>\
            <iamInstanceProfile><arn>arn:aws:iam::1:instance-profile/web</arn></iamInstanceProfile>\
            </item></instancesSet></item></reservationSet>";
        let (_, ec2) = answering(Answer::ec2("DescribeInstances", inner));
        let server = ec2.find(&InstanceId::new("i-1")).await.unwrap().unwrap();
        assert_eq!(server.state.as_str(), "running");
        assert_eq!(server.private_address.as_deref(), Some("10.0.1.7"));
        assert_eq!(server.public_name, None);
        assert_eq!(server.zone.as_deref(), Some("us-west-2a"));
        assert!(server.has_profile && !server.restore_test);
        let (_, ec2) = answering(Answer::ec2_error(400, "InvalidInstanceID.NotFound", "none"));
        assert_eq!(ec2.find(&InstanceId::new("i-1")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn reads_status_checks() {
        let inner = "<instanceStatusSet><item><instanceId>i-1</instanceId>\
            <instanceStatus><status>initializing</status></instanceStatus>\
            <systemStatus><status>ok</status></systemStatus></item></instanceStatusSet>";
        let (_, ec2) = answering(Answer::ec2("DescribeInstanceStatus", inner));
        let checks = ec2.checks(&InstanceId::new("i-1")).await.unwrap().unwrap();
        assert!(!checks.passed());
        let (_, ec2) = answering(Answer::ec2(
            "DescribeInstanceStatus",
            "<instanceStatusSet/>",
        ));
        assert_eq!(ec2.checks(&InstanceId::new("i-1")).await.unwrap(), None);
    }
}
