//! Every role and every policy of every template, by rule: what is named is named as narrowly as AWS
//! takes it, and what is not is in a list here, with the reason. A new role or policy is judged as soon
//! as it stands in a template, whatever its conditions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::sam::{TEMPLATES, members, strings, template_at};

use super::permissions::WITHOUT_RESOURCES;

/// Ends of ARNs that leave something open, and what cannot be known before.
const OPEN: [(&str, &str); 44] = [
    ("automation-definition/${RecoveryRunbook}:*", "its version"),
    ("automation-definition/${MountFileSystem}:*", "its version"),
    (
        "automation-definition/${StartRegionRecovery}:*",
        "its version",
    ),
    (
        "automation-execution/*",
        "the execution that is about to start",
    ),
    (
        "cluster:*",
        "databases that a restore makes, which are told by their tags",
    ),
    (
        "db:*",
        "databases that a restore makes, which are told by their tags",
    ),
    (
        "execution:${Machine}:*",
        "executions of the one state machine",
    ),
    (
        "execution:region-recovery-${Unique}/*",
        "the children of its distributed Maps",
    ),
    (
        "execution:${RegionRecoveryStateMachine.Name}:*",
        "executions of the one state machine",
    ),
    (
        "instance/*",
        "which instance a volume belongs to, is mounted on, or is started",
    ),
    (
        "opsitem/*",
        "OpsItems that the function opened: they have no tags to tell them by",
    ),
    (
        "parameter${PublishPath}*",
        "parameters that the tags name for the addresses of restored resources",
    ),
    (
        "table/*",
        "tables that a restore makes, which have no tags to tell them by",
    ),
    (
        "parameter${WorkloadParameterPath}*",
        "SSM parameters that the workload's templates name",
    ),
    (
        "parameter/*/drill/*",
        "the path that the workload's tags name, and the drill",
    ),
    (
        "parameter/aws/service/*",
        "which of the parameters that AWS publishes a template names",
    ),
    (
        "recovery-point:*",
        "which recovery point was, or is to be, restored",
    ),
    ("backup/*", "which backup of FSx is restored"),
    (
        "access-point/*",
        "access points that the function creates, whose ids EFS makes",
    ),
    (
        "file-system/*",
        "file systems that a restore creates, which may have no tags",
    ),
    (
        "network-interface/*",
        "network interfaces of mount targets, which only EFS may change",
    ),
    ("security-group/*", "which security groups the tags name"),
    (
        "storage-virtual-machine/*",
        "which storage virtual machine the tags name",
    ),
    ("subnet/*", "which subnets the tags name"),
    ("image/*", "which image of an instance is restored"),
    ("targetgroup/*", "which target groups the tags name"),
    ("snapshot/*", "which snapshot is restored"),
    (
        "snapshot:*",
        "which snapshot of a database is restored; AWS Backup documents no form of a copy's name",
    ),
    ("cluster-snapshot:*", "the same of a cluster"),
    ("cluster-pg:*", "which parameter group such a cluster has"),
    ("pg:*", "which parameter group an instance has"),
    ("og:*", "which option group it has"),
    ("subgrp:*", "which subnet group it has"),
    (
        "stack/${WorkloadStack}/*",
        "the last part of a stack's ARN, a UUID",
    ),
    ("stack/*", "which stack the tags name"),
    (
        "volume/*",
        "volumes that a restore makes, which have no tags to tell them by",
    ),
    (
        "${RecoveryBucket}/jobs/*",
        "execution and item of the restore",
    ),
    (
        "${RecoveryBucket}/infrastructure/*",
        "execution and stack of the recovery",
    ),
    ("${RecoveryBucket}/plans/*", "workload and hash of the plan"),
    (
        "${RecoveryBucket}/templates/*",
        "templates and parameters of the stacks that the tags name",
    ),
    (
        "${RecoveryBucket}/reports/*",
        "workload and execution of the recovery",
    ),
    ("${WorkloadTemplateBucket}/*", "the key of the template"),
    ("s3:::*", "buckets that the tags name, in this account"),
    ("s3:::*/*", "the objects that are restored into them"),
];

/// Kinds of resources whose ARNs name no account, where `aws:ResourceAccount` is not asked for either.
const OF_ANY_ACCOUNT: [(&str, &str); 3] = [
    (
        "image/*",
        "as a snapshot: another account has to share its image first",
    ),
    (
        "snapshot/*",
        "AWS Backup reads a snapshot with the role of the restore; that it is another account's has to be \
         allowed by that account first",
    ),
    (
        "parameter/aws/service/*",
        "AWS publishes them, for everybody",
    ),
];

/// Resources of one service that actions of another are limited by: service of the actions, ARN.
const OF_ANOTHER_SERVICE: [(&str, &str); 6] = [
    // The recovery point of a volume or a database is a snapshot, that of FSx a backup (AWS Backup guide, access-control).
    ("backup", "ec2:${Region}::image/*"),
    ("backup", "ec2:${Region}::snapshot/*"),
    ("backup", "fsx:${Region}:${AccountId}:backup/*"),
    ("backup", "rds:${Region}:${AccountId}:snapshot:*"),
    ("backup", "rds:${Region}:${AccountId}:cluster-snapshot:*"),
    // A command is sent to an instance (Service Authorization Reference, AWS Systems Manager).
    ("ssm", "ec2:${Region}:${AccountId}:instance/*"),
];

/// Services that assume a role without a condition on whom they do it for.
const TRUSTED_WITHOUT_SOURCE: [(&str, &str); 4] = [
    // A role can be passed only within its account (IAM guide, id_roles_use_passrole), so that there is
    // no other account's resource to keep out.
    (
        "lambda.amazonaws.com",
        "that Lambda sends a source is not documented",
    ),
    (
        "backup.amazonaws.com",
        "AWS Backup documents its sources for the policies of keys and topics, not for the trust of a role",
    ),
    (
        "imagebuilder.amazonaws.com",
        "that Image Builder sends a source is not documented",
    ),
    (
        "ec2.${AWS::URLSuffix}",
        "EC2 sends none: an instance profile is its account's own",
    ),
];

/// Roles with policies that AWS keeps, of which nobody here sees the content.
const MANAGED: [(&str, &str); 3] = [
    (
        "infra/primary-region.yaml: BackupRole",
        "what to back up is the owner's choice, and AWS adds what new types need",
    ),
    (
        "infra/golden-ami.yaml: BuildRole",
        "what Image Builder does on an instance changes with its agents",
    ),
    (
        "infra/golden-ami.yaml: OldImageRole",
        "what Image Builder needs to retire images is its own",
    ),
];

/// Statements of resource policies that admit a service without a source.
const ADMITTED_WITHOUT_SOURCE: [(&str, &str); 2] = [
    (
        "RulesToQueuesOfThisAccount",
        "EventBridge sends KMS no source (SNS guide, sns-key-management); the encryption context names the queue",
    ),
    (
        "EventBridgeMakesLogStreams",
        "EventBridge sends a source when it puts events, not when it makes the stream for them",
    ),
];

/// Statements of resource policies that admit other accounts, those of a parameter.
const ADMITS_ACCOUNTS: [(&str, &str); 2] = [
    ("ForwardedEventsPolicy", "ForwardingAccounts"),
    ("CopiesOfOtherAccounts", "CopyingAccounts"),
];

fn listed(list: &[(&str, &str)], what: &str) -> bool {
    list.iter().any(|(entry, _)| *entry == what)
}

/// All statements in `value`, in both branches of every `Fn::If`, and in policies that are text.
fn statements(value: &Value) -> Vec<Value> {
    if value.get("Effect").is_some() {
        return vec![value.clone()];
    }
    match value {
        Value::Object(members) => members.values().flat_map(statements).collect(),
        Value::Array(elements) => elements.iter().flat_map(statements).collect(),
        Value::String(text) => serde_json::from_str::<Value>(text)
            .ok()
            .filter(Value::is_object)
            .map(|policy| statements(&policy))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The single values that a resource or a condition can come to, intrinsics left as they are.
fn leaves(value: &Value) -> Vec<Value> {
    if let Some(branches) = value.get("Fn::If") {
        return leaves(&json!([branches[1], branches[2]]));
    }
    if let Some(arguments) = value.get("Fn::Split") {
        return leaves(&arguments[1]);
    }
    match value {
        Value::Array(elements) => elements.iter().flat_map(leaves).collect(),
        Value::Object(object) if object.contains_key("Fn::Sub") => {
            // Of one with names of its own, the text is judged.
            let own = &object["Fn::Sub"];
            let text = own.as_str().or(own[0].as_str()).unwrap_or_default();
            text.split(',')
                .map(|text| json!({"Fn::Sub": text}))
                .collect()
        }
        Value::Null => Vec::new(),
        // What a condition takes out of a list is nothing.
        nothing if *nothing == json!({"Ref": "AWS::NoValue"}) => Vec::new(),
        other => vec![other.clone()],
    }
}

/// The value that a statement's conditions ask for under this key, with whatever operator.
fn condition<'a>(statement: &'a Value, key: &str) -> Option<&'a Value> {
    members(&statement["Condition"]).find_map(|(_, keys)| keys.get(key))
}

/// Whether a condition on the service that gets a role names a single one.
fn names_one_service(value: &Value) -> bool {
    let text = value.as_str().or_else(|| value["Fn::Sub"].as_str());
    text.is_some_and(|text| !text.contains(['*', '?']))
}

/// Whether an ARN can only be one of this account, by its own text or by what it refers to.
fn is_ours(template: &Value, arn: &Value) -> bool {
    let text = arn["Fn::Sub"].as_str().unwrap_or_default();
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let attribute = text
        .strip_prefix("${")
        .and_then(|rest| rest.split(".Arn}").next());
    arn["Fn::GetAtt"].is_string()
        || template["Resources"].get(arn["Ref"].as_str().unwrap_or_default()).is_some()
        || attribute.is_some_and(|resource| template["Resources"].get(resource).is_some())
        // Colons inside of ${AWS::…} count as well.
        || (parts.first() == Some(&"arn") && text.contains(":${AWS::AccountId}:"))
}

/// What is wrong with a resource that a statement of a role names.
fn too_wide(template: &Value, statement: &Value, resource: &Value) -> Option<String> {
    if is_ours(template, resource) && resource.get("Fn::Sub").is_none() {
        return None;
    }
    // A parameter that takes nothing but ARNs.
    let parameter = |name: &str| {
        template["Parameters"][name]["AllowedPattern"]
            .as_str()
            .is_some_and(|pattern| pattern.contains("arn:aws[a-z-]*:"))
    };
    if resource["Ref"].as_str().is_some_and(parameter) {
        return None;
    }
    let Some(text) = resource["Fn::Sub"].as_str() else {
        return Some(format!("{resource} is no ARN of a resource"));
    };
    if let Some(name) = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
    {
        let own = name
            .strip_suffix(".Arn")
            .is_some_and(|name| template["Resources"].get(name).is_some());
        return (!own && !parameter(name)).then(|| format!("{text} is no ARN of a resource"));
    }
    let plain = text.replace("AWS::", "");
    let parts: Vec<_> = plain.splitn(6, ':').collect();
    let &["arn", "${Partition}", service, region, account, end] = parts.as_slice() else {
        return Some(format!("{text} is no ARN"));
    };
    let of_service = |action: &String| {
        let asking = action.split(':').next().unwrap_or_default();
        let foreign = format!("{service}:{region}:{account}:{end}");
        asking == service || OF_ANOTHER_SERVICE.contains(&(asking, &foreign))
    };
    if !strings(&statement["Action"]).iter().all(of_service) {
        return Some(format!("{text} is no resource of all actions"));
    }
    let accounts = ["${AccountId}", "${RecoveryAccountId}"];
    let regions = ["${Region}", "${RecoveryRegion}"];
    let account_known = accounts.contains(&account)
        || condition(statement, "aws:ResourceAccount") == Some(&json!({"Ref": "AWS::AccountId"}))
        || listed(&OF_ANY_ACCOUNT, end);
    if !account_known {
        return Some(format!("{text} is of any account"));
    }
    if !regions.contains(&region) && service != "s3" {
        return Some(format!("{text} is of any Region"));
    }
    let written = match (service, end) {
        // The name of a bucket is all that its ARN says.
        ("s3", "*" | "*/*") => format!("s3:::{end}"),
        _ => end.replace("${StackName}", "${AWS::StackName}"),
    };
    (end.contains(['*', '?']) && !listed(&OPEN, &written))
        .then(|| format!("{text} leaves open what is not listed"))
}

/// What is wrong with a statement of a role.
fn objections_to_statement(template: &Value, statement: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut object = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let known: BTreeSet<&str> = ["Sid", "Effect", "Action", "Resource", "Condition"].into();
    object(
        members(statement).all(|(member, _)| known.contains(member.as_str())),
        "has a member that turns its sense around",
    );
    object(
        statement["Effect"] == "Allow",
        "denies instead of not allowing",
    );
    object(statement["Sid"].is_string(), "does not say what it is for");
    let actions = strings(&statement["Action"]);
    object(!actions.is_empty(), "names no action");
    object(
        actions
            .iter()
            .all(|action| action.contains(':') && !action.contains(['*', '?'])),
        "allows a pattern of actions",
    );
    let resources = leaves(&statement["Resource"]);
    object(!resources.is_empty(), "names no resource");
    let unlimited = |action: &String| WITHOUT_RESOURCES.contains(&action.as_str());
    if resources.contains(&json!("*")) {
        object(
            actions.iter().all(unlimited),
            "allows on everything what can be limited",
        );
        object(resources.len() == 1, "mixes everything with resources");
        object(
            condition(statement, "aws:RequestedRegion") == Some(&json!({"Ref": "AWS::Region"})),
            "is not limited to the Region",
        );
    } else {
        object(
            !actions.iter().any(unlimited),
            "names a resource for an action that knows none",
        );
        for resource in &resources {
            let wide = too_wide(template, statement, resource);
            object(wide.is_none(), &wide.unwrap_or_default());
        }
    }
    for action in &actions {
        match action.as_str() {
            "iam:PassRole" => object(
                condition(statement, "iam:PassedToService").is_some_and(names_one_service),
                "passes a role to any service",
            ),
            "kms:CreateGrant" => object(
                condition(statement, "kms:GrantIsForAWSResource") == Some(&json!("true")),
                "grants keys to anybody",
            ),
            _ => {}
        }
        // A look at a key gives nothing away.
        object(
            !action.starts_with("kms:")
                || action == "kms:DescribeKey"
                || condition(statement, "kms:ViaService").is_some(),
            "uses a key outside of a service",
        );
    }
    wrong
}

/// What is wrong with a statement that says who may assume a role.
fn objections_to_trust(template: &Value, statement: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if statement["Action"] != "sts:AssumeRole" || statement["Effect"] != "Allow" {
        wrong.push("allows something else than assuming the role".to_owned());
    }
    let services = leaves(&statement["Principal"]["Service"]);
    if members(&statement["Principal"]).count() != 1 || services.len() != 1 {
        return vec!["trusts something else than one service".to_owned()];
    }
    let service = services[0]
        .as_str()
        .or(services[0]["Fn::Sub"].as_str())
        .unwrap_or_default();
    if !listed(&TRUSTED_WITHOUT_SOURCE, service) {
        if condition(statement, "aws:SourceAccount") != Some(&json!({"Ref": "AWS::AccountId"})) {
            wrong.push("can be assumed for another account".to_owned());
        }
        let sources = condition(statement, "aws:SourceArn")
            .map(leaves)
            .unwrap_or_default();
        if sources.is_empty() || !sources.iter().all(|arn| is_ours(template, arn)) {
            wrong.push("can be assumed for any resource".to_owned());
        }
    }
    wrong
}

/// What is wrong with a statement of a policy that a resource has.
fn objections_to_admission(
    template: &Value,
    name: &str,
    statement: &Value,
) -> Option<&'static str> {
    let sid = statement["Sid"].as_str().unwrap_or(name);
    let principal = &statement["Principal"];
    if statement["Effect"] == "Deny" {
        return (principal != "*").then_some("denies only some");
    }
    if ["NotPrincipal", "NotAction", "NotResource"]
        .iter()
        .any(|member| statement.get(member).is_some())
    {
        return Some("has a member that turns its sense around");
    }
    if principal["AWS"] == json!({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}) {
        return None;
    }
    if let Some(accounts) = principal.get("AWS") {
        let parameter = ADMITS_ACCOUNTS
            .iter()
            .find(|(entry, _)| *entry == sid)
            .map(|(_, parameter)| *parameter);
        let named =
            parameter.is_some_and(|parameter| leaves(accounts) == [json!({"Ref": parameter})]);
        return (!named).then_some("admits another account");
    }
    if principal.get("Service").is_none() {
        return Some("admits everybody");
    }
    let account =
        condition(statement, "aws:SourceAccount") == Some(&json!({"Ref": "AWS::AccountId"}));
    let sources = condition(statement, "aws:SourceArn")
        .map(leaves)
        .unwrap_or_default();
    let source = !sources.is_empty()
        && sources
            .iter()
            .all(|arn| is_ours(template, arn) || own_text(template, arn));
    (!account && !source && !listed(&ADMITTED_WITHOUT_SOURCE, sid))
        .then_some("admits a service for any account")
}

/// Whether an ARN in a policy that is text refers to a resource of the template.
fn own_text(template: &Value, arn: &Value) -> bool {
    is_ours(template, &json!({"Fn::Sub": arn}))
}

/// The type of a policy that several roles share.
const SHARED: &str = "AWS::IAM::ManagedPolicy";

/// Whether a policy that a role names is one of this template.
fn is_shared(template: &Value, policy: &Value) -> bool {
    let name = policy["Ref"].as_str().unwrap_or_default();
    template["Resources"][name]["Type"] == SHARED
}

/// What is wrong with the roles and policies of a template: `template: resource: Sid: what`.
fn objections(path: &str, template: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, resource) in members(&template["Resources"]) {
        let properties = &resource["Properties"];
        let mut object = |statement: &Value, what: String| {
            let sid = statement["Sid"].as_str().unwrap_or("-");
            wrong.push(format!("{path}: {name}: {sid}: {what}"));
        };
        if resource["Type"] == "AWS::IAM::Role" {
            let attached = leaves(&properties["ManagedPolicyArns"]);
            if !attached.iter().all(|policy| is_shared(template, policy))
                && !listed(&MANAGED, &format!("{path}: {name}"))
            {
                object(
                    &Value::Null,
                    "has policies whose content nobody sees here".to_owned(),
                );
            }
            for statement in statements(&properties["AssumeRolePolicyDocument"]) {
                for what in objections_to_trust(template, &statement) {
                    object(&statement, what);
                }
            }
            for statement in statements(&properties["Policies"]) {
                for what in objections_to_statement(template, &statement) {
                    object(&statement, what);
                }
            }
        } else if resource["Type"] == SHARED {
            for statement in statements(&properties["PolicyDocument"]) {
                for what in objections_to_statement(template, &statement) {
                    object(&statement, what);
                }
            }
            if ["Groups", "Roles", "Users"]
                .iter()
                .any(|member| properties.get(member).is_some())
            {
                object(
                    &Value::Null,
                    "attaches itself: a role names its policies".to_owned(),
                );
            }
        } else if resource["Type"] == "AWS::Lambda::Permission" {
            if !is_ours(template, &properties["SourceArn"]) {
                object(&Value::Null, "admits a service for any account".to_owned());
            }
        } else {
            for statement in statements(properties) {
                if let Some(what) = objections_to_admission(template, name, &statement) {
                    object(&statement, what.to_owned());
                }
            }
        }
        // Policies that are attached from elsewhere would not be seen above.
        for of_type in [
            "AWS::IAM::Policy",
            "AWS::IAM::RolePolicy",
            "AWS::IAM::User",
            "AWS::IAM::Group",
        ] {
            if resource["Type"] == of_type {
                object(
                    &Value::Null,
                    format!("is of type {of_type}: a role has its policies in itself"),
                );
            }
        }
    }
    wrong
}

#[test]
fn every_role_and_policy_has_least_privilege() {
    for path in TEMPLATES {
        assert_eq!(objections(path, template_at(path)), Vec::<String>::new());
    }
}

/// An entry that nothing needs any more would let something in one day.
#[test]
fn every_exception_is_needed() {
    let texts: Vec<String> = TEMPLATES
        .iter()
        .map(|path| template_at(path).to_string())
        .collect();
    let used = |what: &str| texts.iter().any(|text| text.contains(what));
    for (end, _) in OPEN.iter().chain(&OF_ANY_ACCOUNT) {
        assert!(used(&format!(":{end}\"")), "no role names {end}");
    }
    for (service, _) in TRUSTED_WITHOUT_SOURCE {
        assert!(used(&format!("\"{service}\"")), "no role trusts {service}");
    }
    for (sid, _) in ADMITTED_WITHOUT_SOURCE.iter().chain(&ADMITS_ACCOUNTS) {
        assert!(used(sid), "no statement is called {sid}");
    }
    for (role, _) in MANAGED {
        let (path, name) = role.split_once(": ").unwrap();
        let properties = &template_at(path)["Resources"][name]["Properties"];
        assert!(properties.get("ManagedPolicyArns").is_some(), "{role}");
    }
}

/// A copy of `template.yaml`, with one member of a statement or a resource replaced.
fn spoiled(pointer: &str, value: Value) -> Vec<String> {
    let mut template = template_at("template.yaml").clone();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = template
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("there is no {parent}"));
    match parent {
        Value::Object(members) if value.is_null() => drop(members.remove(member)),
        Value::Object(members) => drop(members.insert(member.to_owned(), value)),
        _ => panic!("{pointer} is in no object"),
    }
    objections("template.yaml", &template)
}

#[test]
fn finds_violations_of_each_rule() {
    let role = "/Resources/RestoreIntegratorRole/Properties";
    let shared = "/Resources/IntegrateRestoresPolicy/Properties";
    let first = format!("{shared}/PolicyDocument/Statement/0");
    let tags = format!("{shared}/PolicyDocument/Statement/1");
    let trust = "/Resources/ReplayFailedEventsRole/Properties/AssumeRolePolicyDocument/Statement/0";
    let queue = "/Resources/UndeliveredEventsQueuePolicy/Properties/PolicyDocument/Statement/0";
    let key = "/Resources/MessageKey/Properties/KeyPolicy/Statement/2";
    let replay = "/Resources/ReplayFailedEventsRole/Properties/Policies/0/PolicyDocument/Statement";
    let sub = |text: &str| json!({"Fn::Sub": text});
    let cases = [
        (
            format!("{first}/NotAction"),
            json!("s3:*"),
            "turns its sense around",
        ),
        (
            format!("{first}/Effect"),
            json!("Deny"),
            "denies instead of not allowing",
        ),
        (
            format!("{first}/Sid"),
            Value::Null,
            "does not say what it is for",
        ),
        (format!("{first}/Action"), Value::Null, "names no action"),
        (
            format!("{first}/Action"),
            json!("ec2:Describe*"),
            "a pattern of actions",
        ),
        (
            format!("{first}/Action"),
            json!("ec2:AttachVolume"),
            "what can be limited",
        ),
        (
            format!("{first}/Resource"),
            Value::Null,
            "names no resource",
        ),
        (
            format!("{first}/Resource"),
            json!([
                "*",
                sub("arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*")
            ]),
            "mixes everything",
        ),
        (
            format!("{first}/Condition"),
            Value::Null,
            "not limited to the Region",
        ),
        (
            format!("{tags}/Action"),
            json!(["backup:ListTags", "backup:DescribeRestoreJob"]),
            "an action that knows none",
        ),
        (
            format!("{tags}/Resource"),
            json!("arn:aws:backup:us-west-2:111122223333:recovery-point:x"),
            "no ARN of a resource",
        ),
        (
            format!("{tags}/Resource"),
            json!({"Ref": "WorkloadStack"}),
            "no ARN of a resource",
        ),
        (
            format!("{tags}/Resource"),
            sub("${WorkloadStack}"),
            "no ARN of a resource",
        ),
        (
            format!("{tags}/Resource"),
            sub("arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:volume/*"),
            "no resource of all actions",
        ),
        (
            format!("{tags}/Resource"),
            sub("arn:${AWS::Partition}:backup:${AWS::Region}:*:recovery-point:*"),
            "of any account",
        ),
        (
            format!("{tags}/Resource"),
            sub("arn:${AWS::Partition}:backup:*:${AWS::AccountId}:recovery-point:*"),
            "of any Region",
        ),
        (
            format!("{tags}/Resource"),
            sub("arn:${AWS::Partition}:backup:${AWS::Region}:${AWS::AccountId}:*"),
            "leaves open",
        ),
        (
            format!("{replay}/1/Condition"),
            Value::Null,
            "outside of a service",
        ),
        (
            format!("{replay}/1/Action"),
            json!("kms:CreateGrant"),
            "grants keys to anybody",
        ),
        (
            format!("{replay}/2/Action"),
            json!("iam:PassRole"),
            "to any service",
        ),
        (
            format!("{role}/ManagedPolicyArns"),
            json!(["arn:aws:iam::aws:policy/AdministratorAccess"]),
            "whose content nobody sees",
        ),
        (
            format!("{role}/ManagedPolicyArns"),
            json!({"Fn::If": ["NamesARunbook", [{"Ref": "WorkloadStackRoleArn"}], [{"Ref": "KeepOpsItemsPolicy"}]]}),
            "whose content nobody sees",
        ),
        (
            format!("{role}/Policies/0/PolicyDocument/Statement/0/Action"),
            json!("logs:*"),
            "a pattern of actions",
        ),
        (
            format!("{shared}/Roles"),
            json!(["somebody"]),
            "attaches itself",
        ),
        (
            format!("{trust}/Principal"),
            json!({"AWS": "*"}),
            "something else than one service",
        ),
        (
            format!("{trust}/Action"),
            json!("sts:*"),
            "something else than assuming",
        ),
        (
            format!("{trust}/Condition/StringEquals"),
            Value::Null,
            "for another account",
        ),
        (
            format!("{trust}/Condition/ArnLike"),
            Value::Null,
            "for any resource",
        ),
        (
            format!("{trust}/Condition/ArnLike"),
            json!({"aws:SourceArn": sub("arn:${AWS::Partition}:ssm:*:*:automation-execution/*")}),
            "for any resource",
        ),
        (
            format!("{queue}/Condition"),
            Value::Null,
            "a service for any account",
        ),
        (format!("{queue}/Principal"), json!("*"), "admits everybody"),
        (
            format!("{queue}/Principal"),
            json!({"AWS": "*"}),
            "another account",
        ),
        (
            format!("{queue}/NotAction"),
            json!("sqs:DeleteQueue"),
            "turns its sense around",
        ),
        (
            format!("{key}/Condition"),
            Value::Null,
            "a service for any account",
        ),
        (
            "/Resources/RestoreFailedInvokesOpsitemCreator/Properties/SourceArn".to_owned(),
            Value::Null,
            "a service for any account",
        ),
        (
            "/Resources/NotificationTopic/Type".to_owned(),
            json!("AWS::IAM::Policy"),
            "has its policies in itself",
        ),
    ];
    for (pointer, value, expected) in cases {
        let found = spoiled(&pointer, value.clone());
        assert!(
            found.iter().any(|objection| objection.contains(expected)),
            "{pointer} = {value}: expected {expected}, found {found:?}"
        );
    }
}
