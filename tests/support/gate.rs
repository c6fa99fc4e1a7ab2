//! A gate in a link: it closes behind one request, and the replies wait until somebody opens it.

use tokio::sync::watch;

/// Open, unless a test has armed it.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<State>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// This many requests pass before the one it closes behind.
    Armed(usize),
    Closed,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(State::Open))
    }
}

impl Gate {
    /// Closes behind the `n`-th request from now, counted from 0 over all connections. A ping is a request too.
    pub(crate) fn close_behind(&self, n: usize) {
        self.0.send_replace(State::Armed(n));
    }

    /// Lets every reply through. A gate that was armed forgets it.
    pub(crate) fn open(&self) {
        self.0.send_replace(State::Open);
    }

    /// Waits until a request has been sent behind which it is closed: its reply will wait.
    pub(crate) async fn closed(&self) {
        self.wait_for(State::Closed).await;
    }

    /// A request goes by.
    pub(super) fn request(&self) {
        self.0.send_modify(|state| {
            *state = match *state {
                State::Armed(0) => State::Closed,
                State::Armed(left) => State::Armed(left - 1),
                other => other,
            }
        });
    }

    /// A reply comes by, and waits while the gate is closed.
    pub(super) async fn reply(&self) {
        let mut states = self.0.subscribe();
        let open = states.wait_for(|state| *state != State::Closed).await;
        open.expect("the gate is borrowed, so its sender lives");
    }

    async fn wait_for(&self, wanted: State) {
        let mut states = self.0.subscribe();
        let there = states.wait_for(|state| *state == wanted).await;
        there.expect("the gate is borrowed, so its sender lives");
    }
}
