//! References: how a tag names infrastructure of the recovery Region.
//!
//! | reference | means |
//! |---|---|
//! | `Server` | the resource with this logical id in the stack of `recovery:stack` |
//! | `Nested/Server` | the same in a nested stack |
//! | `prefix:Server`, `Nested/prefix:Server` | the only resource of the wanted type whose logical id has this prefix |
//! | `tag:Name=orders` | the only resource of the wanted type with this tag |
//! | `asg:orders` | the Auto Scaling group with this name |
//! | `name:orders` | the resource with this name |
//! | `sg-0a1b…`, `i-0a1b…` | the resource with this id |
//!
//! [`run`] resolves them.

pub mod run;

use std::fmt;

use crate::text::{code, shown};

/// What a tag says of one resource of the recovery Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// In a stack.
    InStack {
        /// The nested stacks that lead to it, from the outermost one.
        path: Vec<LogicalId>,
        name: LogicalId,
    },
    /// The only resource of the wanted type with this tag.
    Tagged { key: String, value: String },
    /// An Auto Scaling group, by its name.
    Group(String),
    /// A resource whose id is its name.
    Named(String),
    /// An id of EC2.
    Id(String),
}

/// A logical id of CloudFormation, as a reference has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogicalId {
    Exact(String),
    /// How it begins: the AWS CDK appends a hash.
    Prefix(String),
}

impl LogicalId {
    fn parse(text: &str) -> Option<LogicalId> {
        match text.strip_prefix("prefix:") {
            Some(prefix) => is_logical_id(prefix).then(|| LogicalId::Prefix(prefix.to_owned())),
            None => is_logical_id(text).then(|| LogicalId::Exact(text.to_owned())),
        }
    }

    /// Whether it means this logical id.
    pub(crate) fn matches(&self, logical_id: &str) -> bool {
        match self {
            LogicalId::Exact(exact) => exact == logical_id,
            LogicalId::Prefix(prefix) => logical_id.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for LogicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogicalId::Exact(exact) => f.write_str(exact),
            LogicalId::Prefix(prefix) => write!(f, "prefix:{prefix}"),
        }
    }
}

/// What a reference must be, for messages.
pub(crate) const EXPECTED: &str = "a logical id, Nested/LogicalId, prefix:LogicalId, tag:Key=Value, asg:name, name:name or an id such as sg-0a1b2c3d";

impl Reference {
    /// Parses one reference.
    pub fn parse(text: &str) -> Option<Reference> {
        if let Some(tag) = text.strip_prefix("tag:") {
            let (key, value) = tag.split_once('=')?;
            let is_tag = !key.is_empty() && key.len() <= 128 && value.len() <= 256;
            return is_tag.then(|| Reference::Tagged {
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
        if let Some(group) = text.strip_prefix("asg:") {
            return is_name(group).then(|| Reference::Group(group.to_owned()));
        }
        if let Some(name) = text.strip_prefix("name:") {
            return is_name(name).then(|| Reference::Named(name.to_owned()));
        }
        if is_id(text) {
            return Some(Reference::Id(text.to_owned()));
        }
        let mut parts: Vec<LogicalId> = text
            .split('/')
            .map(LogicalId::parse)
            .collect::<Option<_>>()?;
        let name = parts.pop()?;
        Some(Reference::InStack { path: parts, name })
    }

    /// Parses references separated by spaces.
    ///
    /// # Errors
    /// The first part that is not a reference.
    pub fn parse_all(text: &str) -> Result<Vec<Reference>, &str> {
        text.split_whitespace()
            .map(|part| Reference::parse(part).ok_or(part))
            .collect()
    }

    /// Whether it is resolved in a stack.
    pub fn needs_stack(&self) -> bool {
        matches!(self, Reference::InStack { .. })
    }

    /// The logical id, if it is one in the stack itself.
    pub(crate) fn logical_id(&self) -> Option<&str> {
        match self {
            Reference::InStack {
                path,
                name: LogicalId::Exact(name),
            } if path.is_empty() => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::InStack { path, name } => {
                for part in path {
                    write!(f, "{part}/")?;
                }
                name.fmt(f)
            }
            Reference::Tagged { key, value } => write!(f, "tag:{key}={value}"),
            Reference::Group(group) => write!(f, "asg:{group}"),
            Reference::Named(name) => write!(f, "name:{name}"),
            Reference::Id(id) => f.write_str(id),
        }
    }
}

/// What a reference to a target group must be, for messages.
pub(crate) const EXPECTED_TARGET_GROUP: &str =
    "a logical id, Nested/LogicalId, prefix:LogicalId or tag:Key=Value";

/// Whether this is a valid logical id of CloudFormation.
pub(crate) fn is_logical_id(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Whether it is an id of EC2, such as `sg-0a1b2c3d`.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(kind, digits)| {
        (1..=12).contains(&kind.len())
            && kind.chars().all(|c| c.is_ascii_lowercase())
            && (8..=17).contains(&digits.len())
            && digits
                .chars()
                .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    })
}

fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.:/+=@".contains(c))
}

/// What a reference must lead to.
#[derive(Debug)]
pub struct Wanted {
    /// What it is called in messages.
    pub noun: &'static str,
    /// Its resource types in CloudFormation.
    pub types: &'static [&'static str],
    /// Its resource type in the Resource Groups Tagging API
    /// (<https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html>).
    pub tagged_as: &'static str,
    /// How its id begins; `None` if its name is its id.
    pub id_prefix: Option<&'static str>,
}

impl Wanted {
    /// Whether it is [`SERVER`].
    pub(crate) fn is_server(&self) -> bool {
        self.noun == SERVER.noun
    }

    /// Whether a reference of this form can name it.
    pub(crate) fn can_be_named_by(&self, reference: &Reference) -> bool {
        match reference {
            Reference::InStack { .. } | Reference::Tagged { .. } => true,
            Reference::Group(_) => self.is_server(),
            Reference::Named(_) => self.id_prefix.is_none(),
            Reference::Id(id) => self.id_prefix.is_some_and(|prefix| id.starts_with(prefix)),
        }
    }
}

/// A DB subnet group. Those of Amazon DocumentDB and Neptune share their names with those of RDS.
pub const SUBNET_GROUP: Wanted = Wanted {
    noun: "DB subnet group",
    types: &[
        "AWS::RDS::DBSubnetGroup",
        "AWS::DocDB::DBSubnetGroup",
        "AWS::Neptune::DBSubnetGroup",
    ],
    tagged_as: "rds:subgrp",
    id_prefix: None,
};

/// A security group.
pub const SECURITY_GROUP: Wanted = Wanted {
    noun: "security group",
    types: &["AWS::EC2::SecurityGroup"],
    tagged_as: "ec2:security-group",
    id_prefix: Some("sg-"),
};

/// The parameter group of a DB instance.
pub const PARAMETER_GROUP: Wanted = Wanted {
    noun: "DB parameter group",
    types: &["AWS::RDS::DBParameterGroup"],
    tagged_as: "rds:pg",
    id_prefix: None,
};

/// The parameter group of a DB cluster.
pub const CLUSTER_PARAMETER_GROUP: Wanted = Wanted {
    noun: "DB cluster parameter group",
    types: &[
        "AWS::RDS::DBClusterParameterGroup",
        "AWS::DocDB::DBClusterParameterGroup",
        "AWS::Neptune::DBClusterParameterGroup",
    ],
    tagged_as: "rds:cluster-pg",
    id_prefix: None,
};

/// The option group of a DB instance.
pub const OPTION_GROUP: Wanted = Wanted {
    noun: "option group",
    types: &["AWS::RDS::OptionGroup"],
    tagged_as: "rds:og",
    id_prefix: None,
};

/// A subnet.
pub const SUBNET: Wanted = Wanted {
    noun: "subnet",
    types: &["AWS::EC2::Subnet"],
    tagged_as: "ec2:subnet",
    id_prefix: Some("subnet-"),
};

/// A storage virtual machine of FSx for ONTAP.
pub const STORAGE_MACHINE: Wanted = Wanted {
    noun: "storage virtual machine",
    types: &["AWS::FSx::StorageVirtualMachine"],
    tagged_as: "fsx:storage-virtual-machine",
    id_prefix: Some("svm-"),
};

/// A directory of AWS Directory Service.
pub const DIRECTORY: Wanted = Wanted {
    noun: "directory",
    types: &["AWS::DirectoryService::MicrosoftAD"],
    tagged_as: "ds:directory",
    id_prefix: Some("d-"),
};

/// A target group of Elastic Load Balancing. Its id is its ARN.
pub const TARGET_GROUP: Wanted = Wanted {
    noun: "target group",
    types: &["AWS::ElasticLoadBalancingV2::TargetGroup"],
    tagged_as: "elasticloadbalancing:targetgroup",
    id_prefix: Some("arn:"),
};

/// A bucket of S3.
pub const BUCKET: Wanted = Wanted {
    noun: "bucket",
    types: &["AWS::S3::Bucket"],
    tagged_as: "s3",
    id_prefix: None,
};

/// What runs the workload: an instance, or an Auto Scaling group.
pub const SERVER: Wanted = Wanted {
    noun: "instance",
    types: &["AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup"],
    tagged_as: "ec2:instance",
    id_prefix: Some("i-"),
};

/// A nested stack.
const NESTED_STACK: Wanted = Wanted {
    noun: "nested stack",
    types: &["AWS::CloudFormation::Stack"],
    tagged_as: "cloudformation:stack",
    id_prefix: None,
};

/// Why a reference does not lead to a resource, although waiting does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceRefusal {
    /// Nothing fits it.
    Missing {
        reference: String,
        /// Where it was searched.
        place: String,
        noun: &'static str,
        /// What is there of the wanted type.
        candidates: Vec<String>,
    },
    /// Several resources fit it.
    Ambiguous {
        reference: String,
        place: String,
        noun: &'static str,
        candidates: Vec<String>,
    },
    /// It is of another type.
    Type {
        reference: String,
        place: String,
        noun: &'static str,
        /// Its type.
        found: String,
    },
    /// CloudFormation failed to create it, or is deleting it.
    Failed {
        reference: String,
        place: String,
        status: String,
    },
    /// The stack itself failed.
    Stack {
        stack: String,
        why: String,
        remedy: String,
    },
    /// A reference of this form cannot name such a resource.
    Form {
        reference: String,
        noun: &'static str,
    },
    /// The reference needs the tag `recovery:stack`, which is missing.
    WithoutStack { reference: String },
}

impl ReferenceRefusal {
    /// The reason code, in kebab case.
    pub fn reason(&self) -> &'static str {
        match self {
            ReferenceRefusal::Missing { .. } => "reference-missing",
            ReferenceRefusal::Ambiguous { .. } => "reference-ambiguous",
            ReferenceRefusal::Type { .. } => "reference-type",
            ReferenceRefusal::Failed { .. } => "reference-failed",
            ReferenceRefusal::Stack { .. } => "stack-failed",
            ReferenceRefusal::Form { .. } | ReferenceRefusal::WithoutStack { .. } => {
                "reference-unusable"
            }
        }
    }

    /// The instruction to the operator.
    pub fn remedy(&self) -> String {
        const THEN: &str = "Then redrive the execution. If a tag was corrected, start a recovery with another name instead: a redrive keeps the plan.";
        match self {
            ReferenceRefusal::Missing { noun, .. } => format!(
                "Add the {noun} to the infrastructure of this Region, or correct the tag of the recovery point, and of the protected resource for later recovery points. {THEN}"
            ),
            ReferenceRefusal::Ambiguous { noun, .. } => format!(
                "Name one {noun}: correct the tag of the recovery point, and of the protected resource for later recovery points. {THEN}"
            ),
            ReferenceRefusal::Type { noun, .. } => format!(
                "Name a {noun}: correct the tag of the recovery point, and of the protected resource for later recovery points. {THEN}"
            ),
            ReferenceRefusal::Failed { .. } => format!(
                "Check the events of the stack in CloudFormation, and update it to a complete state. {THEN}"
            ),
            ReferenceRefusal::Stack { remedy, .. } => remedy.clone(),
            ReferenceRefusal::Form { noun, .. } => {
                format!("Name the {noun} in another form (docs/workload.md, References). {THEN}")
            }
            ReferenceRefusal::WithoutStack { .. } => format!(
                "Add the tag recovery:stack to the recovery point, and to the protected resource for later recovery points. {THEN}"
            ),
        }
    }
}

impl fmt::Display for ReferenceRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReferenceRefusal::Missing {
                reference,
                place,
                noun,
                candidates,
            } => {
                write!(f, "{} names no {noun} in {}", code(reference), shown(place))?;
                match candidates.as_slice() {
                    [] => write!(f, ", which has none"),
                    some => write!(f, ", which has {}", listed(some)),
                }
            }
            ReferenceRefusal::Ambiguous {
                reference,
                place,
                noun,
                candidates,
            } => write!(
                f,
                "{} can be each of several in {}, and it is unknown which {noun} is meant: {}",
                code(reference),
                shown(place),
                listed(candidates)
            ),
            ReferenceRefusal::Type {
                reference,
                place,
                noun,
                found,
            } => write!(
                f,
                "{} in {} is of type {}, not a {noun}",
                code(reference),
                shown(place),
                code(found)
            ),
            ReferenceRefusal::Failed {
                reference,
                place,
                status,
            } => write!(
                f,
                "{} in {} is {}",
                code(reference),
                shown(place),
                code(status)
            ),
            ReferenceRefusal::Stack { stack, why, .. } => {
                write!(f, "the stack {} failed: {}", shown(stack), shown(why))
            }
            ReferenceRefusal::Form { reference, noun } => {
                write!(f, "{} cannot name a {noun}", code(reference))
            }
            ReferenceRefusal::WithoutStack { reference } => write!(
                f,
                "{} names a resource of a stack, and no tag recovery:stack names the stack",
                code(reference)
            ),
        }
    }
}

/// The first few of the candidates.
fn listed(candidates: &[String]) -> String {
    const NAMED: usize = 10;
    let named: Vec<String> = candidates.iter().take(NAMED).map(|it| code(it)).collect();
    match candidates.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_form_and_writes_it_again() {
        let exact = |id: &str| LogicalId::Exact(id.to_owned());
        let prefix = |id: &str| LogicalId::Prefix(id.to_owned());
        let check = |text: &str, expected: Reference| {
            assert_eq!(Reference::parse(text), Some(expected), "{text}");
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        };
        let in_stack = |path: &[LogicalId], name: LogicalId| Reference::InStack {
            path: path.to_vec(),
            name,
        };
        check("Server", in_stack(&[], exact("Server")));
        check("Net/Group", in_stack(&[exact("Net")], exact("Group")));
        check("prefix:Server", in_stack(&[], prefix("Server")));
        check(
            "prefix:Net/A/prefix:Group",
            in_stack(&[prefix("Net"), exact("A")], prefix("Group")),
        );
        check(
            "tag:team:name=orders=db",
            Reference::Tagged {
                key: "team:name".to_owned(),
                value: "orders=db".to_owned(),
            },
        );
        check("asg:orders-db", Reference::Group("orders-db".to_owned()));
        check("name:orders", Reference::Named("orders".to_owned()));
        check("sg-0a1b2c3d", Reference::Id("sg-0a1b2c3d".to_owned()));
        for text in [
            "",
            "/",
            "Net/",
            "/Group",
            "prefix:",
            "tag:Name",
            "tag:=x",
            "asg:",
            "name:",
            "a b",
            "my-server",
            "sg-12",
            "Net//Group",
            "sg-0A1B2C3D",
        ] {
            assert_eq!(Reference::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn parses_lists_and_names_the_invalid_part() {
        assert_eq!(Reference::parse_all("").unwrap(), []);
        assert_eq!(Reference::parse_all(" Web  sg-0a1b2c3d ").unwrap().len(), 2);
        assert_eq!(Reference::parse_all("Web my-group Db"), Err("my-group"));
    }
}
