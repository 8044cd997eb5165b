//! Text for a terminal: its width, and hostile content.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use throughline::{Content, NewMessage, Role};
use unicode_width::UnicodeWidthStr as _;

use crate::kit::{open, program, run, run_on, store};

/// Every command and the commands of the groups.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["threads"],
    &["show"],
    &["search"],
    &["find"],
    &["tail"],
    &["doctor"],
    &["verify"],
    &["stats"],
    &["repair"],
    &["backup"],
    &["restore"],
    &["import"],
    &["export"],
    &["retain"],
    &["purge"],
    &["compact"],
    &["audit"],
    &["audit", "log"],
    &["audit", "verify"],
    &["audit", "anchor"],
    &["token"],
    &["token", "add"],
    &["token", "list"],
    &["token", "revoke"],
    &["serve"],
    &["move"],
    &["move", "follow"],
    &["move", "status"],
    &["move", "compare"],
    &["move", "switch"],
    &["move", "back"],
    &["conformance"],
    &["conformance", "report"],
    &["new"],
    &["completions"],
    &["man"],
];

#[test]
fn the_help_of_every_command_fits_80_columns() {
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let ran = run(&[command, &[flag][..]].concat());
            assert_eq!(ran.code, 0, "{command:?}: {ran:?}");
            for line in ran.out.lines() {
                assert!(line.width() <= 80, "{command:?} {flag}: {line:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_output_of_every_command_fits_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let db = open(&path).await;
    let long = "a preview of many words, 日本語の文章もあります, ".repeat(9);
    db.thread("telegram:42").add(NewMessage::user(&long)).await.unwrap();
    db.close().await.unwrap();
    // The name of a temporary folder has no fixed length.
    let run_there = |arguments: &[&str]| {
        let mut command = program();
        let ran = command.current_dir(folder.path()).args(["--store", "chat.db"]).args(arguments).output();
        crate::kit::Ran::from(ran.unwrap())
    };
    for arguments in
        [&["threads"][..], &["doctor"], &["verify"], &["stats"], &["repair"], &["retain", "--keep", "1"]]
    {
        let ran = run_there(arguments);
        assert!(ran.code == 0 || ran.code == 3, "{arguments:?}: {ran:?}");
        for line in ran.out.lines() {
            assert!(line.width() <= 80, "{arguments:?}: {line:?}");
        }
    }
}

#[tokio::test]
async fn no_control_character_of_stored_text_reaches_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = open(&path).await;
    let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m zebra \u{202e}gnp.exe \r overwritten \u{8}\u{0}";
    let thread = db.thread("t\u{202e}x");
    thread.add(NewMessage::user(hostile)).await.unwrap();
    let raw = "[{\"type\":\"tool\",\r\n\"args\":\"\\u001b[2J\u{9b}\u{7f}\"}]";
    let content = Content::from_json(raw).unwrap();
    thread.add(NewMessage::new(Role::Assistant, content)).await.unwrap();
    thread.rename(throughline::Title::new("evil \u{1b}[31m title").unwrap()).await.unwrap();
    db.close().await.unwrap();
    for arguments in [
        &["threads"][..],
        &["threads", "--json"],
        &["show", "t\u{202e}x"],
        &["show", "t\u{202e}x", "--format", "markdown"],
        &["show", "t\u{202e}x", "--json"],
        &["search", "zebra"],
        &["search", "zebra", "--json"],
        &["tail", "t\u{202e}x"],
        &["tail", "--after", "0"],
        &["tail", "--after", "0", "--json"],
        &["stats"],
        &["retain", "--keep", "1"],
    ] {
        let ran = run_on(&path, arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        let bad = ran
            .out
            .chars()
            .find(|char| (char.is_control() && *char != '\n') || ('\u{202a}'..='\u{202e}').contains(char));
        assert_eq!(bad, None, "{arguments:?}: {:?}", ran.out);
        // With colors, the only escape sequences are those of the program.
        let colored =
            program().arg("--store").arg(&path).args(arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
        let colored = String::from_utf8(colored.stdout).unwrap();
        assert!(
            !colored.contains("\u{1b}]0;") && !colored.contains("\u{1b}[2J"),
            "{arguments:?}: {colored:?}"
        );
    }
    let shown = run_on(&path, &["show", "t\u{202e}x"]);
    assert!(shown.out.contains(r"\u{1b}]0;title\u{7}"), "{shown:?}");
    let json = run_on(&path, &["show", "t\u{202e}x", "--json"]).json();
    assert_eq!(json["messages"][0]["content"][0]["text"], hostile);
    assert_eq!(json["messages"][1]["content"][0]["args"], "\u{1b}[2J\u{9b}\u{7f}");
}

#[tokio::test]
async fn colors_are_for_terminals_and_not_with_no_color() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let out = |name: &str| {
        let ran = program().arg("--store").arg(&path).arg("threads").env(name, "1").output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    assert!(out("CLICOLOR_FORCE").contains('\u{1b}'));
    assert!(!out("NO_COLOR").contains('\u{1b}'));
    assert!(!out("UNRELATED").contains('\u{1b}'), "a pipe is no terminal");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = open(&path).await;
    let text = "more than a pipe holds ".repeat(1000);
    for _ in 0..50 {
        db.thread("t").add(NewMessage::user(&text)).await.unwrap();
    }
    db.close().await.unwrap();
    for arguments in [&["show", "t"][..], &["show", "t", "--json"], &["tail", "--after", "0"]] {
        let mut command = program();
        command.arg("--store").arg(&path).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut first = vec![0; 10];
        std::io::Read::read_exact(
            &mut BufReader::with_capacity(10, process.stdout.take().unwrap()),
            &mut first,
        )
        .unwrap();
        let ended = process.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "{arguments:?}");
    }
    let mut help = program();
    let mut help = help.arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(BufReader::new(help.stdout.take().unwrap()).lines().next());
    assert_eq!(help.wait_with_output().unwrap().stderr.len(), 0);
}
