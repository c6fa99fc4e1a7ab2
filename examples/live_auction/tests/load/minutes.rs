//! What is read every second, and kept by the minute.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::bidders::Bids;
use crate::listeners::Counts;
use crate::process::Server;

/// What there was until some second of the bids.
pub(crate) struct Until {
    pub(crate) second: u64,
    /// Of the server, in KiB, and the most since the one before.
    pub(crate) memory: u64,
    pub(crate) most: u64,
    /// Of the server, in hundredths of a second.
    pub(crate) processor: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) late: u64,
    pub(crate) events: u64,
    pub(crate) shown: u64,
}

pub(crate) struct Minutes {
    begun: Instant,
    second: u64,
    /// Before anybody listens, in KiB.
    pub(crate) empty: u64,
    /// When all listen.
    pub(crate) connected: u64,
    most: u64,
    pub(crate) untils: Vec<Until>,
    /// When all bids are answered.
    pub(crate) end: u64,
}

impl Minutes {
    pub(crate) fn begin(start: Instant, server: &Server) -> Self {
        let (empty, untils) = (server.memory(), Vec::new());
        Self { begun: start, second: 0, empty, connected: 0, most: 0, untils, end: 0 }
    }

    pub(crate) fn bids_begin(&mut self, server: &Server) {
        self.begun = Instant::now();
        self.connected = server.memory();
        self.untils.push(Until {
            second: 0,
            memory: self.connected,
            most: self.connected,
            processor: server.processor(),
            accepted: 0,
            refused: 0,
            late: 0,
            events: 0,
            shown: 0,
        });
    }

    /// Waits for the next second, and looks.
    pub(crate) async fn next_second(&mut self, server: &Server, bids: &Bids, counts: &Counts) {
        self.second += 1;
        sleep_until(self.begun + Duration::from_secs(self.second)).await;
        let memory = server.memory();
        self.most = self.most.max(memory);
        if self.second.is_multiple_of(60) {
            let until = Until {
                second: self.second,
                memory,
                most: self.most,
                processor: server.processor(),
                accepted: bids.accepted(),
                refused: bids.refused(),
                late: bids.late(),
                events: counts.events.load(Relaxed),
                shown: counts.shown.load(Relaxed),
            };
            println!("{} s: {} MiB, {} bids accepted", until.second, memory >> 10, until.accepted);
            self.untils.push(until);
            self.most = 0;
        }
    }

    pub(crate) fn end(&mut self, server: &Server) {
        self.end = server.memory();
    }

    /// Asserts that memory does not grow: it is generous, and only of a run that lasts.
    pub(crate) fn assert_flat(&self, seconds: usize) {
        if seconds < 300 {
            return;
        }
        let first = self.untils[1].memory;
        let most = first + first / 4 + (20 << 10);
        assert!(self.end <= most, "{} KiB after a minute, {} KiB at the end", first, self.end);
    }
}
