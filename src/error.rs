//! How an error is told to a person: one line, every cause once.

use std::error::Error;
use std::fmt::Write as _;

/// The error and its causes, joined by colons.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Foreign errors repeat their cause in their own text.
        if !text.contains(&said) {
            write!(text, ": {said}").expect("a string takes everything");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the page is gone")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the page is gone")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let error = Outer(Inner(std::io::Error::other("connection reset")));
        assert_eq!(chain(&error), "the page is gone: connection reset");
    }
}
