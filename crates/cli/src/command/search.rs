//! `search`: full-text search.

use clap::Args;
use serde::Serialize;
use throughline::{
    ErrorKind, ThreadId,
    messages::ReadPage,
    search::{SearchHit, SearchHits, SearchMessages},
};

use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BOLD, DIM, ID, line, time},
};

/// Finds the final messages of the tenant that have these words
///
/// `word*` finds words that begin so. The store needs a full-text index, which `serve --search` and `import --search` build. The
/// command `find` finds messages by their metadata.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The words, all of which a message must have
    #[arg(required = true)]
    query: Vec<String>,
    /// Only in this thread
    #[arg(long)]
    thread: Option<ThreadId>,
    /// The most hits
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(ReadPage::MAX_LIMIT)))]
    limit: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    #[serde(flatten)]
    found: &'a SearchHits,
    position: u64,
}

impl Search {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let db = session.open(Access::Read).await?;
        let mut search = SearchMessages::new(self.query.join(" "), self.limit);
        search.thread = self.thread;
        let found = match db.search(search).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Err(Failure::from(error).advise(
                    "a host builds the full-text index when it opens the store with `search(true)`",
                ));
            }
            found => found?,
        };
        let position = db.threads(throughline::threads::ListThreads::new(1)).await?.position;
        let exit = if found.damaged.is_empty() { Exit::Done } else { Exit::Findings };
        let output = &mut session.output;
        if output.is_json() {
            output.json("search", &Found { found: &found, position: position.get() })?;
            return Ok(exit);
        }
        for hit in &found.hits {
            let head = format!("{ID}{}{ID:#} #{} {}", line(hit.thread.as_str()), hit.seq, hit.role.as_str());
            output.line(format_args!(
                "{head}  {DIM}{}  {}{DIM:#}",
                time(hit.created_at),
                line(hit.id.as_str())
            ))?;
            output.sentence(format_args!("    {}", marked(hit)))?;
        }
        if found.hits.is_empty() {
            output.line("No message has these words.")?;
        }
        if found.terminated_early {
            output.sentence(
                "The search ended at a limit, and may have missed messages: add a word or a thread.",
            )?;
        }
        if found.indexed < position {
            output.sentence(format_args!(
                "The index is behind: it has the changes up to position {} of {position}.",
                found.indexed
            ))?;
        }
        for thread in &found.damaged {
            output.sentence(format_args!("damaged: {}", line(thread.as_str())))?;
        }
        Ok(exit)
    }
}

/// The snippet on one line, with the terms in bold.
fn marked(hit: &SearchHit) -> String {
    let mut shown = String::new();
    let mut at = 0;
    for (start, end) in &hit.marks {
        let (start, end) = (*start as usize, *end as usize);
        // A range that is none of the snippet is shown without a mark.
        let (Some(before), Some(term)) = (hit.snippet.get(at..start), hit.snippet.get(start..end)) else {
            continue;
        };
        shown.push_str(&spaced(before));
        shown.push_str(&format!("{BOLD}{}{BOLD:#}", line(term)));
        at = end;
    }
    shown.push_str(&spaced(hit.snippet.get(at..).unwrap_or_default()));
    shown.trim().to_owned()
}

/// One line that keeps a space at either end, between it and a term.
fn spaced(text: &str) -> String {
    let mut shown = String::new();
    if text.starts_with(char::is_whitespace) {
        shown.push(' ');
    }
    shown.push_str(&line(text));
    if text.ends_with(char::is_whitespace) && text.trim() != "" {
        shown.push(' ');
    }
    shown
}
