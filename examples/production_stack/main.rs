//! A host in production: a full stack over real conversations, whose key is changed and whose store is moved while it writes.
//!
//! ```text
//! cargo run --release -p production_stack [-- FILE…]
//! ```
//!
//! `FILE` holds one JSON object a line: turns of a coding agent's session log, or ShareGPT-style chats; without one a small
//! sample is read. Sixteen workers play them over and over, with secrets planted in what is said and in what is streamed.
//! Meanwhile the key of the encryption is rotated and the store written anew under it, and the store moves to a second file
//! and back. In the end every acknowledged message has to be there once and in order, no part of a secret in any file,
//! and the audit log whole.
//!
//! The stack stands in `stack.rs`, the work in `traffic.rs`, and what has to hold in `proof.rs`.
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
mod stack;
mod traffic;
#[path = "../quickstart/transcript.rs"]
#[expect(dead_code, reason = "the quickstart also says how much there is, and where it was read")]
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

/// How many messages are acknowledged between one thing and the next.
const MESSAGES: usize = 400;

/// How long writes may be held while the store changes.
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
    let conversations = reader.transcript.into_conversations();
    let folder = tempfile::tempdir()?;
    let audit = AuditKey::new(&stack::secret());
    let recorder = PrometheusBuilder::new().build_recorder();
    let meters = recorder.handle();
    let stack = Stack::open(folder.path(), audit.clone(), recorder).await?;
    println!("the stack: {}\n", stack.db.describe());

    let begun = Instant::now();
    let mut traffic = Traffic::start(&stack.db, stack.redact.redactor(), &conversations);
    traffic.goes_on_for(MESSAGES).await?;
    let mut anchors = vec![anchor(&stack.db, &audit).await?];

    let old = stack.encrypt.key_ring().write_key();
    stack.encrypt.key_ring().rotate(stack::key("2026-12")?)?;
    let rewritten = stack.encrypt.rewrite(&stack.db).run().await?;
    println!(
        "key rotated while writing: {} contents, {} titles written anew",
        rewritten.contents, rewritten.titles
    );
    traffic.goes_on_for(MESSAGES).await?;

    stack.switch.follow().await?;
    report("second", &stack.switch.switch_over(TIMEOUT).await?);
    traffic.goes_on_for(MESSAGES).await?;
    anchors.push(anchor(&stack.db, &audit).await?);
    report("first", &stack.switch.switch_back(TIMEOUT).await?);
    traffic.goes_on_for(MESSAGES).await?;

    let done = traffic.stop().await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} messages were acknowledged in {seconds:.1} s, with {} secrets\n",
        done.acknowledged.len(),
        done.secrets.len()
    );

    // What was open while the store was written anew is not any more.
    stack.encrypt.rewrite(&stack.db).run().await?;
    stack.encrypt.retire(&old, std::slice::from_ref(&stack.db)).await?;
    println!("the old key is under nothing, and was taken away");
    let threads = proof::all_is_there(&stack.db, &done.acknowledged).await?;
    println!("every message is there once and in order, in {threads} threads");
    audited(&stack, &audit, &anchors).await?;
    meters_of(&meters);
    stack.close().await?;
    let bytes = proof::no_secret_is_in(folder.path(), &done.secrets)?;
    println!("no part of a secret is in {bytes} bytes of files");
    Ok(())
}

fn report(name: &str, switched: &Switched) {
    let held = switched.held.as_secs_f64() * 1e3;
    println!(
        "the {name} file leads from position {} on; writes were held for {held:.1} ms",
        switched.position
    );
}

/// Holds the audit log against itself, the anchors, and the changes that the store tells.
async fn audited(stack: &Stack, key: &AuditKey, anchors: &[Anchor]) -> Result<(), Failure> {
    let report = verify(&stack.db, key, anchors).await?;
    if let Some(flaw) = &report.flaw {
        return Err(flaw.to_string().into());
    }
    let comparison = report.comparison.as_ref().ok_or("the store tells no changes")?;
    if !report.is_intact() {
        return Err(format!("{} changes have no entry in the audit log", comparison.without_entry).into());
    }
    println!(
        "the audit log is whole: {} entries, {} of them anchored, and one for each of {} changes",
        report.intact, report.anchored, comparison.changes
    );
    Ok(())
}

/// Prints how many calls there were of each kind, and what became of them.
fn meters_of(meters: &PrometheusHandle) {
    println!("\ncalls:");
    let rendered = meters.render();
    for line in rendered.lines().filter(|line| line.starts_with("throughline_calls_total")) {
        println!("  {line}");
    }
    println!();
}
