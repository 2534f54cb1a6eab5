//! Publishes the addresses of a restored resource in parameters of Systems Manager.

use crate::error::{Error, Fault};
use crate::integrate::publish::Publication;
use crate::ports::{PARAMETERS_AT_ONCE, Parameters};

/// A parameter that had another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) name: String,
    /// The value that it had.
    pub(crate) before: String,
}

/// Publishes `values`, each under its name such as `endpoint`: at most [`PARAMETERS_AT_ONCE`]. A parameter
/// that has its value is not written. Returns the parameters that had another value.
///
/// # Errors
/// Those of the port, and [`Error::Retryable`] if a parameter is deleted meanwhile.
pub(crate) async fn publish(
    parameters: &impl Parameters,
    publication: &Publication,
    values: &[(&'static str, String)],
) -> Result<Vec<Replaced>, Error> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    debug_assert!(values.len() <= PARAMETERS_AT_ONCE);
    let names: Vec<String> = values
        .iter()
        .map(|(leaf, _)| publication.name(leaf))
        .collect();
    let mut existing = parameters.get(&names).await?;
    let mut replaced = Vec::new();
    for (name, (_, value)) in names.into_iter().zip(values) {
        let mut before = existing.remove(&name);
        if before.is_none() && !parameters.create(&name, value, &publication.tags()).await? {
            // Another run has created it meanwhile.
            before = parameters
                .get(std::slice::from_ref(&name))
                .await?
                .remove(&name);
            if before.is_none() {
                return Err(Error::Retryable(Fault::new(
                    "ssm:PutParameter",
                    name,
                    "the parameter exists, and does not exist a moment later",
                    "No action needed. The parameter is written again automatically.",
                )));
            }
        }
        let Some(before) = before.filter(|before| before != value) else {
            continue;
        };
        parameters.replace(&name, value).await?;
        replaced.push(Replaced { name, before });
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::fakes::{Parameter, World};
    use crate::tags::{PUBLISH, Tags};

    fn published(
        world: &World,
        drill: Option<&str>,
        values: &[(&'static str, &str)],
    ) -> Vec<Replaced> {
        let tags = Tags::from([(PUBLISH.to_owned(), "/recovery/shop".to_owned())]);
        let publication = Publication::of(&tags, "/recovery/", drill)
            .unwrap()
            .unwrap();
        let values: Vec<_> = values
            .iter()
            .map(|(leaf, value)| (*leaf, (*value).to_owned()))
            .collect();
        publish(world, &publication, &values)
            .now_or_never()
            .unwrap()
            .unwrap()
    }

    #[test]
    fn creates_replaces_and_leaves_equal_values() {
        let world = World::new();
        let values = [("endpoint", "db.example"), ("port", "5432")];
        assert_eq!(published(&world, None, &values), []);
        let calls = world.calls().len();
        assert_eq!(published(&world, None, &values), []);
        assert_eq!(world.calls().len(), calls + 1, "a repetition only reads");
        assert_eq!(
            published(
                &world,
                None,
                &[("endpoint", "db2.example"), ("port", "5432")]
            ),
            [Replaced {
                name: "/recovery/shop/endpoint".to_owned(),
                before: "db.example".to_owned(),
            }]
        );
        assert_eq!(published(&world, Some("d-1"), &values), []);
        let parameters = world.state().parameters.clone();
        let parameter = |value: &str, tags: &[(&'static str, String)], version| Parameter {
            value: value.to_owned(),
            tags: tags.iter().cloned().collect(),
            version,
        };
        let drill = [("recovery:drill", "d-1".to_owned())];
        assert_eq!(
            parameters.into_iter().collect::<Vec<_>>(),
            [
                (
                    "/recovery/shop/drill/d-1/endpoint",
                    parameter("db.example", &drill, 1)
                ),
                (
                    "/recovery/shop/drill/d-1/port",
                    parameter("5432", &drill, 1)
                ),
                ("/recovery/shop/endpoint", parameter("db2.example", &[], 2)),
                ("/recovery/shop/port", parameter("5432", &[], 1)),
            ]
            .map(|(name, parameter)| (name.to_owned(), parameter))
        );
    }
}
