//! REL-39: a store loses its directory, its permissions or its disk, and gets it back.
#![cfg(unix)]

mod directory;
mod disk;
mod host;
mod rights;
mod test_store;

use std::{env, path::PathBuf};

use tokio::runtime::Runtime;

use self::{
    disk::{on_a_disk_that_became_read_only, open_and_write, open_with_a_floor, open_without_a_floor},
    host::Host,
    rights::{without_descriptors, without_permission},
    test_store::{ACKS, PART, STORE},
};

/// Does nothing unless another test started this process.
#[test]
fn child() {
    let (Ok(part), Some(store), Some(acks)) = (env::var(PART), env::var_os(STORE), env::var_os(ACKS)) else {
        return;
    };
    let (store, acks) = (PathBuf::from(store), PathBuf::from(acks));
    Runtime::new().unwrap().block_on(async {
        match &part[..] {
            "descriptors" => without_descriptors(Host::open(&store, &acks).await, store).await,
            "permissions" => without_permission(Host::open(&store, &acks).await, store, acks).await,
            "read-only" => on_a_disk_that_became_read_only(Host::open(&store, &acks).await).await,
            "open" => open_and_write(&store, &acks).await,
            "unprotected" => open_without_a_floor(&store, &acks).await,
            "protected" => open_with_a_floor(&store).await,
            _ => panic!("there is no part `{part}`"),
        }
    });
}
