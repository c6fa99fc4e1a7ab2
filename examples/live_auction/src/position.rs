//! How far somebody has read the events of an auction.

use auction_ledger::AuctionEvent;
use serde::Deserialize;

/// The last event that was told: the number of its command, and its own number within that. Positions are ordered as events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Position {
    /// As [`AuctionEvent::seq`]; nothing is told before 1.
    #[serde(rename = "since", default)]
    seq: i64,
    /// As [`AuctionEvent::index`]; left out, all events of the command were told.
    #[serde(default = "Position::all")]
    index: u32,
}

impl Position {
    /// All events of a command and of those before it were told.
    pub(crate) const fn whole(seq: i64) -> Self {
        Self { seq, index: Self::all() }
    }

    pub(crate) const fn of(event: &AuctionEvent) -> Self {
        Self { seq: event.seq, index: event.index }
    }

    pub(crate) const fn seq(self) -> i64 {
        self.seq
    }

    /// The last command all of whose events were told: what to ask the ledger for goes on after it.
    pub(crate) const fn complete(self) -> i64 {
        match self.index {
            u32::MAX => self.seq,
            _ => self.seq.saturating_sub(1),
        }
    }

    /// Whether nothing is missing between this and `event`, which comes after it. The first event of a command is for
    /// everybody; of the further ones a reader sees their own.
    pub(crate) const fn reaches(self, event: &AuctionEvent) -> bool {
        event.seq == self.seq || (event.index == 0 && event.seq == self.seq.saturating_add(1))
    }

    const fn all() -> u32 {
        u32::MAX
    }
}

#[cfg(test)]
mod tests {
    use auction_ledger::AuctionEvent;

    use super::Position;

    fn event(seq: i64, index: u32) -> AuctionEvent {
        let json = format!(
            r#"{{"version":1,"auction":7,"seq":{seq},"index":{index},"at":"2026-11-23T12:00:00Z",
                "currency":{{"code":"EUR","exponent":2}},"type":"unsold"}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn what_comes_next_is_reached_and_a_gap_is_not() {
        let told = Position::of(&event(5, 0));
        assert!(told.reaches(&event(5, 1)));
        assert!(told.reaches(&event(5, 2)), "index 1 may be for somebody else");
        assert!(told.reaches(&event(6, 0)));
        assert!(!told.reaches(&event(6, 1)));
        assert!(!told.reaches(&event(7, 0)));
        assert!(Position::whole(i64::MAX) > told);
    }

    #[test]
    fn a_command_of_which_a_part_was_told_is_asked_for_again() {
        assert_eq!(Position::whole(5).complete(), 5);
        assert_eq!(Position::of(&event(5, 0)).complete(), 4);
        assert!(Position::of(&event(5, 1)) > Position::of(&event(5, 0)));
        assert!(Position::of(&event(5, 9)) < Position::whole(5));
    }
}
