//! Tests imports from legacy files and chat folders, and exports, with real stores.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the tests print which parts they skip")]

mod aider;
mod bounds;
mod chat_gpt;
mod chat_lines;
mod claude_ai;
mod claude_code;
mod codex;
mod detect;
mod export;
mod faults;
mod hostile;
mod legacy;
mod legacy_rows;
mod libre_chat;
mod names;
mod ndjson;
mod open_webui;
mod openai_agents;
mod round_trip;
mod share_gpt;
mod support;
mod text_exports;
mod zed;
