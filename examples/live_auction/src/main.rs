//! Runs the application as the environment says.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PORT` | where it listens | 3000 |
//! | `BIND` | on which address | 127.0.0.1 |
//! | `PUBLIC_ORIGIN` | how browsers find it, as `https://auctions.example` | the loopback addresses |
//! | `DATABASE_URL` | `sqlite://`, `postgres://` or `mysql://` | `sqlite://live_auction.db` |
//! | `REDIS_URL` | where processes tell each other of events | one process |
//! | `SESSION_SECRET` | at least 32 bytes, the same for all processes | drawn at the start |

use std::env;

use live_auction::{Config, Failed};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    tracing_subscriber::fmt().init();
    let port: u16 = variable("PORT").as_deref().unwrap_or("3000").parse()?;
    let bind = variable("BIND").unwrap_or_else(|| "127.0.0.1".to_owned());
    let listener = TcpListener::bind((bind, port)).await?;
    let config = Config {
        database: variable("DATABASE_URL").unwrap_or_else(|| "sqlite://live_auction.db".to_owned()),
        redis: variable("REDIS_URL"),
        secret: secret()?,
        origins: origins(listener.local_addr()?.port()),
    };
    live_auction::run(config, listener, asked_to_stop()).await
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The secret, or a new one, with which all sessions end when the process does.
fn secret() -> Result<Vec<u8>, Failed> {
    match variable("SESSION_SECRET") {
        Some(secret) if secret.len() < 32 => Err("SESSION_SECRET has less than 32 bytes".into()),
        Some(secret) => Ok(secret.into_bytes()),
        None => {
            let mut secret = vec![0; 32];
            getrandom::fill(&mut secret)?;
            Ok(secret)
        }
    }
}

fn origins(port: u16) -> Vec<String> {
    match variable("PUBLIC_ORIGIN") {
        Some(origin) => vec![origin.trim_end_matches('/').to_owned()],
        None => {
            ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("http://{host}:{port}")).to_vec()
        }
    }
}

/// Completes at the first Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    let interrupted = async { _ = tokio::signal::ctrl_c().await };
    #[cfg(unix)]
    let terminated = async {
        let signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        match signals {
            Ok(mut signals) => _ = signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
    tracing::info!("stopping");
}
