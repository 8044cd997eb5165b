//! A check: its id, what it needs, how it runs.

use std::{fmt, future::Future, pin::Pin};

use throughline_core::{Capabilities, Durability, OpKind};

use crate::rig::Rig;

/// How much a check asks of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What every backend has to do.
    Core,
    /// What a backend does as far as it claims to.
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

/// What a backend must claim for a check to apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) operations: &'static [OpKind],
    idempotency: bool,
    durable: bool,
    multi_process: bool,
    content_limit: bool,
    /// Not a claim: the check runs on several threads at once.
    threads: bool,
}

impl Needs {
    /// The largest limit of content that a check goes to.
    const REACHABLE: u64 = 4 << 20;

    pub(crate) const fn operations(operations: &'static [OpKind]) -> Self {
        Self {
            operations,
            idempotency: false,
            durable: false,
            multi_process: false,
            content_limit: false,
            threads: false,
        }
    }

    pub(crate) const fn keys(mut self) -> Self {
        self.idempotency = true;
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

    pub(crate) const fn wants_threads(&self) -> bool {
        self.threads
    }

    /// What is not claimed of it, for people to read.
    pub(crate) fn unmet(&self, claims: &Capabilities) -> Option<String> {
        if let Some(missing) = self.operations.iter().find(|kind| !claims.supports(**kind)) {
            return Some(format!("`{missing}` is not claimed"));
        }
        let gates = [
            (self.idempotency && !claims.idempotency, "idempotency keys are not claimed"),
            (self.durable && claims.durability < Durability::Process, "no durability is claimed"),
            (self.multi_process && !claims.multi_process, "several processes are not claimed"),
            (self.content_limit && claims.max_content_bytes.is_none(), "no limit of content is claimed"),
            (
                self.content_limit && claims.max_content_bytes.is_some_and(|limit| limit > Self::REACHABLE),
                "the claimed limit of content is too far off: open the store with one of at most 4 MiB",
            ),
        ];
        gates.into_iter().find(|(unmet, _)| *unmet).map(|(_, why)| why.to_owned())
    }
}

/// One check of a backend. Its id is stable: a check may be split, and is never silently dropped.
#[derive(Clone, Copy)]
pub struct Check {
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) level: Level,
    pub(crate) needs: Needs,
    pub(crate) run: fn(Rig) -> Pin<Box<dyn Future<Output = ()>>>,
}

impl Check {
    /// The stable id.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// What it checks, in one sentence.
    #[must_use]
    pub const fn about(&self) -> &'static str {
        self.about
    }

    /// How much it asks.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Why it does not apply to a backend with these claims; nothing when it does.
    #[must_use]
    pub fn gate(&self, claims: &Capabilities) -> Option<String> {
        self.needs.unmet(claims)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("id", &self.id).field("level", &self.level).finish_non_exhaustive()
    }
}

/// Writes a table of checks: level, id, `[operations; further needs]`, a sentence, the function.
macro_rules! checks {
    ($($level:ident $id:literal [$($op:ident)* $(; $($need:ident)+)?] $about:literal => $run:ident;)+) => {
        pub(crate) const CHECKS: &[$crate::check::Check] = &[$(
            $crate::check::Check {
                id: $id,
                about: $about,
                level: $crate::check::Level::$level,
                needs: $crate::check::Needs::operations(&[$(throughline_core::OpKind::$op),*])$($(.$need())+)?,
                run: |rig| Box::pin($run(rig)),
            }
        ),+];
    };
}
pub(crate) use checks;
