//! Faults of what is claimed.

use std::sync::atomic::{AtomicUsize, Ordering};

use throughline_core::{Capabilities, Durability};

use crate::mutants::store::{Mutant, everything, special::Special, without_update};

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "claims-nothing",
        "claims no operation and does all of them",
        &[
            "claims.add",
            "claims.reserve",
            "claims.read",
            "claims.update-content",
            "claims.delete",
            "claims.import",
            "claims.thread",
            "claims.catalog",
            "claims.changes",
            "claims.consumer",
            "claims.session",
            "claims.replica",
            "claims.search",
            "claims.audit",
        ],
    )
    .claiming(|| Capabilities::new(Durability::Process)),
    Mutant::new("claims-keys", "claims to keep keys and refuses them", &["claims.keys"])
        .special(Special::RefusesKeys),
    Mutant::new(
        "claims-now-and-then",
        "claims something else each time that it is asked",
        &["claims.described"],
    )
    .claiming(|| {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let asked = ASKED.fetch_add(1, Ordering::SeqCst);
        if asked.is_multiple_of(2) { everything() } else { everything().with_multi_process() }
    }),
    Mutant::new("claims-too-little", "does what it does not claim", &["claims.update", "claims.changes"])
        .claiming(without_update),
    Mutant::new(
        "claims-too-much",
        "claims batches and refuses them",
        &["claims.batch", "batch.empty", "VL-S16.batch"],
    )
    .special(Special::RefusesBatches),
    Mutant::new(
        "claims-several-processes",
        "claims that several handles may be open, which do not see each other",
        &[
            "processes.see",
            "processes.revision",
            "VL-S14.processes",
            "VL-S15.processes",
            "RR-S3",
            "processes.entry",
            "VL-S23.processes",
            "crash.neighbour",
            "TC-S10.handles",
            "MU-S5.processes",
        ],
    )
    .claiming(|| everything().with_multi_process()),
    Mutant::new(
        "claims-a-limit",
        "claims a limit of content and takes more",
        &["content.limit", "content.limit-by-appends"],
    )
    .claiming(|| everything().with_max_content_bytes(4096)),
];
