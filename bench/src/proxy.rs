//! A way to the server that is longer: each direction takes a quarter of a millisecond, whatever goes along it.
//!
//! What comes in is stamped and put into a pipe, and goes out when its time has come, so nothing waits for what is ahead of it.
//! A thread for each direction waits more exactly than tokio's timer, whose steps are a millisecond.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Failure;

/// How long each direction takes.
const ONE_WAY: Duration = Duration::from_micros(250);
/// By how much later than asked a waiting thread wakes up, by the kernel's default.
const SLACK: Duration = Duration::from_micros(60);

/// Listens on a free port, as long as the process lives.
pub fn start(server: SocketAddr) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Whoever cannot be connected sees the connection end.
            _ = connect(client, server);
        }
    });
    Ok(port)
}

fn connect(client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    direction(client.try_clone()?, server.try_clone()?);
    direction(server, client);
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "it delays bytes; it judges nothing")]
fn now() -> Instant {
    Instant::now()
}

fn direction(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // Whoever is cut off sees the connection end.
        _ = carry(&mut from, &mut to);
        _ = to.shutdown(Shutdown::Both);
    });
}

fn carry(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    let mut pipe: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let left = pipe.front().map(|(due, _)| due.saturating_duration_since(now()));
        let left = left.map(|left| left.saturating_sub(SLACK));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut sockets = [PollFd::new(from, PollFlags::IN)];
        if poll(&mut sockets, timeout.as_ref())? > 0 {
            match from.read(&mut buffer)? {
                0 => break,
                count => pipe.push_back((now() + ONE_WAY, buffer[..count].to_vec())),
            }
        }
        while pipe.front().is_some_and(|(due, _)| *due <= now() + SLACK) {
            if let Some((_, bytes)) = pipe.pop_front() {
                to.write_all(&bytes)?;
            }
        }
    }
    for (due, bytes) in pipe {
        thread::sleep(due.saturating_duration_since(now()));
        to.write_all(&bytes)?;
    }
    Ok(())
}
