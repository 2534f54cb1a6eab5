//! Settings from the environment. They are read once, before the first event, and all problems are reported together.

use std::fmt;
use std::ops::RangeInclusive;

use recovery_core::aws::arn::Arn;
use recovery_core::text;

/// The environment, or its replacement in a test.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The value of a disabled setting.
const OFF: &str = "off";

/// Reads variables and collects their problems. No variable has a default.
pub struct Settings<'a> {
    variables: Variables<'a>,
    problems: Vec<String>,
}

impl<'a> Settings<'a> {
    pub fn from(variables: Variables<'a>) -> Settings<'a> {
        Settings {
            variables,
            problems: Vec::new(),
        }
    }

    /// The value of the variable `name`. A missing or empty value is a problem.
    pub fn required(&mut self, name: &str) -> String {
        match (self.variables)(name).map(|value| value.trim().to_owned()) {
            Some(value) if !value.is_empty() => value,
            _ => {
                self.problems.push(format!("{name} is not set"));
                String::new()
            }
        }
    }

    /// All problems so far or, without any, this one, which concerns several variables together.
    pub fn with_problem(mut self, problem: &str) -> SettingsError {
        if self.problems.is_empty() {
            self.problems.push(problem.to_owned());
        }
        SettingsError(self.problems)
    }

    /// The value of the variable `name`. A value that `is_such` refuses is a problem, which names what was `expected`.
    fn required_such(
        &mut self,
        name: &str,
        expected: &str,
        is_such: impl Fn(&str) -> bool,
    ) -> String {
        let value = self.required(name);
        if !value.is_empty() && !is_such(&value) {
            self.problems.push(format!(
                "{name} is {}, but must be {expected}",
                text::shown(&value)
            ));
        }
        value
    }

    /// A Region.
    pub fn region(&mut self, name: &str) -> String {
        let of_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        self.required_such(name, "a Region such as us-west-2", |value| {
            value.chars().all(of_region)
        })
    }

    /// The name of a workload.
    pub fn workload(&mut self, name: &str) -> String {
        self.required_such(
            name,
            "the name of a workload: 1 to 50 of a-z A-Z 0-9 _ -, and the first a letter or a digit",
            recovery_core::plan::request::is_workload,
        )
    }

    /// An account id.
    pub fn account(&mut self, name: &str) -> String {
        self.required_such(name, "the digits of an account id", |value| {
            value.chars().all(|c| c.is_ascii_digit())
        })
    }

    /// The ARN of an SNS topic; `None` if the value is `off`.
    pub fn topic_or_off(&mut self, name: &str) -> Option<String> {
        let is_topic =
            |value: &str| value == OFF || Arn::parse(value).is_ok_and(|arn| arn.service() == "sns");
        not_off(self.required_such(name, "the ARN of an SNS topic, or off", is_topic))
    }

    /// An ARN.
    pub fn arn(&mut self, name: &str) -> String {
        self.required_such(name, "an ARN", |value| Arn::parse(value).is_ok())
    }

    /// An ARN; `None` if the value is `off`.
    pub fn arn_or_off(&mut self, name: &str) -> Option<String> {
        let is_arn = |value: &str| value == OFF || Arn::parse(value).is_ok();
        not_off(self.required_such(name, "an ARN, or off", is_arn))
    }

    /// Whether the value is `word`, and not `off`.
    pub fn word_or_off(&mut self, name: &str, word: &str) -> bool {
        let is_known = |value: &str| value == OFF || value == word;
        let expected = format!("{word}, or off");
        not_off(self.required_such(name, &expected, is_known)).is_some()
    }

    /// A path that begins and ends with a slash.
    pub fn path(&mut self, name: &str) -> String {
        let is_path = |value: &str| {
            let parts = value
                .strip_prefix('/')
                .and_then(|rest| rest.strip_suffix('/'));
            let is_part = |part: &str| {
                let of_part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
                !part.is_empty() && part.chars().all(of_part)
            };
            parts.is_some_and(|parts| parts.split('/').all(is_part))
        };
        self.required_such(
            name,
            "a path that begins and ends with a slash, such as /recovery/",
            is_path,
        )
    }

    /// The name of a runbook; `None` if the value is `off`.
    pub fn runbook_or_off(&mut self, name: &str) -> Option<String> {
        not_off(self.required_such(name, "the name of a runbook, or off", is_runbook))
    }

    /// Names of runbooks, separated by commas; empty if the value is `off`.
    pub fn runbooks(&mut self, name: &str) -> Vec<String> {
        self.required_list(name, "names of runbooks, separated by commas", |name| {
            is_runbook(name).then(|| name.to_owned())
        })
        .into_iter()
        .filter_map(not_off)
        .collect()
    }

    /// A whole number. A value outside `range` is a problem.
    pub fn required_number(&mut self, name: &str, range: RangeInclusive<i64>) -> i64 {
        let text = self.required(name);
        match text.parse() {
            Ok(number) if range.contains(&number) => return number,
            // Already reported as missing.
            _ if text.is_empty() => {}
            _ => self.problems.push(format!(
                "{name} is {}, but must be a whole number from {} to {}",
                text::shown(&text),
                range.start(),
                range.end()
            )),
        }
        *range.start()
    }

    /// A whole number; `None` if the value is `off`.
    pub fn number_or_off(&mut self, name: &str) -> Option<u32> {
        let is_number = |value: &str| value == OFF || value.parse::<u32>().is_ok();
        let value = self.required_such(name, "a whole number, or off", is_number);
        not_off(value).and_then(|value| value.parse().ok())
    }

    /// The parsed parts of the value, separated by commas. A part that cannot be parsed is a problem, which names what was
    /// `expected`.
    pub fn required_list<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let text = self.required(name);
        let (mut list, mut wrong) = (Vec::new(), Vec::new());
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match parse(part) {
                Some(value) => list.push(value),
                None => wrong.push(text::shown(part)),
            }
        }
        if let Some(first) = wrong.first() {
            let more = match wrong.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            self.problems.push(format!(
                "{name} contains {first}{more}, but must be {expected}"
            ));
        } else if list.is_empty() && !text.is_empty() {
            self.problems
                .push(format!("{name} is empty, but must be {expected}"));
        }
        list
    }

    /// `settings`, if there is no problem.
    ///
    /// # Errors
    /// All problems so far.
    pub fn complete<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError(self.problems))
        }
    }
}

fn not_off(value: String) -> Option<String> {
    Some(value).filter(|value| value != OFF && !value.is_empty())
}

/// Whether this is a valid name of a document of Systems Manager.
fn is_runbook(name: &str) -> bool {
    (3..=128).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// All problems of a function's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the function's environment differs from template.yaml: {}. Deploy the template again.",
            self.0.join("; ")
        )
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_all_problems_in_one_error() {
        let variables = |name: &str| match name {
            "EMPTY" => Some(" ".to_owned()),
            "LIST" => Some("1, x,2".to_owned()),
            "MANY" => Some("25".to_owned()),
            "WORD" => Some("soon".to_owned()),
            "SOME" => Some(" 24 ".to_owned()),
            _ => None,
        };
        let mut settings = Settings::from(&variables);
        settings.required("ABSENT");
        settings.topic_or_off("EMPTY");
        let list = settings.required_list("LIST", "numbers", |part| part.parse::<u8>().ok());
        assert_eq!(list, [1, 2]);
        assert_eq!(settings.required_number("SOME", 1..=24), 24);
        for number in ["MANY", "WORD", "NONE"] {
            settings.required_number(number, 1..=24);
        }
        let error = settings.complete(()).unwrap_err().to_string();
        for part in [
            "ABSENT is not set",
            "EMPTY is not set",
            "LIST contains x, but must be numbers",
            "MANY is 25, but must be a whole number from 1 to 24",
            "WORD is soon, but must be a whole number",
            "NONE is not set",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn off_yields_none_without_a_problem() {
        let variables = |name: &str| (name == "TOPIC").then(|| "off".to_owned());
        let mut settings = Settings::from(&variables);
        assert_eq!(settings.topic_or_off("TOPIC"), None);
        assert_eq!(settings.complete(7), Ok(7));
    }

    #[test]
    fn rejects_values_of_the_wrong_kind() {
        type Read = fn(&mut Settings<'_>);
        let check = |value: &str, read: Read, problem: Option<&str>| {
            let variables = |_: &str| Some(value.to_owned());
            let mut settings = Settings::from(&variables);
            read(&mut settings);
            let error = settings.complete(()).err().map(|error| error.to_string());
            match problem {
                None => assert_eq!(error, None, "{value:?}"),
                Some(problem) => {
                    let error = error.unwrap_or_else(|| panic!("{value:?} is taken"));
                    assert!(error.contains(problem), "{error}");
                }
            }
        };
        let region: Read = |settings| drop(settings.region("R"));
        check("us-gov-west-1", region, None);
        check(
            "us-west-2\u{200b}",
            region,
            Some("R is us-west-2\u{fffd}, but must be a Region"),
        );
        check("US-WEST-2", region, Some("R is US-WEST-2"));
        check(
            "us-west-2\nus-east-1",
            region,
            Some("R is us-west-2 us-east-1"),
        );
        let account: Read = |settings| drop(settings.account("A"));
        check("111122223333", account, None);
        check("11112222333x", account, Some("A is 11112222333x"));
        let workload: Read = |settings| drop(settings.workload("W"));
        check("shop", workload, None);
        check(
            "my shop",
            workload,
            Some("W is my shop, but must be the name of a workload"),
        );
        let topic: Read = |settings| drop(settings.topic_or_off("T"));
        check("arn:aws-cn:sns:cn-north-1:111122223333:t", topic, None);
        check(
            "arn:aws:sqs:us-west-2:111122223333:t",
            topic,
            Some("T is arn:aws:sqs"),
        );
        check(
            "Off",
            topic,
            Some("T is Off, but must be the ARN of an SNS topic, or off"),
        );
        let arn: Read = |settings| drop(settings.arn("N"));
        check("arn:aws:iam::111122223333:role/r", arn, None);
        check("off", arn, Some("N is off, but must be an ARN"));
        let arn: Read = |settings| drop(settings.arn_or_off("N"));
        check("off", arn, None);
        check(
            "role/r",
            arn,
            Some("N is role/r, but must be an ARN, or off"),
        );
        let path: Read = |settings| drop(settings.path("P"));
        check("/recovery/", path, None);
        check("/recovery/shop_1.x/", path, None);
        for none in [
            "/",
            "//",
            "recovery/",
            "/recovery",
            "/a//b/",
            "/a b/",
            "/a*/",
        ] {
            check(none, path, Some("but must be a path that begins and ends"));
        }
        let number: Read = |settings| _ = settings.number_or_off("M");
        check("off", number, None);
        check("60", number, None);
        for none in ["-1", "soon", "1.5"] {
            check(none, number, Some("but must be a whole number, or off"));
        }
        let runbook: Read = |settings| drop(settings.runbook_or_off("B"));
        check("stack-Start_1.x", runbook, None);
        check(
            "a b",
            runbook,
            Some("B is a b, but must be the name of a runbook"),
        );
        let runbooks: Read = |settings| drop(settings.runbooks("L"));
        check("off,Start", runbooks, None);
        check(
            "Start, ${x}, <b>",
            runbooks,
            Some("L contains ${x} and 1 more"),
        );
        check(",,", runbooks, Some("L is empty"));
    }
}
