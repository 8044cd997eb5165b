//! The steps of an interleaving. Every value is a small number: the world is small, so that steps meet often.

use proptest::{collection::vec, prelude::*};

/// The number of actors: each has at most one run, and knows its name until it dies.
pub(super) const ACTORS: usize = 4;
pub(super) const AGENTS: [&str; 2] = ["g", "h"];
pub(super) const THREADS: [&str; 2] = ["t", "T"];
pub(super) const PROVIDERS: [&str; 2] = ["p", "q"];
pub(super) const RUNTIMES: [&str; 2] = ["r", "R"];
pub(super) const ROOTS: [&str; 2] = ["e", "f"];
pub(super) const SESSIONS: [&str; 4] = ["s", "S", "u", "v"];
pub(super) const DIRS: [&str; 2] = ["/d", "/D"];
/// Leases, in milliseconds.
pub(super) const LEASES: [u64; 2] = [1000, 60_000];

/// An agent and a thread.
pub(super) type At = (usize, usize);
/// A runtime and a root.
pub(super) type Where = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) provider: usize,
    pub(super) runtime: Option<Where>,
    /// Queued so many generations before the present one; -1 is one that there is not yet.
    pub(super) queued: Option<i64>,
    /// To make the last run of this actor again, wherever that was.
    pub(super) rerun: Option<usize>,
    pub(super) fresh: bool,
    pub(super) found: Found,
}

impl Claim {
    /// The one that is most often made.
    pub(super) const PLAIN: Self = Self {
        provider: 0,
        runtime: Some((0, 0)),
        queued: None,
        rerun: None,
        fresh: false,
        found: Found::Same,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Same,
    Elsewhere,
    DirectoryGone,
    SessionMissing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Confirm,
    Cancel,
    FailKept,
    FailPoisoned,
    FailMissing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) session: Option<usize>,
    pub(super) dir: Option<usize>,
    pub(super) artifact_missing: bool,
    pub(super) retires: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionOp {
    Begin {
        actor: usize,
        at: At,
        claim: Claim,
        assigned: Option<usize>,
        dir: Option<usize>,
        lease: usize,
    },
    Renew {
        actor: usize,
    },
    Pin {
        actor: usize,
        session: usize,
        dir: Option<usize>,
    },
    /// The end of a run, together with a message in a batch, or alone.
    End {
        actor: usize,
        how: How,
        report: Report,
        says: bool,
    },
    /// Expecting the present generation, or another one.
    Reset {
        at: At,
        expected: Option<bool>,
    },
    Retire {
        at: At,
        session: usize,
    },
    ClearIf {
        at: At,
        session: usize,
        runtime: Option<Where>,
    },
    Adopt {
        at: At,
        session: usize,
        provider: usize,
        runtime: Option<Where>,
        run: Option<(How, usize)>,
    },
    Backfill {
        at: At,
        dry: bool,
    },
    ResetAgent(usize),
    DropAgent(usize),
    DropRuntime(usize),
    ClearThread(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Once, or twice under one key.
    Do {
        session_op: SessionOp,
        twice: bool,
    },
    Look {
        at: At,
        claim: Claim,
    },
    /// The clock moves by so many milliseconds, forward or back.
    Clock(i64),
    /// An actor dies: no later step uses its run.
    Die(usize),
    /// The store is closed and opened again.
    Reopen,
}

/// Interleavings of up to so many steps.
pub(super) fn interleavings(steps: usize, reopens: bool) -> impl Strategy<Value = Vec<Step>> {
    vec(any::<u64>().prop_map(move |bits| Bits(bits).step(reopens)), 1..steps)
}

/// Random bits, taken a few at a time. The small numbers come more often than the others, or nothing would ever meet.
struct Bits(u64);

impl Bits {
    fn below(&mut self, bound: u64) -> usize {
        let taken = self.0 % bound;
        self.0 /= bound;
        usize::try_from(taken).expect("a small number")
    }

    fn is(&mut self, one_in: u64) -> bool {
        self.below(one_in) == one_in as usize - 1
    }

    /// The first of two, but for one time in so many.
    fn mostly(&mut self, one_in: u64) -> usize {
        usize::from(self.is(one_in))
    }

    fn at(&mut self) -> At {
        (self.mostly(4), self.mostly(4))
    }

    fn pair(&mut self) -> Where {
        (self.mostly(4), self.mostly(6))
    }

    fn dir(&mut self) -> Option<usize> {
        [None, None, Some(0), Some(1)][self.below(4)]
    }

    fn session(&mut self) -> usize {
        self.below(4)
    }

    fn claim(&mut self) -> Claim {
        let found = [Found::Elsewhere, Found::DirectoryGone, Found::SessionMissing];
        Claim {
            provider: self.mostly(5),
            runtime: if self.is(8) { None } else { Some(self.pair()) },
            queued: [None, None, None, None, Some(0), Some(1), Some(2), Some(-1)][self.below(8)],
            rerun: if self.is(8) { Some(self.below(4)) } else { None },
            fresh: self.is(12),
            found: if self.is(8) { found[self.below(3)] } else { Found::Same },
        }
    }

    fn how(&mut self) -> How {
        [
            How::Confirm,
            How::Confirm,
            How::Confirm,
            How::Cancel,
            How::Cancel,
            How::FailKept,
            How::FailPoisoned,
            How::FailMissing,
        ][self.below(8)]
    }

    fn end(&mut self) -> SessionOp {
        let actor = self.below(ACTORS as u64);
        let how = self.how();
        let report = Report {
            session: if self.is(3) { None } else { Some(self.session()) },
            dir: self.dir(),
            artifact_missing: self.is(10),
            retires: if self.is(12) { Some(self.session()) } else { None },
        };
        SessionOp::End { actor, how, report, says: self.is(4) }
    }

    fn begin(&mut self) -> SessionOp {
        SessionOp::Begin {
            actor: self.below(ACTORS as u64),
            at: self.at(),
            lease: self.mostly(4),
            assigned: if self.is(4) { Some(self.session()) } else { None },
            dir: self.dir(),
            claim: self.claim(),
        }
    }

    fn rare(&mut self) -> SessionOp {
        match self.below(16) {
            0..=4 => SessionOp::Reset {
                at: self.at(),
                expected: [None, None, Some(true), Some(false)][self.below(4)],
            },
            5 => SessionOp::Retire { at: self.at(), session: self.session() },
            6 | 7 => SessionOp::ClearIf {
                at: self.at(),
                session: self.session(),
                runtime: if self.is(2) { Some(self.pair()) } else { None },
            },
            8 => SessionOp::Adopt {
                at: self.at(),
                session: self.session(),
                provider: self.mostly(5),
                runtime: if self.is(2) { None } else { Some(self.pair()) },
                run: if self.is(3) { None } else { Some((self.how(), self.session())) },
            },
            9 => SessionOp::Backfill { at: self.at(), dry: self.is(3) },
            10 => SessionOp::ResetAgent(self.mostly(3)),
            11 => SessionOp::DropAgent(self.mostly(3)),
            12 => SessionOp::DropRuntime(self.mostly(3)),
            13 | 14 => SessionOp::ClearThread(self.mostly(3)),
            _ => SessionOp::Renew { actor: self.below(ACTORS as u64) },
        }
    }

    fn step(mut self, reopens: bool) -> Step {
        match self.below(32) {
            0..=9 => Step::Do { twice: self.is(8), session_op: self.begin() },
            10..=17 => Step::Do { twice: self.is(8), session_op: self.end() },
            18..=20 => Step::Do {
                twice: self.is(8),
                session_op: SessionOp::Pin {
                    actor: self.below(ACTORS as u64),
                    session: self.session(),
                    dir: self.dir(),
                },
            },
            21..=25 => Step::Do { twice: self.is(8), session_op: self.rare() },
            26 | 27 => Step::Look { at: self.at(), claim: self.claim() },
            28 | 29 => Step::Clock([100, 1000, 2000, 60_000, -500][self.below(5)]),
            30 if reopens => Step::Reopen,
            _ => Step::Die(self.below(ACTORS as u64)),
        }
    }
}
