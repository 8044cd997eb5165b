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

/// Changes images before they are put in their places.
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
    Mutant::new("new-store-keys", "has a new key of fingerprints whenever it is opened", &["keys.store-key"])
        .special(Special::Key(KeyFault::NewAtEveryOpen)),
    Mutant::new("one-store-key", "keys the fingerprints of all stores with one key", &["keys.store-key-own"])
        .special(Special::Key(KeyFault::OneForAll)),
    Mutant::new("keeps-its-store-key", "follows another store under its own key", &["replica.store-key"])
        .before(|args, _| {
            if let Some(take) = replication_state(args) {
                take.fingerprint_key = None;
            }
        }),
    Mutant::new("copies-no-keys", "leaves idempotency keys out of a copy", &["replica.goes-on"])
        .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Key(_)))),
    Mutant::new(
        "copies-no-dead-ids",
        "leaves ids of deleted messages out of a copy",
        &["replica.exact", "replica.goes-on"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Gone(_)))),
    Mutant::new(
        "copies-no-names",
        "leaves provider aliases out of a copy",
        &["replica.exact", "replica.follows"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Name(_)))),
    Mutant::new(
        "copies-no-sessions",
        "leaves agent sessions out of a copy",
        &["replica.exact", "replica.follows"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Session(_)))),
    Mutant::new(
        "copies-no-agents",
        "leaves what was done to whole agents out of a copy",
        &["replica.exact", "replica.follows"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Agent { .. }))),
    Mutant::new(
        "copies-no-consumers",
        "leaves cursors of consumers out of a copy",
        &["replica.exact", "replica.follows"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Consumer(_)))),
    Mutant::new(
        "copies-no-changes",
        "leaves the changes out of a copy",
        &["replica.exact", "replica.follows"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Change(_)))),
    Mutant::new("copies-no-log", "leaves the audit log out of a copy", &["replica.log"])
        .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Audit(_)))),
    Mutant::new(
        "copies-other-entries",
        "changes entries of the audit log while they are copied",
        &["replica.log"],
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
        &["replica.exact", "replica.follows", "replica.pages"],
    )
    .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Thread(_)))),
    Mutant::new(
        "copies-first-revisions",
        "gives every copied message its first revision",
        &["replica.exact", "replica.follows"],
    )
    .before(|args, _| {
        parts(args, |part| {
            if let ImagePart::Message(message) = part {
                message.revision = throughline_core::Revision::FIRST;
            }
        });
    }),
    Mutant::new(
        "copies-no-quarantine",
        "copies cursors without their quarantined changes",
        &["replica.exact", "replica.follows"],
    )
    .before(|args, _| {
        parts(args, |part| {
            if let ImagePart::Consumer(consumer) = part {
                consumer.quarantined.clear();
            }
        });
    }),
    Mutant::new("copies-all-again", "reads everything each time", &["replica.follows"]).before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Images(read)) = args
            && read.limit == 100
        {
            read.after.touched = 0;
        }
    }),
    Mutant::new(
        "copies-in-one-page",
        "reads all images at once",
        &["replica.exact", "replica.follows", "replica.once", "replica.pages"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Images(read)) = args {
            read.limit = 1000;
        }
    }),
    Mutant::new("copies-once-more", "says of images that were there that they were put", &["replica.once"])
        .after(|_, response| {
            if let PersistResult::Replica(ReplicaResult::Apply(applied)) = &mut response.result {
                applied.already = false;
            }
        }),
    Mutant::new(
        "is_primary-always",
        "answers that it is a replica, and accepts writes",
        &["replica.goes-on", "replica.refuses"],
    )
    .before(|args, _| {
        if let Some(take) = replication_state(args)
            && take.to.role == ReplicationRole::Replica
        {
            take.to = take.expected;
        }
    }),
    Mutant::new("stands-anyhow", "accepts every replication role as the expected one", &["replica.state"])
        .before(|args, _| {
            if let Some(take) = replication_state(args) {
                take.to = take.expected;
            }
        }),
    Mutant::new("captures-for-ever", "does not end a capture", &["replica.capture"]).before(|args, _| {
        if let PersistArgs::Replica(end @ ReplicaArgs::End(_)) = args {
            *end = throughline_core::replication::BeginCapture::WHOLE.into();
        }
    }),
    Mutant::new("begins-anywhere", "takes a copy into a store with something in it", &["replica.empty"])
        .after(|_, response| {
            if let PersistResult::Read(ReadResult::ReplicationStatus(standing)) = &mut response.result {
                standing.is_empty = true;
            }
        }),
];
