//! Faults of what is claimed.

use std::sync::atomic::{AtomicUsize, Ordering};

use throughline_core::{Capabilities, Durability};

use crate::mutants::store::{Mutant, everything, special::Special, without_update};

pub(super) static MUTANTS: &[Mutant] = &[
    Mutant::new(
        "claims-nothing",
        "claims no operation and does all of them",
        &[
            "capabilities.add_matches_its_claim",
            "capabilities.reserve_matches_its_claim",
            "capabilities.read_matches_its_claim",
            "capabilities.update_content_matches_its_claim",
            "capabilities.delete_matches_its_claim",
            "capabilities.import_matches_its_claim",
            "capabilities.thread_operations_match_their_claim",
            "capabilities.thread_reads_match_their_claim",
            "capabilities.change_reads_match_their_claim",
            "capabilities.consumer_operations_match_their_claim",
            "capabilities.session_operations_match_their_claim",
            "capabilities.replication_matches_its_claim",
            "capabilities.search_matches_its_claim",
            "capabilities.audit_matches_its_claim",
        ],
    )
    .claiming(|| Capabilities::new(Durability::Process)),
    Mutant::new(
        "claims-keys",
        "claims to keep keys and refuses them",
        &["capabilities.idempotency_keys_match_their_claim"],
    )
    .special(Special::RefusesKeys),
    Mutant::new(
        "claims-now-and-then",
        "claims something else each time that it is asked",
        &["capabilities.description_shows_name_and_claims"],
    )
    .claiming(|| {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let asked = ASKED.fetch_add(1, Ordering::SeqCst);
        if asked.is_multiple_of(2) { everything() } else { everything().with_multi_process() }
    }),
    Mutant::new(
        "claims-too-little",
        "does what it does not claim",
        &["capabilities.update_matches_its_claim", "capabilities.change_reads_match_their_claim"],
    )
    .claiming(without_update),
    Mutant::new(
        "claims-too-much",
        "claims batches and refuses them",
        &[
            "capabilities.batch_matches_its_claim",
            "batches.empty_batch_is_refused",
            "retries.transient_failure_fails_no_batch",
        ],
    )
    .special(Special::RefusesBatches),
    Mutant::new(
        "claims-several-processes",
        "claims that several handles may be open, which do not see each other",
        &[
            "processes.acknowledged_writes_are_visible_to_others",
            "processes.second_update_of_a_revision_is_refused",
            "processes.concurrent_recovery_settles_each_draft_once",
            "processes.concurrent_reservations_share_one_row",
            "processes.concurrent_turns_are_all_kept",
            "processes.alternating_writes_keep_the_thread_summary",
            "processes.seq_order_is_commit_order",
            "durability.crashed_process_does_not_block_others",
            "sessions.two_handles_share_one_run",
            "sessions.processes_never_show_a_mixed_pair",
        ],
    )
    .claiming(|| everything().with_multi_process()),
    Mutant::new(
        "claims-a-limit",
        "claims a limit of content and takes more",
        &[
            "messages.content_above_the_claimed_limit_is_refused",
            "messages.appends_above_the_claimed_limit_are_refused",
        ],
    )
    .claiming(|| everything().with_max_content_bytes(4096)),
];
