//! A second wall between tenants, on request: row-level security, which the server keeps.
//!
//! Each transaction says for which tenants it is, and sees and writes no row of others, whatever its statements ask for. What spans
//! tenants says that it is of the whole store. Who says nothing sees nothing. `docs/decisions/0045` tells more.

use std::{collections::BTreeSet, fmt::Write as _};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use throughline_core::{ReadArgs, TenantId, changes::ChangeScope};

use crate::{OpenError, queue::Pending};

/// For whom a transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    Tenants(BTreeSet<TenantId>),
    /// The whole store: what is done about copies, and reads that are asked of all tenants.
    Store,
}

impl Reach {
    /// For nobody: what has no tenant is all that it needs.
    pub(crate) const fn nobody() -> Self {
        Self::Tenants(BTreeSet::new())
    }

    /// For those who wait for this batch, and for those whom its notes are about.
    pub(crate) fn of_batch(batch: &[Pending]) -> Self {
        Self::Tenants(batch.iter().flat_map(|pending| pending.write.tenants()).cloned().collect())
    }

    pub(crate) fn of_read(tenant: &TenantId, read: &ReadArgs) -> Self {
        let spans = match read {
            ReadArgs::Changes(read) => matches!(read.scope, ChangeScope::Store),
            ReadArgs::Audit(read) => matches!(read.scope, ChangeScope::Store),
            ReadArgs::Tenants(_) | ReadArgs::Images(_) | ReadArgs::ReplicationStatus(_) => true,
            _ => false,
        };
        if spans { Self::Store } else { Self::Tenants(BTreeSet::from([tenant.clone()])) }
    }

    /// The statement that says it, to the end of the transaction. It fails where the wall is not whole.
    pub(crate) fn statement(&self) -> String {
        let (mut tenants, mut reach) = (String::new(), "");
        match self {
            Self::Store => reach = "store",
            Self::Tenants(names) => {
                for name in names {
                    // No name holds a control character. Escapes are read alike whatever is set for the role.
                    let between = if tenants.is_empty() { "" } else { "\\n" };
                    let name = name.as_str().replace('\\', "\\\\").replace('\'', "''");
                    // Writing into a string does not fail.
                    let _ = write!(tenants, "{between}{name}");
                }
            }
        }
        format!("SELECT throughline.for_tenants(E'{tenants}', '{reach}'); ")
    }
}

/// Says that what follows is of the whole store, in a transaction that was for tenants, and that it is not any more.
pub(crate) const WIDEN: &str = "SELECT set_config('throughline.reach', 'store', true)";
pub(crate) const NARROW: &str = "SELECT set_config('throughline.reach', '', true)";

/// The tables with a column `tenant`, and whether each has our policy, no other, and holds its owner to it. The index of words has none:
/// what it is searched with could not go by an index behind a policy, and what it finds is held against the messages, which have one.
macro_rules! walls {
    () => {
        "SELECT c.oid, c.relname, c.relrowsecurity AND c.relforcerowsecurity \
            AND (SELECT count(*) = 1 AND bool_and(p.polname = 'of_its_tenants' AND p.polpermissive) \
                 FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid) IS TRUE AS whole \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' \
         WHERE c.relnamespace = 'throughline'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'search'"
    };
}

/// Refused with the code of a right that is missing: so a call is `Denied` where somebody has changed the wall.
const FUNCTION: &str = concat!(
    "CREATE OR REPLACE FUNCTION throughline.for_tenants(tenants text, reach text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM (",
    walls!(),
    ") AS w WHERE NOT w.whole) THEN
            RAISE 'the row security of the store was changed' USING ERRCODE = '42501';
        END IF;
        PERFORM pg_catalog.set_config('throughline.tenants', tenants, true);
        PERFORM pg_catalog.set_config('throughline.reach', reach, true);
    END $$;
"
);

/// Read once a statement, and not for each row.
const POLICY: &str = "(SELECT current_setting('throughline.reach', true)) = 'store' \
    OR tenant = ANY ((SELECT string_to_array(current_setting('throughline.tenants', true), E'\\n'))::text[])";

const ROLE: &str = "SELECT rolsuper OR rolbypassrls AS free, \
    to_regprocedure('throughline.for_tenants(text, text)') IS NOT NULL AS made \
    FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// Makes the wall where it is asked for and is not there, in the transaction that brings the schema to this version.
///
/// # Errors
/// Where it is there and was not asked for, would not hold the role, or cannot be made by it.
pub(crate) async fn raise(db: &mut PgConnection, wanted: bool) -> Result<(), OpenError> {
    let refused = |what| Err(OpenError::RowSecurity { what });
    let role = sqlx::raw_sql(ROLE).fetch_one(&mut *db).await?;
    match (wanted, role.try_get("made")?) {
        (false, false) => return Ok(()),
        (false, true) => {
            return refused("the store has row security: it is opened with `PostgresOptions::row_security`");
        }
        (true, _) => {}
    }
    if role.try_get("free")? {
        return refused("row security does not hold a superuser, and no role with BYPASSRLS");
    }
    let tables = sqlx::raw_sql(walls!()).fetch_all(&mut *db).await?;
    let mut sql = String::new();
    for table in &tables {
        if !table.try_get::<bool, _>("whole")? {
            let name: &str = table.try_get("relname")?;
            // Writing into a string does not fail. One that has another policy beside it is not whole afterwards either.
            let _ = write!(
                sql,
                "ALTER TABLE throughline.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
                 DROP POLICY IF EXISTS of_its_tenants ON throughline.{name}; \
                 CREATE POLICY of_its_tenants ON throughline.{name} USING ({POLICY}); "
            );
        }
    }
    if !sql.is_empty() || !role.try_get::<bool, _>("made")? {
        sql.push_str(FUNCTION);
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *db).await {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            return match code.as_deref() {
                Some("42501") => refused("row security is not whole, and the role does not own the tables"),
                _ => Err(error.into()),
            };
        }
    }
    let tables = sqlx::raw_sql(walls!()).fetch_all(db).await?;
    for table in &tables {
        if !table.try_get::<bool, _>("whole")? {
            return refused("a table has a policy beside that of the store");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
