//! Headless Chromium, by the WebDriver protocol (<https://www.w3.org/TR/webdriver2/>), of which a test of the page needs
//! a dozen commands.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::PATIENCE;

/// The key of an element's id in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. Ended when dropped.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium with a window of this size.
    pub(crate) fn start(width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: run .ci/setup, which installs chromium and chromium-driver");
        let output = BufReader::new(driver.stdout.take().unwrap());
        let port = output.lines().map_while(Result::ok).find_map(|line| {
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        let base = format!("http://127.0.0.1:{}", port.expect("the port of chromedriver"));
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(3 * PATIENCE)).build().new_agent();
        let profile = tempfile::tempdir().unwrap();
        // No sandbox: tests run as root in containers, which Chromium refuses with it.
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        // A script waits for as long as a test does; by itself the driver ends it after 30 seconds.
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "timeouts": { "script": (2 * PATIENCE).as_millis() as u64 },
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver, session: base, agent, _profile: profile };
        let id = browser.post("/session", &capabilities)["sessionId"].as_str().unwrap().to_owned();
        browser.session = format!("{}/session/{id}", browser.session);
        browser
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.try_post(command, body).unwrap_or_else(|error| panic!("{command} {body:.300}: {error}"))
    }

    fn try_post(&self, command: &str, body: &Value) -> Result<Value, String> {
        let request = self.agent.post(format!("{}{command}", self.session)).header("content-type", "application/json");
        let mut response = request.send(body.to_string()).map_err(|error| error.to_string())?;
        let is_success = response.status().is_success();
        // A screenshot is longer than the default limit of a text.
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string();
        let mut answer: Value = serde_json::from_str(&text.map_err(|error| error.to_string())?).unwrap();
        if is_success { Ok(answer["value"].take()) } else { Err(answer["value"]["message"].to_string()) }
    }

    /// Opens a URL and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The value of an expression of JavaScript.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": format!("return ({expression})"), "args": [] }))
    }

    /// Runs statements that call `done` with their result.
    pub(crate) fn run(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) {
        // In the browser: a poll from here would cost a request each time.
        let script = format!(
            "const end = performance.now() + {}; \
             const look = () => {{ let found = false; try {{ found = ({expression}); }} catch {{}} \
             if (found) done(true); else if (performance.now() > end) done(false); else setTimeout(look, 20); }}; look();",
            PATIENCE.as_millis()
        );
        let body = json!({ "script": format!("const done = arguments[arguments.length - 1]; {script}"), "args": [] });
        // A script ends without a result when its page goes, as after a form is sent: it is asked of the next page.
        let found = (0..5).find_map(|_| self.try_post("/execute/async", &body).ok());
        if found != Some(json!(true)) {
            let text = self.value("document.body.innerText");
            panic!("waited in vain for {expression} in\n{}", text.as_str().unwrap_or_default());
        }
    }

    /// The element of a selector of CSS.
    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on an element, as a user: it must be visible.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        loop {
            match self.try_post(&format!("/element/{}/click", self.element(selector)), &json!({})) {
                Ok(_) => return,
                // Drawn again with new numbers between the two commands.
                Err(error) if error.contains("stale element") => {}
                Err(error) => panic!("click on {selector}: {error}"),
            }
        }
    }

    /// Empties a field and types a text.
    #[track_caller]
    pub(crate) fn enter(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses a key on an element.
    #[track_caller]
    pub(crate) fn press(&self, selector: &str, key: &str) {
        self.post(&format!("/element/{}/value", self.element(selector)), &json!({ "text": key }));
    }

    /// Drags the pointer from one place to another, both in pixels from the middle of an element.
    #[track_caller]
    pub(crate) fn drag(&self, selector: &str, from: (i32, i32), to: (i32, i32)) {
        let origin = json!({ ELEMENT: self.element(selector) });
        let at =
            |(x, y): (i32, i32)| json!({ "type": "pointerMove", "duration": 20, "origin": origin, "x": x, "y": y });
        let actions = [
            at(from),
            json!({ "type": "pointerDown", "button": 0 }),
            at(to),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        let pointer = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.post("/actions", &json!({ "actions": [pointer] }));
    }

    /// Moves the pointer over an element, to a place in pixels from its middle.
    #[track_caller]
    pub(crate) fn hover(&self, selector: &str, (x, y): (i32, i32)) {
        let origin = json!({ ELEMENT: self.element(selector) });
        let script = "arguments[0].scrollIntoView({ block: 'center' })";
        self.post("/execute/sync", &json!({ "script": script, "args": [origin] }));
        let actions = [json!({ "type": "pointerMove", "duration": 20, "origin": origin, "x": x, "y": y })];
        self.post("/actions", &json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": actions }] }));
    }

    /// Lets pages write to the clipboard and read it.
    pub(crate) fn allow_clipboard(&self) {
        let params = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.post("/goog/cdp/execute", &json!({ "cmd": "Browser.grantPermissions", "params": params }));
    }

    /// Has pages ask for dark or light colours.
    pub(crate) fn set_dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.post("/goog/cdp/execute", &command);
    }

    /// Writes a picture of the window.
    pub(crate) fn screenshot(&self, path: &Path) {
        let command = json!({ "cmd": "Page.captureScreenshot", "params": { "format": "png" } });
        let picture = self.post("/goog/cdp/execute", &command);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// The messages of the console since the last call.
    pub(crate) fn console(&self) -> Vec<String> {
        let messages = self.post("/se/log", &json!({ "type": "browser" }));
        messages.as_array().unwrap().iter().map(|message| message["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium; the driver leaves it otherwise.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
