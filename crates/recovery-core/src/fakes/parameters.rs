//! Parameter Store.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::fakes::World;
use crate::ports::{PARAMETERS_AT_ONCE, Parameters};

/// A parameter, and how often it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its value.
    pub value: String,
    /// Its tags.
    pub tags: BTreeMap<&'static str, String>,
    /// Its version: 1 after it was created.
    pub version: usize,
}

impl Parameters for World {
    async fn get(&self, names: &[String]) -> Result<BTreeMap<String, String>, Error> {
        assert!(
            (1..=PARAMETERS_AT_ONCE).contains(&names.len()),
            "GetParameters takes 1 to {PARAMETERS_AT_ONCE} names: {names:?}"
        );
        self.call("ssm:GetParameters", &names.join(" "), |state| {
            let found = names.iter().filter_map(|name| {
                let parameter = state.parameters.get(name)?;
                Some((name.clone(), parameter.value.clone()))
            });
            Ok(found.collect())
        })
    }

    async fn create(
        &self,
        name: &str,
        value: &str,
        tags: &[(&'static str, String)],
    ) -> Result<bool, Error> {
        self.call("ssm:PutParameter", name, |state| {
            if state.parameters.contains_key(name) {
                return Ok(false);
            }
            let parameter = Parameter {
                value: value.to_owned(),
                tags: tags.iter().cloned().collect(),
                version: 1,
            };
            state.parameters.insert(name.to_owned(), parameter);
            Ok(true)
        })
    }

    async fn replace(&self, name: &str, value: &str) -> Result<(), Error> {
        self.call("ssm:PutParameter", name, |state| {
            if let Some(parameter) = state.parameters.get_mut(name) {
                value.clone_into(&mut parameter.value);
                parameter.version += 1;
            }
            Ok(())
        })
    }
}
