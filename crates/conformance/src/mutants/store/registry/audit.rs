//! Faults of the audit log.

use throughline_core::{
    PersistArgs, ReadArgs,
    audit::{AuditFrom, AuditNumber},
    changes::ChangeScope,
};

use crate::mutants::store::{Mutant, audit::AuditFault, special::Special};

const fn faulty(
    name: &'static str,
    about: &'static str,
    killed_by: &'static [&'static str],
    fault: AuditFault,
) -> Mutant {
    Mutant::new(name, about, killed_by).special(Special::Audit(fault))
}

pub(super) static MUTANTS: &[Mutant] = &[
    faulty(
        "audits-no-batches",
        "writes no entry of a batch",
        &[
            "audit.every_write_has_one_entry",
            "audit.entry_lists_its_positions",
            "audit.thread_log_withholds_other_threads",
        ],
        AuditFault::ForgetsBatches,
    ),
    faulty(
        "audits-no-consumers",
        "writes no entry of what consumers keep",
        &["audit.consumer_writes_are_recorded"],
        AuditFault::ForgetsConsumers,
    ),
    faulty(
        "audits-replays",
        "writes an entry of a replay",
        &["audit.replay_adds_no_entry"],
        AuditFault::AuditsReplays,
    ),
    faulty(
        "audits-other-positions",
        "says other positions of a write than it took",
        &["audit.entry_lists_its_positions"],
        AuditFault::PositionsLate,
    ),
    faulty(
        "audits-without-a-count",
        "does not count the entries that it has written",
        &["audit.entries_form_a_hash_chain", "audit.page_reports_written_count_and_position"],
        AuditFault::ForgetsCount,
    ),
    faulty(
        "audits-without-a-position",
        "does not say with its entries how far it has come",
        &["audit.page_reports_written_count_and_position"],
        AuditFault::ForgetsPosition,
    ),
    faulty(
        "audits-no-time",
        "does not say when a write was made",
        &["audit.entry_names_actor_time_and_hashes"],
        AuditFault::ForgetsWhen,
    ),
    faulty(
        "audits-without-a-chain",
        "writes entries that hang on nothing",
        &["audit.entries_form_a_hash_chain"],
        AuditFault::HangsOnNothing,
    ),
    faulty(
        "audits-no-refusals",
        "loses the rejected-call records",
        &["audit.rejected_writes_are_recorded"],
        AuditFault::ForgetsRejections,
    ),
    faulty(
        "audits-from-the-opening",
        "begins a new log when the store is opened",
        &["audit.log_survives_reopening"],
        AuditFault::StartsOver,
    ),
    Mutant::new(
        "shows-every-tenants-log",
        "shows a tenant the entries of all",
        &["audit.tenant_reads_only_its_own_entries"],
    )
    .before(|args, _| {
        scope(args, |scope| if scope == ChangeScope::Tenant { ChangeScope::Store } else { scope });
    }),
    Mutant::new(
        "shows-every-threads-log",
        "shows who reads one thread's log all",
        &["audit.thread_log_withholds_other_threads"],
    )
    .before(|args, _| {
        scope(args, |scope| match scope {
            ChangeScope::Thread(_) => ChangeScope::Tenant,
            scope => scope,
        });
    }),
    Mutant::new(
        "reads-the-log-from-its-beginning",
        "reads the log from its beginning, whatever is asked",
        &["audit.pages_run_in_both_directions"],
    )
    .before(|args, _| {
        if let PersistArgs::Read(ReadArgs::Audit(read)) = args {
            read.from = AuditFrom::After(AuditNumber::ZERO);
        }
    }),
];

fn scope(args: &mut PersistArgs, change: fn(ChangeScope) -> ChangeScope) {
    if let PersistArgs::Read(ReadArgs::Audit(read)) = args {
        read.scope = change(read.scope.clone());
    }
}
