//! The commands, one file each.

mod audit;
mod backup;
mod compact;
mod completions;
mod conformance;
mod doctor;
mod export;
mod find;
mod import;
mod indexes;
mod moving;
mod new;
mod pages;
mod planned_items;
mod progress;
mod purge;
mod repair;
mod restore;
mod retain;
mod search;
mod serve;
mod show;
mod sources;
mod stats;
mod tail;
mod threads;
mod token;
mod verify;

use clap::Subcommand;

pub(crate) use self::indexes::Indexes;
use crate::{Outcome, Session};

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Threads(threads::Threads),
    Show(show::Show),
    Search(search::Search),
    Find(find::Find),
    Tail(tail::Tail),
    Doctor(doctor::Doctor),
    Verify(verify::Verify),
    Stats(stats::Stats),
    Repair(repair::Repair),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Import(import::Import),
    Export(export::Export),
    Move(moving::Move),
    Retain(retain::Retain),
    Purge(purge::Purge),
    Compact(compact::Compact),
    Audit(audit::Audit),
    Token(token::Token),
    Serve(serve::Serve),
    Conformance(conformance::Conformance),
    New(new::New),
    Completions(completions::Completions),
    Man(completions::Man),
}

impl Command {
    pub(crate) async fn run(self, session: &mut Session) -> Outcome {
        match self {
            Self::Threads(threads) => threads.run(session).await,
            Self::Show(show) => show.run(session).await,
            Self::Search(search) => search.run(session).await,
            Self::Find(find) => find.run(session).await,
            Self::Tail(tail) => tail.run(session).await,
            Self::Doctor(doctor) => doctor.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
            Self::Stats(stats) => stats.run(session).await,
            Self::Repair(repair) => repair.run(session).await,
            Self::Backup(backup) => backup.run(session).await,
            Self::Restore(restore) => restore.run(session).await,
            Self::Import(import) => import.run(session).await,
            Self::Export(export) => export.run(session).await,
            Self::Move(moving) => moving.run(session).await,
            Self::Retain(retain) => retain.run(session).await,
            Self::Purge(purge) => purge.run(session).await,
            Self::Compact(compact) => compact.run(session).await,
            Self::Audit(audit) => audit.run(session).await,
            Self::Token(token) => token.run(session),
            Self::Serve(serve) => serve.run(session).await,
            Self::Conformance(conformance) => conformance.run(session),
            Self::New(new) => new.run(session),
            Self::Completions(completions) => completions.run(session),
            Self::Man(man) => man.run(session),
        }
    }

    /// The meaning of Ctrl-C for the command.
    pub(crate) const fn on_interrupt(&self) -> OnInterrupt {
        match self {
            Self::Tail(tail::Tail { follow: true, .. }) => OnInterrupt::IsDone,
            Self::Move(moving) if moving.runs_until_interrupted() => OnInterrupt::IsDone,
            Self::Serve(_) => OnInterrupt::EndsItself,
            _ => OnInterrupt::IsCancelled,
        }
    }
}

/// The meaning of Ctrl-C for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// It is the usual end.
    IsDone,
    /// The command waits for it, and ends in its own order.
    EndsItself,
    /// The command did not do its work.
    IsCancelled,
}
