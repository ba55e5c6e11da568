//! The variables of a Lambda, read once: all that is wrong is said at once, in the
//! log of a Lambda that refuses to start.

use std::fmt;

/// Reads variables and goes on after one that is missing.
pub struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

/// All that is wrong with a Lambda's variables.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Lambda's variables: {}", self.0.join("; "))
    }
}

impl std::error::Error for Problems {}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// The process's own variables.
#[expect(clippy::disallowed_methods, reason = "the one place of the Lambdas that reads variables")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl<'a> Reader<'a> {
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// The value, or nothing if it is not set, empty, or the deployment's word for that.
    pub fn find(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty() && value != "not-defined")
    }

    /// The value; to have none is a problem.
    pub fn need(&mut self, name: &str) -> String {
        self.find(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set"));
            String::new()
        })
    }

    /// The value as a number within `range`, or `default` if there is none.
    pub fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let Some(text) = self.find(name) else { return default };
        text.trim().parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (least, most) = (range.start(), range.end());
            self.problems.push(format!(
                "{name} is {text:?}, a whole number from {least} to {most} is wanted"
            ));
            default
        })
    }

    /// What was read, if nothing was wrong.
    pub fn finish<T>(self, settings: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(settings) } else { Err(Problems(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "B" => Some("not-defined".into()),
            "N" => Some("0".into()),
            "M" => Some("15".into()),
            _ => None,
        };
        let mut reader = Reader::new(&lookup);
        assert_eq!(
            (reader.need("A"), reader.find("B"), reader.find("C")),
            ("a".into(), None, None)
        );
        assert_eq!((reader.number("M", 1..=60, 5), reader.number("O", 1..=60, 5)), (15, 5));
        reader.need("B");
        reader.number("N", 1..=60, 5);
        let told = reader.finish(()).unwrap_err().to_string();
        assert!(told.contains("B is not set") && told.contains("N is \"0\""), "{told}");
    }
}
