//! Faults of the log of who did what.

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
        &["audit.entries", "audit.positions", "audit.thread"],
        AuditFault::ForgetsBatches,
    ),
    faulty(
        "audits-no-consumers",
        "writes no entry of what consumers keep",
        &["audit.consumer"],
        AuditFault::ForgetsConsumers,
    ),
    faulty("audits-replays", "writes an entry of a replay", &["audit.nothing"], AuditFault::AuditsReplays),
    faulty(
        "audits-other-positions",
        "says other positions of a write than it took",
        &["audit.positions"],
        AuditFault::PositionsLate,
    ),
    faulty(
        "audits-without-a-count",
        "does not count the entries that it has written",
        &["audit.chain", "audit.written"],
        AuditFault::ForgetsCount,
    ),
    faulty(
        "audits-without-a-position",
        "does not say with its entries how far it has come",
        &["audit.written"],
        AuditFault::ForgetsPosition,
    ),
    faulty("audits-no-time", "does not say when a write was made", &["audit.facts"], AuditFault::ForgetsWhen),
    faulty(
        "audits-without-a-chain",
        "writes entries that hang on nothing",
        &["audit.chain"],
        AuditFault::HangsOnNothing,
    ),
    faulty("audits-no-refusals", "takes notes and loses them", &["audit.notes"], AuditFault::ForgetsNotes),
    faulty(
        "audits-anew",
        "begins its log anew when it is opened",
        &["audit.reopened"],
        AuditFault::BeginsAnew,
    ),
    Mutant::new("shows-every-tenants-log", "shows a tenant the entries of all", &["audit.tenant"]).before(
        |args, _| {
            scope(args, |scope| if scope == ChangeScope::Tenant { ChangeScope::Store } else { scope });
        },
    ),
    Mutant::new("shows-every-threads-log", "shows who reads one thread's log all", &["audit.thread"]).before(
        |args, _| {
            scope(args, |scope| match scope {
                ChangeScope::Thread(_) => ChangeScope::Tenant,
                scope => scope,
            });
        },
    ),
    Mutant::new(
        "reads-the-log-from-its-beginning",
        "reads the log from its beginning, whatever is asked",
        &["audit.pages"],
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
