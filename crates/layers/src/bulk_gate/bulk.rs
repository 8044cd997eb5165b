//! What sort of work a call is.

use throughline_core::{
    OpKind, PersistArgs, replication::ReplicaArgs, sessions::SessionArgs, threads::ThreadArgs,
};

/// What sort of work a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Live,
    Bulk,
    /// Neither waits nor is waited for.
    Beside,
}

pub(super) fn sort(args: &PersistArgs, batch_items: usize) -> Sort {
    let is_bulk = match args {
        PersistArgs::Import(_) => true,
        PersistArgs::Replica(ReplicaArgs::Apply(_)) => true,
        PersistArgs::Batch(batch) => batch.items.len() > batch_items,
        PersistArgs::Thread(thread) => {
            matches!(thread, ThreadArgs::Prune(_) | ThreadArgs::Purge(_) | ThreadArgs::Rebuild(_))
        }
        PersistArgs::Session(session) => matches!(
            session,
            SessionArgs::Backfill(_) | SessionArgs::DropAgent(_) | SessionArgs::DropRuntime(_)
        ),
        _ => false,
    };
    match args.kind() {
        _ if is_bulk => Sort::Bulk,
        OpKind::Read | OpKind::Consumer | OpKind::Replica => Sort::Beside,
        _ => Sort::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{
        NewMessage, ThreadId,
        messages::{Add, Batch, Delete, GetMessage, Import},
        threads::PurgeThread,
    };

    #[test]
    fn bulk_is_told_from_live() {
        let t = || "t".parse::<ThreadId>().unwrap();
        let add = || Add::new(t(), NewMessage::user("x"));
        let of = |args: PersistArgs| sort(&args, 2);
        assert_eq!(of(add().into()), Sort::Live);
        assert_eq!(of(Delete::new(t(), "m".parse().unwrap()).into()), Sort::Live);
        assert_eq!(of(Batch::new().with(add()).with(add()).into()), Sort::Live);
        assert_eq!(of(Batch::new().with(add()).with(add()).with(add()).into()), Sort::Bulk);
        assert_eq!(of(Import::new(t(), vec![]).into()), Sort::Bulk);
        assert_eq!(of(PurgeThread { thread: t(), limit: 1 }.into()), Sort::Bulk);
        assert_eq!(of(GetMessage { thread: t(), id: "m".parse().unwrap() }.into()), Sort::Beside);
    }
}
