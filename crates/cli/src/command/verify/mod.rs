//! `verify`: every row of a store.

mod readable;
mod verified;

use clap::Args;
use throughline::ErrorKind;

use self::verified::Method;
pub(super) use self::{
    readable::verify as verify_by_reads,
    verified::{DamagedPart, Verified},
};
use crate::{
    Access, Failure, Outcome, Session,
    output::{BAD, GOOD, count},
    store::{self, StoreName},
};

/// Checks every row; exits with 3 and names each damaged one
///
/// Of a SQLite file it checks every page, index, row and checksum. Of a Postgres store it reads the listed threads, their messages
/// and the audit log; the pages and indexes belong to the server.
#[derive(Debug, Args)]
pub(crate) struct Verify {}

impl Verify {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let verified = verify(session).await?;
        let name = session.store_name();
        session.settled = Some(verified.exit());
        let output = &mut session.output;
        if output.is_json() {
            output.json("verify", &verified)?;
            return Ok(verified.exit());
        }
        verified.write(output)?;
        let checked = &verified.checked;
        let (threads, messages) = (count(checked.threads, "thread"), count(checked.messages, "message"));
        let checked = match &checked.of_file {
            Some(of_file) => format!("{threads}, {messages} and {}", count(of_file.changes, "change")),
            None => format!("{threads}, {messages} and {}", count(checked.audit_entries, "audit record")),
        };
        if verified.sound {
            output.sentence(format_args!("{GOOD}sound{GOOD:#}: {name}, with {checked}"))?;
        } else {
            let damage = count(verified.damage_count(), "damaged part");
            output.sentence(format_args!("{BAD}{damage}{BAD:#}: {name}, with {checked}"))?;
            output.sentence("`throughline repair` shows what can be repaired.")?;
        }
        if verified.method == Method::Reads {
            output
                .sentence("Only rows were read. `pg_amcheck` checks the tables and indexes of the server.")?;
        }
        Ok(verified.exit())
    }
}

async fn verify(session: &mut Session) -> Result<Verified, Failure> {
    let StoreName::File(path) = session.store()?.clone() else {
        let db = session.open(Access::Read).await?;
        let progress = super::progress::spinner("reading");
        let verified = verify_by_reads(&db).await?;
        progress.finish_and_clear();
        return Ok(verified);
    };
    let file = match store::file(&path).await {
        Err(Failure::Reported(report)) if report.code == ErrorKind::Corrupt.code() => {
            return Ok(Verified::unreadable(report.text));
        }
        file => file?,
    };
    let progress = super::progress::spinner("verifying");
    let verified = Verified::of(file.verify().await?);
    progress.finish_and_clear();
    Ok(verified)
}
