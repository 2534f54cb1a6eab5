//! S3: the recovery bucket, with plans, records of restore jobs and reports.

mod buckets;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use recovery_core::error::{Error, Fault};
use recovery_core::ports::{Objects, Page};

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code};

pub use self::buckets::S3;

/// A bucket in the recovery Region.
#[derive(Debug)]
pub struct PlanBucket {
    client: Lazy<Client>,
    bucket: String,
}

const GET_OBJECT: &str = "s3:GetObject";
const LIST_BUCKET: &str = "s3:ListBucket";
const PUT_OBJECT: &str = "s3:PutObject";

impl PlanBucket {
    /// The IAM actions for reading and writing objects.
    pub const ACTIONS: &'static [&'static str] = &[GET_OBJECT, PUT_OBJECT];

    /// The IAM action for listing objects.
    pub const LISTING_ACTIONS: &'static [&'static str] = &[LIST_BUCKET];

    /// A client on `config` for the bucket of this name.
    pub fn new(config: &Config, bucket: String) -> PlanBucket {
        PlanBucket {
            client: client!(config, aws_sdk_s3),
            bucket,
        }
    }

    fn subject(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }
}

/// The content type of an object.
fn content_type(key: &str) -> &'static str {
    if key.ends_with(".html") {
        "text/html; charset=utf-8"
    } else {
        "application/json"
    }
}

impl Objects for PlanBucket {
    /// Writes the object only if it does not exist:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>.
    async fn put(&self, key: &str, body: String) -> Result<(), Error> {
        let answer = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type(content_type(key))
            .body(ByteStream::from(body.into_bytes()))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // It was stored before.
            Err(error) if code(&error) == Some("PreconditionFailed") => Ok(()),
            Err(error) => Err(classify(PUT_OBJECT, self.subject(key), error)),
        }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
    async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        let object = match answer {
            Ok(object) => object,
            Err(error) if code(&error) == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(classify(GET_OBJECT, self.subject(key), error)),
        };
        let fault = |what: &str| {
            Fault::new(
                GET_OBJECT,
                self.subject(key),
                what,
                "No action needed. The call is retried automatically.",
            )
        };
        let bytes = object
            .body
            .collect()
            .await
            .map_err(|error| {
                Error::Retryable(
                    fault("the transfer of the object was interrupted").with_source(error),
                )
            })?
            .into_bytes();
        String::from_utf8(bytes.into()).map(Some).map_err(|error| {
            Error::Permanent(fault("the object is not UTF-8 text").with_source(error))
        })
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page<String>, Error> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_continuation_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify(LIST_BUCKET, self.subject(prefix), error))?;
        Ok(Page {
            listed: answer
                .contents
                .unwrap_or_default()
                .into_iter()
                .filter_map(|object| object.key)
                .collect(),
            next: answer
                .next_continuation_token
                .filter(|token| !token.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const KEY: &str = "plans/shop/0123.json";

    fn bucket(wire: &Wire) -> PlanBucket {
        PlanBucket::new(&wire.config(), "shop-plans".to_owned())
    }

    async fn kept(wire: &Wire) -> Result<(), Error> {
        bucket(wire).put(KEY, "{\"a\": 1}".to_owned()).await
    }

    #[tokio::test]
    async fn stores_a_plan_only_if_the_key_is_free() {
        let wire = Wire::answering([Answer::s3("")]);
        kept(&wire).await.unwrap();
        let sent = wire.only();
        assert_eq!(sent.method, "PUT");
        assert!(
            sent.uri
                .starts_with("https://shop-plans.s3.us-west-2.amazonaws.com/plans/shop/0123.json"),
            "{}",
            sent.uri
        );
        assert_eq!(sent.header("if-none-match"), Some("*"));
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert!(sent.body().contains("{\"a\": 1}"), "{}", sent.body());
        // The key exists: it is the same plan, because its key is its hash.
        let wire = Wire::answering([Answer::s3_error(412, "PreconditionFailed")]);
        kept(&wire).await.unwrap();
    }

    #[tokio::test]
    async fn stores_a_page_with_an_html_content_type() {
        let wire = Wire::answering([Answer::s3("")]);
        let key = "reports/shop/recover-1/0.html";
        let page = "<!DOCTYPE html>".to_owned();
        bucket(&wire).put(key, page).await.unwrap();
        let sent = wire.only();
        assert_eq!(
            sent.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(sent.header("if-none-match"), Some("*"));
    }

    #[tokio::test]
    async fn classifies_s3_errors() {
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (409, "ConditionalRequestConflict"),
        ] {
            let wire = Wire::answering(vec![Answer::s3_error(status, code); 4]);
            let error = kept(&wire).await.unwrap_err();
            assert_eq!(error.error_type(), "Retryable", "{code}");
            assert_eq!(error.fault().subject(), "shop-plans/plans/shop/0123.json");
        }
        for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket")] {
            let error = kept(&Wire::answering([Answer::s3_error(status, code)])).await;
            assert_eq!(error.unwrap_err().error_type(), "Permanent", "{code}");
        }
    }

    #[tokio::test]
    async fn reads_a_stored_plan_and_returns_none_if_missing() {
        let wire = Wire::answering([Answer::s3("{\"a\": \"é\"}")]);
        let text = bucket(&wire).get(KEY).await.unwrap();
        assert_eq!(text.as_deref(), Some("{\"a\": \"é\"}"));
        assert_eq!(wire.only().method, "GET");
        let wire = Wire::answering([Answer::s3_error(404, "NoSuchKey")]);
        assert_eq!(bucket(&wire).get(KEY).await.unwrap(), None);
        // Without ListBucket, S3 does not report that the key is missing.
        let wire = Wire::answering([Answer::s3_error(403, "AccessDenied")]);
        let error = bucket(&wire).get(KEY).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
    }

    #[tokio::test]
    async fn lists_keys_page_by_page() {
        let wire = Wire::answering([
            Answer::s3_list(
                "<Contents><Key>reports/shop/a/0.json</Key></Contents>\
                 <Contents><Key>reports/shop/a/0.html</Key></Contents>\
                 <IsTruncated>true</IsTruncated><NextContinuationToken>more/+</NextContinuationToken>",
            ),
            Answer::s3_list("<KeyCount>0</KeyCount>"),
        ]);
        let bucket = bucket(&wire);
        let first = bucket.list("reports/shop/", None).await.unwrap();
        assert_eq!(
            first.listed,
            ["reports/shop/a/0.json", "reports/shop/a/0.html"]
        );
        let last = bucket
            .list("reports/shop/", first.next.as_deref())
            .await
            .unwrap();
        assert_eq!((last.listed, last.next), (Vec::new(), None));
        let [first, second] = wire.sent().try_into().unwrap();
        assert_eq!(first.query()["prefix"], "reports/shop/");
        assert_eq!(second.query()["continuation-token"], "more/+");
        let wire = Wire::answering([Answer::s3_error(403, "AccessDenied")]);
        let error = self::bucket(&wire).list("reports/shop/", None).await;
        assert_eq!(error.unwrap_err().error_type(), "Permanent");
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([Answer::s3(""), Answer::s3(""), Answer::s3_list("")]);
        kept(&wire).await.unwrap();
        bucket(&wire).get(KEY).await.unwrap();
        bucket(&wire).list("", None).await.unwrap();
        assert_eq!(
            wire.actions(),
            listed(&[PlanBucket::ACTIONS, PlanBucket::LISTING_ACTIONS].concat())
        );
        // The IAM action for ListObjectsV2 has another name.
        assert_eq!(
            called_in("s3", include_str!("s3.rs")),
            listed(&[GET_OBJECT, PUT_OBJECT, "s3:ListObjectsV2"])
        );
    }
}
