//! The program itself, as a process that can be killed.

use std::process::{Child, Command, Stdio};

use crate::client::soon;
use crate::redis::answers;

/// It ends with its test.
pub(crate) struct Program {
    child: Child,
    port: u16,
}

impl Program {
    pub(crate) async fn start(port: u16, database: &str, redis: Option<&str>) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_live_auction"));
        program.env("PORT", port.to_string()).env("DATABASE_URL", database);
        program.env("REDIS_URL", redis.unwrap_or_default());
        // That of the servers in `client.rs`: a session of one of them is one here.
        program.env("SESSION_SECRET", "the same secret in all processes");
        program.env_remove("BIND").env_remove("PUBLIC_ORIGIN");
        program.stdin(Stdio::null()).stdout(Stdio::null());
        let program = Self { child: program.spawn().unwrap(), port };
        soon("the start of the program", answers(port)).await;
        program
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it so that it cannot say a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
