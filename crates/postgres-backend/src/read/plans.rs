//! Tests of the query plans of a search: the plans use the full-text index, whatever else the store holds.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use throughline_core::{
    MessageId, Timestamp,
    backend::search::{Query, Tokenizer},
    threads::{ListThreads, ThreadCursor, ThreadOrder},
};
use throughline_postgres_cluster::{Installation, URL_VARIABLE, shared};

use super::{
    Scope,
    search::{BY_INDEX, FOUND, FOUND_IN_THREAD, Looking, MESSAGES, SearchSettings},
    thread::statement,
};
use crate::{
    PostgresBackend,
    search::{Asked, TermMaker},
};

/// Fills a store with two tenants and their messages, in threads of a hundred. One message in a thousand contains
/// another word. With `counted`, the tables are analyzed.
const FILL: &str = "INSERT INTO throughline.threads (tenant, thread, last_seq, floor, generation, live, names, gone_at, \
    gone_question, deleted, purgeable, listed, archived, active_at, created_at, entry) SELECT t, 'thread' || n, 100, 0, 1, 100, 0, 0, 0, false, false, true, false, \
    n << 20, n, NULL \
    FROM unnest('{a,b}'::text[]) t, generate_series(0, 199) n; \
    INSERT INTO throughline.messages SELECT t, 'thread' || n / 100, 'm' || n, n, 'user', 'final', 1, 0, 1, 10, 0, NULL, NULL, n, n, \
    NULL, NULL, NULL, '[]' FROM unnest('{a,b}'::text[]) t, generate_series(0, 19999) n";

#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
async fn store(counted: bool) -> Option<PgConnection> {
    if std::env::var_os(URL_VARIABLE).is_none() && Installation::find().is_none() {
        println!("SKIPPED: the plans of a search (PostgreSQL 15 or newer is not installed)");
        return None;
    }
    let name = format!("t{}", MessageId::mint().as_str().replace('-', ""));
    let mut server = PgConnection::connect(&shared("postgres").unwrap()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut server).await.unwrap();
    let url = shared(&name).unwrap();
    drop(PostgresBackend::open(&url).await.unwrap());
    let mut db = PgConnection::connect(&url).await.unwrap();
    for table in ["threads", "messages", "search"] {
        let alone = format!("ALTER TABLE throughline.{table} SET (autovacuum_enabled = off)");
        sqlx::raw_sql(AssertSqlSafe(alone)).execute(&mut db).await.unwrap();
    }
    sqlx::raw_sql(FILL).execute(&mut db).await.unwrap();
    for tenant in ["a", "b"] {
        let words = ["needle", "any"].map(|word| asked(tenant, word).matches);
        sqlx::query(
            "INSERT INTO throughline.search SELECT $1, 'thread' || n / 100, 'm' || n, 0, n, n, \
             (CASE WHEN n % 1000 = 0 THEN $2 ELSE '' END || $3)::tsvector FROM generate_series(0, 19999) n",
        )
        .bind(tenant)
        .bind(&words[0])
        .bind(&words[1])
        .execute(&mut db)
        .await
        .unwrap();
    }
    if counted {
        sqlx::raw_sql("ANALYZE throughline.threads, throughline.messages, throughline.search")
            .execute(&mut db)
            .await
            .unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(BY_INDEX.replace("LOCAL ", ""))).execute(&mut db).await.unwrap();
    Some(db)
}

fn asked(tenant: &str, word: &str) -> Asked {
    Asked::of(&TermMaker::default().prefix(tenant), &Query::parse(word, Tokenizer::Words).unwrap())
}

async fn plan(db: &mut PgConnection, statement: &str, word: &str) -> String {
    let asked = asked("a", word);
    let explain = AssertSqlSafe(format!("EXPLAIN {statement}"));
    let bound = sqlx::query(explain);
    let bound = if statement == MESSAGES {
        bound
            .bind("a")
            .bind(vec!["thread1"; 100])
            .bind((100..200).map(|n| format!("m{n}")).collect::<Vec<_>>())
    } else {
        let bound = bound
            .bind("a")
            .bind(asked.matches)
            .bind(asked.counts)
            .bind(asked.scale)
            .bind(26_i64)
            .bind(0_i64)
            .bind(10_001_i64);
        if statement == FOUND_IN_THREAD { bound.bind("thread1") } else { bound }
    };
    let rows = bound.fetch_all(db).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_uses_the_full_text_index_and_finds_each_message_by_its_key() {
    for counted in [true, false] {
        let Some(mut db) = store(counted).await else { return };
        for word in ["needle", "any", "need*", "needle any"] {
            let plan = plan(&mut db, FOUND, word).await;
            assert!(plan.contains("Index Scan on search_words"), "{word}: {plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("search_pkey"), "{word}: {plan}");
        }
        let plan_in_thread = plan(&mut db, FOUND_IN_THREAD, "any").await;
        assert!(!plan_in_thread.contains("Seq Scan"), "{plan_in_thread}");
        assert!(plan_in_thread.contains("search_pkey"), "{plan_in_thread}");
        let messages = plan(&mut db, MESSAGES, "needle").await;
        assert!(messages.contains("messages_pkey") && !messages.contains("Seq Scan"), "{messages}");
        assert!(!messages.contains("messages_in_order"), "{messages}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_threads_uses_the_index_of_its_order() {
    let Some(mut db) = store(true).await else { return };
    // So many threads that no plan which reads them all is cheaper.
    let more = "INSERT INTO throughline.threads (tenant, thread, last_seq, floor, generation, live, names, gone_at, \
        gone_question, deleted, purgeable, listed, archived, active_at, created_at, entry) \
        SELECT 'a', 'more' || n, 0, 0, 1, 0, 0, 0, 0, false, false, true, false, n << 20, n, NULL \
        FROM generate_series(1, 20000) n; ANALYZE throughline.threads";
    sqlx::raw_sql(more).execute(&mut db).await.unwrap();
    for (order, index) in ThreadOrder::ALL.into_iter().zip([
        "threads_by_activity",
        "threads_by_creation",
        "threads_by_creation",
    ]) {
        let cursor =
            ThreadCursor { order, at: Timestamp::from_micros(10_000 << 20), thread: "t".parse().unwrap() };
        let first = ListThreads::new(20).ordered_by(order);
        for list in [first.clone(), first.after(cursor)] {
            let explain = AssertSqlSafe(format!("EXPLAIN {}", statement(&list)));
            let mut asked =
                sqlx::query(explain).bind("a").bind(false).bind(true).bind(21_i64).bind(1_i64 << 20);
            if let Some(after) = &list.after {
                asked = asked.bind(after.at.as_micros()).bind(after.thread.as_str());
            }
            let rows = asked.fetch_all(&mut db).await.unwrap();
            let plan: String = rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect();
            assert!(plan.contains(index), "{order}: {plan}");
            assert!(!plan.contains("Seq Scan"), "{order}: {plan}");
        }
    }
}

/// Of 20 000 matching messages, the search ranks the five latest, also within one thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_ranks_the_latest_matches_if_there_are_more_than_its_bound() {
    let Some(mut db) = store(true).await else { return };
    let tenant = "a".parse().unwrap();
    let mut scope = Scope { db: &mut db, tenant: &tenant, now: Timestamp::from_micros(0) };
    let mut settings = SearchSettings::new(Instant::now() + Duration::from_secs(60));
    let thread = "thread7".parse().unwrap();
    for (thread, bound, due) in [
        (None, 5, vec!["m19999", "m19998", "m19997", "m19996", "m19995"]),
        (Some(&thread), 3, vec!["m799", "m798", "m797"]),
    ] {
        let mut looking = Looking::new(asked("a", "any"), thread, bound);
        let found =
            scope.candidates(&mut settings, &mut looking, 100).await.unwrap_or_else(|_| panic!("a search"));
        assert_eq!(found.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), due);
        assert!(looking.is_cut);
    }
    let mut looking = Looking::new(asked("a", "any"), None, 20_000);
    let found =
        scope.candidates(&mut settings, &mut looking, 100).await.unwrap_or_else(|_| panic!("a search"));
    assert_eq!((found.len(), looking.is_cut), (100, false));
}
