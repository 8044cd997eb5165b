//! Exports every thread of a tenant into one file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use throughline_core::{Message, Persistence, messages::Origin, threads::ThreadSummary};

use crate::{
    AnySource, FindingKind, Format, Location, Report, TransferError,
    output::{Output, blocking, folder_of},
    stored,
};

/// The text of one format.
pub(crate) trait Writer {
    /// Returns the text before the first thread.
    fn head(&mut self) -> String;
    /// Returns the text before the messages of a thread.
    fn thread(&mut self, thread: &ThreadSummary) -> String;
    /// Returns the text of a message, or why it is left out.
    fn message(&mut self, message: &Message, aliases: &[Origin]) -> Result<String, FindingKind>;
    /// Returns what the format cannot express of a message.
    fn loss(&self, _: &Message) -> Option<FindingKind> {
        None
    }
    /// Returns the text after the messages of a thread.
    fn end(&mut self) -> String;
}

/// Writes every listed thread into a file, under a temporary name until the end.
pub(crate) async fn export(
    path: &Path,
    mut writer: impl Writer,
    db: &Persistence,
) -> Result<Report, TransferError> {
    let mut report = Report::default();
    let file = path.to_owned();
    let mut output = blocking(move || Output::create(file)).await?;
    output.text(&writer.head()).await?;
    let (threads, damaged) = stored::every_thread(db).await?;
    for thread in damaged {
        report.skip(&Location::Thread(thread), FindingKind::Damaged);
    }
    for thread in threads {
        match stored::summary(db, &thread).await? {
            Some(summary) => write(&mut output, &mut writer, summary, db, &mut report).await?,
            None => report.skip(&Location::Thread(thread), FindingKind::Deleted),
        }
    }
    output.finish().await?;
    Ok(report)
}

async fn write(
    output: &mut Output,
    writer: &mut impl Writer,
    mut thread: ThreadSummary,
    db: &Persistence,
    report: &mut Report,
) -> Result<(), TransferError> {
    let start = output.len();
    loop {
        output.text(&writer.thread(&thread)).await?;
        let aliases = stored::aliases(db, &thread.thread).await?;
        let (mut count, mut left_out, mut lost) = (0, Vec::new(), Vec::new());
        let mut messages = stored::Messages::of(db, &thread.thread);
        loop {
            let message = match messages.next().await? {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    output.cut(start).await?;
                    report.skip(&Location::Thread(thread.thread), FindingKind::Refused(error));
                    return Ok(());
                }
            };
            let aliases = aliases.get(&message.id).map_or(&[][..], |aliases| aliases);
            match writer.message(&message, aliases) {
                Ok(text) => {
                    count += 1;
                    output.text(&text).await?;
                    if let Some(found) = writer.loss(&message) {
                        lost.push((Location::Message { thread: message.thread, message: message.id }, found));
                    }
                }
                Err(found) => {
                    let location = Location::Message { thread: message.thread, message: message.id };
                    left_out.push((location, found));
                }
            }
        }
        match stored::summary(db, &thread.thread).await? {
            None => {
                output.cut(start).await?;
                report.skip(&Location::Thread(thread.thread), FindingKind::Deleted);
                return Ok(());
            }
            // The thread was cleared meanwhile.
            Some(now) if now.generation != thread.generation => {
                output.cut(start).await?;
                thread = now;
            }
            Some(_) => {
                output.text(&writer.end()).await?;
                report.threads += 1;
                report.messages += count;
                left_out.into_iter().for_each(|(location, found)| report.skip(&location, found));
                lost.into_iter().for_each(|(location, found)| report.warn(&location, found));
                return Ok(());
            }
        }
    }
}

/// Checks that an export may write a file: it is missing or empty, or an earlier export.
pub(crate) fn check_target(
    path: &Path,
    is_export: impl FnOnce(&Path) -> bool,
) -> Result<PathBuf, TransferError> {
    let folder = folder_of(path);
    fs::metadata(folder).map_err(TransferError::io(folder, "read"))?;
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() => Err(TransferError::SymbolicLink { path }),
        // The export would replace a device such as `/dev/null` by a file.
        Ok(found) if !found.is_dir() && !found.is_file() => Err(TransferError::NotAFile { path }),
        Ok(found) if found.is_dir() || (found.len() > 0 && !is_export(&path)) => {
            Err(TransferError::NotAnExport { found: path.clone(), path })
        }
        _ => Ok(path),
    }
}

/// Whether a file can be imported in this format.
pub(crate) fn is_of(path: &Path, format: Format) -> bool {
    AnySource::detect(path).is_ok_and(|source| source.format() == format)
}
