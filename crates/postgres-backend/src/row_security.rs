//! Row-level security, on request: the server separates tenants in addition to the conditions of the statements.
//!
//! Each transaction sets its tenants, and can neither read nor write rows of others. A transaction over all tenants
//! sets the reach `store`. Without a setting, no row is visible. `docs/decisions/0045` has the details.

use std::{collections::BTreeSet, fmt::Write as _};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use throughline_core::{ReadArgs, TenantId, changes::ChangeScope};

use crate::{OpenError, queue::Pending};

/// The tenants whose rows a transaction may access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    Tenants(BTreeSet<TenantId>),
    /// The whole store: replication, and reads over all tenants.
    Store,
}

impl Reach {
    /// No tenant: the transaction needs only rows without a tenant.
    pub(crate) const fn none() -> Self {
        Self::Tenants(BTreeSet::new())
    }

    /// The tenants of the calls in a batch and of its rejected-call records.
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

    /// Returns the statement that sets the reach for the transaction. It fails if the policies are not intact.
    pub(crate) fn statement(&self) -> String {
        let (mut tenants, mut reach) = (String::new(), "");
        match self {
            Self::Store => reach = "store",
            Self::Tenants(names) => {
                for name in names {
                    // No name contains a control character. An `E''` string has the same meaning under every
                    // setting of the role.
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

/// Widens the reach of a transaction to the whole store, and restores it.
pub(crate) const WIDEN: &str = "SELECT set_config('throughline.reach', 'store', true)";
pub(crate) const NARROW: &str = "SELECT set_config('throughline.reach', '', true)";

/// The tables with a column `tenant`, and whether each has our policy, no other one, and applies it to its owner.
/// The full-text index has no policy: a search could not use the index behind a policy. Its candidates are compared
/// with the messages, which have one.
macro_rules! policies {
    () => {
        "SELECT c.oid, c.relname, c.relrowsecurity AND c.relforcerowsecurity \
            AND (SELECT count(*) = 1 AND bool_and(p.polname = 'of_its_tenants' AND p.polpermissive) \
                 FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid) IS TRUE AS whole \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' \
         WHERE c.relnamespace = 'throughline'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'search'"
    };
}

/// Raises the SQLSTATE of a missing privilege, so that a call is `Denied` if the policies were changed.
const FUNCTION: &str = concat!(
    "CREATE OR REPLACE FUNCTION throughline.for_tenants(tenants text, reach text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM (",
    policies!(),
    ") AS w WHERE NOT w.whole) THEN
            RAISE 'the row security of the store was changed' USING ERRCODE = '42501';
        END IF;
        PERFORM pg_catalog.set_config('throughline.tenants', tenants, true);
        PERFORM pg_catalog.set_config('throughline.reach', reach, true);
    END $$;
"
);

/// The setting is read once for each statement, not for each row.
const POLICY: &str = "(SELECT current_setting('throughline.reach', true)) = 'store' \
    OR tenant = ANY ((SELECT string_to_array(current_setting('throughline.tenants', true), E'\\n'))::text[])";

const ROLE: &str = "SELECT rolsuper OR rolbypassrls AS free, \
    to_regprocedure('throughline.for_tenants(text, text)') IS NOT NULL AS made \
    FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// Creates the policies if the options require them and they do not exist, in the transaction of the migrations.
///
/// # Errors
/// Returns an error if the policies exist but the options do not require them, if they do not apply to the role, or
/// if the role cannot create them.
pub(crate) async fn raise(db: &mut PgConnection, wanted: bool) -> Result<(), OpenError> {
    let made = is_made(&mut *db, wanted).await?;
    if !wanted {
        return Ok(());
    }
    let tables = sqlx::raw_sql(policies!()).fetch_all(&mut *db).await?;
    let mut sql = String::new();
    for table in &tables {
        if !table.try_get::<bool, _>("whole")? {
            let name: &str = table.try_get("relname")?;
            // Writing into a string does not fail. A table with another policy is refused below.
            let _ = write!(
                sql,
                "ALTER TABLE throughline.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
                 DROP POLICY IF EXISTS of_its_tenants ON throughline.{name}; \
                 CREATE POLICY of_its_tenants ON throughline.{name} USING ({POLICY}); "
            );
        }
    }
    if !sql.is_empty() || !made {
        sql.push_str(FUNCTION);
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *db).await {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            return match code.as_deref() {
                Some("42501") => refused("row security is not whole, and the role does not own the tables"),
                _ => Err(error.into()),
            };
        }
    }
    let tables = sqlx::raw_sql(policies!()).fetch_all(db).await?;
    for table in &tables {
        if !table.try_get::<bool, _>("whole")? {
            return refused("a table has another policy than that of the store");
        }
    }
    Ok(())
}

/// Checks that the store has the policies if and only if the options require them. Changes nothing.
///
/// # Errors
/// Returns an error if it does not, or if the policies do not apply to the role.
pub(crate) async fn expect(db: &mut PgConnection, wanted: bool) -> Result<(), OpenError> {
    if is_made(db, wanted).await? == wanted {
        return Ok(());
    }
    refused("the store has no row security: it is opened without `PostgresOptions::row_security`")
}

/// Returns whether the store has the function of the policies. Refuses it if the options do not require it, and a role to which
/// policies do not apply if they do.
async fn is_made(db: &mut PgConnection, wanted: bool) -> Result<bool, OpenError> {
    let role = sqlx::raw_sql(ROLE).fetch_one(db).await?;
    let made = role.try_get("made")?;
    if made && !wanted {
        return refused("the store has row security: it is opened with `PostgresOptions::row_security`");
    }
    if wanted && role.try_get("free")? {
        return refused("row security does not hold a superuser, and no role with BYPASSRLS");
    }
    Ok(made)
}

fn refused<T>(reason: &'static str) -> Result<T, OpenError> {
    Err(OpenError::RowSecurity { reason })
}

#[cfg(test)]
mod tests;
