//! Commands whose reader has left: work that is not done is a failure, and findings stay findings.

use throughline::messages::PageFrom;

use crate::{
    damage::flip,
    kit::{files, open, run, run_on, run_with_closed_output, store},
};

async fn messages(path: &std::path::Path) -> usize {
    let db = open(path).await;
    let page = db.thread("trip").page(PageFrom::Start, 100).await.unwrap();
    db.close().await.unwrap();
    page.messages.len()
}

#[tokio::test]
async fn a_deletion_whose_plan_cannot_be_shown_deletes_nothing_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let before = messages(&path).await;
    for arguments in
        [&["retain", "--keep", "1", "--apply"][..], &["repair", "--apply"], &["purge", "--apply"]]
    {
        let ran = run_with_closed_output(&path, arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("nothing was changed"), "{arguments:?}: {ran:?}");
        assert_eq!(messages(&path).await, before, "{arguments:?}");
    }
    let ran = run_on(&path, &["retain", "--keep", "1", "--apply"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(messages(&path).await < before);
}

#[tokio::test]
async fn a_command_with_findings_keeps_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    assert_eq!(run_with_closed_output(&path, &["verify"]).code, 0);
    flip(&path, "Where to? Lisbon by train\"");
    let before = files(folder.path());
    for arguments in [&["verify"][..], &["verify", "--json"], &["repair"]] {
        assert_eq!(run_with_closed_output(&path, arguments).code, 3, "{arguments:?}");
    }
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_token_that_could_not_be_shown_is_named_for_its_revocation() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let file = file.to_str().unwrap();
    let unseen = run_with_closed_output(folder.path(), &["token", "add", "laptop", "--file", file]);
    assert_eq!(unseen.code, 1, "{unseen:?}");
    assert!(unseen.err.replace('\n', " ").contains("throughline token revoke laptop --apply"), "{unseen:?}");
    assert_eq!(run(&["token", "revoke", "laptop", "--file", file, "--apply"]).code, 0);
}
