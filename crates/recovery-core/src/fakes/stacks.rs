//! Stacks and their resources, and resources by their tags.

use crate::aws::arn::Arn;
use crate::aws::cloudformation::{ListedResource, StackResource, StackState};
use crate::error::Error;
use crate::fakes::{State, World};
use crate::ports::{StackResources, Stacks, TaggedResources};

fn stack_state(state: &State, stack: &str) -> Option<StackState> {
    let complete = || StackState {
        status: "CREATE_COMPLETE".to_owned(),
        reason: None,
    };
    let has_resources = state.stack_resources.keys().any(|(of, _)| of == stack);
    state
        .stack_states
        .get(stack)
        .cloned()
        .or_else(|| has_resources.then(complete))
}

impl StackResources for World {
    async fn describe(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        self.call(
            "cloudformation:DescribeStackResource",
            &format!("{stack}/{logical_id}"),
            |state| {
                let key = (stack.to_owned(), logical_id.to_owned());
                Ok(state.stack_resources.get(&key).cloned())
            },
        )
    }

    async fn list(&self, stack: &str) -> Result<Option<Vec<ListedResource>>, Error> {
        self.call("cloudformation:ListStackResources", stack, |state| {
            let listed = || {
                let own = state
                    .stack_resources
                    .iter()
                    .filter(|((of, _), _)| of == stack);
                own.map(|((_, logical_id), resource)| ListedResource {
                    logical_id: logical_id.clone(),
                    resource: resource.clone(),
                })
                .collect()
            };
            Ok(stack_state(state, stack).map(|_| listed()))
        })
    }
}

impl Stacks for World {
    async fn describe(&self, stack: &str) -> Result<Option<StackState>, Error> {
        self.call("cloudformation:DescribeStacks", stack, |state| {
            Ok(stack_state(state, stack))
        })
    }
}

impl TaggedResources for World {
    async fn list(&self, resource_type: &str, key: &str, value: &str) -> Result<Vec<Arn>, Error> {
        self.call("tag:GetResources", resource_type, |state| {
            let tag = (resource_type.to_owned(), key.to_owned(), value.to_owned());
            Ok(state
                .tagged_resources
                .get(&tag)
                .cloned()
                .unwrap_or_default())
        })
    }
}
