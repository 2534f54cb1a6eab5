//! The connection, for tests: receives each request of an adapter, and answers like AWS.
//!
//! Serialization, signing, retries and parsing are those of the SDK. Only the connection is replaced, and waiting takes no
//! time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use testkit::answers;
use testkit::http::decoded;

use crate::client;
use crate::client::Config;

/// The answer to one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A response.
    Reply {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The connection was refused.
    Refused,
    /// The connection is open, but there is no answer.
    Silence,
}

impl Answer {
    fn reply(status: u16, content_type: &str, body: impl Into<String>) -> Answer {
        Answer::Reply {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    /// EC2's answer to `action`.
    pub(crate) fn ec2(action: &str, inner: &str) -> Answer {
        Answer::reply(200, "text/xml;charset=UTF-8", answers::ec2(action, inner))
    }

    /// EC2's answer to a request that fails.
    pub(crate) fn ec2_error(status: u16, code: &str, message: &str) -> Answer {
        let body = answers::ec2_error(code, message);
        Answer::reply(status, "text/xml;charset=UTF-8", body)
    }

    /// The answer of CloudFormation or SNS to `action`.
    pub(crate) fn query(action: &str, inner: &str) -> Answer {
        Answer::reply(200, "text/xml", answers::query(action, inner))
    }

    /// The answer of CloudFormation or SNS to a request that fails.
    pub(crate) fn query_error(status: u16, code: &str, message: &str) -> Answer {
        let body = answers::query_error(status, code, message);
        Answer::reply(status, "text/xml", body)
    }

    /// The answer of S3.
    pub(crate) fn s3(body: &str) -> Answer {
        Answer::reply(200, "application/json", body)
    }

    /// The answer of S3 to a request for a list.
    pub(crate) fn s3_list(inner: &str) -> Answer {
        let body = format!("<ListBucketResult>{inner}</ListBucketResult>");
        Answer::reply(200, "application/xml", body)
    }

    /// The answer of S3 to a request that fails.
    pub(crate) fn s3_error(status: u16, code: &str) -> Answer {
        let body = answers::s3_error(code, "In the service's words");
        Answer::reply(status, "application/xml", body)
    }

    /// The answer of Systems Manager.
    pub(crate) fn json(body: &Value) -> Answer {
        Answer::reply(200, "application/x-amz-json-1.1", body.to_string())
    }

    /// The answer of Systems Manager to a request that fails.
    pub(crate) fn json_error(status: u16, code: &str, members: &Value) -> Answer {
        let body = answers::json_error(code, members);
        Answer::reply(status, "application/x-amz-json-1.1", body.to_string())
    }

    /// The answer of AWS Backup.
    pub(crate) fn rest(body: &Value) -> Answer {
        Answer::reply(200, "application/json", body.to_string())
    }

    /// The answer of AWS Backup to a request that fails.
    pub(crate) fn rest_error(status: u16, code: &str, message: &str) -> Answer {
        Answer::Reply {
            status,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                (
                    "x-amzn-errortype",
                    format!("{code}:http://internal.amazon.com/coral/com.amazonaws.backup/"),
                ),
            ],
            body: json!({"Code": code, "Message": message}).to_string(),
        }
    }
}

/// A request as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) uri: String,
    target: Option<String>,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Sent {
    /// The parameters of a request of the query protocol, without action and version.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        let mut form = pairs(&self.body);
        form.remove("Action");
        form.remove("Version");
        form
    }

    /// The query parameters.
    pub(crate) fn query(&self) -> BTreeMap<String, String> {
        pairs(self.uri.split_once('?').map_or("", |(_, query)| query))
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body, as it is.
    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The IAM action of this request.
    pub(crate) fn action(&self) -> String {
        let (_, host_and_path) = self.uri.split_once("://").unwrap();
        let (host, path) = host_and_path.split_once('/').unwrap();
        let path = path.split('?').next().unwrap().trim_end_matches('/');
        // The host of S3 begins with the bucket.
        if host.contains(".s3.") {
            if self.query().contains_key("list-type") {
                return "s3:ListBucket".to_owned();
            }
            let verb = match self.method.as_str() {
                "PUT" => "Put",
                "GET" => "Get",
                other => panic!("{other} of an object"),
            };
            return format!("s3:{verb}Object");
        }
        // The host of a cluster of routing controls begins with its id.
        let service = host
            .split('.')
            .find(|part| *part == "route53-recovery-cluster")
            .unwrap_or_else(|| match host.split('.').next().unwrap() {
                // Its host and its IAM actions have different names.
                "tagging" => "tag",
                other => other,
            });
        let operation = match (&self.target, path.split('/').next()) {
            (Some(target), _) => target.rsplit('.').next().unwrap().to_owned(),
            (None, _) if path == "restore-jobs" && self.method == "PUT" => {
                "StartRestoreJob".to_owned()
            }
            (None, _) if path == "restore-jobs" => "ListRestoreJobs".to_owned(),
            (None, Some("backup-vaults")) if path.ends_with("/recovery-points") => {
                "ListRecoveryPointsByBackupVault".to_owned()
            }
            (None, Some("backup-vaults")) if path.ends_with("/restore-metadata") => {
                "GetRecoveryPointRestoreMetadata".to_owned()
            }
            (None, Some("restore-jobs")) if path.ends_with("/metadata") => {
                "GetRestoreJobMetadata".to_owned()
            }
            (None, Some("restore-jobs")) if self.method == "GET" => "DescribeRestoreJob".to_owned(),
            (None, Some("restore-jobs")) if path.ends_with("/validations") => {
                "PutRestoreValidationResult".to_owned()
            }
            (None, Some("tags")) if self.method == "GET" => "ListTags".to_owned(),
            (None, Some("2015-03-31")) if path.ends_with("/invocations") => {
                "InvokeFunction".to_owned()
            }
            (None, Some("2015-02-01")) => match (self.method.as_str(), path.split('/').nth(1)) {
                ("GET", Some("file-systems")) => "DescribeFileSystems".to_owned(),
                ("GET", Some("mount-targets")) => "DescribeMountTargets".to_owned(),
                ("GET", Some("access-points")) => "DescribeAccessPoints".to_owned(),
                ("POST", Some("access-points")) => "CreateAccessPoint".to_owned(),
                ("POST", Some("mount-targets")) => "CreateMountTarget".to_owned(),
                other => panic!("{other:?} of EFS"),
            },
            _ => pairs(&self.body)["Action"].clone(),
        };
        format!("{service}:{operation}")
    }
}

/// Names and values of `a=b&c=d`, decoded.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// The connection to AWS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Wire {
    /// A connection with these answers, in this order.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Wire {
        Wire {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            sent: Arc::default(),
        }
    }

    /// The configuration that [`crate::load_config`] makes, on this connection.
    pub(crate) fn config(&self) -> Config {
        self.config_retrying(client::retries())
    }

    /// The same, but every call is sent once: for tables of errors.
    pub(crate) fn config_without_retries(&self) -> Config {
        self.config_retrying(RetryConfig::disabled())
    }

    fn config_retrying(&self, retries: RetryConfig) -> Config {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let sdk = aws_config::SdkConfig::builder()
            .behavior_version(client::behavior())
            .region(Region::new("us-west-2"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.clone())
            .sleep_impl(NoSleep)
            .retry_config(retries)
            .timeout_config(client::timeouts())
            .build();
        Config {
            sdk,
            calls: recovery_core::calls::Calls::default(),
        }
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn only(&self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// The IAM actions of the requests sent so far.
    pub(crate) fn actions(&self) -> BTreeSet<String> {
        self.sent().iter().map(Sent::action).collect()
    }

    fn take(&self, request: &HttpRequest) -> Option<Answer> {
        self.sent.lock().unwrap().push(Sent {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            target: request.headers().get("x-amz-target").map(str::to_owned),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: String::from_utf8(request.body().bytes().unwrap_or_default().to_owned()).unwrap(),
        });
        self.answers.lock().unwrap().pop_front()
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.take(&request) {
            Some(Answer::Reply {
                status,
                headers,
                body,
            }) => {
                let mut response =
                    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                for (name, value) in headers {
                    response.headers_mut().insert(name, value);
                }
                HttpConnectorFuture::ready(Ok(response))
            }
            Some(Answer::Refused) => {
                HttpConnectorFuture::ready(Err(ConnectorError::io("connection refused".into())))
            }
            Some(Answer::Silence) => HttpConnectorFuture::new(std::future::pending()),
            None => panic!(
                "a request that the test does not expect: {:?}",
                request.uri()
            ),
        }
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// Each yield to the runtime counts as a tenth of a second, so that pauses and deadlines keep their order, without
/// waiting.
#[derive(Debug)]
struct NoSleep;

impl AsyncSleep for NoSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(async move {
            for _ in 0..=duration.as_millis() / 100 {
                tokio::task::yield_now().await;
            }
        })
    }
}

/// The IAM actions of the operations that `source`, the code of an adapter, calls on its client.
pub(crate) fn called_in(service: &str, source: &str) -> BTreeSet<String> {
    let packed: String = source.split_whitespace().collect();
    packed
        .split("self.client.")
        .skip(1)
        .filter_map(|call| call.split_once('('))
        .map(|(operation, _)| {
            let camel: String = operation
                .split('_')
                .map(|word| word[..1].to_uppercase() + &word[1..])
                .collect();
            format!("{service}:{camel}")
        })
        .collect()
}

pub(crate) fn listed(actions: &[&str]) -> BTreeSet<String> {
    actions.iter().map(|action| (*action).to_owned()).collect()
}
