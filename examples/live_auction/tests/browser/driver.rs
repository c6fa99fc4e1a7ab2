//! A chromedriver of one test, on a free port, and the browsers that it starts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::window::{PATIENCE, Window};

/// How long the browsers may take to close.
const FAREWELL: Duration = Duration::from_secs(10);

/// It ends with its test, and so do its browsers.
pub(crate) struct Driver {
    child: Child,
    port: u16,
    /// What browsers leave behind.
    _folder: TempDir,
}

/// What a browser takes its screen for.
#[derive(Clone, Copy)]
pub(crate) enum Screen {
    Phone,
    Desktop,
}

impl Screen {
    fn metrics(self) -> Value {
        match self {
            Self::Phone => {
                json!({ "width": 390, "height": 844, "pixelRatio": 2, "mobile": true, "touch": true })
            }
            Self::Desktop => {
                json!({ "width": 1100, "height": 900, "pixelRatio": 1, "mobile": false, "touch": false })
            }
        }
    }
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").env("TMPDIR", folder.path()).env("HOME", folder.path());
        driver.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = driver.spawn().expect("chromedriver can be started: run scripts/test-browser");
        let mut driver = Self { child, port: 0, _folder: folder };
        let port = port(driver.child.stdout.take().unwrap());
        driver.port = timeout(PATIENCE, port).await.unwrap().expect("chromedriver says its port");
        driver
    }

    /// A browser of its own, in which `user` signs in at `origin`.
    pub(crate) async fn window(&self, origin: &str, user: &str, screen: Screen) -> Window {
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {
                // Root may not have the sandbox; the only pages that are opened here are our own.
                // With the pipe a browser ends when its driver does, whatever that ends of.
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                    "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe",
                ],
                "mobileEmulation": { "deviceMetrics": screen.metrics() },
            },
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(serde_json::from_value(capabilities).unwrap());
        let url = format!("http://127.0.0.1:{}", self.port);
        let client = timeout(PATIENCE, builder.connect(&url)).await.unwrap();
        Window::sign_in(client.unwrap(), origin, user).await
    }

    /// Asks it to close its browsers and to end, and waits until it has.
    fn shut_down(&mut self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(FAREWELL))?;
        write!(stream, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new())?;
        let overdue = Instant::now() + FAREWELL;
        while self.child.try_wait()?.is_none() && Instant::now() < overdue {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Reads what it says, as long as it says something: the port that it has chosen is in the first lines.
fn port(output: ChildStdout) -> oneshot::Receiver<u16> {
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, port)) = line.split_once("started successfully on port ")
                && let Some(tell) = tell.take()
            {
                _ = tell.send(port.trim_end_matches('.').parse().unwrap());
            }
        }
    });
    told
}

impl Drop for Driver {
    fn drop(&mut self) {
        _ = self.shut_down();
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
