//! Damaged rows hide no other rows, regardless of their number.

use std::path::Path;

use throughline::{
    mirror::{Difference, Differs, compare},
    replication::{BeginCapture, ImagePart, ReadImages},
};

use super::support::{all_ids, copy, import, memory, sqlite};

/// More than one page, so that a copy takes several.
const MESSAGES: usize = 1200;

/// Damages five messages near the beginning.
fn damage(path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    let sql =
        "UPDATE messages SET checksum = checksum + 1 WHERE message_id IN ('m3', 'm4', 'm5', 'm7', 'm400')";
    assert_eq!(db.execute(sql, []).unwrap(), 5);
}

fn undamaged_ids(upto: usize) -> Vec<String> {
    (0..upto).filter(|n| ![3, 4, 5, 7, 400].contains(n)).map(|n| format!("m{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_after_damaged_rows_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let db = sqlite(&path).await;
    import(&db, "t", 0..MESSAGES).await;
    db.close().await.unwrap();
    damage(&path);
    let (from, to) = (sqlite(&path).await, memory("b"));
    let mirror = copy(&from, &to).await;
    assert_eq!(mirror.status().damaged.len(), 5, "{:?}", mirror.status());
    assert_eq!(all_ids(&to, "t").await, undamaged_ids(MESSAGES));
    drop(mirror.stop().await);
    let found = compare(&from, &to).await.unwrap().differences;
    let is_damage = |difference: &&Difference| difference.kind == Differs::Part("damaged rows");
    assert_eq!(found.iter().filter(is_damage).count(), 1, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_sent_after_all_rows_of_the_dirty_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let db = sqlite(&path).await;
    import(&db, "t", 0..500).await;
    let mut after = db.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
    // The damaged rows enter the dirty set, like later writes.
    damage(&path);
    import(&db, "t", 500..MESSAGES).await;
    let (mut found, mut changes) = (Vec::new(), 0);
    loop {
        let page = db.read(ReadImages::new(after, 100)).await.unwrap();
        after = page.cursor;
        for image in page.images {
            match image.part {
                ImagePart::Message(image) => {
                    assert_eq!(changes, 0, "a change must come after the row that it describes");
                    found.push(image.message.id.as_str().to_owned());
                }
                ImagePart::Change(_) => changes += 1,
                _ => {}
            }
        }
        if !page.more {
            break;
        }
    }
    let rest = db.read(ReadImages::new(after, 100)).await.unwrap();
    assert_eq!((rest.images.len(), rest.more), (0, false));
    let expected: Vec<String> = (500..MESSAGES).map(|n| format!("m{n}")).collect();
    assert_eq!(found, expected);
    assert!(changes > 0);
}
