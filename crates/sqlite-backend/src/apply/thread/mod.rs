//! What is done to a thread as a whole.

mod change;
mod end;
mod prune;
mod rebuild;
mod resolve;

pub(super) use self::{
    change::{FORGET_LABELS, put_labels},
    rebuild::recount,
    resolve::name,
};
#[cfg(test)]
pub(crate) use self::{
    end::FORGET_ALIASES,
    resolve::{BY_EVENT, BY_ITEM, BY_TURN, OF_MESSAGE},
};
use throughline_core::{
    ErrorKind, Happened, PersistError, ThreadArgs, ThreadChanged, ThreadId, ThreadResult,
    backend::{ThreadFacts, rules},
};

use super::{Applied, Scope, batch::undone_if_refused, delete::take_last, refusal, threads::ThreadState};

/// Does it, whole or not at all.
pub(super) fn apply(scope: Scope<'_>, args: &ThreadArgs) -> Applied<ThreadResult> {
    let apply = || apply_at_once(scope, args);
    if may_mend(args) { undone_if_refused(scope, apply) } else { apply() }
}

/// Whether it mends what is damaged first. It may still be refused for something else, and undoes that then.
pub(super) const fn may_mend(args: &ThreadArgs) -> bool {
    matches!(args, ThreadArgs::Rebuild(_) | ThreadArgs::Delete(_) | ThreadArgs::Purge(_))
}

fn apply_at_once(scope: Scope<'_>, args: &ThreadArgs) -> Applied<ThreadResult> {
    let thread = match args {
        ThreadArgs::Create(create) => {
            if scope.living(&create.thread)?.is_some() {
                let detail = format!("there is a thread `{}`", create.thread);
                return Err(refusal(ErrorKind::AlreadyExists, detail).into());
            }
            rules::check_labels(&create.labels)?;
            let thread_pk = scope.begin(&create.thread, ThreadFacts::created(create, scope.now))?.thread_pk;
            change::write_labels(scope, &create.thread)?;
            scope.tell(scope.take_position(), thread_pk, &Happened::ThreadCreated)?;
            &create.thread
        }
        ThreadArgs::Rename(rename) => {
            change::rename(scope, rename)?;
            &rename.thread
        }
        ThreadArgs::Archive(archive) => {
            change::change(scope, &archive.thread, |entry| entry.archived = archive.archived)?;
            &archive.thread
        }
        ThreadArgs::Label(label) => {
            change::label(scope, label)?;
            &label.thread
        }
        ThreadArgs::Publish(publish) => {
            change::publish(scope, &publish.thread)?;
            &publish.thread
        }
        ThreadArgs::Rebuild(rebuild) => {
            rebuild::rebuild(scope, &rebuild.thread)?;
            &rebuild.thread
        }
        ThreadArgs::Clear(clear) => {
            end::clear(scope, clear)?;
            &clear.thread
        }
        ThreadArgs::Delete(delete) => return Ok(ThreadResult::Delete(end::delete(scope, &delete.thread)?)),
        ThreadArgs::Prune(prune) => return Ok(ThreadResult::Prune(prune::prune(scope, prune)?)),
        ThreadArgs::TakeLast(take) => return Ok(ThreadResult::TakeLast(take_last(scope, take)?)),
        ThreadArgs::Resolve(asked) => return Ok(ThreadResult::Resolve(resolve::resolve(scope, asked)?)),
        ThreadArgs::Purge(purge) => return Ok(ThreadResult::Purge(end::purge(scope, purge)?)),
        other => return Err(unsupported(other).into()),
    };
    let entry = existing(scope, thread)?.shown(scope.tenant, thread)?;
    args.changed(ThreadChanged { entry, deduplicated: false }).ok_or_else(|| unsupported(args).into())
}

fn unsupported(args: &ThreadArgs) -> PersistError {
    PersistError::unsupported(format_args!("`{}`", args.as_str()))
}

/// The thread, which has to be there.
fn existing<'a>(scope: Scope<'a>, thread: &ThreadId) -> Applied<std::cell::RefMut<'a, ThreadState>> {
    scope.living(thread)?.ok_or_else(|| rules::no_such_thread(thread).into())
}
