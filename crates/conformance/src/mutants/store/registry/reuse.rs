//! Faults of threads that reuse ids.

use throughline_core::{
    PersistArgs, PersistResult, Revision,
    changes::ChangeKind,
    messages::{Batch, Import},
    replication::{ImagePart, ReplicaArgs},
    threads::ThreadArgs,
};

use crate::mutants::store::{Mutant, change};

/// Removes the required first revisions, in batches too.
fn require_nothing(args: &mut PersistArgs) {
    match args {
        PersistArgs::Add(add) => add.revision = None,
        PersistArgs::Reserve(reserve) => reserve.revision = None,
        PersistArgs::Import(Import { revisions, .. }) => revisions.clear(),
        PersistArgs::Batch(Batch { items, .. }) => items.iter_mut().for_each(require_nothing),
        _ => {}
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "never-reuses-ids",
        "keeps deleted ids dead in every thread",
        &[
            "ids.deleted_id_makes_a_new_message_where_a_thread_reuses_ids",
            "ids.reservation_of_a_deleted_id_is_a_new_message",
            "ids.cleared_and_pruned_ids_are_used_again",
            "ids.import_adds_deleted_messages_again",
            "ids.batch_deletes_and_saves_an_id",
            "search.reused_id_is_found_by_its_next_message_only",
            "models.operation_sequences_match_the_reference_model",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Thread(ThreadArgs::Create(create)) = args {
            create.reuses_ids = false;
        }
    }),
    Mutant::new(
        "begins-again-at-one",
        "answers the next message of an id with the first revision",
        &[
            "ids.deleted_id_makes_a_new_message_where_a_thread_reuses_ids",
            "ids.reservation_of_a_deleted_id_is_a_new_message",
        ],
    )
    .after(|_, response| match &mut response.result {
        PersistResult::Add(added) => added.message.revision = Revision::FIRST,
        PersistResult::Reserve(reserved) => reserved.message.revision = Revision::FIRST,
        _ => {}
    }),
    Mutant::new(
        "begins-at-any-revision",
        "adds a message whatever first revision its caller requires",
        &["ids.first_revision_can_be_required", "ids.import_adds_deleted_messages_again"],
    )
    .before(|args, _| require_nothing(args)),
    Mutant::new(
        "goes-on-with-the-deleted",
        "shows the content of the next message of an id as the rest of the deleted one",
        &["ids.tail_cursor_of_a_deleted_message_begins_again"],
    )
    .after(|asked, response| {
        if let Some((_, tail)) = change::tail(asked, response) {
            tail.replaced = false;
        }
    }),
    Mutant::new(
        "copies-no-last-revision",
        "drops the last revision of a deleted message from the row images",
        &["replication.reused_ids_go_on_after_a_promotion"],
    )
    .before(|args, _| {
        if let PersistArgs::Replica(ReplicaArgs::Apply(apply)) = args {
            for image in &mut apply.images {
                if let ImagePart::Gone(gone) = &mut image.part {
                    gone.revision = Revision::ZERO;
                }
            }
        }
    }),
    Mutant::new(
        "emits-the-addition-first",
        "reports the addition of the next message before the deletion",
        &["ids.changes_of_one_id_are_in_order"],
    )
    .after(|_, response| {
        if let Some(changes) = change::reported(response) {
            let changes = &mut changes.changes;
            for at in 1..changes.len() {
                let kinds = (&changes[at - 1].kind, &changes[at].kind);
                if matches!(kinds, (ChangeKind::Deleted(_), ChangeKind::Added(_))) {
                    let deleted = changes[at - 1].kind.clone();
                    changes[at - 1].kind = std::mem::replace(&mut changes[at].kind, deleted);
                }
            }
        }
    }),
    Mutant::new(
        "forgets-to-reuse-ids",
        "keeps deleted ids dead once the store was reopened",
        &["ids.reuse_survives_reopening"],
    )
    .reopened(|response| change::entries(response, |entry| entry.reuses_ids = false)),
    Mutant::new(
        "overwrites-where-ids-are-reused",
        "takes the id of an existing message for free in a thread that reuses ids",
        &["ids.living_id_is_refused_where_a_thread_reuses_ids"],
    )
    .before(|args, context| match args {
        PersistArgs::Add(add) if context.idempotency().is_none() => {
            add.id = format!("{}-again", add.id).parse().expect("a valid id");
        }
        _ => {}
    }),
];
