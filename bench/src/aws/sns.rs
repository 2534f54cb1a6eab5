//! SNS: <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.

use testkit::http::Request;

use super::world::World;
use super::{Answer, query, query_error};

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let form = request.form();
    let action = form.get("Action").unwrap_or_default().to_owned();
    let answer = if action == "Publish" {
        world.messages += 1;
        query(
            &action,
            "<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId>",
        )
    } else {
        query_error("InvalidAction", "this action is not faked")
    };
    (action, answer)
}
