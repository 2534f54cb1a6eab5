//! Resolves references: one listing for each stack, shared by all references of a run.

use std::collections::BTreeMap;

use crate::aws::cloudformation::{ListedResource, ResourceStatus, StackState};
use crate::error::{Error, Fault};
use crate::ports::{StackResources, Stacks, TaggedResources, TargetPorts};
use crate::reference::{
    LogicalId, NESTED_STACK, Reference, ReferenceRefusal, SUBNET, TARGET_GROUP, Wanted,
};
use crate::text::shown;

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// A resource that exists.
    Found(Resource),
    /// It does not exist yet.
    NotYet(Awaited),
    Refused(ReferenceRefusal),
}

/// A resource of the recovery Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Its id or name.
    pub(crate) id: String,
    /// Its type in CloudFormation.
    pub(crate) resource_type: String,
}

/// What a reference waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// As part of a sentence: `the stack shop to exist`.
    pub(crate) what: String,
    /// The stack that brings it.
    pub(crate) stack: Option<String>,
}

/// Resolves the references of one run.
pub(crate) struct Resolver<'a, P> {
    ports: &'a P,
    listings: BTreeMap<String, Option<Vec<ListedResource>>>,
    states: BTreeMap<String, Option<StackState>>,
}

impl<'a, P: TargetPorts> Resolver<'a, P> {
    pub(crate) fn new(ports: &'a P) -> Resolver<'a, P> {
        Resolver {
            ports,
            listings: BTreeMap::new(),
            states: BTreeMap::new(),
        }
    }

    /// What the reference leads to. `stack` is the stack that the tags name.
    ///
    /// # Errors
    /// Those of the ports.
    pub(crate) async fn resolve(
        &mut self,
        stack: Option<&str>,
        reference: &Reference,
        wanted: &Wanted,
    ) -> Result<Resolution, Error> {
        if !wanted.can_be_named_by(reference) {
            return Ok(Resolution::Refused(ReferenceRefusal::Form {
                reference: reference.to_string(),
                noun: wanted.noun,
            }));
        }
        let found = |id: &str, resource_type: &str| {
            Ok(Resolution::Found(Resource {
                id: id.to_owned(),
                resource_type: resource_type.to_owned(),
            }))
        };
        let first_type = wanted.types.first().copied().unwrap_or_default();
        match reference {
            Reference::Id(id) | Reference::Named(id) => found(id, first_type),
            Reference::Group(name) => found(name, "AWS::AutoScaling::AutoScalingGroup"),
            Reference::Tagged { key, value } => self.tagged(reference, key, value, wanted).await,
            Reference::InStack { path, name } => {
                let Some(stack) = stack else {
                    return Ok(Resolution::Refused(ReferenceRefusal::WithoutStack {
                        reference: reference.to_string(),
                    }));
                };
                let mut stack = stack.to_owned();
                for part in path {
                    match self
                        .in_stack(&stack, reference, part, &NESTED_STACK, true)
                        .await?
                    {
                        Resolution::Found(nested) => stack = nested.id,
                        other => return Ok(other),
                    }
                }
                self.in_stack(&stack, reference, name, wanted, false).await
            }
        }
    }

    /// The only resource of the wanted type in the stack, for a tag that is missing. The stack must be
    /// complete: until then, another one can follow.
    ///
    /// # Errors
    /// Those of the ports.
    pub(crate) async fn only(&mut self, stack: &str, wanted: &Wanted) -> Result<Resolution, Error> {
        let reference = format!("the only {}", wanted.noun);
        match self.state(stack).await? {
            None => return Ok(not_yet(format!("the stack {stack} to exist"), stack)),
            Some(state) if state.is_in_progress() => {
                let what = format!(
                    "the stack {stack} to be complete, because no tag names its {}",
                    wanted.noun
                );
                return Ok(not_yet(what, stack));
            }
            Some(state) if !state.is_complete() => return Ok(failed(stack, &state)),
            Some(_) => {}
        }
        let listed = self.listing(stack).await?.unwrap_or_default();
        let fitting: Vec<&ListedResource> = listed
            .iter()
            .filter(|listed| is_wanted(listed, wanted))
            .collect();
        Ok(match fitting.as_slice() {
            [one] => usable(stack, &reference, one, wanted, false),
            [] => Resolution::Refused(ReferenceRefusal::Missing {
                reference,
                place: format!("stack {stack}"),
                noun: wanted.noun,
                candidates: Vec::new(),
            }),
            several => Resolution::Refused(ReferenceRefusal::Ambiguous {
                reference,
                place: format!("stack {stack}"),
                noun: wanted.noun,
                candidates: logical_ids(several.iter().copied()),
            }),
        })
    }

    /// All resources of the wanted type in the stack, by logical id, for a tag that is missing. The stack
    /// must be complete: until then, others can follow.
    ///
    /// # Errors
    /// Those of the ports.
    pub(crate) async fn all(
        &mut self,
        stack: &str,
        wanted: &Wanted,
    ) -> Result<Result<Vec<String>, Resolution>, Error> {
        match self.state(stack).await? {
            None => return Ok(Err(not_yet(format!("the stack {stack} to exist"), stack))),
            Some(state) if state.is_in_progress() => {
                let what = format!(
                    "the stack {stack} to be complete, because no tag names its {}s",
                    wanted.noun
                );
                return Ok(Err(not_yet(what, stack)));
            }
            Some(state) if !state.is_complete() => return Ok(Err(failed(stack, &state))),
            Some(_) => {}
        }
        let mut listed = self.listing(stack).await?.unwrap_or_default();
        listed.retain(|listed| is_wanted(listed, wanted));
        listed.sort_by(|a, b| a.logical_id.cmp(&b.logical_id));
        let mut found = Vec::new();
        for one in &listed {
            match usable(stack, &one.logical_id, one, wanted, false) {
                Resolution::Found(resource) => found.push(resource.id),
                other => return Ok(Err(other)),
            }
        }
        if found.is_empty() {
            return Ok(Err(Resolution::Refused(ReferenceRefusal::Missing {
                reference: format!("a {}", wanted.noun),
                place: format!("stack {stack}"),
                noun: wanted.noun,
                candidates: Vec::new(),
            })));
        }
        Ok(Ok(found))
    }

    async fn tagged(
        &self,
        reference: &Reference,
        key: &str,
        value: &str,
        wanted: &Wanted,
    ) -> Result<Resolution, Error> {
        let tagged = self
            .ports
            .tagged_resources()
            .list(wanted.tagged_as, key, value)
            .await?;
        let ids: Vec<String> = tagged
            .iter()
            .filter_map(|arn| match wanted.noun == TARGET_GROUP.noun {
                true => Some(arn.as_str()),
                false => arn.resource().rsplit(['/', ':']).next(),
            })
            .map(str::to_owned)
            .collect();
        Ok(match ids.as_slice() {
            [id] => Resolution::Found(Resource {
                id: id.clone(),
                resource_type: wanted.types.first().copied().unwrap_or_default().to_owned(),
            }),
            // Whoever deploys the infrastructure may not have done so yet.
            [] => Resolution::NotYet(Awaited {
                what: format!("a {} with {reference} to exist", wanted.noun),
                stack: None,
            }),
            _ => Resolution::Refused(ReferenceRefusal::Ambiguous {
                reference: reference.to_string(),
                place: "this Region".to_owned(),
                noun: wanted.noun,
                candidates: ids,
            }),
        })
    }

    /// The resource in the stack. `is_changing_usable`: one that is being created or changed counts, too.
    async fn in_stack(
        &mut self,
        stack: &str,
        reference: &Reference,
        name: &LogicalId,
        wanted: &Wanted,
        is_changing_usable: bool,
    ) -> Result<Resolution, Error> {
        loop {
            // Read before the stack was complete, the listing can lack what has been created since.
            let is_older = !self.states.contains_key(stack);
            let Some(listed) = self.listing(stack).await? else {
                return Ok(not_yet(format!("the stack {stack} to exist"), stack));
            };
            let place = || format!("stack {stack}");
            let fitting: Vec<&ListedResource> = listed
                .iter()
                .filter(|listed| name.matches(&listed.logical_id))
                .collect();
            // A prefix stands for one resource of the wanted type, an exact name for one resource.
            let fitting = match name {
                LogicalId::Exact(_) => fitting,
                LogicalId::Prefix(_) => fitting
                    .into_iter()
                    .filter(|listed| is_wanted(listed, wanted))
                    .collect(),
            };
            return match fitting.as_slice() {
                [one] => {
                    if !wanted.types.contains(&one.resource.resource_type.as_str()) {
                        return Ok(Resolution::Refused(ReferenceRefusal::Type {
                            reference: reference.to_string(),
                            place: place(),
                            noun: wanted.noun,
                            found: one.resource.resource_type.clone(),
                        }));
                    }
                    Ok(usable(
                        stack,
                        &reference.to_string(),
                        one,
                        wanted,
                        is_changing_usable,
                    ))
                }
                [] => {
                    let candidates =
                        logical_ids(listed.iter().filter(|listed| is_wanted(listed, wanted)));
                    match self.state(stack).await? {
                        None => Ok(not_yet(format!("the stack {stack} to exist"), stack)),
                        Some(state) if state.is_in_progress() => Ok(not_yet(
                            format!("{reference} to exist in stack {stack}"),
                            stack,
                        )),
                        Some(state) if state.is_complete() && is_older => continue,
                        Some(state) if state.is_complete() => {
                            Ok(Resolution::Refused(ReferenceRefusal::Missing {
                                reference: reference.to_string(),
                                place: place(),
                                noun: wanted.noun,
                                candidates,
                            }))
                        }
                        Some(state) => Ok(failed(stack, &state)),
                    }
                }
                several => Ok(Resolution::Refused(ReferenceRefusal::Ambiguous {
                    reference: reference.to_string(),
                    place: place(),
                    noun: wanted.noun,
                    candidates: logical_ids(several.iter().copied()),
                })),
            };
        }
    }

    async fn listing(&mut self, stack: &str) -> Result<Option<Vec<ListedResource>>, Error> {
        if let Some(listed) = self.listings.get(stack) {
            return Ok(listed.clone());
        }
        let listed = self.ports.stack_resources().list(stack).await?;
        self.listings.insert(stack.to_owned(), listed.clone());
        Ok(listed)
    }

    /// The state of the stack; `None` if it does not exist. If it is complete, its resources are listed again, because
    /// an earlier listing can lack some.
    ///
    /// # Errors
    /// Those of the port.
    pub(crate) async fn state(&mut self, stack: &str) -> Result<Option<StackState>, Error> {
        if let Some(state) = self.states.get(stack) {
            return Ok(state.clone());
        }
        let state = self.ports.stacks().describe(stack).await?;
        if state.as_ref().is_some_and(StackState::is_complete) {
            self.listings.remove(stack);
        }
        self.states.insert(stack.to_owned(), state.clone());
        Ok(state)
    }
}

fn not_yet(what: String, stack: &str) -> Resolution {
    Resolution::NotYet(Awaited {
        what,
        stack: Some(stack.to_owned()),
    })
}

/// The refusal because of a stack that failed.
pub(crate) fn failed(stack: &str, state: &StackState) -> Resolution {
    let why = match &state.reason {
        None => state.status.clone(),
        Some(reason) => format!("{}: {reason}", state.status),
    };
    Resolution::Refused(ReferenceRefusal::Stack {
        stack: stack.to_owned(),
        why,
        remedy: "Check the events of the stack in CloudFormation and fix the cause. Update the stack, or delete it if it contains no data. Then redrive the execution.".to_owned(),
    })
}

fn is_wanted(listed: &ListedResource, wanted: &Wanted) -> bool {
    let status = &listed.resource.status;
    wanted
        .types
        .contains(&listed.resource.resource_type.as_str())
        && *status != ResourceStatus::DeleteComplete
        && *status != ResourceStatus::DeleteSkipped
}

fn logical_ids<'a>(listed: impl Iterator<Item = &'a ListedResource>) -> Vec<String> {
    listed.map(|listed| listed.logical_id.clone()).collect()
}

/// The resource, if it can be used now.
fn usable(
    stack: &str,
    reference: &str,
    listed: &ListedResource,
    wanted: &Wanted,
    is_changing_usable: bool,
) -> Resolution {
    let resource = &listed.resource;
    let status = &resource.status;
    if status.is_failed_or_deleted() || *status == ResourceStatus::DeleteSkipped {
        return Resolution::Refused(ReferenceRefusal::Failed {
            reference: reference.to_owned(),
            place: format!("stack {stack}"),
            status: status.as_str().to_owned(),
        });
    }
    // An instance has its id long before its creation signals that it is complete.
    let is_usable_early = wanted.is_server();
    let is_changing =
        status.is_changing() || *status == ResourceStatus::CreateInProgress && !is_usable_early;
    let Some(id) = resource
        .physical_id
        .clone()
        .filter(|_| is_changing_usable || !is_changing)
    else {
        let what = format!("{reference} in stack {stack} to be complete ({status})");
        return not_yet(what, stack);
    };
    // A security group outside a VPC has its name as its physical id.
    if wanted
        .id_prefix
        .is_some_and(|prefix| !id.starts_with(prefix))
        && resource.resource_type != "AWS::AutoScaling::AutoScalingGroup"
    {
        return Resolution::Refused(ReferenceRefusal::Form {
            reference: reference.to_owned(),
            noun: wanted.noun,
        });
    }
    Resolution::Found(Resource {
        id,
        resource_type: resource.resource_type.clone(),
    })
}

/// The references of one resource: all are resolved, so that all that is missing is known at once.
pub(crate) struct References<'a, P> {
    resolver: Resolver<'a, P>,
    stack: Option<&'a str>,
    /// What they wait for.
    pub(crate) awaited: Vec<String>,
    /// The first refusal.
    pub(crate) refused: Option<ReferenceRefusal>,
}

impl<'a, P: TargetPorts> References<'a, P> {
    /// `stack` is the stack that the tags name.
    pub(crate) fn new(ports: &'a P, stack: Option<&'a str>) -> References<'a, P> {
        References {
            resolver: Resolver::new(ports),
            stack,
            awaited: Vec::new(),
            refused: None,
        }
    }

    /// The id of what the reference leads to; `None` if it is awaited or refused.
    ///
    /// # Errors
    /// Those of the ports, and [`Error::Permanent`] for a text that does not come from a plan.
    pub(crate) async fn find(
        &mut self,
        text: &str,
        wanted: &Wanted,
    ) -> Result<Option<String>, Error> {
        let Some(reference) = Reference::parse(text) else {
            return Err(not_planned(format!("{} is not a reference", shown(text))));
        };
        let resolution = self
            .resolver
            .resolve(self.stack, &reference, wanted)
            .await?;
        Ok(self.keep(resolution))
    }

    /// The only resource of the wanted type in the stack, as [`References::find`].
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn only(&mut self, wanted: &Wanted) -> Result<Option<String>, Error> {
        let Some(stack) = self.stack else {
            return Err(not_planned(format!("it names no {}", wanted.noun)));
        };
        let resolution = self.resolver.only(stack, wanted).await?;
        Ok(self.keep(resolution))
    }

    /// The subnets of these references, or all of the stack.
    ///
    /// # Errors
    /// As [`References::find`].
    pub(crate) async fn subnets(&mut self, named: &[String]) -> Result<Vec<String>, Error> {
        if named.is_empty() {
            let Some(stack) = self.stack else {
                return Err(not_planned("it names no subnet".to_owned()));
            };
            return Ok(match self.resolver.all(stack, &SUBNET).await? {
                Ok(found) => found,
                Err(resolution) => self.keep(resolution).into_iter().collect(),
            });
        }
        let mut subnets = Vec::new();
        for reference in named {
            subnets.extend(self.find(reference, &SUBNET).await?);
        }
        Ok(subnets)
    }

    fn keep(&mut self, resolution: Resolution) -> Option<String> {
        match resolution {
            Resolution::Found(resource) => return Some(resource.id),
            Resolution::NotYet(Awaited { what, .. }) => {
                if !self.awaited.contains(&what) {
                    self.awaited.push(what);
                }
            }
            Resolution::Refused(refusal) => {
                self.refused.get_or_insert(refusal);
            }
        }
        None
    }
}

/// The error for a text that does not come from a plan.
pub(crate) fn not_planned(what: String) -> Error {
    Error::Permanent(Fault::new(
        "parse input",
        "item.target",
        what,
        "Pass an item of a plan of recovery-planner.",
    ))
}
