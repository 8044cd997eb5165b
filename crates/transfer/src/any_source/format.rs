//! The known formats: their names, how their content is recognized, and how they are opened.

use std::{fmt, path::Path, str::FromStr};

use super::{AnySource, probe::Probe};
use crate::{
    Aider, ChatFolder, ChatGpt, ClaudeAi, ClaudeCode, CodexRollouts, LegacySqlite, LibreChat, Ndjson,
    OpenAiAgents, OpenWebUi, ShareGpt, TransferError, Zed,
};

/// A format that can be imported.
///
/// ```
/// use throughline_transfer::Format;
///
/// assert_eq!("claude-code".parse(), Ok(Format::ClaudeCode));
/// assert_eq!(Format::Codex.to_string(), "codex");
/// assert!(Format::ALL.contains(&Format::Ndjson));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The format of this crate: see [`Ndjson`].
    Ndjson,
    /// Session logs of Claude Code: see [`ClaudeCode`].
    ClaudeCode,
    /// Rollouts of Codex: see [`CodexRollouts`].
    Codex,
    /// Sessions of the OpenAI Agents SDK: see [`OpenAiAgents`].
    OpenAiAgents,
    /// The data export of ChatGPT: see [`ChatGpt`].
    ChatGpt,
    /// The data export of Claude.ai: see [`ClaudeAi`].
    ClaudeAi,
    /// Exports of LibreChat: see [`LibreChat`].
    LibreChat,
    /// Chats of Open WebUI: see [`OpenWebUi`].
    OpenWebUi,
    /// Threads of Zed: see [`Zed`].
    Zed,
    /// Chat histories of aider: see [`Aider`].
    Aider,
    /// Conversations of ShareGPT: see [`ShareGpt`].
    ShareGpt,
    /// A folder of chats: see [`ChatFolder`].
    ChatFolder,
    /// A legacy SQLite file: see [`LegacySqlite`].
    LegacySqlite,
}

impl Format {
    /// Every format, in the order in which [`AnySource::detect`] tries them.
    pub const ALL: &[Self] = &[
        Self::Ndjson,
        Self::ClaudeCode,
        Self::Codex,
        Self::OpenAiAgents,
        Self::ChatGpt,
        Self::ClaudeAi,
        Self::LibreChat,
        Self::OpenWebUi,
        Self::Zed,
        Self::Aider,
        Self::ShareGpt,
        Self::ChatFolder,
        Self::LegacySqlite,
    ];

    /// Returns the name, as in a command line, and in the label `source` of an imported thread.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::OpenAiAgents => "openai-agents",
            Self::ChatGpt => "chatgpt",
            Self::ClaudeAi => "claude-ai",
            Self::LibreChat => "librechat",
            Self::OpenWebUi => "open-webui",
            Self::Zed => "zed",
            Self::Aider => "aider",
            Self::ShareGpt => "sharegpt",
            Self::ChatFolder => "chat-folder",
            Self::LegacySqlite => "legacy-sqlite",
        }
    }

    /// Whether the content of a file, or of one file of a folder, is of this format.
    fn recognizes(self, probe: &Probe) -> bool {
        match self {
            Self::Ndjson => Ndjson::recognizes(probe),
            Self::ClaudeCode => ClaudeCode::recognizes(probe),
            Self::Codex => CodexRollouts::recognizes(probe),
            Self::OpenAiAgents => OpenAiAgents::recognizes(probe),
            Self::ChatGpt => ChatGpt::recognizes(probe),
            Self::ClaudeAi => ClaudeAi::recognizes(probe),
            Self::LibreChat => LibreChat::recognizes(probe),
            Self::OpenWebUi => OpenWebUi::recognizes(probe),
            Self::Zed => Zed::recognizes(probe),
            Self::Aider => Aider::recognizes(probe),
            Self::ShareGpt => ShareGpt::recognizes(probe),
            // Only a folder is one.
            Self::ChatFolder => false,
            Self::LegacySqlite => probe.has_table("projection_thread_messages"),
        }
    }

    /// Whether a folder of such files is one source.
    const fn takes_folders(self) -> bool {
        matches!(
            self,
            Self::ClaudeCode
                | Self::Codex
                | Self::ChatGpt
                | Self::ClaudeAi
                | Self::LibreChat
                | Self::Zed
                | Self::Aider
        )
    }

    /// Whether a zip archive of such files is one source.
    const fn takes_archives(self) -> bool {
        matches!(self, Self::ChatGpt | Self::ClaudeAi | Self::LibreChat)
    }

    /// Returns the format of a file or a folder.
    ///
    /// # Errors
    /// Those of a folder or an archive that cannot be listed.
    pub(super) fn of(probe: &Probe) -> Result<Option<Self>, TransferError> {
        if probe.is_archive() {
            let formats = || Self::ALL.iter().copied().filter(|format| format.takes_archives());
            return Ok(probe.entries()?.find_map(|entry| formats().find(|format| format.recognizes(&entry))));
        }
        if !probe.is_folder() {
            return Ok(Self::ALL.iter().copied().find(|format| format.recognizes(probe)));
        }
        if ChatFolder::recognizes(probe) {
            return Ok(Some(Self::ChatFolder));
        }
        let formats = || Self::ALL.iter().copied().filter(|format| format.takes_folders());
        Ok(probe.files()?.find_map(|file| formats().find(|format| format.recognizes(&file))))
    }

    pub(super) fn open(self, path: &Path) -> Result<AnySource, TransferError> {
        Ok(match self {
            Self::Ndjson => Ndjson::open(path)?.into(),
            Self::ClaudeCode => ClaudeCode::open(path)?.into(),
            Self::Codex => CodexRollouts::open(path)?.into(),
            Self::OpenAiAgents => OpenAiAgents::open(path)?.into(),
            Self::ChatGpt => ChatGpt::open(path)?.into(),
            Self::ClaudeAi => ClaudeAi::open(path)?.into(),
            Self::LibreChat => LibreChat::open(path)?.into(),
            Self::OpenWebUi => OpenWebUi::open(path)?.into(),
            Self::Zed => Zed::open(path)?.into(),
            Self::Aider => Aider::open(path)?.into(),
            Self::ShareGpt => ShareGpt::open(path)?.into(),
            Self::ChatFolder => ChatFolder::open(path)?.into(),
            Self::LegacySqlite => LegacySqlite::open(path)?.into(),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not the name of a [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no format has this name; the formats are {}", names())]
#[non_exhaustive]
pub struct UnknownFormatName;

pub(crate) fn names() -> String {
    Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Format {
    type Err = UnknownFormatName;

    fn from_str(name: &str) -> Result<Self, UnknownFormatName> {
        Self::ALL.iter().copied().find(|format| format.name() == name).ok_or(UnknownFormatName)
    }
}
