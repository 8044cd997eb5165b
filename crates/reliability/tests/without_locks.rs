//! Systems without OFD locks or without `/proc`: the store uses only the locks of SQLite.
#![cfg(target_os = "linux")]

use std::{env, fs, path::Path, process::Command};

use throughline_core::{NewMessage, Persistence, messages::PageFrom};
use throughline_reliability::{preload_library, skipped};
use throughline_sqlite::SqliteBackend;
use tokio::runtime::Runtime;

/// Refuses what `WITHOUT` names: `locks`, the three commands of OFD locks, or `proc`, the list of descriptors.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
static int without(const char *what) {
  const char *named = getenv("WITHOUT");
  return named && strcmp(named, what) == 0;
}
#define SHIM(name) \
  int name(int fd, int command, ...) { \
    static int (*behind)(int, int, ...); \
    if (!behind) behind = dlsym(RTLD_NEXT, #name); \
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); \
    if (command >= 36 && command <= 38 && without("locks")) { errno = EINVAL; return -1; } \
    return behind(fd, command, argument); \
  }
SHIM(fcntl)
SHIM(fcntl64)
DIR *opendir(const char *path) {
  static DIR *(*behind)(const char *);
  if (!behind) behind = dlsym(RTLD_NEXT, "opendir");
  if (strcmp(path, "/proc/self/fd") == 0 && without("proc")) { errno = ENOENT; return NULL; }
  return behind(path);
}
"#;

const STORE: &str = "THROUGHLINE_STORE_WITHOUT_LOCKS";

#[test]
fn store_without_ofd_locks_accepts_writes_and_reads() {
    if let Some(store) = env::var_os(STORE) {
        return Runtime::new().unwrap().block_on(write_and_read(Path::new(&store)));
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(shim) = preload_library(directory.path(), SHIM).unwrap() else {
        return skipped("a store without locks of its own", "there is no C compiler");
    };
    for without in ["locks", "proc"] {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["store_without_ofd_locks_accepts_writes_and_reads", "--exact", "--nocapture"]);
        child.env(STORE, directory.path().join(without)).env("LD_PRELOAD", &shim).env("WITHOUT", without);
        assert!(child.status().unwrap().success(), "without {without}");
    }
}

async fn write_and_read(store: &Path) {
    assert_eq!(fs::read_dir("/proc/self/fd").is_err(), env::var("WITHOUT").unwrap() == "proc");
    for round in 1..=2 {
        let backend = SqliteBackend::open(store).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        for _ in 0..10 {
            db.thread("t").add(NewMessage::user("x")).await.unwrap();
        }
        let page = db.thread("t").page(PageFrom::Start, 100).await.unwrap();
        assert_eq!(page.messages.len(), 10 * round);
        assert!(maintenance.health().is_good());
        let verification = maintenance.verify().await.unwrap();
        assert!(verification.is_sound(), "{:?}", verification.damaged);
        db.close().await.unwrap();
    }
}
