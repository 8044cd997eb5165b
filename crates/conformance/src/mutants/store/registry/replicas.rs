//! Faults of exact copies.

use throughline_core::{
    PersistArgs, PersistResponse, PersistResult, ReadArgs, ReadResult,
    replication::{ImagePart, ReplicaArgs, ReplicaResult, ReplicationRole, SetReplicationState},
};

use crate::mutants::store::{Mutant, special::Special, store_key::KeyFault};

/// Leaves images out of what is read.
fn keep(response: &mut PersistResponse, keeps: fn(&ImagePart) -> bool) {
    if let PersistResult::Read(ReadResult::Images(images)) = &mut response.result {
        images.images.retain(|image| keeps(&image.part));
    }
}

/// Changes row images before they are applied.
fn parts(args: &mut PersistArgs, change: fn(&mut ImagePart)) {
    if let PersistArgs::Replica(ReplicaArgs::Apply(apply)) = args {
        apply.images.iter_mut().for_each(|image| change(&mut image.part));
    }
}

fn replication_state(args: &mut PersistArgs) -> Option<&mut SetReplicationState> {
    match args {
        PersistArgs::Replica(ReplicaArgs::SetState(take)) => Some(take),
        _ => None,
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "new-store-keys",
        "has a new key of fingerprints whenever it is opened",
        &["keys.store_key_survives_reopening"],
    )
    .special(Special::Key(KeyFault::NewAtEveryOpen)),
    Mutant::new(
        "one-store-key",
        "keys the fingerprints of all stores with one key",
        &["keys.new_stores_have_different_keys"],
    )
    .special(Special::Key(KeyFault::OneForAll)),
    Mutant::new(
        "keeps-its-store-key",
        "follows another store under its own key",
        &["replication.store_key_is_copied"],
    )
    .before(|args, _| {
        if let Some(take) = replication_state(args) {
            take.fingerprint_key = None;
        }
    }),
    Mutant::new(
        "copies-no-keys",
        "leaves idempotency keys out of a copy",
        &["replication.promoted_replica_accepts_writes"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Key(_)))),
    Mutant::new(
        "copies-no-tombstones",
        "leaves tombstones of deleted messages out of a copy",
        &["replication.copy_is_exact", "replication.promoted_replica_accepts_writes"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Gone(_)))),
    Mutant::new(
        "copies-no-names",
        "leaves provider aliases out of a copy",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Name(_)))),
    Mutant::new(
        "copies-no-sessions",
        "leaves agent sessions out of a copy",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Session(_)))),
    Mutant::new(
        "copies-no-agents",
        "leaves what was done to whole agents out of a copy",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Agent { .. }))),
    Mutant::new(
        "copies-no-consumers",
        "leaves cursors of consumers out of a copy",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Consumer(_)))),
    Mutant::new(
        "copies-no-changes",
        "leaves the changes out of a copy",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Change(_)))),
    Mutant::new("copies-no-log", "leaves the audit log out of a copy", &["replication.audit_log_is_copied"])
        .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Audit(_)))),
    Mutant::new(
        "copies-other-entries",
        "changes entries of the audit log while they are copied",
        &["replication.audit_log_is_copied"],
    )
    .before(|args, _| {
        parts(args, |part| {
            if let ImagePart::Audit(entry) = part {
                entry.record.actor = None;
            }
        });
    }),
    Mutant::new(
        "copies-no-threads",
        "leaves thread stats out of a copy",
        &[
            "replication.copy_is_exact",
            "replication.later_changes_are_copied",
            "replication.image_reads_are_bounded_and_current",
        ],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Thread(_)))),
    Mutant::new(
        "copies-first-revisions",
        "gives every copied message its first revision",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .before(|args, _| {
        parts(args, |part| {
            if let ImagePart::Message(image) = part {
                image.message.revision = throughline_core::Revision::FIRST;
            }
        });
    }),
    Mutant::new(
        "copies-no-quarantine",
        "copies cursors without their quarantined changes",
        &["replication.copy_is_exact", "replication.later_changes_are_copied"],
    )
    .before(|args, _| {
        parts(args, |part| {
            if let ImagePart::Consumer(consumer) = part {
                consumer.quarantined.clear();
            }
        });
    }),
    Mutant::new("copies-all-again", "reads everything each time", &["replication.later_changes_are_copied"])
        .before(|args, _| {
            if let PersistArgs::Read(ReadArgs::Images(read)) = args
                && read.limit == 100
            {
                read.after.touched = 0;
            }
        }),
    Mutant::new(
        "copies-in-one-page",
        "reads all images at once",
        &[
            "replication.copy_is_exact",
            "replication.later_changes_are_copied",
            "replication.images_are_applied_once_and_in_order",
            "replication.image_reads_are_bounded_and_current",
        ],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Images(read)) = args {
            read.limit = 1000;
        }
    }),
    Mutant::new(
        "copies-once-more",
        "says of images that were there that they were put",
        &["replication.images_are_applied_once_and_in_order"],
    )
    .after(|_, response| {
        if let PersistResult::Replica(ReplicaResult::Apply(applied)) = &mut response.result {
            applied.already = false;
        }
    }),
    Mutant::new(
        "always-primary",
        "answers that it is a replica, and accepts writes",
        &["replication.promoted_replica_accepts_writes", "replication.replica_refuses_writes"],
    )
    .before(|args, _| {
        if let Some(take) = replication_state(args)
            && take.to.role == ReplicationRole::Replica
        {
            take.to = take.expected;
        }
    }),
    Mutant::new(
        "accepts-any-role",
        "accepts every replication role as the expected one",
        &["replication.role_changes_from_the_expected_state_only"],
    )
    .before(|args, _| {
        if let Some(take) = replication_state(args) {
            take.to = take.expected;
        }
    }),
    Mutant::new(
        "captures-for-ever",
        "does not end a capture",
        &["replication.cursor_of_an_ended_capture_is_too_old"],
    )
    .before(|args, _| {
        if let PersistArgs::Replica(end @ ReplicaArgs::End(_)) = args {
            *end = throughline_core::replication::BeginCapture::WHOLE.into();
        }
    }),
    Mutant::new(
        "begins-anywhere",
        "takes a copy into a store with something in it",
        &["replication.replica_starts_empty_or_equal"],
    )
    .after(|_, response| {
        if let PersistResult::Read(ReadResult::ReplicationStatus(status)) = &mut response.result {
            status.is_empty = true;
        }
    }),
];
