//! S3: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.

use super::Answer;
use super::world::World;
use crate::http::Request;

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    if request.method == "PUT" && request.target.starts_with("/recovery.plans/plans/") {
        let answer = Answer::new(200, "application/xml", String::new());
        return ("PutObject".to_owned(), answer);
    }
    super::unknown(world, request)
}
