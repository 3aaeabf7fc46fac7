//! A headless Chromium, driven by the WebDriver protocol of its chromedriver: JSON over HTTP on
//! loopback. Every call blocks its thread.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::daemon::Daemon;
use crate::run::eventually;

/// How long the driver takes to start.
const START: Duration = Duration::from_secs(60);
/// How long one call may take: a machine that does other things as well starts a browser slowly.
const CALL: Duration = Duration::from_secs(60);
/// How long a page may take to show what is waited for.
const SHOWN: Duration = Duration::from_secs(60);

/// What Chromium needs as root and without a screen; and nothing that it does by itself.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,1000",
];

/// The key Enter, as WebDriver writes it.
pub const ENTER: &str = "\u{e007}";

/// A browser with one tab. Dropped, it ends.
#[derive(Debug)]
pub struct Browser {
    driver: SocketAddr,
    session: String,
    _daemon: Daemon,
    dir: TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// When chromium or chromedriver is missing or does not start.
    pub fn start(name: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("paasta-browser-")
            .tempdir()?;
        let driver = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let words = [
            "chromedriver".to_owned(),
            format!("--port={}", driver.port()),
        ];
        let log = dir.path().join("driver.log");
        let daemon = Daemon::start("chromedriver", &format!("browser-{name}"), &words, &log)?;
        eventually(START, "chromedriver answers", || {
            let status = call(driver, "GET", "/status", &Value::Null)?;
            ensure!(status["ready"] == true, "{status}");
            Ok(())
        })
        .with_context(|| daemon.tail())?;
        let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(profile);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = call(driver, "POST", "/session", &wanted).with_context(|| daemon.tail())?;
        let session = made["sessionId"].as_str().context("no session")?.to_owned();
        Ok(Self {
            driver,
            session,
            _daemon: daemon,
            dir,
        })
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let path = format!("/session/{}/{path}", self.session);
        call(self.driver, method, &path, body)
    }

    /// Goes to a URL, and waits until it is loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.call("POST", "url", &json!({ "url": url })).map(drop)
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn url(&self) -> Result<String> {
        let url = self.call("GET", "url", &Value::Null)?;
        Ok(url.as_str().unwrap_or_default().to_owned())
    }

    /// What a function of this body returns, run in the page.
    ///
    /// # Errors
    /// When it throws.
    pub fn run(&self, body: &str) -> Result<Value> {
        let script = json!({"script": body, "args": []});
        self.call("POST", "execute/sync", &script)
    }

    /// The text that is shown of the first element that the selector fits.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, selector: &str) -> Result<String> {
        let selector = Value::from(selector);
        let found = self.run(&format!(
            "return document.querySelector({selector})?.innerText ?? null"
        ))?;
        let text = found.as_str().map(str::to_owned);
        text.with_context(|| format!("there is no {selector}"))
    }

    /// Waits until the text of an element contains `part`, and returns it.
    ///
    /// # Errors
    /// When it does not in time, with the text that is there.
    pub fn until_shown(&self, selector: &str, part: &str) -> Result<String> {
        eventually(SHOWN, &format!("{selector} shows {part:?}"), || {
            let text = self.text(selector)?;
            ensure!(text.contains(part), "it shows {text:?}");
            Ok(text)
        })
    }

    /// Waits until there is no element that the selector fits.
    ///
    /// # Errors
    /// When there is one all the time, with its text.
    pub fn until_gone(&self, selector: &str) -> Result<()> {
        let quoted = Value::from(selector);
        eventually(SHOWN, &format!("{selector} is gone"), || {
            let found = self.run(&format!(
                "return document.querySelector({quoted})?.innerText ?? null"
            ))?;
            ensure!(found.is_null(), "it shows {found}");
            Ok(())
        })
    }

    /// Presses keys, one after the other, where the focus is.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn press(&self, keys: &str) -> Result<()> {
        let strokes = keys.chars().flat_map(|key| {
            let key = key.to_string();
            [
                json!({"type": "keyDown", "value": key}),
                json!({"type": "keyUp", "value": key}),
            ]
        });
        let strokes: Vec<Value> = strokes.collect();
        let board = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.call("POST", "actions", &json!({"actions": [board]}))
            .map(drop)
    }

    /// What the console said since the last call: errors of scripts, refused by the policy of the
    /// page, not loaded.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub fn console(&self) -> Result<Vec<String>> {
        let lines = self.call("POST", "se/log", &json!({"type": "browser"}))?;
        let lines = lines.as_array().cloned().unwrap_or_default();
        let said = lines.iter().map(|line| {
            let part = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", part("level"), part("source"), part("message"))
        });
        Ok(said.collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; the driver is killed after that.
        let path = format!("/session/{}", self.session);
        let ended = call(self.driver, "DELETE", &path, &Value::Null);
        if let (Err(error), true) = (ended, std::thread::panicking()) {
            // There is nowhere left to say that standard error is gone.
            let _ = writeln!(
                std::io::stderr(),
                "{error:#} in {}",
                self.dir.path().display()
            );
        }
    }
}

/// One call of the driver: the value of its answer.
fn call(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value> {
    let mut stream = TcpStream::connect(driver)?;
    stream.set_read_timeout(Some(CALL))?;
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    let mut answer: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{method} {path}: {}", String::from_utf8_lossy(&bytes)))?;
    let value = answer["value"].take();
    match value.get("error") {
        Some(error) if !error.is_null() => bail!("{method} {path}: {error}: {}", value["message"]),
        _ => Ok(value),
    }
}
