//! A Redis of one test.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::client::soon;

/// It ends with its test.
pub(crate) struct Redis(Child);

impl Redis {
    pub(crate) async fn start(port: u16) -> Self {
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        redis.arg(port.to_string()).stdout(Stdio::null());
        let redis = Self(redis.spawn().expect("redis-server can be started"));
        soon("Redis", answers(port)).await;
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Waits until somebody listens.
pub(crate) async fn answers(port: u16) {
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that nobody listens on.
pub(crate) async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
