//! A test as another process: it runs the test binary again, for the same test, with its part in the environment.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Log, Result};

/// The part that a test plays when it is the other process.
const PART: &str = "AUCTION_LEDGER_FAULTS_PART";

/// The part of this process, if it was started to play one.
pub(crate) fn part() -> Option<String> {
    let part = std::env::var(PART).ok()?;
    // The harness may have begun a line.
    println!();
    Some(part)
}

/// Another process, killed when this value is dropped.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the test in which this is called again: `test` is its `module_path!()` and its name. With `clock` it sees
    /// a clock that is off by so much.
    pub(crate) fn start(test: &str, part: &str, clock: Option<&str>) -> Result<Self> {
        let (_, test) = test.split_once("::").expect("a test of this crate");
        let exe = std::env::current_exe()?;
        let mut command = match clock {
            None => Command::new(exe),
            Some(off) => {
                let mut command = Command::new("faketime");
                // Its waits go by the monotonic clock, which is not off.
                command.args(["--exclude-monotonic", "-f", off]).arg(exe);
                command
            }
        };
        command.args([test, "--exact", "--include-ignored", "--nocapture"]).env(PART, part);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut child = started.map_err(|error| {
            format!("{:?}: {error}; scripts/test installs faketime", command.get_program())
        })?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Self { child, lines })
    }

    /// The next line that it says; `None` once it has ended.
    pub(crate) fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let length = self.lines.read_line(&mut line)?;
        Ok((length > 0).then(|| line.trim_end().to_owned()))
    }

    /// SIGKILL; and what it had said before it died.
    pub(super) fn kill(mut self, log: &Log) -> Result {
        self.child.kill()?;
        while let Some(line) = self.line()? {
            log.learn(&line);
        }
        self.child.wait()?;
        Ok(())
    }

    /// Lets it come to its end, which must be a good one; all other lines that it says.
    pub(super) fn end(mut self, log: &Log) -> Result<Vec<String>> {
        let mut others = Vec::new();
        while let Some(line) = self.line()? {
            log.learn(&line);
            others.push(line);
        }
        let status = self.child.wait()?;
        assert!(status.success(), "{status}: {}", others.join("\n"));
        Ok(others)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
