//! `find`: messages by the value of a metadata field.

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::value::RawValue;
use throughline::{
    ErrorKind, Message, MetadataScalar, PersistError, Persistence, ThreadId,
    backend::index_is_incomplete,
    messages::{DamagedMessage, FindCursor, FindMessages, FindOrder, FoundMessages, ReadPage, Visibility},
};

use super::{show::parts, threads::quoted};
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BAD, DIM, ID, Output, line, shortened, time},
};

/// The columns before the text of a message.
const INDENT: usize = 4;

/// Finds the messages of the tenant by the value of a metadata field
///
/// `orderId=A-17` finds a text. `turn:=17` and `done:=true` find an integer and a boolean: after `:=`, the value is JSON. The store
/// needs an index of the field, which `serve --index-metadata` and `import --index-metadata` declare.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The field and its value: NAME=TEXT or NAME:=JSON
    #[arg(value_name = "NAME=VALUE", value_parser = criterion)]
    criterion: (String, MetadataScalar),
    /// Only in this thread, in its order
    #[arg(long)]
    thread: Option<ThreadId>,
    /// The most messages to show
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(ReadPage::MAX_LIMIT)))]
    limit: u32,
    /// The order; over several threads it is by time of creation
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    order: Order,
    /// The states of the messages
    #[arg(long, value_enum, default_value_t = Visible::Final)]
    visibility: Visible,
    /// Continues after this cursor, which the previous page names
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    after: Option<FindCursor>,
}

/// The order of the messages.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    /// The newest message first
    Newest,
    /// The oldest message first
    Oldest,
}

/// The states of the messages.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Visible {
    /// Final messages
    Final,
    /// Final and abandoned messages
    Settled,
    /// Messages that are being written too
    All,
}

#[derive(Serialize)]
struct FoundPage<'a> {
    tenant: &'a str,
    messages: &'a [Message],
    damaged: &'a [DamagedMessage],
    next: Option<String>,
}

impl Find {
    fn to_call(&self) -> FindMessages {
        let (name, value) = &self.criterion;
        let mut find = FindMessages::new(name, value.clone(), self.limit)
            .ordered(match self.order {
                Order::Newest => FindOrder::NewestFirst,
                Order::Oldest => FindOrder::OldestFirst,
            })
            .showing(match self.visibility {
                Visible::Final => Visibility::Final,
                Visible::Settled => Visibility::Settled,
                Visible::All => Visibility::All,
            });
        find.thread.clone_from(&self.thread);
        find.after.clone_from(&self.after);
        find
    }

    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let db = session.open(Access::Read).await?;
        let name = &self.criterion.0;
        let found = db.find(self.to_call()).await.map_err(|error| refused(&db, name, error))?;
        let next = found.next.as_ref().map(ToString::to_string);
        let exit = if found.damaged.is_empty() { Exit::Done } else { Exit::Findings };
        let output = &mut session.output;
        if output.is_json() {
            let (messages, damaged) = (&found.messages[..], &found.damaged[..]);
            output.json("find", &FoundPage { tenant: db.tenant().as_str(), messages, damaged, next })?;
            return Ok(exit);
        }
        write(&found, output)?;
        if let Some(next) = next {
            output.sentence(format_args!("There are more: --after {}", quoted(&next)))?;
        } else if found.messages.is_empty() && found.damaged.is_empty() {
            let such = if self.after.is_some() { "further such" } else { "such" };
            output.line(format_args!("There is no {such} message."))?;
        }
        Ok(exit)
    }
}

fn write(found: &FoundMessages, output: &mut Output) -> Result<(), Failure> {
    let width = output.width().saturating_sub(INDENT);
    for message in &found.messages {
        let state = match message.state.as_str() {
            "final" => String::new(),
            state => format!("  [{state}]"),
        };
        output.line(format_args!(
            "{ID}{}{ID:#} #{} {}  {DIM}{}  {}{DIM:#}{state}",
            line(message.thread.as_str()),
            message.seq,
            message.role.as_str(),
            time(message.created_at),
            line(message.id.as_str())
        ))?;
        let text = line(&parts(message).join(" "));
        output.line(format_args!("{:INDENT$}{}", "", shortened(&text, width)))?;
    }
    for damaged in &found.damaged {
        let seq = damaged.seq.map_or_else(|| "#?".to_owned(), |seq| format!("#{seq}"));
        let id = damaged.id.as_ref().map_or_else(String::new, |id| format!("  {}", line(id.as_str())));
        output.line(format_args!("{BAD}damaged{BAD:#}  {} {seq}{id}", line(damaged.thread.as_str())))?;
    }
    Ok(())
}

/// The failure of a find, with the next step if the index of the field is the reason.
fn refused(db: &Persistence, name: &str, error: PersistError) -> Failure {
    let is_indexed = db.describe().capabilities().indexed_metadata.contains(name);
    if error.detail() == index_is_incomplete(name).detail() {
        return Failure::new(Exit::Unavailable, ErrorKind::Busy.code(), error.to_string()).advise(
            "a program that opens the store to write completes the index, such as `throughline serve`: repeat \
             the command then",
        );
    }
    let is_unsupported = error.kind() == ErrorKind::Unsupported;
    let failure = Failure::from(error);
    if !is_unsupported || is_indexed {
        return failure;
    }
    failure.advise(format!("index the field: `throughline serve --index-metadata {}`", quoted(name)))
}

/// Reads `NAME=TEXT`, or `NAME:=JSON`.
fn criterion(text: &str) -> Result<(String, MetadataScalar), String> {
    let (name, value) = text.split_once('=').ok_or("a find is NAME=TEXT or NAME:=JSON")?;
    let Some(name) = name.strip_suffix(':') else { return Ok((name.to_owned(), value.into())) };
    let json = RawValue::from_string(value.to_owned()).map_err(|error| {
        format!("the value after `:=` is not JSON ({error}): for a text, write `{name}={value}`")
    })?;
    match MetadataScalar::from_json(&json) {
        Some(value) => Ok((name.to_owned(), value)),
        None => Err("the value after `:=` is no string, boolean or integer of 64 bits".to_owned()),
    }
}

fn cursor(text: &str) -> Result<FindCursor, String> {
    text.parse().map_err(|_| "it is no cursor of `find`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_and_json_behind_a_colon() {
        for (text, name, value) in [
            ("orderId=A-17", "orderId", "A-17".into()),
            ("turn=17", "turn", "17".into()),
            ("turn:=17", "turn", 17_i64.into()),
            ("turn:=\"17\"", "turn", "17".into()),
            ("done:=true", "done", MetadataScalar::from(true)),
            ("url=https://x/?a=b", "url", "https://x/?a=b".into()),
            ("a::=1", "a:", 1_i64.into()),
            ("empty=", "empty", "".into()),
        ] {
            assert_eq!(criterion(text), Ok((name.to_owned(), value)), "{text}");
        }
    }

    #[test]
    fn a_value_that_no_index_has_is_refused() {
        assert_eq!(criterion("orderId").unwrap_err(), "a find is NAME=TEXT or NAME:=JSON");
        for value in ["1.5", "null", "[1]", "18446744073709551616"] {
            let refused = criterion(&format!("n:={value}")).unwrap_err();
            assert_eq!(
                refused, "the value after `:=` is no string, boolean or integer of 64 bits",
                "{value}"
            );
        }
        let refused = criterion("orderId:=A-17").unwrap_err();
        assert!(refused.ends_with("for a text, write `orderId=A-17`"), "{refused}");
    }
}
