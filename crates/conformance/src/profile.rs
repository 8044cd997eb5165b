/// The facts that an author declares about a backend, apart from its claims.
///
/// ```
/// use throughline_conformance::Profile;
///
/// let profile = Profile::new("my-backend")
///     .expect_fail("messages.megabyte_message_is_kept", "issue 17: rows are limited to a page")
///     .remark("tested against server 4.2");
/// assert_eq!(profile.name(), "my-backend");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: String,
    expected: Vec<(String, String)>,
    remarks: Vec<String>,
}

impl Profile {
    /// A backend of this name, which is also its column in the report.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), expected: Vec::new(), remarks: Vec::new() }
    }

    /// Declares that this check fails, and the reason or the issue. The suite fails if the check passes, so that the list
    /// stays current.
    #[must_use]
    pub fn expect_fail(mut self, check: impl Into<String>, why: impl Into<String>) -> Self {
        self.expected.push((check.into(), why.into()));
        self
    }

    /// Adds a line to the report.
    #[must_use]
    pub fn remark(mut self, remark: impl Into<String>) -> Self {
        self.remarks.push(remark.into());
        self
    }

    /// The name of the backend.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The reason why this check is expected to fail, if it is.
    #[must_use]
    pub fn expected_failure(&self, check: &str) -> Option<&str> {
        self.expected.iter().find(|(id, _)| id == check).map(|(_, why)| why.as_str())
    }

    /// The checks that are expected to fail.
    pub(crate) fn expected(&self) -> impl Iterator<Item = &str> {
        self.expected.iter().map(|(id, _)| id.as_str())
    }

    /// The lines for the report.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }
}
