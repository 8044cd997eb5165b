//! `threads`: the list of threads.

use clap::{Args, ValueEnum};
use serde::Serialize;
use throughline::{
    Labels, OwnerId, ThreadId,
    messages::ReadPage,
    threads::{ListThreads, ThreadCursor, ThreadOrder, ThreadSummary},
};

use crate::{
    Access, Exit, Outcome, Session,
    output::{Column, Table, bytes, count, line, time},
};

/// Lists the threads of the tenant, by default the latest activity first
#[derive(Debug, Args)]
pub(crate) struct Threads {
    /// The most threads to list
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(ReadPage::MAX_LIMIT)))]
    limit: u32,
    /// Only the threads of this owner
    #[arg(long)]
    owner: Option<OwnerId>,
    /// Only the threads with this label; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Archived threads too
    #[arg(long)]
    archived: bool,
    /// Threads without a settled message too
    #[arg(long)]
    unlisted: bool,
    /// The order
    #[arg(long, value_enum, default_value_t = Order::Active)]
    order: Order,
    /// Continues after this cursor, which the previous page in the same order names
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    after: Option<ThreadCursor>,
}

/// The order of the list.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    /// The latest activity first
    Active,
    /// The newest thread first
    Newest,
    /// The oldest thread first
    Oldest,
}

impl From<Order> for ThreadOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Active => Self::LatestActivity,
            Order::Newest => Self::NewestCreated,
            Order::Oldest => Self::OldestCreated,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    tenant: &'a str,
    threads: &'a [ThreadSummary],
    damaged: &'a [ThreadId],
    next: Option<String>,
    position: u64,
}

impl Threads {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let db = session.open(Access::Read).await?;
        let mut list = ListThreads::new(self.limit);
        list.owner = self.owner;
        for (name, value) in &self.label {
            list.labels =
                list.labels.with(name, value).map_err(|error| crate::Failure::usage(error.to_string()))?;
        }
        if self.archived {
            list = list.archived_too();
        }
        if self.unlisted {
            list = list.unlisted_too();
        }
        list = list.ordered_by(self.order.into());
        list.after = self.after;
        let is_whole = list.after.is_none() && list.owner.is_none() && list.labels == Labels::new();
        let page = db.threads(list).await?;
        let next = page.next.as_ref().map(ToString::to_string);
        let exit = if page.damaged.is_empty() { Exit::Done } else { Exit::Findings };
        let output = &mut session.output;
        if output.is_json() {
            let tenant = db.tenant().as_str();
            let (threads, damaged) = (&page.threads[..], &page.damaged[..]);
            output
                .json("threads", &Listed { tenant, threads, damaged, next, position: page.position.get() })?;
            return Ok(exit);
        }
        if page.threads.is_empty() && page.damaged.is_empty() {
            let tenant = line(db.tenant().as_str());
            let such = if is_whole { "listed" } else { "such" };
            output.sentence(format_args!("Tenant `{tenant}` has no {such} thread."))?;
            if is_whole {
                let others = db.tenants(None, 10).await?.tenants;
                if !others.is_empty() {
                    let names: Vec<String> = others.iter().map(|tenant| line(tenant.as_str())).collect();
                    output.sentence(format_args!("Tenants of this store: {}", names.join(", ")))?;
                }
            }
            return Ok(exit);
        }
        table(&page.threads, self.order).write(output)?;
        for thread in &page.damaged {
            output.sentence(format_args!("damaged: {}", line(thread.as_str())))?;
        }
        if let Some(next) = next {
            output.sentence(format_args!("There are more: --after {}", quoted(&next)))?;
        }
        Ok(exit)
    }
}

fn table(threads: &[ThreadSummary], order: Order) -> Table {
    let order = ThreadOrder::from(order);
    let time_column = if order.is_default() { "ACTIVE (UTC)" } else { "CREATED (UTC)" };
    let mut table = Table::new(&[
        Column::Left("THREAD"),
        Column::Left(time_column),
        Column::Right("MESSAGES"),
        Column::Right("SIZE"),
        Column::Left("TITLE"),
    ]);
    for thread in threads {
        let preview = || thread.preview.as_deref().map(line).unwrap_or_default();
        let title = if thread.title.is_untitled() { preview() } else { line(thread.title.as_str()) };
        table.row(vec![
            line(thread.thread.as_str()),
            time(order.time_of(thread)),
            thread.messages.to_string(),
            bytes(thread.bytes),
            if thread.archived { format!("[archived] {title}") } else { title },
        ]);
    }
    table
}

/// Writes an argument so that a shell reads it as one.
pub(super) fn quoted(argument: &str) -> String {
    let argument = line(argument);
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.:/@=".contains(char);
    if argument.chars().all(is_plain) { argument } else { format!("'{}'", argument.replace('\'', r"'\''")) }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("a label is NAME=VALUE".to_owned()),
    }
}

fn cursor(text: &str) -> Result<ThreadCursor, String> {
    text.parse().map_err(|_| "it is no cursor of `threads`".to_owned())
}

/// The sentence about a thread: its messages and its size.
pub(super) fn extent(thread: &ThreadSummary) -> String {
    format!("{}, {}", count(thread.messages, "message"), bytes(thread.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_one_word_of_a_shell() {
        assert_eq!(quoted("17:telegram:42"), "17:telegram:42");
        assert_eq!(quoted("17:it's $HOME"), r"'17:it'\''s $HOME'");
    }

    #[test]
    fn a_cursor_has_a_time_and_a_thread_with_colons() {
        let read = cursor("-17:telegram:42").unwrap();
        assert_eq!((read.at.as_micros(), read.thread.as_str()), (-17, "telegram:42"));
        let read = cursor("oldestCreated:-17:telegram:42").unwrap();
        assert_eq!((read.order, read.at.as_micros()), (ThreadOrder::OldestCreated, -17));
        assert!(cursor("telegram:42").is_err());
        assert!(cursor("17").is_err());
    }
}
