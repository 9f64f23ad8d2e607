//! A real Chromium, controlled through a script for Node.js.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{announce, told};

/// The scripts of `tests/fixtures/clients` with the npm packages they need; kept between runs.
pub fn npm() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = root.join("target/clients/npm");
        std::fs::create_dir_all(&directory).unwrap();
        for file in std::fs::read_dir(root.join("tests/fixtures/clients")).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), directory.join(file.file_name())).unwrap();
        }
        if !directory.join("node_modules").exists() {
            announce(&format!("installing npm packages into {}", directory.display()));
        }
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(&directory);
        let output = install.output().unwrap();
        assert!(output.status.success(), "{install:?}: {}", told(&output));
        directory
    })
}

/// How a page is opened.
pub struct Look<'a> {
    /// `light` or `dark`.
    pub scheme: &'a str,
    pub width: u32,
    pub permissions: &'a [&'a str],
    /// A script that runs before the page's own.
    pub before: &'a str,
}

impl Default for Look<'_> {
    fn default() -> Self {
        Self { scheme: "light", width: 1280, permissions: &[], before: "" }
    }
}

/// A browser; the commands apply to the tab that was opened or selected last.
pub struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    pub fn open(url: &str, look: &Look<'_>) -> Self {
        let mut command = Command::new("node");
        command.arg("browser.mjs").current_dir(npm()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut browser = Self { commands: child.stdin.take(), child, answers };
        let Look { scheme, width, permissions, before } = look;
        browser.tell(
            &json!({"name": "open", "url": url, "scheme": scheme, "width": width, "permissions": permissions, "before": before}),
        );
        browser
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let line = self.answers.next().expect("the browser is there").unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{}", answer["error"].as_str().unwrap());
        answer["value"].take()
    }

    pub fn fill(&mut self, at: &str, text: &str) {
        self.tell(&json!({"name": "fill", "at": at, "text": text}));
    }

    pub fn choose(&mut self, at: &str, text: &str) {
        self.tell(&json!({"name": "choose", "at": at, "text": text}));
    }

    pub fn click(&mut self, at: &str) {
        self.tell(&json!({"name": "click", "at": at}));
    }

    pub fn press(&mut self, key: &str) {
        self.tell(&json!({"name": "press", "text": key}));
    }

    pub fn reload(&mut self) {
        self.tell(&json!({"name": "reload"}));
    }

    /// Another size of the window, as after a rotation or with another zoom.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.tell(&json!({"name": "resize", "width": width, "height": height}));
    }

    /// Takes the network from the tab, or gives it back.
    pub fn offline(&mut self, is_offline: bool) {
        self.tell(&json!({"name": "offline", "isOffline": is_offline}));
    }

    /// `screen` or `print`, and whether the system dictates colours.
    pub fn media(&mut self, media: &str, forced_colors: bool) {
        let forced = if forced_colors { "active" } else { "none" };
        self.tell(&json!({"name": "media", "media": media, "forcedColors": forced}));
    }

    /// Begins to record what the page spends its time with.
    pub fn record(&mut self) {
        self.tell(&json!({"name": "record"}));
    }

    /// The processor time of the longest task since [`Browser::record`], in milliseconds.
    pub fn longest_task(&mut self) -> f64 {
        self.tell(&json!({"name": "longestTask"})).as_f64().expect("the page had a task")
    }

    /// What keeps the page from being installed as an app, and its manifest.
    pub fn installability(&mut self) -> Value {
        self.tell(&json!({"name": "installability"}))
    }

    /// Opens another tab of the same user.
    pub fn tab(&mut self, url: &str) {
        self.tell(&json!({"name": "tab", "url": url}));
    }

    /// Selects one of the open tabs, in the order in which they were opened.
    pub fn select(&mut self, number: usize) {
        self.tell(&json!({"name": "select", "number": number}));
    }

    pub fn close(&mut self) {
        self.tell(&json!({"name": "close"}));
    }

    /// Freezes the tab, as browsers do in the background: no script of it runs, and messages to it wait.
    pub fn freeze(&mut self) {
        self.tell(&json!({"name": "freeze"}));
    }

    pub fn wake(&mut self) {
        self.tell(&json!({"name": "wake"}));
    }

    /// Ends all shared workers, and returns how many there were.
    pub fn end_workers(&mut self) -> u64 {
        self.tell(&json!({"name": "endWorkers"})).as_u64().unwrap()
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, script: &str) -> Value {
        self.tell(&json!({"name": "evaluate", "script": script}))
    }

    /// Waits until an expression in the page is true.
    pub fn until(&mut self, script: &str) {
        self.tell(&json!({"name": "until", "script": script}));
    }

    /// Waits until an element's text contains this.
    pub fn says(&mut self, at: &str, text: &str) {
        self.until(&format!("document.querySelector({at:?})?.checkVisibility() && document.querySelector({at:?}).innerText.includes({text:?})"));
    }

    /// Saves what is shown as a PNG of the size of the window.
    pub fn picture(&mut self, path: &Path) {
        self.tell(&json!({"name": "picture", "path": path}));
    }

    /// Violations of accessibility rules that axe-core finds.
    pub fn audit(&mut self) -> Vec<String> {
        serde_json::from_value(self.tell(&json!({"name": "audit"}))).unwrap()
    }

    /// Errors and warnings on the console, and the hosts that were asked.
    pub fn report(&mut self) -> (Vec<String>, Vec<String>) {
        let report = self.tell(&json!({"name": "report"}));
        serde_json::from_value(json!([report["complaints"], report["hosts"]])).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of its commands is the end of the script, which closes the browser.
        drop(self.commands.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
