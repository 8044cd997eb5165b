//! A headless Chromium with a new profile, driven over WebDriver.

use std::{path::Path, time::Duration};

use fantoccini::{
    Client, ClientBuilder,
    actions::{InputSource, KeyAction, KeyActions},
    wd::WebDriverCompatibleCommand,
};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::driver_process::DriverProcess;

/// The time after which a condition counts as never true.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A browser with one tab. A drop ends it, and then removes its profile.
pub(crate) struct Browser {
    client: Client,
    // The order of the fields is that of their drops.
    _driver: DriverProcess,
    profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let starts = timeout(HANG, DriverProcess::start()).await;
        let (driver, port) = starts.expect("chromedriver states its port in time");
        let profile = tempfile::tempdir().unwrap();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let Value::Object(capabilities) = capabilities(&profile) else { unreachable!("an object") };
        builder.capabilities(capabilities);
        let address = format!("http://127.0.0.1:{port}");
        let client = timeout(HANG, builder.connect(&address)).await.expect("an answer").expect("a session");
        Self { client, _driver: driver, profile }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Runs a script, and returns its value.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    /// Runs a script whose last argument is the function that takes its value.
    pub(crate) async fn run_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute_async(script, arguments).await.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    /// Returns the value of an expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression})")).await
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let expression = expression.to_owned();
        async move {
            let begun = Instant::now();
            while self.value(&expression).await != Value::Bool(true) {
                if begun.elapsed() > HANG {
                    let body = self.value("document.body.innerText.slice(0, 3000)").await;
                    panic!("{caller}: never true: {expression}\n{body}\n{:?}", self.log("browser").await);
                }
                sleep(Duration::from_millis(40)).await;
            }
        }
    }

    /// Presses keys, one after the other.
    pub(crate) async fn press(&self, keys: &[char]) {
        for key in keys {
            let actions = KeyActions::new("keyboard".to_owned())
                .then(KeyAction::Down { value: *key })
                .then(KeyAction::Up { value: *key });
            self.client.perform_actions(actions).await.unwrap();
        }
    }

    /// Returns the messages of a log that came since the last call: `browser` or `performance`.
    pub(crate) async fn log(&self, kind: &'static str) -> Vec<String> {
        let entries = self.client.issue_cmd(ReadLog(kind)).await.unwrap();
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the addresses of all requests to servers since the last call.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let events = log.iter().map(|entry| serde_json::from_str::<Value>(entry).unwrap());
        let requests = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let urls =
            requests.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned());
        urls.filter(|url| url.starts_with("http") || url.starts_with("ws")).collect()
    }

    /// Returns the folder of the profile.
    pub(crate) fn profile(&self) -> &Path {
        self.profile.path()
    }

    /// Ends the session, and with it the browser.
    pub(crate) async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

fn capabilities(profile: &TempDir) -> Value {
    let profile = format!("--user-data-dir={}", profile.path().display());
    json!({
        "goog:chromeOptions": {"args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--window-size=1280,800", profile,
        ]},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    })
}

/// The command of Chromium that reads a log.
#[derive(Debug)]
struct ReadLog(&'static str);

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": self.0}).to_string()))
    }
}
