//! `show`: a conversation as text, Markdown or JSON.

use clap::{Args, ValueEnum};
use serde_json::value::RawValue;
use throughline::{
    Message, Persistence, Seq, Thread, ThreadId,
    messages::{DamagedMessage, Page, PageFrom},
    threads::ThreadSummary,
};

use super::threads::extent;
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BAD, BOLD, DIM, Output, VERSION, block, line, time},
};

/// The messages of one read.
const PAGE: u32 = 100;

/// Shows the messages of a thread, oldest first
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The thread
    thread: ThreadId,
    /// How to write it; --json is the same as json
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Only the latest messages, up to this number
    #[arg(long, value_name = "COUNT", conflicts_with = "from")]
    last: Option<u64>,
    /// Only the messages after this sequence number
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text with the role, the time and the id of each message
    Text,
    /// A Markdown document
    Markdown,
    /// One JSON document
    Json,
}

impl Show {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let db = session.open(Access::Read).await?;
        let thread = db.thread(self.thread.clone());
        let summary = existing(&db, &self.thread).await?;
        let from = match (self.last, self.from) {
            (Some(last), _) => first_of_last(&thread, last).await?,
            (None, Some(seq)) => PageFrom::After(Seq::new(seq)),
            (None, None) => PageFrom::Start,
        };
        let format = if session.output.is_json() { Format::Json } else { self.format };
        Writer { output: &mut session.output, format, is_first: true, has_damage: false }
            .write(&thread, &summary, from)
            .await
    }
}

/// Returns the summary of a thread.
///
/// # Errors
/// `not_found` if there is none.
pub(super) async fn existing(db: &Persistence, thread: &ThreadId) -> Result<ThreadSummary, Failure> {
    db.thread(thread.clone()).summary().await?.ok_or_else(|| {
        let (id, tenant) = (line(thread.as_str()), line(db.tenant().as_str()));
        Failure::new(Exit::Failed, "not_found", format!("tenant `{tenant}` has no thread `{id}`"))
            .advise("`throughline threads` lists the threads")
    })
}

/// Finds the start of the latest messages. It reads backwards, and keeps no message.
async fn first_of_last(thread: &Thread, mut last: u64) -> Result<PageFrom, Failure> {
    let mut from = PageFrom::End;
    while last > 0 {
        let limit = u32::try_from(last.min(u64::from(PAGE))).unwrap_or(PAGE);
        let page = thread.page(from, limit).await?;
        last = last.saturating_sub((page.messages.len() + page.damaged.len()) as u64);
        match page.next(from) {
            Some(next) => from = next,
            None => return Ok(PageFrom::Start),
        }
    }
    Ok(match from {
        // The page before this message is not shown.
        PageFrom::Before(seq) => PageFrom::After(Seq::new(seq.get().saturating_sub(1))),
        _ => PageFrom::After(Seq::new(u64::MAX >> 1)),
    })
}

struct Writer<'a> {
    output: &'a mut Output,
    format: Format,
    is_first: bool,
    has_damage: bool,
}

/// An item of a page, in the order of the thread.
enum Item<'a> {
    Message(&'a Message),
    Damaged(&'a DamagedMessage),
}

impl Item<'_> {
    fn seq(&self) -> Option<Seq> {
        match self {
            Self::Message(message) => Some(message.seq),
            Self::Damaged(damaged) => damaged.seq,
        }
    }
}

impl Writer<'_> {
    async fn write(mut self, thread: &Thread, summary: &ThreadSummary, mut from: PageFrom) -> Outcome {
        self.begin(summary)?;
        loop {
            let page = thread.page(from, PAGE).await?;
            self.page(&page)?;
            match page.next(from) {
                Some(next) => from = next,
                None => break,
            }
        }
        self.end()?;
        Ok(if self.has_damage { Exit::Findings } else { Exit::Done })
    }

    fn begin(&mut self, summary: &ThreadSummary) -> Result<(), Failure> {
        let (id, title) = (line(summary.thread.as_str()), line(summary.title.as_str()));
        match self.format {
            Format::Text => {
                self.output
                    .line(format_args!("{BOLD}{title}{BOLD:#}  {DIM}{id}, {}{DIM:#}", extent(summary)))?;
            }
            Format::Markdown => self.output.line(format_args!("# {}\n\nThread `{id}`", escaped(&title)))?,
            Format::Json => {
                self.output.text(format_args!("{{\"version\":{VERSION},\"command\":\"show\",\"thread\":"))?;
                self.output.json_part(summary)?;
                self.output.text(format_args!(",\"messages\":["))?;
            }
        }
        Ok(())
    }

    fn page(&mut self, page: &Page) -> Result<(), Failure> {
        let mut items: Vec<Item<'_>> = page.messages.iter().map(Item::Message).collect();
        items.extend(page.damaged.iter().map(Item::Damaged));
        items.sort_by_key(Item::seq);
        for item in items {
            match item {
                Item::Message(message) => self.message(message)?,
                Item::Damaged(damaged) => self.damaged(damaged)?,
            }
            self.is_first = false;
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<(), Failure> {
        let (role, at, id) = (message.role.as_str(), time(message.created_at), line(message.id.as_str()));
        let state = if message.state.as_str() == "final" { "" } else { message.state.as_str() };
        match self.format {
            Format::Text => {
                let mut head = format!("{BOLD}{role}{BOLD:#}  {DIM}{at}  #{}  {id}{DIM:#}", message.seq);
                if !state.is_empty() {
                    head.push_str(&format!("  [{state}]"));
                }
                self.output.line("")?;
                self.output.line(head)?;
                for part in parts(message) {
                    for text in block(&part).lines() {
                        self.output.line(format_args!("  {text}"))?;
                    }
                }
                if let Some(reason) = &message.abandon_reason {
                    self.output.line(format_args!("  {DIM}abandoned: {}{DIM:#}", line(reason)))?;
                }
            }
            Format::Markdown => {
                let state = if state.is_empty() { String::new() } else { format!(", {state}") };
                self.output.line(format_args!("\n## {role}\n\n*{at} UTC, `{id}`{state}*\n"))?;
                for part in parts(message) {
                    self.output.line(block(&part))?;
                }
            }
            Format::Json => {
                self.comma()?;
                self.output.json_part(message)?;
            }
        }
        Ok(())
    }

    fn damaged(&mut self, damaged: &DamagedMessage) -> Result<(), Failure> {
        self.has_damage = true;
        if self.format == Format::Json {
            self.comma()?;
            return self.output.json_part(&serde_json::json!({ "damaged": damaged }));
        }
        let seq = damaged.seq.map_or_else(|| "#?".to_owned(), |seq| format!("#{seq}"));
        let id = damaged.id.as_ref().map_or_else(String::new, |id| format!("  {}", line(id.as_str())));
        Ok(self.output.line(format_args!("\n{BAD}damaged{BAD:#}  {seq}{id}"))?)
    }

    fn comma(&mut self) -> Result<(), Failure> {
        if !self.is_first {
            self.output.text(format_args!(","))?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.format == Format::Json {
            self.output.line("]}")?;
        }
        Ok(())
    }
}

/// The content as text: the text of text blocks, and the JSON of all others, which is all of them.
pub(super) fn parts(message: &Message) -> Vec<String> {
    message.content.blocks().into_iter().map(part).collect()
}

fn part(block: &RawValue) -> String {
    #[derive(serde::Deserialize)]
    struct Text {
        text: String,
    }
    let json = block.get();
    serde_json::from_str::<Text>(json)
        .map(|block| block.text)
        .or_else(|_| serde_json::from_str::<String>(json))
        // A lone surrogate is no text, and a block of another kind has none.
        .unwrap_or_else(|_| json.to_owned())
}

/// Keeps a title from being read as Markdown.
pub(super) fn escaped(title: &str) -> String {
    let mut shown = String::new();
    for char in title.chars() {
        if "\\`*_[]<>#".contains(char) {
            shown.push('\\');
        }
        shown.push(char);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_text_is_its_json() {
        let raw = |json: &str| part(&RawValue::from_string(json.to_owned()).unwrap());
        assert_eq!(raw(r#"{"type":"text","text":"a\nb"}"#), "a\nb");
        assert_eq!(raw(r#""plain""#), "plain");
        assert_eq!(raw(r#"{"type":"image","url":"x"}"#), r#"{"type":"image","url":"x"}"#);
        assert_eq!(raw(r#"{"text":"\ud800"}"#), r#"{"text":"\ud800"}"#);
    }
}
