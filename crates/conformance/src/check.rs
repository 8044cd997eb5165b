//! A check: its id, its requirements and its function.

use std::{fmt, future::Future, pin::Pin};

use throughline_core::{Capabilities, Durability, OpKind};

use crate::{child, rig::Rig};

/// The level of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A guarantee of every backend.
    Core,
    /// A guarantee of the backends that claim it.
    Extended,
}

impl Level {
    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Extended => "extended",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The claims that a backend must make for a check to apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) operations: &'static [OpKind],
    idempotency: bool,
    changes: bool,
    search: bool,
    cjk_search: bool,
    indexed_metadata: bool,
    audit: bool,
    durable: bool,
    multi_process: bool,
    content_limit: bool,
    /// Not a claim: the check runs on several threads.
    threads: bool,
    /// Not a claim: the operating system counts the bytes that a process writes.
    counted_writes: bool,
}

impl Needs {
    /// The largest content limit that a check reaches.
    const REACHABLE: u64 = 4 << 20;

    pub(crate) const fn operations(operations: &'static [OpKind]) -> Self {
        Self {
            operations,
            idempotency: false,
            changes: false,
            search: false,
            cjk_search: false,
            indexed_metadata: false,
            audit: false,
            durable: false,
            multi_process: false,
            content_limit: false,
            threads: false,
            counted_writes: false,
        }
    }

    pub(crate) const fn keys(mut self) -> Self {
        self.idempotency = true;
        self
    }

    pub(crate) const fn changes(mut self) -> Self {
        self.changes = true;
        self
    }

    pub(crate) const fn search(mut self) -> Self {
        self.search = true;
        self
    }

    pub(crate) const fn cjk_search(mut self) -> Self {
        self.cjk_search = true;
        self.search()
    }

    pub(crate) const fn indexed_metadata(mut self) -> Self {
        self.indexed_metadata = true;
        self
    }

    pub(crate) const fn audit(mut self) -> Self {
        self.audit = true;
        self
    }

    pub(crate) const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    pub(crate) const fn processes(mut self) -> Self {
        self.multi_process = true;
        self
    }

    pub(crate) const fn content_limit(mut self) -> Self {
        self.content_limit = true;
        self
    }

    pub(crate) const fn threads(mut self) -> Self {
        self.threads = true;
        self
    }

    pub(crate) const fn counted_writes(mut self) -> Self {
        self.counted_writes = true;
        self
    }

    /// Whether the check is about durability.
    pub(crate) const fn is_of_durability(&self) -> bool {
        self.durable
    }

    pub(crate) const fn wants_threads(&self) -> bool {
        self.threads
    }

    /// The reason why this machine cannot measure the result of the check, independent of the claims.
    pub(crate) fn unmeasurable(&self) -> Option<&'static str> {
        self.unmeasurable_where(child::written().is_some())
    }

    fn unmeasurable_where(&self, counts_writes: bool) -> Option<&'static str> {
        let unmeasurable = self.counted_writes && !counts_writes;
        unmeasurable.then_some(
            "this system does not count the bytes that a process has written: Linux does, in /proc/self/io",
        )
    }

    /// The first requirement that the claims or this machine do not meet, as text for the report.
    pub(crate) fn unmet(&self, claims: &Capabilities) -> Option<String> {
        if let Some(missing) = self.operations.iter().find(|kind| !claims.supports(**kind)) {
            return Some(format!("`{missing}` is not claimed"));
        }
        let requirements = [
            (self.idempotency && !claims.idempotency, "idempotency keys are not claimed"),
            (self.changes && !claims.changes, "changes are not claimed"),
            (self.search && !claims.search, "search is not claimed"),
            (self.cjk_search && !claims.cjk_search, "search of Chinese, Japanese and Korean is not claimed"),
            (
                self.indexed_metadata && claims.indexed_metadata.is_empty(),
                "no indexed metadata is claimed: open the store with a declared field",
            ),
            (self.audit && !claims.audit, "an audit log is not claimed"),
            (self.durable && claims.durability < Durability::Process, "no durability is claimed"),
            (self.multi_process && !claims.multi_process, "several processes are not claimed"),
            (self.content_limit && claims.max_content_bytes.is_none(), "no limit of content is claimed"),
            (
                self.content_limit && claims.max_content_bytes.is_some_and(|limit| limit > Self::REACHABLE),
                "the claimed limit of content is too far off: open the store with one of at most 4 MiB",
            ),
        ];
        let unclaimed = requirements.into_iter().find(|(unmet, _)| *unmet).map(|(_, why)| why);
        unclaimed.or_else(|| self.unmeasurable()).map(str::to_owned)
    }
}

/// One check of a backend. Its id is stable: a check may be split, and is never silently dropped.
#[derive(Clone, Copy)]
pub struct Check {
    pub(crate) id: &'static str,
    pub(crate) scenario: Option<&'static str>,
    pub(crate) about: &'static str,
    pub(crate) level: Level,
    pub(crate) needs: Needs,
    /// The reason why only the core can break the check, if no backend can.
    pub(crate) core_alone: Option<&'static str>,
    pub(crate) run: fn(Rig) -> Pin<Box<dyn Future<Output = ()>>>,
}

impl Check {
    /// Returns the stable id: an area and a sentence in snake case, such as `messages.deleted_id_cannot_be_reused`.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// Returns the acceptance scenario that the check implements, such as `VL-S12`.
    #[must_use]
    pub const fn scenario(&self) -> Option<&'static str> {
        self.scenario
    }

    /// Returns the rule that a store must keep, in one sentence.
    #[must_use]
    pub const fn about(&self) -> &'static str {
        self.about
    }

    /// Returns the level of the check.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The reason why the check does not apply to a backend with these claims, or on this machine; `None` if it applies.
    #[must_use]
    pub fn why_not_applicable(&self, claims: &Capabilities) -> Option<String> {
        self.needs.unmet(claims)
    }
}

/// The id, and the scenario in parentheses if there is one: `messages.appends_are_concatenated (VL-S12)`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)?;
        self.scenario.map_or(Ok(()), |scenario| write!(f, " ({scenario})"))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("id", &self.id).field("level", &self.level).finish_non_exhaustive()
    }
}

/// Defines a table of checks. A row has the level, the id, the scenario in parentheses if there is one, `[operations; further needs]`, the rule
/// and the function. A check that no defective backend can fail says `core alone` and the reason.
macro_rules! checks {
    ($(
        $level:ident $id:literal $(($scenario:literal))? [$($op:ident)* $(; $($need:ident)+)?] $about:literal => $run:ident
        $(, core alone: $why:literal)?;
    )+) => {
        pub(crate) const CHECKS: &[$crate::check::Check] = &[$(
            $crate::check::Check {
                id: $id,
                scenario: $crate::check::optional!($($scenario)?),
                about: $about,
                level: $crate::check::Level::$level,
                needs: $crate::check::Needs::operations(&[$(throughline_core::OpKind::$op),*])$($(.$need())+)?,
                core_alone: $crate::check::optional!($($why)?),
                run: |rig| Box::pin($run(rig)),
            }
        ),+];
    };
}
pub(crate) use checks;

/// A literal as `Some`, or `None`.
macro_rules! optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}
pub(crate) use optional;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmeasurable_check_is_ignored_with_a_reason() {
        let needs = Needs::operations(&[]).counted_writes();
        assert_eq!(needs.unmeasurable_where(true), None);
        assert!(
            needs
                .unmeasurable_where(false)
                .is_some_and(|why| why.contains("does not count the bytes that a process has written"))
        );
        assert_eq!(Needs::operations(&[]).unmeasurable_where(false), None);
    }
}
