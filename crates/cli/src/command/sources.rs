//! The formats of `import` and `export`: the one file where those of `throughline-transfer` become arguments.

use std::path::Path;

use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use throughline::{
    Persistence,
    transfer::{AnySource, ChatFolder, Format, Markdown, Ndjson, Report, ShareGpt, TransferError},
};

/// The format of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// That which the content shows.
    Auto,
    /// A format of the registry.
    Known(Format),
}

impl Kind {
    /// Parses `auto`, or the name of a format of the registry.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        let auto = PossibleValue::new("auto").help("The format that the content shows");
        let known = Format::ALL.iter().map(|format| PossibleValue::new(format.name()));
        let names = PossibleValuesParser::new(std::iter::once(auto).chain(known));
        names.map(|name| name.parse().map_or(Self::Auto, Self::Known))
    }

    /// Opens a file or a folder.
    pub(super) fn open(self, path: &Path) -> Result<AnySource, TransferError> {
        match self {
            Self::Auto => AnySource::detect(path),
            Self::Known(format) => AnySource::open(format, path),
        }
    }
}

/// A format that an export can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Exported {
    /// One file of JSON lines; `import` makes the same threads of it
    Ndjson,
    /// A folder with `catalog.json` and `<uuid>/chat.jsonl`
    ChatFolder,
    /// One document, to be read by people
    Markdown,
    /// One file of JSON lines with the texts, for training
    #[value(name = "sharegpt")]
    ShareGpt,
}

impl Exported {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::ChatFolder => "chat-folder",
            Self::Markdown => "markdown",
            Self::ShareGpt => "sharegpt",
        }
    }

    pub(super) async fn export(self, path: &Path, db: &Persistence) -> Result<Report, TransferError> {
        match self {
            Self::Ndjson => Ndjson::create(path)?.export(db).await,
            Self::ChatFolder => ChatFolder::create(path)?.export(db).await,
            Self::Markdown => Markdown::create(path)?.export(db).await,
            Self::ShareGpt => ShareGpt::create(path)?.export(db).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_the_registry_has_its_name() {
        let parser = Kind::parser();
        let command = clap::Command::new("import");
        let parse = |name: &str| parser.parse_ref(&command, None, name.as_ref()).ok();
        assert_eq!(parse("auto"), Some(Kind::Auto));
        for format in Format::ALL {
            assert_eq!(parse(format.name()), Some(Kind::Known(*format)));
        }
        assert_eq!(parse("carrier-pigeon"), None);
    }
}
