//! Systems Manager: parameters.

use std::collections::BTreeMap;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::SdkError;
use aws_sdk_ssm::operation::put_parameter::PutParameterError;
use aws_sdk_ssm::types::{ParameterType, Tag};
use recovery_core::error::Error;
use recovery_core::ports::Parameters;

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code};

const GET_PARAMETERS: &str = "ssm:GetParameters";
const PUT_PARAMETER: &str = "ssm:PutParameter";

/// Parameter Store in the recovery Region.
#[derive(Debug)]
pub struct ParameterStore {
    client: Lazy<Client>,
}

impl ParameterStore {
    /// The IAM actions of the calls of this adapter. PutParameter with tags also needs
    /// `ssm:AddTagsToResource`.
    pub const ACTIONS: &'static [&'static str] = &[GET_PARAMETERS, PUT_PARAMETER];

    pub fn new(config: &Config) -> ParameterStore {
        ParameterStore {
            client: client!(config, aws_sdk_ssm),
        }
    }
}

impl Parameters for ParameterStore {
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html>
    async fn get(&self, names: &[String]) -> Result<BTreeMap<String, String>, Error> {
        let answer = self
            .client
            .get_parameters()
            .set_names(Some(names.to_vec()))
            .send()
            .await
            .map_err(|error| classify(GET_PARAMETERS, names.join(" "), error))?;
        let found = answer.parameters.unwrap_or_default();
        Ok(found
            .into_iter()
            .filter_map(|parameter| Some((parameter.name?, parameter.value?)))
            .collect())
    }

    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>
    async fn create(
        &self,
        name: &str,
        value: &str,
        tags: &[(&'static str, String)],
    ) -> Result<bool, Error> {
        let tags = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(*key).value(value).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                let error = SdkError::<PutParameterError>::construction_failure(error);
                classify(PUT_PARAMETER, name, error)
            })?;
        let answer = self
            .client
            .put_parameter()
            .name(name)
            .value(value)
            .r#type(ParameterType::String)
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some("ParameterAlreadyExists") => Ok(false),
            Err(error) => Err(classify(PUT_PARAMETER, name, error)),
        }
    }

    /// The request has no type and no tags: AWS accepts no tags together with `Overwrite`.
    ///
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>
    async fn replace(&self, name: &str, value: &str) -> Result<(), Error> {
        self.client
            .put_parameter()
            .name(name)
            .value(value)
            .overwrite(true)
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(PUT_PARAMETER, name, error))
    }
}
