//! Soft close: a late bid moves the end, so that nobody wins by being last.

use super::Micros;

/// The reset form: a bid that changes the leader or the price leaves at least `window` until the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SoftClose {
    /// Microseconds, more than zero and at most a day.
    pub(crate) window: i64,
    /// How far behind the original end the end can be moved, in microseconds; as far as it takes if there is no cap.
    pub(crate) at_most: Option<i64>,
}

impl SoftClose {
    /// The end after a bid at `now`: `max(end, now + window)`, but a bid moves it to the cap at most, and never to before
    /// where it was.
    pub(crate) fn end_after(&self, original: Micros, end: Micros, now: Micros) -> Micros {
        let reset = now.plus(self.window);
        let capped = self.at_most.map_or(reset, |most| reset.min(original.plus(most)));
        end.max(capped)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::type_complexity, clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An instant of a day, `17:30`.
    fn at(clock: &str) -> Micros {
        let (hours, minutes) = clock.split_once(':').unwrap();
        let minutes: i64 = hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap();
        Micros::new(minutes * 60_000_000)
    }

    fn minutes(window: i64) -> SoftClose {
        SoftClose { window: window * 60_000_000, at_most: None }
    }

    /// The reset form, with published instants: window, end, and each bid with the end after it.
    #[test]
    fn published_extensions() {
        let rows: [(i64, &str, &[(&str, &str)]); 4] = [
            (10, "17:30", &[("17:28", "17:38")]),
            (10, "00:08", &[("00:00", "00:10")]),
            (3, "15:00", &[("14:58", "15:01"), ("15:00", "15:03")]),
            (30, "23:30", &[("23:27", "23:57")]),
        ];
        for (window, end, bids) in rows {
            let (original, mut end) = (at(end), at(end));
            for (bid, expected) in bids {
                end = minutes(window).end_after(original, end, at(bid));
                assert_eq!(end, at(expected), "window {window}, bid at {bid}");
            }
        }
    }

    #[test]
    fn the_end_never_comes_nearer_and_stops_at_the_cap() {
        let early = minutes(10).end_after(at("17:30"), at("17:30"), at("17:00"));
        assert_eq!(early, at("17:30"));
        let capped = SoftClose { at_most: Some(5 * 60_000_000), ..minutes(10) };
        assert_eq!(capped.end_after(at("17:30"), at("17:30"), at("17:28")), at("17:35"));
        assert_eq!(capped.end_after(at("17:30"), at("17:35"), at("17:34")), at("17:35"));
        // The house has moved the end behind the cap: there it stays.
        assert_eq!(capped.end_after(at("17:30"), at("18:00"), at("17:59")), at("18:00"));
    }
}
