use crate::report::Outcome;

/// Compares the result of a check with the expected failure.
pub(crate) fn outcome_of(ended: Result<(), String>, expected: Option<&str>) -> (Outcome, Option<String>) {
    match (ended, expected) {
        (Ok(()), None) => (Outcome::Pass, None),
        (Err(failure), None) => (Outcome::Fail, Some(failure)),
        (Err(failure), Some(why)) => (Outcome::ExpectedFail, Some(format!("{why}: {failure}"))),
        (Ok(()), Some(why)) => (
            Outcome::Fail,
            Some(format!("it passes, but is expected to fail ({why}): remove the expectation")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_failure_that_passes_is_a_failure() {
        let broken = || Err("broken".to_owned());
        assert_eq!(outcome_of(Ok(()), None), (Outcome::Pass, None));
        assert_eq!(outcome_of(broken(), None), (Outcome::Fail, Some("broken".to_owned())));
        assert_eq!(outcome_of(broken(), Some("#7")), (Outcome::ExpectedFail, Some("#7: broken".to_owned())));
        let (outcome, why) = outcome_of(Ok(()), Some("#7"));
        assert_eq!(outcome, Outcome::Fail);
        assert!(why.is_some_and(|why| why.contains("#7")));
    }
}
