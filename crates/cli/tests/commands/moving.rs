//! `move`: from one file to another, and back.

use crate::kit::{files, run_on, store};

#[tokio::test]
async fn a_store_is_moved_compared_and_moved_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("chat.db"), folder.path().join("new.db"));
    store(&path).await;
    let to = ["--to", new.to_str().unwrap(), "--json"];
    let moving = |verb: &str| run_on(&path, &[&["move", verb], &to[..]].concat());
    let missing = moving("status");
    assert_eq!(missing.code, 1, "only `follow` creates the second store: {missing:?}");
    assert!(!new.exists());

    let followed = run_on(&path, &[&["move", "follow", "--until-equal"], &to[..]].concat());
    assert_eq!(followed.code, 0, "{followed:?}");
    let last = followed.lines().pop().unwrap();
    assert_eq!((&last["state"], &last["behind"]), (&"replicating".into(), &0.into()));
    let compared = moving("compare");
    assert_eq!(compared.code, 0, "{compared:?}");
    assert_eq!(compared.json()["differences"], serde_json::json!([]));

    let before = files(folder.path());
    let status = moving("status").json();
    assert_eq!(
        (&status["stores"][0]["role"], &status["stores"][1]["role"]),
        (&"primary".into(), &"replica".into())
    );
    assert_eq!(files(folder.path()), before, "`move status` only reads");
    let shown = |path| run_on(path, &["show", "trip", "--json"]).json();
    assert_eq!(shown(&new), shown(&path));

    let switched = moving("switch");
    assert_eq!(switched.code, 0, "{switched:?}");
    assert_eq!(switched.json()["primary"], "second");
    // The former primary refuses writes, and says so.
    let refused = run_on(&path, &["retain", "--keep", "1", "--apply"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("name its primary"), "{refused:?}");
    assert_eq!(run_on(&new, &["retain", "--keep", "1", "--apply"]).code, 0);
    let differs =
        run_on(&path, &["move", "compare", "--to", folder.path().join("chat.db").to_str().unwrap()]);
    assert_eq!(differs.code, 2, "one store is not two: {differs:?}");

    let back = moving("back");
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(back.json()["primary"], "first");
    assert_eq!(
        shown(&path)["messages"].as_array().unwrap().len(),
        2,
        "the write of the second store came back"
    );
    assert_eq!(moving("compare").code, 0);
}
