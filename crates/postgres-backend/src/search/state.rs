use sqlx::{PgConnection, Row as _, postgres::PgRow};

use throughline_core::backend::search::Tokenizer;

use crate::{
    error::damaged,
    rows::{counter, number},
};

/// A message by its tenant, its thread and its id.
pub(crate) type Names = (String, String, String);

/// How the terms of the index are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Making {
    pub(crate) tokenizer: Tokenizer,
    /// What the prefixes of the tenants are made with.
    pub(super) key: [u8; 32],
}

/// How far the index is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) making: Making,
    /// The changes that it holds: all up to this one.
    pub(super) indexed: u64,
    /// The changes of which it holds nothing any more that went with them.
    pub(super) cleaned: u64,
    /// Whether it holds every message that there was before those changes.
    pub(super) complete: bool,
    /// While the messages are gone through anew: the last one.
    pub(super) recovered: Option<Names>,
}

macro_rules! state {
    ($rest:literal) => {
        concat!(
            "SELECT indexed, cleaned, complete, recovered_tenant, recovered_thread, recovered_id, tokenizer, key \
             FROM throughline.search_state WHERE id = 1",
            $rest
        )
    };
}

impl State {
    /// Up to which change a search with this tokenizer finds everything.
    pub(crate) fn found_up_to(&self, tokenizer: Tokenizer) -> u64 {
        let is_whole = self.complete && self.recovered.is_none() && self.making.tokenizer == tokenizer;
        if is_whole { self.indexed } else { 0 }
    }

    /// No index.
    pub(super) fn empty(making: Making) -> Self {
        Self { making, ..Self::default() }
    }

    /// There is no index, or what is left of one is to be taken away.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::empty(self.making)
    }

    pub(crate) async fn read(db: &mut PgConnection) -> sqlx::Result<Self> {
        Self::of_row(sqlx::query(state!("")).fetch_optional(db).await?)
    }

    /// Reads it and holds it to the end of the transaction; nothing while somebody else does.
    pub(super) async fn hold(db: &mut PgConnection) -> sqlx::Result<Option<Self>> {
        let row = sqlx::query(state!(" FOR UPDATE SKIP LOCKED")).fetch_optional(db).await?;
        row.map(|row| Self::of(&row)).transpose()
    }

    /// Reads it, and keeps everybody from going on with the index before the end of the transaction.
    pub(super) async fn share(db: &mut PgConnection) -> sqlx::Result<Self> {
        Self::of_row(sqlx::query(state!(" FOR SHARE")).fetch_optional(db).await?)
    }

    fn of_row(row: Option<PgRow>) -> sqlx::Result<Self> {
        Self::of(&row.ok_or_else(broken)?)
    }

    fn of(row: &PgRow) -> sqlx::Result<Self> {
        let names = (
            row.try_get::<Option<_>, _>("recovered_tenant")?,
            row.try_get::<Option<_>, _>("recovered_thread")?,
            row.try_get::<Option<_>, _>("recovered_id")?,
        );
        let tokenizer = Tokenizer::from_name(row.try_get("tokenizer")?).ok_or_else(broken)?;
        let key = <[u8; 32]>::try_from(row.try_get::<&[u8], _>("key")?).map_err(|_| broken())?;
        Ok(Self {
            making: Making { tokenizer, key },
            indexed: counter(row.try_get("indexed")?).ok_or_else(broken)?,
            cleaned: counter(row.try_get("cleaned")?).ok_or_else(broken)?,
            complete: row.try_get("complete")?,
            recovered: match names {
                (Some(tenant), Some(thread), Some(id)) => Some((tenant, thread, id)),
                _ => None,
            },
        })
    }

    pub(super) async fn write(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let recovered = self.recovered.as_ref();
        sqlx::query(
            "UPDATE throughline.search_state SET indexed = $1, cleaned = $2, complete = $3, recovered_tenant = $4, \
             recovered_thread = $5, recovered_id = $6, tokenizer = $7 WHERE id = 1",
        )
        .bind(number(self.indexed))
        .bind(number(self.cleaned))
        .bind(self.complete)
        .bind(recovered.map(|(tenant, ..)| tenant))
        .bind(recovered.map(|(_, thread, _)| thread))
        .bind(recovered.map(|(.., id)| id))
        .bind(self.making.tokenizer.as_str())
        .execute(db)
        .await
        .map(drop)
    }
}

fn broken() -> sqlx::Error {
    damaged("the row that says how far the index of words is".to_owned())
}
