//! Faults of exact copies.

use throughline_core::{
    PersistArgs, PersistResponse, PersistResult, ReadArgs, ReadResult, ReplicaArgs, ReplicaResult,
    TakeStance,
    replica::{ImagePart, Role},
};

use crate::mutants::store::Mutant;

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

fn stance(args: &mut PersistArgs) -> Option<&mut TakeStance> {
    match args {
        PersistArgs::Replica(ReplicaArgs::Stand(take)) => Some(take),
        _ => None,
    }
}

pub(super) static MUTANTS: &[Mutant] = &[
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
        "leaves the names of providers out of a copy",
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
    Mutant::new("copies-no-log", "leaves the log of who did what out of a copy", &["replica.log"])
        .after(|_, response| keep(response, |part| !matches!(part, ImagePart::Audit(_)))),
    Mutant::new("copies-other-entries", "changes entries of the log while they are copied", &["replica.log"])
        .before(|args, _| {
            parts(args, |part| {
                if let ImagePart::Audit(entry) = part {
                    entry.record.actor = None;
                }
            });
        }),
    Mutant::new(
        "copies-no-threads",
        "leaves what is said of threads out of a copy",
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
        "copies cursors without what was passed over",
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
        "leads-always",
        "says that it follows and takes writes",
        &["replica.goes-on", "replica.refuses"],
    )
    .before(|args, _| {
        if let Some(take) = stance(args)
            && take.to.role == Role::Following
        {
            take.to = take.expected;
        }
    }),
    Mutant::new("stands-anyhow", "takes every stance as what was expected", &["replica.stance"]).before(
        |args, _| {
            if let Some(take) = stance(args) {
                take.to = take.expected;
            }
        },
    ),
    Mutant::new("captures-for-ever", "does not end a capture", &["replica.capture"]).before(|args, _| {
        if let PersistArgs::Replica(end @ ReplicaArgs::End(_)) = args {
            *end = throughline_core::BeginCapture::WHOLE.into();
        }
    }),
    Mutant::new("begins-anywhere", "takes a copy into a store with something in it", &["replica.empty"])
        .after(|_, response| {
            if let PersistResult::Read(ReadResult::Standing(standing)) = &mut response.result {
                standing.is_empty = true;
            }
        }),
];
