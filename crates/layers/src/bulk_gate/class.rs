//! Classifies calls as bulk or live.

use throughline_core::{
    OpKind, PersistArgs, replication::ReplicaArgs, sessions::SessionArgs, threads::ThreadArgs,
};

/// The class of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Live,
    Bulk,
    /// Neither waits for live writes nor delays bulk work.
    Exempt,
}

pub(super) fn classify(args: &PersistArgs, batch_items: usize) -> Class {
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
        _ if is_bulk => Class::Bulk,
        OpKind::Read | OpKind::Consumer | OpKind::Replica => Class::Exempt,
        _ => Class::Live,
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
    fn bulk_and_live_calls_are_classified() {
        let t = || "t".parse::<ThreadId>().unwrap();
        let add = || Add::new(t(), NewMessage::user("x"));
        let of = |args: PersistArgs| classify(&args, 2);
        assert_eq!(of(add().into()), Class::Live);
        assert_eq!(of(Delete::new(t(), "m".parse().unwrap()).into()), Class::Live);
        assert_eq!(of(Batch::new().with(add()).with(add()).into()), Class::Live);
        assert_eq!(of(Batch::new().with(add()).with(add()).with(add()).into()), Class::Bulk);
        assert_eq!(of(Import::new(t(), vec![]).into()), Class::Bulk);
        assert_eq!(of(PurgeThread { thread: t(), limit: 1 }.into()), Class::Bulk);
        assert_eq!(of(GetMessage { thread: t(), id: "m".parse().unwrap() }.into()), Class::Exempt);
    }
}
