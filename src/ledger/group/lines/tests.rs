use rust_decimal::Decimal;
use tokio::runtime::Handle;

use super::*;
use crate::ledger::batch::Wish;

const ROOM: Room = Room { lists: 2, slow: None };

fn auction(id: i64) -> AuctionId {
    serde_json::from_value(id.into()).unwrap()
}

fn bid_on(auction: AuctionId) -> (Command, Handle) {
    let user = Some("ann".into());
    (Command::new(auction, user, Wish::Bid(Decimal::TEN)), Handle::current())
}

impl Lines {
    fn come(&mut self, id: i64) -> Entered {
        let auction = auction(id);
        self.enter(&GroupCommit::new(), ROOM, auction, || bid_on(auction)).unwrap()
    }

    fn turn(&mut self, id: i64) -> TurnId {
        match self.come(id) {
            Entered::Turn(turn) => turn,
            Entered::InLine { .. } => panic!("auction {id} is not free"),
        }
    }

    fn wait(&mut self, id: i64) -> u64 {
        match self.come(id) {
            Entered::Turn(_) => panic!("auction {id} is free"),
            Entered::InLine { number, .. } => number,
        }
    }

    /// The next list: its turn, its auctions, and how many commands it has.
    fn next(&mut self) -> Option<(TurnId, Vec<AuctionId>, usize)> {
        let next = self.next_list(&GroupCommit::new(), ROOM, true);
        self.is_starting = false;
        next.map(|next| (next.turn, next.auctions, next.list.len()))
    }
}

#[tokio::test]
async fn the_next_list_begins_when_the_auction_is_handed_over() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    lines.wait(1);
    lines.wait(1);
    assert_eq!(lines.next(), None);

    assert!(lines.hand_over(first, auction(1), Ahead::default()));
    let (second, auctions, commands) = lines.next().unwrap();
    assert_eq!((auctions, commands), (vec![auction(1)], 2));
    // Only one waits for the row.
    lines.wait(1);
    assert!(!lines.hand_over(first, auction(1), Ahead::default()));
    assert!(!lines.end(first, &[auction(1)]));
    assert_eq!(lines.next(), None);

    assert!(!lines.end(second, &[auction(1)]));
    let (third, _, _) = lines.next().unwrap();
    assert!(lines.end(third, &[auction(1)]));
    assert!(lines.by_auction.is_empty() && lines.free.is_empty() && lines.counted.is_empty());
}

#[tokio::test]
async fn whoever_comes_behind_a_turn_that_is_ending_is_in_line() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    assert!(!lines.hand_over(first, auction(1), Ahead::default()));
    lines.wait(1);
    assert_eq!(lines.next().unwrap().1, [auction(1)]);
}

#[tokio::test]
async fn an_auction_whose_turn_is_ending_shares_no_list() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    let other = lines.turn(2);
    for id in [3, 1, 4] {
        lines.wait(id);
    }
    assert!(lines.hand_over(first, auction(1), Ahead::default()));
    assert!(!lines.end(other, &[auction(2)]));
    assert_eq!(lines.next().unwrap().1, [auction(1)]);
    assert_eq!(lines.next().unwrap().1, [auction(3), auction(4)]);
}

/// Of one auction one transaction is under way, however many are prepared behind it.
#[tokio::test]
async fn whoever_is_behind_a_turn_takes_its_place_when_it_has_ended() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    let other = lines.turn(2);
    lines.wait(1);
    lines.wait(3);
    assert_eq!(lines.next(), None, "two are under way");
    assert!(lines.hand_over(first, auction(1), Ahead::default()));
    let (second, _, _) = lines.next().unwrap();
    assert_eq!(lines.next(), None, "there is no room for 3");
    assert!(!lines.end(first, &[auction(1)]));
    assert_eq!(lines.next(), None, "the second is under way");
    assert!(!lines.end(second, &[auction(1)]));
    assert_eq!(lines.next().unwrap().1, [auction(3)]);
    assert!(!lines.end(other, &[auction(2)]));
}

/// Nobody has begun behind it: who waits is as free as everybody.
#[tokio::test]
async fn whoever_waits_where_a_turn_has_ended_shares_lists_again() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    lines.wait(1);
    assert!(lines.hand_over(first, auction(1), Ahead::default()));
    assert!(!lines.end(first, &[auction(1)]));
    assert!(lines.behind.is_empty());
    lines.wait(2);
    assert_eq!(lines.next().unwrap().1, [auction(1), auction(2)]);
}

#[tokio::test]
async fn whoever_leaves_behind_a_turn_that_is_ending_leaves_nothing() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    let number = lines.wait(1);
    assert!(lines.hand_over(first, auction(1), Ahead::default()));
    assert_eq!(lines.leave(auction(1), number), Some(1));
    assert_eq!(lines.next(), None);
    assert!(lines.end(first, &[auction(1)]));
    assert!(lines.by_auction.is_empty() && lines.free.is_empty() && lines.behind.is_empty());
}

#[tokio::test]
async fn what_has_ended_or_was_split_off_is_not_handed_over() {
    let mut lines = Lines::default();
    let slow = lines.turn(1);
    lines.wait(1);
    lines.end(slow, &[auction(1)]);
    assert!(!lines.hand_over(slow, auction(1), Ahead::default()));
    let (second, _, _) = lines.next().unwrap();
    let apart = lines.split(&[auction(1)]);
    assert!(!lines.hand_over(second, auction(1), Ahead::default()));
    lines.wait(1);
    assert!(lines.hand_over(apart, auction(1), Ahead::default()));
}

/// Each auction comes with the wallets of its leader and of its seller, beside those of the bidders.
#[tokio::test]
async fn a_list_touches_no_more_wallets_than_it_may() {
    let mut lines = Lines::default();
    lines.turn(1);
    let turn = lines.turn(2);
    for id in 3..=400 {
        lines.wait(id);
    }
    lines.end(turn, &[auction(2)]);
    let settings = GroupCommit::new().commands(1_000_000);
    let next = lines.next_list(&settings, ROOM, true).unwrap();
    assert_eq!((next.auctions.len(), next.list.len()), (166, 166));
    assert!(next.list.len() + 2 * next.auctions.len() <= MOST_WALLETS);
    assert_eq!(lines.waiting, 398 - 166);
}

/// It cannot be seen yet.
#[tokio::test]
async fn whoever_is_behind_a_turn_is_told_what_it_writes() {
    let mut lines = Lines::default();
    let first = lines.turn(1);
    lines.wait(1);
    assert!(lines.hand_over(first, auction(1), Ahead::default()));
    let next = lines.next_list(&GroupCommit::new(), ROOM, false).unwrap();
    assert_eq!(next.ahead.len(), 1);

    lines.wait(1);
    lines.end(first, &[auction(1)]);
    lines.end(next.turn, &[auction(1)]);
    let next = lines.next_list(&GroupCommit::new(), ROOM, false).unwrap();
    assert!(next.ahead.is_empty(), "they have ended");
}

/// When commands are shed they are many, so each must be cheap.
#[tokio::test]
async fn nothing_is_copied_of_a_command_that_gets_no_place() {
    let mut lines = Lines::default();
    lines.turn(1);
    lines.wait(1);
    let settings = GroupCommit::new().waiting(1);
    let shed = lines.enter(&settings, ROOM, auction(1), || panic!("nobody needs it"));
    assert!(matches!(shed, Err(Error::Overloaded { waiting: 1 })));
    assert_eq!(lines.waiting, 1);
}
