//! The golden AMI in both Regions, and the example workload whose volumes a recovery restores.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::tags;
use serde_json::{Value, json};

use crate::support::sam::{
    Deployed, GOLDEN_AMI, TEMPLATES, WORKLOAD, deployed_in, members, strings, template_at,
};

fn workload(deployed_as: &str) -> Deployed {
    deployed_in("us-west-2", WORKLOAD, &[("DeployedAs", deployed_as)])
}

/// Logical ids of the resources of a type.
fn of_type(deployed: &Deployed, resource_type: &str) -> BTreeSet<String> {
    deployed.resources(resource_type).into_keys().collect()
}

#[test]
fn workload_has_data_only_in_the_primary_region() {
    let primary = workload("primary");
    let recovery = workload("recovery");
    for resource_type in ["AWS::EC2::Volume", "AWS::EC2::VolumeAttachment"] {
        assert!(
            !of_type(&primary, resource_type).is_empty(),
            "{resource_type}"
        );
        assert!(
            of_type(&recovery, resource_type).is_empty(),
            "{resource_type}"
        );
    }
    // Everything else is the same, under the same names.
    let resources = template_at(WORKLOAD)["Resources"].as_object().unwrap();
    let others: BTreeSet<&str> = resources
        .values()
        .filter_map(|resource| resource["Type"].as_str())
        .filter(|resource_type| !resource_type.starts_with("AWS::EC2::Volume"))
        .collect();
    for resource_type in others {
        assert_eq!(
            primary.resources(resource_type),
            recovery.resources(resource_type),
            "{resource_type}"
        );
    }
}

#[test]
fn each_volume_has_the_tags_of_its_target() {
    let recovery = workload("recovery");
    let servers: BTreeSet<String> = ["AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup"]
        .into_iter()
        .flat_map(|resource_type| of_type(&recovery, resource_type))
        .collect();
    let mut targets = BTreeSet::new();
    for (name, volume) in workload("primary").resources("AWS::EC2::Volume") {
        let tags: BTreeMap<&str, &str> = volume["Tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| (tag["Key"].as_str().unwrap(), tag["Value"].as_str().unwrap()))
            .collect();
        assert_eq!(tags[tags::WORKLOAD], "example", "{name}");
        // The same stack name in both Regions.
        assert_eq!(tags[tags::STACK], "rapid-recovery", "{name}");
        let target = tags[tags::LOGICAL_ID];
        assert!(
            servers.contains(target),
            "{name} belongs to {target}, which is not there after a recovery"
        );
        assert_eq!(tags[tags::DEVICE], "/dev/sdf", "{name}");
        targets.insert((tags["recovery:wave"].to_owned(), target.to_owned()));
        assert_eq!(volume["Encrypted"], true, "{name}");
        let resource = &template_at(WORKLOAD)["Resources"][&name];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
    }
    assert_eq!(
        targets,
        BTreeSet::from([
            ("0".to_owned(), "Server".to_owned()),
            ("1".to_owned(), "Group".to_owned())
        ])
    );
}

/// The control plane of IAM is in one Region, which may fail; endpoints need that of Route 53.
#[test]
fn workload_needs_no_control_planes_of_other_regions() {
    for (name, resource) in members(&template_at(WORKLOAD)["Resources"]) {
        let resource_type = resource["Type"].as_str().unwrap();
        assert!(
            !["AWS::IAM::", "AWS::Route53::", "AWS::S3::Bucket"]
                .iter()
                .any(|prefix| resource_type.starts_with(prefix)),
            "{name}"
        );
    }
    assert!(of_type(&workload("recovery"), "AWS::EC2::VPCEndpoint").is_empty());
    let with = deployed_in(
        "us-west-2",
        WORKLOAD,
        &[("DeployedAs", "primary"), ("SystemsManagerEndpoints", "on")],
    );
    assert_eq!(of_type(&with, "AWS::EC2::VPCEndpoint").len(), 2);
}

#[test]
fn group_has_one_instance_and_servers_have_the_workload_tag() {
    let deployed = workload("recovery");
    let group = &deployed.resources("AWS::AutoScaling::AutoScalingGroup")["Group"];
    for size in ["MinSize", "MaxSize", "DesiredCapacity"] {
        assert_eq!(group[size], "1", "{size}");
    }
    assert_eq!(strings(&group["VPCZoneIdentifier"]), ["GroupSubnet"]);
    let tag = json!({"Key": tags::WORKLOAD, "Value": "example", "PropagateAtLaunch": true});
    assert!(group["Tags"].as_array().unwrap().contains(&tag));
    let server = &deployed.resources("AWS::EC2::Instance")["Server"];
    let tag = json!({"Key": tags::WORKLOAD, "Value": "example"});
    assert!(server["Tags"].as_array().unwrap().contains(&tag));
}

#[test]
fn servers_use_the_golden_ami_parameter_of_the_pipeline() {
    let parameters = &template_at(WORKLOAD)["Parameters"];
    assert_eq!(
        parameters["ImageId"]["Type"],
        "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
    );
    // The pipeline's stack is called golden-ami in docs/workload.md.
    let written = golden(&[]).resources("AWS::ImageBuilder::DistributionConfiguration");
    let name = written["Distribution"]["Distributions"][0]["SsmParameterConfigurations"][0]
        ["ParameterName"]
        .as_str()
        .unwrap()
        .replace("rapid-recovery", "golden-ami");
    assert_eq!(parameters["ImageId"]["Default"], name);
}

fn golden(parameters: &[(&str, &str)]) -> Deployed {
    deployed_in("eu-west-1", GOLDEN_AMI, parameters)
}

#[test]
fn images_are_distributed_to_both_regions_encrypted_and_private() {
    let keys = [
        (
            "RecoveryKeyArn",
            "arn:aws:kms:eu-west-1:111122223333:key/here",
        ),
        (
            "PrimaryKeyArn",
            "arn:aws:kms:us-east-1:111122223333:key/there",
        ),
    ];
    for (parameters, expected) in [
        (&[][..], [Value::Null, Value::Null]),
        (&keys, [json!(keys[0].1), json!(keys[1].1)]),
    ] {
        let deployed = golden(parameters);
        let distributions =
            deployed.resources("AWS::ImageBuilder::DistributionConfiguration")["Distribution"]
                ["Distributions"]
                .as_array()
                .unwrap()
                .clone();
        let regions: Vec<&str> = distributions
            .iter()
            .filter_map(|one| one["Region"].as_str())
            .collect();
        assert_eq!(regions, ["eu-west-1", "us-east-1"]);
        for (distribution, key) in distributions.iter().zip(expected) {
            let ami = &distribution["AmiDistributionConfiguration"];
            assert_eq!(ami["KmsKeyId"], key);
            assert!(ami.get("LaunchPermissionConfiguration").is_none());
            assert!(ami.get("TargetAccountIds").is_none());
            let parameters = distribution["SsmParameterConfigurations"]
                .as_array()
                .unwrap();
            assert_eq!(parameters.len(), 1);
            assert_eq!(parameters[0]["DataType"], "aws:ec2:image");
            // Image Builder's own role may write below this only.
            assert!(
                parameters[0]["ParameterName"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("/imagebuilder/"))
            );
        }
        let recipe = &deployed.resources("AWS::ImageBuilder::ImageRecipe")["Recipe"];
        assert_eq!(recipe["BlockDeviceMappings"][0]["Ebs"]["Encrypted"], true);
    }
    // While the primary Region is gone, its copy must not fail the build.
    let alone = golden(&[("PrimaryCopies", "off")]);
    let distributions = &alone.resources("AWS::ImageBuilder::DistributionConfiguration")["Distribution"]
        ["Distributions"];
    assert_eq!(distributions.as_array().unwrap().len(), 1);
    assert_eq!(distributions[0]["Region"], "eu-west-1");
}

#[test]
fn removes_images_only_if_configured() {
    let policies = |parameters: &[(&str, &str)]| {
        golden(parameters).resources("AWS::ImageBuilder::LifecyclePolicy")
    };
    assert!(policies(&[]).is_empty());
    assert_eq!(
        of_type(&golden(&[]), "AWS::IAM::Role"),
        BTreeSet::from(["BuildRole".to_owned()])
    );
    for (choice, action) in [("deprecate", "DEPRECATE"), ("delete", "DELETE")] {
        let policy = policies(&[("OldImages", choice)])["OldImagePolicy"].clone();
        let [detail] = policy["PolicyDetails"].as_array().unwrap().as_slice() else {
            panic!("{policy}");
        };
        assert_eq!(detail["Action"]["Type"], action);
        assert_eq!(detail["Filter"]["RetainAtLeast"], 3);
        assert!(detail["ExclusionRules"]["Amis"]["LastLaunched"].is_object());
        // Of this pipeline alone.
        assert_eq!(
            policy["ResourceSelection"],
            json!({"Recipes": [{"Name": "rapid-recovery", "SemanticVersion": "x.x.x"}]})
        );
    }
}

#[test]
fn image_uses_the_newest_parent_and_failed_builds_are_notified() {
    for (architecture, suffix) in [("arm64", "arm64"), ("x86_64", "x86")] {
        let deployed = golden(&[("Architecture", architecture)]);
        let recipe = &deployed.resources("AWS::ImageBuilder::ImageRecipe")["Recipe"];
        assert_eq!(
            recipe["ParentImage"],
            format!("arn:aws:imagebuilder:eu-west-1:aws:image/amazon-linux-2023-{suffix}/x.x.x")
        );
        assert_eq!(
            recipe["AdditionalInstanceConfiguration"]["SystemsManagerAgent"]["UninstallAfterBuild"],
            false
        );
    }
    let deployed = golden(&[]);
    let pipeline = &deployed.resources("AWS::ImageBuilder::ImagePipeline")["Pipeline"];
    assert_eq!(
        pipeline["ImageTestsConfiguration"]["ImageTestsEnabled"],
        true
    );
    assert_eq!(pipeline["Status"], "ENABLED");
    let rule = &deployed.resources("AWS::Events::Rule")["BuildFailedRule"];
    let failed = json!({
        "source": "aws.imagebuilder",
        "detail-type": "EC2 Image Builder Image State Change",
        "resources": ["arn:aws:imagebuilder:eu-west-1:111122223333:image/golden-ami/1.0.0/3"],
        "detail": {"previous-state": {"status": "TESTING"}, "state": {"status": "FAILED"}},
    });
    let mut quamina = quamina::Quamina::<&str>::new();
    quamina
        .add_pattern("failed", &rule["EventPattern"].to_string())
        .unwrap();
    let matches = |event: &Value| {
        !quamina
            .matches_for_event(event.to_string().as_bytes())
            .unwrap()
            .is_empty()
    };
    assert!(matches(&failed));
    let mut available = failed;
    available["detail"]["state"]["status"] = json!("AVAILABLE");
    assert!(!matches(&available));
}

/// Every template must be linted.
#[test]
fn these_tests_cover_every_template_of_infra() {
    let known: BTreeSet<String> = TEMPLATES.into_iter().map(str::to_owned).collect();
    for path in crate::support::repository::files("infra") {
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let name = format!("infra/{}", path.file_name().unwrap().to_str().unwrap());
            assert!(known.contains(&name), "{name}");
        }
    }
}
