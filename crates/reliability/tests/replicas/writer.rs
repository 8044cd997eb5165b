//! A writer of one reply, which repeats an append at the other replica after its server was killed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    processes::{REPLICAS, Replicas},
    request::post,
};

/// The appends after which the reader may have read everything, until the test permits further ones.
pub(crate) const WINDOW: usize = 20;

/// The latest time of a kill, as a multiple of the time that the append before took: also between the commit and the answer.
const LATEST: f64 = 1.2;

/// The text of an append, 32 bytes long.
pub(crate) fn text(number: usize) -> String {
    format!("{number:05} \u{e9}: a reply of 32 bytes. \n")
}

/// The counters of a writer.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) kills: u64,
    /// The appends without an answer.
    pub(crate) lost: u64,
    /// The appends that were applied before they were repeated.
    pub(crate) replayed: u64,
}

pub(crate) struct Writer {
    pub(crate) replicas: Replicas,
    pub(crate) random: fastrand::Rng,
    pub(crate) appends: usize,
    /// The numbers of appends during which the server is killed.
    pub(crate) killed_at: Vec<usize>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) written: Written,
    /// The replica that the writer uses.
    pub(crate) replica: usize,
    /// The time that the last append took.
    pub(crate) took: Duration,
}

impl Writer {
    /// Appends everything, and finishes the reply.
    pub(crate) async fn run(mut self) -> (Replicas, Written) {
        for number in 1..=self.appends {
            self.permits.acquire().await.unwrap().forget();
            let append = json!({"number": number, "text": text(number)});
            if self.killed_at.contains(&number) {
                self.replicas.wait_until_all_run().await;
                self.append_and_kill(&append).await;
            }
            self.until_answered("append", &append).await;
        }
        self.until_answered("finish", &json!({})).await;
        (self.replicas, self.written)
    }

    /// Sends an append, and kills its server while the request runs. The append is repeated, whatever happened to it.
    async fn append_and_kill(&mut self, append: &Value) {
        let (replica, address) = self.replicas.addresses().find(self.replica);
        let delay = self.took.mul_f64(self.random.f64() * LATEST);
        let kill = async {
            sleep(delay).await;
            self.replicas.kill(replica);
        };
        let (answer, ()) = tokio::join!(post(address, "/v1/threads/t/drafts/d/append", append), kill);
        self.written.kills += 1;
        match answer {
            Ok((status, _, json)) => assert_eq!(status, 200, "{json}"),
            Err(_) => self.written.lost += 1,
        }
    }

    async fn until_answered(&mut self, verb: &str, body: &Value) {
        let target = format!("/v1/threads/t/drafts/d/{verb}");
        loop {
            let (replica, address) = self.replicas.addresses().find(self.replica);
            let begun = Instant::now();
            match post(address, &target, body).await {
                Ok((status, is_replay, json)) => {
                    assert_eq!(status, 200, "{json}");
                    self.replica = replica;
                    self.took = begun.elapsed();
                    self.written.replayed += u64::from(is_replay);
                    return;
                }
                Err(_) => {
                    self.written.lost += 1;
                    self.replica = (replica + 1) % REPLICAS;
                }
            }
        }
    }
}
