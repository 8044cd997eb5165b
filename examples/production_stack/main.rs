//! A production host: a full stack over real conversations, with a key rotation and two switchovers during the writes.
//!
//! ```text
//! cargo run --release -p production_stack [-- FILE…]
//! ```
//!
//! `FILE` holds one JSON object per line: turns of a coding agent's session log, or ShareGPT-style chats. By default
//! the example reads a small sample. Sixteen workers write the conversations repeatedly, with planted secrets.
//! Meanwhile the host rotates the encryption key, re-encrypts the store, and switches over to a second file and back.
//! At the end every acknowledged message must be stored once and in order, no file may contain a part of a secret, and
//! the audit log must be intact.
//!
//! The stack is in `stack.rs`, the workload in `traffic.rs`, and the checks in `proof.rs`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

// The quickstart reads the same files.
#[path = "../quickstart/array.rs"]
mod array;
#[path = "../quickstart/lines.rs"]
mod lines;
mod proof;
#[path = "../quickstart/reader.rs"]
mod reader;
#[path = "../quickstart/record.rs"]
mod record;
mod secrets;
#[path = "../quickstart/skipped.rs"]
#[expect(dead_code, reason = "the quickstart uses more of this module")]
mod skipped;
mod stack;
mod traffic;
#[path = "../quickstart/transcript.rs"]
#[expect(dead_code, reason = "the quickstart uses more of this module")]
mod transcript;

use std::{
    env,
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use throughline::{
    layers::audit::{Anchor, AuditKey, anchor, verify},
    mirror::Switched,
};

use crate::{reader::Reader, stack::Stack, traffic::Traffic};

const SAMPLE: &str = include_str!("../quickstart/sample.jsonl");

/// The number of acknowledged messages between two steps.
const MESSAGES: usize = 400;

/// The longest time for which a switchover may block writes.
const TIMEOUT: Duration = Duration::from_secs(30);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut reader = Reader::default();
    for file in env::args_os().skip(1) {
        reader.file(Path::new(&file));
    }
    if env::args_os().len() == 1 {
        reader.input("sample.jsonl", SAMPLE.as_bytes());
    }
    eprint!("{}", reader.skipped);
    let conversations = reader.transcript.into_conversations();
    let folder = tempfile::tempdir()?;
    let audit = AuditKey::new(&stack::secret());
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let stack = Stack::open(folder.path(), audit.clone(), recorder).await?;
    println!("the stack: {}\n", stack.db.describe());

    let begun = Instant::now();
    let mut traffic = Traffic::start(&stack.db, stack.redact.redactor(), &conversations);
    traffic.wait_for(MESSAGES).await?;
    let mut anchors = vec![anchor(&stack.db, &audit).await?];

    let old = stack.encrypt.key_ring().write_key();
    stack.encrypt.key_ring().rotate(stack::key("2026-12")?)?;
    let rewritten = stack.encrypt.rewrite(&stack.db).run().await?;
    println!(
        "key rotated while writing: {} contents and {} titles re-encrypted",
        rewritten.contents, rewritten.titles
    );
    traffic.wait_for(MESSAGES).await?;

    stack.switch.follow().await?;
    print_switchover("second", &stack.switch.switch_over(TIMEOUT).await?);
    traffic.wait_for(MESSAGES).await?;
    anchors.push(anchor(&stack.db, &audit).await?);
    print_switchover("first", &stack.switch.switch_back(TIMEOUT).await?);
    traffic.wait_for(MESSAGES).await?;

    let done = traffic.stop().await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} messages were acknowledged in {seconds:.1} s, with {} secrets\n",
        done.acknowledged.len(),
        done.secrets.len()
    );

    // The first pass skipped messages that were open. They are closed now, so a second pass re-encrypts them.
    stack.encrypt.rewrite(&stack.db).run().await?;
    stack.encrypt.retire(&old, std::slice::from_ref(&stack.db)).await?;
    println!("no content is under the old key any more; it was retired");
    let threads = proof::all_are_stored(&stack.db, &done.acknowledged).await?;
    println!("every message is stored once and in order, in {threads} threads");
    verify_audit_log(&stack, &audit, &anchors).await?;
    print_calls(&metrics);
    stack.close().await?;
    let bytes = proof::check_no_secret_in(folder.path(), &done.secrets)?;
    println!("{bytes} bytes of files contain no part of a secret");
    Ok(())
}

fn print_switchover(name: &str, switched: &Switched) {
    let held = switched.held.as_secs_f64() * 1e3;
    println!(
        "the {name} file is the primary from position {} on; writes waited for {held:.1} ms",
        switched.position
    );
}

/// Verifies the audit log: its hash chain, its anchors, and its records for the changes of the store.
async fn verify_audit_log(stack: &Stack, key: &AuditKey, anchors: &[Anchor]) -> Result<(), Failure> {
    let report = verify(&stack.db, key, anchors).await?;
    if let Some(flaw) = &report.flaw {
        return Err(flaw.to_string().into());
    }
    let comparison = report.comparison.as_ref().ok_or("the store has no change feed")?;
    if !report.is_intact() {
        return Err(format!("{} changes have no record in the audit log", comparison.without_entry).into());
    }
    println!(
        "the audit log is intact: {} records, {} of them anchored, and one for each of {} changes",
        report.intact, report.anchored, comparison.changes
    );
    Ok(())
}

/// Prints the number of calls by operation and outcome.
fn print_calls(metrics: &PrometheusHandle) {
    println!("\ncalls:");
    let rendered = metrics.render();
    for line in rendered.lines().filter(|line| line.starts_with("throughline_calls_total")) {
        println!("  {line}");
    }
    println!();
}
