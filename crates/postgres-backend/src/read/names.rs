//! Reads of the provider aliases of a thread.

use sqlx::Row as _;
use throughline_core::{
    MessageId,
    backend::rules,
    messages::{AliasCursor, Aliases, ListAliases},
};

use super::{Answer, Scope};
use crate::{
    error::damaged,
    rows::{alias_columns, alias_of, counter, number},
};

const NAMES: &str = concat!(
    "SELECT ",
    alias_columns!(),
    " FROM throughline.aliases a \
    WHERE a.tenant = $1 AND a.thread = $2 AND a.generation = $3 AND (a.message, a.n) > ($4, $5) \
    AND ($6::text IS NULL OR a.message = $6) ORDER BY a.message, a.n LIMIT $7"
);

impl Scope<'_> {
    pub(super) async fn aliases(&mut self, list: &ListAliases) -> Answer<Aliases> {
        rules::check_limit(list.limit)?;
        let mut answer = Aliases { thread: list.thread.clone(), aliases: Vec::new(), next: None };
        let Some(state) = self.living(&list.thread).await? else { return Ok(answer) };
        let (after, n) =
            list.after.as_ref().map_or(("", 0), |after| (after.message.as_str(), number(after.n)));
        let rows = sqlx::query(NAMES)
            .bind(self.tenant.as_str())
            .bind(list.thread.as_str())
            .bind(number(state.generation.get()))
            .bind(after)
            .bind(n)
            .bind(list.message.as_ref().map(MessageId::as_str))
            .bind(i64::from(list.limit) + 1)
            .fetch_all(&mut *self.db)
            .await?;
        let limit = list.limit as usize;
        let mut last = None;
        for row in rows.iter().take(limit) {
            let found = alias_of(row)?.zip(counter(row.try_get("n")?));
            let (alias, n) = found
                .ok_or_else(|| damaged(format!("an alias of a message in the thread `{}`", list.thread)))?;
            last = Some(AliasCursor { message: alias.message.clone(), n });
            answer.aliases.push(alias);
        }
        answer.next = last.filter(|_| rows.len() > limit);
        Ok(answer)
    }
}
