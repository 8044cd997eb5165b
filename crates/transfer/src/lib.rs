//! Imports conversations from the files of other programs into a store, and exports them.
//!
//! ```
//! use throughline_core::Persistence;
//! use throughline_memory::MemoryBackend;
//! use throughline_transfer::ChatFolder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let chat = dir.path().join("0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b");
//! # std::fs::create_dir(&chat)?;
//! # std::fs::write(chat.join("chat.jsonl"), concat!(
//! #     r#"{"type":"header","schema_version":1,"guid":"0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b","created":"2024-03-01T00:00:00Z"}"#, "\n",
//! #     r#"{"type":"turn","schema_version":1,"seq":1,"created":"2024-03-01T00:00:01Z","question":"hello","answer":"hi"}"#, "\n",
//! #     r#"{"type":"turn","schema_ver"#))?;
//! # let dir = dir.path();
//! let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
//! let chats = ChatFolder::open(dir)?;
//! let plan = chats.plan().await?; // reads everything, writes nothing
//! let report = chats.import(&db).await?;
//! assert_eq!((plan.messages, report.messages), (2, 2));
//! for finding in &report.skipped {
//!     println!("{finding}"); // …/chat.jsonl:3: the line is not JSON, from column 27 on
//! }
//! assert_eq!(chats.import(&db).await?.already_there, 2);
//! # assert_eq!(report.skipped.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! | format | import | export |
//! |---|---|---|
//! | [`Ndjson`]: the native format | yes | yes |
//! | [`ClaudeCode`]: session logs of Claude Code | yes | no |
//! | [`CodexRollouts`]: rollouts of Codex, plain or zstd | yes | no |
//! | [`OpenAiAgents`]: SQLite sessions of the OpenAI Agents SDK | yes | no |
//! | [`ChatGpt`]: the data export of ChatGPT | yes | no |
//! | [`ClaudeAi`]: the data export of Claude.ai | yes | no |
//! | [`LibreChat`]: exports of LibreChat | yes | no |
//! | [`OpenWebUi`]: the database and the exports of Open WebUI | yes | no |
//! | [`Zed`]: the threads of Zed | yes | no |
//! | [`Aider`]: chat histories of aider | yes | no |
//! | [`ShareGpt`]: conversations of ShareGPT | yes | yes |
//! | [`Markdown`]: text to read | no | yes |
//! | [`LegacySqlite`]: a SQLite file with a table of messages | yes | no |
//! | [`ChatFolder`]: `catalog.json` and `<uuid>/chat.jsonl` | yes | yes |
//!
//! [`AnySource`] recognizes a format by content.
//!
//! All imports go through the pipeline: a thread is created hidden, filled by imports of a few hundred messages, and
//! published. So every layer sees every message, no list shows an incomplete thread, and a failed import can be
//! repeated from the start. The [`Report`] names rows and lines that cannot be imported, with their locations, up to
//! a limit; the others are imported.

mod aider;
mod any_source;
mod chat_folder;
mod chat_gpt;
mod claude_ai;
mod claude_code;
mod codex;
mod documents;
mod error;
mod export_archive;
mod export_file;
mod finding;
mod import;
mod iso8601;
mod json_array;
mod legacy_sqlite;
mod libre_chat;
mod line_reader;
mod markdown;
mod message_tree;
mod ndjson;
mod object;
mod open_webui;
mod openai_agents;
mod output;
mod progress;
mod record;
mod records;
mod report;
mod responses_item;
mod share_gpt;
mod sqlite_file;
mod stored;
mod walk;
mod zed;
mod zstd_stream;

pub use self::{
    aider::Aider,
    any_source::{AnySource, Format, UnknownFormatName},
    chat_folder::{ChatFolder, ChatId, InvalidChatId},
    chat_gpt::ChatGpt,
    claude_ai::ClaudeAi,
    claude_code::ClaudeCode,
    codex::CodexRollouts,
    error::TransferError,
    finding::{Finding, FindingKind, Location},
    legacy_sqlite::{LegacySqlite, LegacySqliteOptions, StreamingRows},
    libre_chat::LibreChat,
    markdown::Markdown,
    ndjson::Ndjson,
    open_webui::OpenWebUi,
    openai_agents::OpenAiAgents,
    progress::Progress,
    report::{NotListed, Report},
    share_gpt::ShareGpt,
    zed::Zed,
};
