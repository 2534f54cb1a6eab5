//! Settings from the environment: read once, before the first event, with all problems at once.

use std::fmt;
use std::ops::RangeInclusive;

/// The environment, or what a test puts in its place.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is written for something that is switched off on purpose.
const OFF: &str = "off";

/// Reads variables and collects what is wrong with them. Nothing has a default.
pub struct Settings<'a> {
    variables: Variables<'a>,
    problems: Vec<String>,
}

impl<'a> Settings<'a> {
    /// Reads from `variables`.
    pub fn from(variables: Variables<'a>) -> Settings<'a> {
        Settings {
            variables,
            problems: Vec::new(),
        }
    }

    /// The text of the variable `name`; noted as a problem when it is missing or empty.
    pub fn required(&mut self, name: &str) -> String {
        match (self.variables)(name).map(|value| value.trim().to_owned()) {
            Some(value) if !value.is_empty() => value,
            _ => {
                self.problems.push(format!("{name} is not set"));
                String::new()
            }
        }
    }

    /// The text of the variable `name`, or nothing where it is `off`; noted as a problem when it
    /// is missing or empty.
    pub fn required_or_off(&mut self, name: &str) -> Option<String> {
        Some(self.required(name)).filter(|value| value != OFF && !value.is_empty())
    }

    /// The whole number of the variable `name`; noted as a problem when it is missing, none, or out
    /// of `range`.
    pub fn required_number(&mut self, name: &str, range: RangeInclusive<i64>) -> i64 {
        let text = self.required(name);
        match text.parse() {
            Ok(number) if range.contains(&number) => return number,
            // Noted as missing already.
            _ if text.is_empty() => {}
            _ => self.problems.push(format!(
                "{name} is {text:?}, but must be a whole number from {} to {}",
                range.start(),
                range.end()
            )),
        }
        *range.start()
    }

    /// What `parse` makes of each part of the variable `name` between commas; a part of which it
    /// makes nothing is noted as a problem that says what was `expected`.
    pub fn required_list<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let text = self.required(name);
        let mut list = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match parse(part) {
                Some(value) => list.push(value),
                None => self
                    .problems
                    .push(format!("{name} contains {part:?}, but must be {expected}")),
            }
        }
        list
    }

    /// `settings` if nothing was wrong.
    ///
    /// # Errors
    /// All problems noted so far.
    pub fn complete<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError(self.problems))
        }
    }
}

/// Everything that is wrong with a function's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the function's environment is not as template.yaml sets it: {}. Deploy the template again.",
            self.0.join("; ")
        )
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_named_at_once() {
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
        settings.required_or_off("EMPTY");
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
            "LIST contains \"x\", but must be numbers",
            "MANY is \"25\", but must be a whole number from 1 to 24",
            "WORD is \"soon\", but must be a whole number",
            "NONE is not set",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn off_is_a_value_and_absent_is_none() {
        let variables = |name: &str| (name == "TOPIC").then(|| "off".to_owned());
        let mut settings = Settings::from(&variables);
        assert_eq!(settings.required_or_off("TOPIC"), None);
        assert_eq!(settings.complete(7), Ok(7));
    }
}
