//! `token`: the tokens of the server.

mod file;

use std::{
    io::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value, json};
use throughline::{TenantId, ThreadId};
use throughline_http::BearerTokens;

use self::file::{FileLines, check, lock};
use crate::{
    Exit, Failure, Outcome, Session,
    output::{CAUTION, Column, GOOD, Output, Table, line, parse_duration, time},
};

/// Adds, lists and revokes the tokens of `serve`
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(Add),
    List(List),
    Revoke(Revoke),
}

/// The file with the hashes of the tokens
#[derive(Debug, Args)]
struct File {
    /// The file with the hashes of the tokens
    #[arg(long = "file", env = "THROUGHLINE_TOKENS", hide_env_values = true, value_name = "FILE")]
    path: PathBuf,
}

/// Adds a token for the tenant, and prints it once
///
/// The file has only the hash of the token.
#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    file: File,
    /// The name of the token, for errors and as the actor
    name: String,
    /// The actor in place of the name
    #[arg(long)]
    actor: Option<String>,
    /// Allows only this thread
    #[arg(long, conflicts_with = "threads_under")]
    thread: Option<ThreadId>,
    /// Allows only the threads whose ids begin so
    #[arg(long, value_name = "PREFIX")]
    threads_under: Option<String>,
    /// Allows only these verbs, such as read,append
    #[arg(long, value_delimiter = ',', value_name = "VERB,…")]
    verbs: Vec<String>,
    /// Ends after this time, such as 30d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// Allows the metrics of the server
    #[arg(long)]
    operator: bool,
}

/// Lists the tokens, without their hashes
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    file: File,
}

/// Removes a token, with --apply; otherwise shows it
#[derive(Debug, Args)]
struct Revoke {
    #[command(flatten)]
    file: File,
    /// The name of the token
    name: String,
    /// Removes the token
    #[arg(long)]
    apply: bool,
}

/// A token as a list shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    threads: String,
    verbs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    operator: bool,
}

impl Token {
    pub(super) fn run(self, session: &mut Session) -> Outcome {
        match self.verb {
            Verb::Add(add) => add.run(session),
            Verb::List(list) => list.run(session),
            Verb::Revoke(revoke) => revoke.run(session),
        }
    }
}

impl Add {
    fn run(self, session: &mut Session) -> Outcome {
        let _lock = lock(&self.file.path)?;
        let mut lines = FileLines::read_or_new(&self.file.path)?;
        if lines.find(&self.name).is_some() {
            return Err(Failure::new(
                Exit::Failed,
                "already_exists",
                format!("there is a token `{}`", self.name),
            )
            .advise("choose another name, or revoke that token first"));
        }
        let token = random_token()?;
        lines.text.push(self.line(session.tenant(), &token)?);
        lines.write(&self.file.path)?;
        self.show(&token, &mut session.output).map_err(|failure| self.unseen(failure))?;
        if !session.output.is_json() {
            // Not with the token, which a script may take from the output.
            let mut error = anstream::stderr();
            drop(writeln!(error, "{CAUTION}Keep this token: it is not shown again.{CAUTION:#}"));
        }
        Ok(Exit::Done)
    }

    fn show(&self, token: &str, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            let file = self.file.path.to_string_lossy();
            output.json("token add", &json!({ "name": self.name, "token": token, "file": file }))?;
        } else {
            output.line(token)?;
        }
        Ok(output.flush()?)
    }

    /// The failure of a token that is valid, and was not shown.
    fn unseen(&self, failure: Failure) -> Failure {
        let failure = match failure {
            Failure::OutputClosed => Failure::new(Exit::Failed, "cancelled", "the reader of the output left"),
            failure @ Failure::Reported(_) => failure,
        };
        failure.about(format_args!("token `{}` was added, but could not be shown", self.name)).advise(
            format!("revoke it with `throughline token revoke {} --apply`, and add it again", self.name),
        )
    }

    /// The line of the token, as `TokenFile` describes it.
    fn line(&self, tenant: &TenantId, token: &str) -> Result<String, Failure> {
        let mut line = Map::new();
        line.insert("name".into(), self.name.clone().into());
        line.insert("hash".into(), BearerTokens::hash(token).into());
        line.insert("tenant".into(), tenant.as_str().into());
        let texts = [
            ("actor", self.actor.clone()),
            ("thread", self.thread.as_ref().map(ToString::to_string)),
            ("threadsUnder", self.threads_under.clone()),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                line.insert(name.into(), value.into());
            }
        }
        if !self.verbs.is_empty() {
            line.insert("verbs".into(), self.verbs.clone().into());
        }
        if let Some(after) = self.expires {
            let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + after;
            line.insert("expires".into(), end.as_secs().into());
        }
        if self.operator {
            line.insert("operator".into(), true.into());
        }
        Ok(serde_json::to_string(&line)?)
    }
}

impl List {
    fn run(self, session: &mut Session) -> Outcome {
        let lines = FileLines::read(&self.file.path)?;
        check(&self.file.path)?;
        let tokens: Vec<Shown> = lines.tokens().map(|(_, token)| Shown::of(&token)).collect();
        let output = &mut session.output;
        if output.is_json() {
            output.json("token list", &json!({ "tokens": tokens }))?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&[
            Column::Left("NAME"),
            Column::Left("TENANT"),
            Column::Left("EXPIRES (UTC)"),
            Column::Left("VERBS"),
            Column::Left("THREADS"),
        ]);
        for token in &tokens {
            let end = |seconds: u64| {
                time(throughline::Timestamp::from_micros(
                    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000),
                ))
            };
            let mut verbs = if token.verbs.is_empty() { "all".to_owned() } else { token.verbs.join(",") };
            if token.operator {
                verbs.push_str(",operator");
            }
            table.row(vec![
                line(&token.name),
                line(&token.tenant),
                token.expires.map_or_else(|| "never".to_owned(), end),
                line(&verbs),
                line(&token.threads),
            ]);
        }
        table.write(output)?;
        Ok(Exit::Done)
    }
}

impl Revoke {
    fn run(self, session: &mut Session) -> Outcome {
        // A plan changes no file, also not the one of the lock.
        let _lock = if self.apply { Some(lock(&self.file.path)?) } else { None };
        let mut lines = FileLines::read(&self.file.path)?;
        let Some((at, token)) = lines.find(&self.name) else {
            return Err(Failure::new(
                Exit::Failed,
                "not_found",
                format!("there is no token `{}`", self.name),
            )
            .advise("`throughline token list` lists the tokens"));
        };
        if self.apply {
            lines.text.remove(at);
            lines.write(&self.file.path)?;
        }
        let output = &mut session.output;
        let shown = Shown::of(&token);
        if output.is_json() {
            output.json("token revoke", &json!({ "token": shown, "applied": self.apply }))?;
        } else if self.apply {
            let name = line(&shown.name);
            output.sentence(format_args!(
                "{GOOD}Revoked `{name}`.{GOOD:#} A running server refuses it within a second."
            ))?;
        } else {
            let (name, tenant) = (line(&shown.name), line(&shown.tenant));
            output.sentence(format_args!(
                "Token `{name}` of tenant `{tenant}` would be removed. Add --apply to do so."
            ))?;
        }
        Ok(Exit::Done)
    }
}

impl Shown {
    fn of(token: &Map<String, Value>) -> Self {
        let text = |name: &str| token.get(name).and_then(Value::as_str).map(str::to_owned);
        let threads = match (text("thread"), text("threadsUnder")) {
            (Some(thread), _) => thread,
            (None, Some(prefix)) => format!("{prefix}*"),
            (None, None) => "all".to_owned(),
        };
        let verbs = token.get("verbs").and_then(Value::as_array).into_iter().flatten();
        Self {
            name: text("name").unwrap_or_default(),
            tenant: text("tenant").unwrap_or_default(),
            actor: text("actor"),
            threads,
            verbs: verbs.filter_map(Value::as_str).map(str::to_owned).collect(),
            expires: token.get("expires").and_then(Value::as_u64),
            operator: token.get("operator").and_then(Value::as_bool).unwrap_or_default(),
        }
    }
}

/// A token of 256 random bits. Its prefix keeps it from being taken for a hash, and lets scanners find it in logs.
fn random_token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::Failed, "io", format!("the system gave no random bytes: {error}"))
    })?;
    Ok(format!("tl_{}", URL_SAFE_NO_PAD.encode(bytes)))
}
