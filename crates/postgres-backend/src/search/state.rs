use sqlx::{PgConnection, Row as _, postgres::PgRow};

use throughline_core::backend::search::Tokenizer;

use crate::{
    error::damaged,
    rows::{counter, number},
};

/// The tenant, the thread and the id of a message.
pub(crate) type Names = (String, String, String);

/// The parameters that turn text into index terms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TermMaker {
    pub(crate) tokenizer: Tokenizer,
    /// The key of the tenant prefixes.
    pub(super) key: [u8; 32],
}

/// The progress of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) term_maker: TermMaker,
    /// The index contains all changes up to this position.
    pub(super) indexed: u64,
    /// The index has no rows of messages that were removed up to this position.
    pub(super) cleaned: u64,
    /// Whether the index contains every message from before those changes.
    pub(super) complete: bool,
    /// The last indexed message during a rebuild.
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
    /// Returns the position up to which a search with this tokenizer is complete.
    pub(crate) fn found_up_to(&self, tokenizer: Tokenizer) -> u64 {
        let is_whole = self.complete && self.recovered.is_none() && self.term_maker.tokenizer == tokenizer;
        if is_whole { self.indexed } else { 0 }
    }

    /// Returns the state without an index.
    pub(super) fn empty(term_maker: TermMaker) -> Self {
        Self { term_maker, ..Self::default() }
    }

    /// Returns whether there is no index, or only a remainder to delete.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::empty(self.term_maker)
    }

    /// Returns the tokenizer of the index, if there is one.
    pub(crate) fn tokenizer(&self) -> Option<Tokenizer> {
        (!self.is_nothing()).then_some(self.term_maker.tokenizer)
    }

    pub(crate) async fn read(db: &mut PgConnection) -> sqlx::Result<Self> {
        Self::of_row(sqlx::query(state!("")).fetch_optional(db).await?)
    }

    /// Reads the row and locks it until the end of the transaction; `None` while another transaction holds the
    /// lock.
    pub(super) async fn hold(db: &mut PgConnection) -> sqlx::Result<Option<Self>> {
        let row = sqlx::query(state!(" FOR UPDATE SKIP LOCKED")).fetch_optional(db).await?;
        row.map(|row| Self::of(&row)).transpose()
    }

    /// Reads the row with a share lock, so that no process updates the index before the end of the transaction.
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
            term_maker: TermMaker { tokenizer, key },
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
        .bind(self.term_maker.tokenizer.as_str())
        .execute(db)
        .await
        .map(drop)
    }
}

fn broken() -> sqlx::Error {
    damaged("the row with the progress of the full-text index".to_owned())
}
