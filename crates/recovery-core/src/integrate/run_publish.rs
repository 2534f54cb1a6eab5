//! Publishes the addresses of a restored resource in parameters of Systems Manager.

use crate::aws::backup::Restore;
use crate::error::{Error, Fault};
use crate::integrate::publish::{Publication, REPLACED, replaced_in};
use crate::integrate::record::new_item;
use crate::ops_item::run::find_or_create;
use crate::ops_item::{OpsItemChange, unless_at_quota};
use crate::ports::{OpsItems, PARAMETERS_AT_ONCE, Parameters, PublishingPorts};
use crate::text::shown;

/// What a run published.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Publishing {
    /// Whether it wrote a parameter.
    pub(crate) written: bool,
    /// The parameters that had another value, with that value.
    pub(crate) replaced: Vec<String>,
}

/// Publishes `values`, each under its name such as `endpoint`: at most [`PARAMETERS_AT_ONCE`]. A parameter
/// that has its value is not written. A value that will be replaced is first recorded in the OpsItem of the job, so that
/// no crash hides it.
///
/// # Errors
/// Those of the ports, and [`Error::Retryable`] if a parameter is deleted meanwhile.
pub(crate) async fn publish(
    ports: &impl PublishingPorts,
    restore: &Restore,
    publication: &Publication,
    values: &[(&'static str, String)],
) -> Result<Publishing, Error> {
    if values.is_empty() {
        return Ok(Publishing::default());
    }
    debug_assert!(values.len() <= PARAMETERS_AT_ONCE);
    let parameters = ports.parameters();
    let names: Vec<String> = values
        .iter()
        .map(|(leaf, _)| publication.name(leaf))
        .collect();
    let mut existing = parameters.get(&names).await?;
    let mut publishing = Publishing {
        written: false,
        replaced: names
            .iter()
            .zip(values)
            .filter_map(|(name, (_, value))| replacement(name, existing.get(name)?, value))
            .collect(),
    };
    if !publishing.replaced.is_empty() {
        record_replaced(ports.ops_items(), restore, &publishing.replaced).await?;
    }
    for (name, (_, value)) in names.into_iter().zip(values) {
        let mut before = existing.remove(&name);
        if before.is_none() {
            if parameters.create(&name, value, &publication.tags()).await? {
                publishing.written = true;
                continue;
            }
            // Another run has created it meanwhile.
            let Some(created) = parameters
                .get(std::slice::from_ref(&name))
                .await?
                .remove(&name)
            else {
                return Err(Error::Retryable(Fault::new(
                    "ssm:PutParameter",
                    name,
                    "the parameter exists, and does not exist a moment later",
                    "No action needed. The parameter is written again automatically.",
                )));
            };
            if let Some(replaced) = replacement(&name, &created, value) {
                record_replaced(ports.ops_items(), restore, std::slice::from_ref(&replaced))
                    .await?;
                publishing.replaced.push(replaced);
            }
            before = Some(created);
        }
        if before.as_ref() != Some(value) {
            parameters.replace(&name, value).await?;
            publishing.written = true;
        }
    }
    Ok(publishing)
}

/// What is recorded of a parameter whose value is replaced; `None` if it has its value.
fn replacement(name: &str, before: &str, value: &str) -> Option<String> {
    // A semicolon and a space separate what is recorded.
    let shown = shown(before).replace("; ", ";");
    (before != value).then(|| format!("{name} was {shown}"))
}

/// Adds the parameters to those that the item records.
async fn record_replaced(
    items: &impl OpsItems,
    restore: &Restore,
    replaced: &[String],
) -> Result<(), Error> {
    let Some(item) = unless_at_quota(find_or_create(items, &new_item(restore)).await)? else {
        return Ok(());
    };
    let mut all = replaced_in(&item);
    let known = all.len();
    for entry in replaced {
        if !all.contains(&entry.as_str()) {
            all.push(entry);
        }
    }
    if all.len() == known {
        return Ok(());
    }
    let change = OpsItemChange {
        data: [(REPLACED, all.join("; "))].into(),
        ..OpsItemChange::default()
    };
    items.update(&item.id, &change).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::aws::arn::RestoreJobId;
    use crate::aws::backup::RestoreJob;
    use crate::fakes::{Parameter, World};
    use crate::tags::{PUBLISH, Tags};

    fn published(
        world: &World,
        drill: Option<&str>,
        values: &[(&'static str, &str)],
    ) -> Publishing {
        let tags = Tags::from([(PUBLISH.to_owned(), "/recovery/shop".to_owned())]);
        let publication = Publication::of(&tags, "/recovery/", drill)
            .unwrap()
            .unwrap();
        let values: Vec<_> = values
            .iter()
            .map(|(leaf, value)| (*leaf, (*value).to_owned()))
            .collect();
        let restore = RestoreJob::known_by_id(RestoreJobId::new("job-1")).into();
        publish(world, &restore, &publication, &values)
            .now_or_never()
            .unwrap()
            .unwrap()
    }

    #[test]
    fn creates_replaces_and_leaves_equal_values() {
        let world = World::new();
        let values = [("endpoint", "db.example"), ("port", "5432")];
        let written = |replaced: &[&str]| Publishing {
            written: true,
            replaced: replaced.iter().map(|it| (*it).to_owned()).collect(),
        };
        assert_eq!(published(&world, None, &values), written(&[]));
        let calls = world.calls().len();
        assert_eq!(published(&world, None, &values), Publishing::default());
        assert_eq!(world.calls().len(), calls + 1, "a repetition only reads");
        assert_eq!(
            published(
                &world,
                None,
                &[("endpoint", "db2.example"), ("port", "5432")]
            ),
            written(&["/recovery/shop/endpoint was db.example"])
        );
        assert_eq!(published(&world, Some("d-1"), &values), written(&[]));
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
