//! Builds one statement that writes all changed rows of a transaction: a round trip costs more than most of the
//! writes.

use std::fmt::Write as _;

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, PgConnection, Postgres, Type,
    postgres::{PgArguments, PgRow},
};

/// The placeholder in the end of a statement for the condition that every part was written.
const WRITTEN: &str = "{written}";

/// The parts of a statement. Each part writes to one table.
///
/// All parts see the tables as they were before the statement, and Postgres does not define their order. So no two
/// parts may write the same row.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    sql: String,
    /// For each part, the number of rows that it must write; `None` if any number is right.
    parts: Vec<Option<usize>>,
    arguments: PgArguments,
    failed: Option<sqlx::Error>,
}

impl Writing {
    /// Adds a part, with parameters numbered from `$1`. Its result is not read.
    pub(crate) fn part(&mut self, sql: &str) -> &mut Self {
        self.separate();
        // Writing into a string does not fail.
        let _ = write!(self.sql, "p{} AS (", self.parts.len());
        self.push(sql);
        self.sql.push_str(" RETURNING 1)");
        self.parts.push(None);
        self
    }

    /// Adds a common table expression that writes nothing, and that later parts can name.
    pub(crate) fn first(&mut self, sql: &str) -> &mut Self {
        self.separate();
        self.push(sql);
        self
    }

    /// Requires that the last part writes this number of rows: with any other number, [`WRITTEN`] is false.
    pub(crate) fn expect_rows(&mut self, rows: usize) -> &mut Self {
        if let Some(last) = self.parts.last_mut() {
            *last = Some(rows);
        }
        self
    }

    fn separate(&mut self) {
        self.sql.push_str(if self.sql.is_empty() { "WITH " } else { ", " });
    }

    /// Binds the next parameter of the last part.
    pub(crate) fn bind<'q, T: Encode<'q, Postgres> + Type<Postgres>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(sqlx::Error::Encode(error));
        }
        self
    }

    /// Adds the end of the statement: further common table expressions and the final query. [`WRITTEN`] in it waits
    /// for the parts.
    pub(crate) fn end(&mut self, sql: &str) -> &mut Self {
        self.separate();
        let mut written = String::from("true");
        for (part, rows) in self.parts.iter().enumerate() {
            let _ = match rows {
                Some(rows) => write!(written, " AND (SELECT count(*) FROM p{part}) = {rows}"),
                None => write!(written, " AND (SELECT count(*) FROM p{part}) >= 0"),
            };
        }
        self.push(&sql.replace(WRITTEN, &written));
        self
    }

    /// Adds SQL, and renumbers its parameters to follow the bound ones.
    fn push(&mut self, sql: &str) {
        let bound = self.arguments.len();
        let mut rest = sql.split('$');
        self.sql.push_str(rest.next().unwrap_or_default());
        for after in rest {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = after.split_at(digits);
            let number: usize = number.parse().unwrap_or_default();
            let _ = write!(self.sql, "${}{after}", bound + number);
        }
    }

    /// Executes the statement, if it has parts.
    pub(crate) async fn run(mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        if self.parts.is_empty() {
            return Ok(());
        }
        self.sql.push_str(" SELECT 1");
        self.fetch(db).await.map(drop)
    }

    /// Executes the statement and returns the row of its end.
    pub(crate) async fn fetch(self, db: &mut PgConnection) -> sqlx::Result<Option<PgRow>> {
        match self.failed {
            Some(failed) => Err(failed),
            None => sqlx::query_with(AssertSqlSafe(self.sql), self.arguments).fetch_optional(db).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_renumbered_and_the_end_waits_for_the_parts() {
        let mut writing = Writing::default();
        writing.part("INSERT INTO a SELECT $1, $2").bind(1_i64).bind("x");
        writing.part("DELETE FROM b WHERE c = $1").bind(2_i64);
        writing.end("s AS (UPDATE d SET e = $2 WHERE {written}) SELECT $1").bind(3_i64).bind(4_i64);
        let due = "WITH p0 AS (INSERT INTO a SELECT $1, $2 RETURNING 1), p1 AS (DELETE FROM b WHERE c = $3 RETURNING 1), \
            s AS (UPDATE d SET e = $5 WHERE true AND (SELECT count(*) FROM p0) >= 0 AND (SELECT count(*) FROM p1) >= 0) \
            SELECT $4";
        assert_eq!(writing.sql, due);
        assert_eq!(writing.arguments.len(), 5);
    }

    #[test]
    fn the_end_waits_for_the_expected_number_of_rows() {
        let mut writing = Writing::default();
        writing.first("l AS (SELECT $1)").bind(1_i64);
        writing.part("DELETE FROM b WHERE c = $1").bind(2_i64).expect_rows(3);
        writing.end("s AS (SELECT 1 WHERE {written}) SELECT 1");
        let due = "WITH l AS (SELECT $1), p0 AS (DELETE FROM b WHERE c = $2 RETURNING 1), \
            s AS (SELECT 1 WHERE true AND (SELECT count(*) FROM p0) = 3) SELECT 1";
        assert_eq!(writing.sql, due);
    }

    #[test]
    fn an_end_without_parts_waits_for_nothing() {
        let mut writing = Writing::default();
        writing.end("s AS (SELECT 1 WHERE {written}) SELECT $1");
        assert_eq!(writing.sql, "WITH s AS (SELECT 1 WHERE true) SELECT $1");
    }
}
