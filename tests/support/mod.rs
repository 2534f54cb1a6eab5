//! Shared by the tests: the files of the repository, the template as CloudFormation deploys it, and
//! worlds in which calls fail.

pub(crate) mod databases;
pub(crate) mod disturbed;
pub(crate) mod end;
pub(crate) mod file_systems;
pub(crate) mod reports;
pub(crate) mod repository;
pub(crate) mod restored;
pub(crate) mod routing;
pub(crate) mod sam;
pub(crate) mod tables;
