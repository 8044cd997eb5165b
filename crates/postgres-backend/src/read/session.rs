//! Reads of agent sessions: the session that a claimer may resume, and the runs of an agent.

use sqlx::{AssertSqlSafe, Row as _};
use throughline_core::{
    backend::{
        AnswerBytes, EstimatedSize as _, rules,
        sessions::{AgentRecord, AttemptRecord},
    },
    sessions::{Attempts, ListAttempts, ResolveSession, SessionResolved},
};
use throughline_engine::{Halt, Limits, Transaction};

use super::{
    Answer, Scope,
    fitting::{fitting, left_out},
};
use crate::rows::{NotLoaded, Source, decode, number, whose};

impl Scope<'_> {
    /// Decides the claim as a write does, without writing.
    pub(super) async fn resolve(&mut self, read: &ResolveSession) -> Answer<SessionResolved> {
        let mut transaction = Transaction::new(Source::default(), Limits::default());
        loop {
            match transaction.resolve_session(self.tenant, read, self.now) {
                Ok(resolved) => return Ok(resolved),
                Err(Halt::Refused(error)) => return Err(error.into()),
                Err(Halt::Stopped(NotLoaded)) => transaction.source_mut().load(self.db).await?,
            }
        }
    }

    pub(super) async fn attempts(&mut self, list: &ListAttempts) -> Answer<Attempts> {
        rules::check_page(list.limit, list.max_bytes)?;
        let mut answer = Attempts {
            agent: list.agent.clone(),
            thread: list.thread.clone(),
            attempts: Vec::new(),
            more: false,
        };
        if self.living(&list.thread).await?.is_none() {
            return Ok(answer);
        }
        let rows = "SELECT record, number, octet_length(record) + 256 AS size FROM throughline.session_attempts \
             WHERE tenant = $1 AND thread = $2 AND agent = $3 \
             AND incarnation = coalesce((SELECT a.incarnation FROM throughline.session_agents a \
             WHERE a.tenant = $1 AND a.agent = $3), $4) AND number < $5 ORDER BY number DESC LIMIT $6";
        let sql = fitting!("record", rows, "number DESC", "$7");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(self.tenant.as_str())
            .bind(list.thread.as_str())
            .bind(list.agent.as_str())
            .bind(number(AgentRecord::default().incarnation))
            .bind(list.before.map_or(i64::MAX, number))
            .bind(i64::from(list.limit) + 1)
            .bind(i64::from(list.max_bytes))
            .fetch_all(&mut *self.db)
            .await?;
        let limit = list.limit as usize;
        let mut bytes = AnswerBytes::new(list.max_bytes);
        answer.more = rows.len() > limit || left_out(&rows)? > 0;
        for row in rows.iter().take(limit) {
            let AttemptRecord { attempt, .. } =
                decode(row.try_get("record")?, whose(&list.agent, &list.thread))?;
            if !bytes.take(attempt.estimated_size()) {
                answer.more = true;
                break;
            }
            answer.attempts.push(attempt);
        }
        Ok(answer)
    }
}
