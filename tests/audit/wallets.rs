//! Wallets and their journals, edited one cell at a time.

use auction_ledger::{Finding, Record};

use super::{Vandal, balance, finds, story};
use crate::support::{Books, on_every_backend};

on_every_backend! {
    async fn a_wallet_that_does_not_say_what_its_last_entry_says(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let (ann, bob, dan) = (books.won("ann"), books.won("bob"), books.won("dan"));
        // From Ann to Bob, so that all money is still there; and a count.
        Vandal::of(world).await?.does([
            format!("UPDATE al_wallet SET available = available - 7 WHERE id = {ann}"),
            format!("UPDATE al_wallet SET held = held + 7 WHERE id = {bob}"),
            format!("UPDATE al_wallet SET seq = 3 WHERE id = {dan}"),
        ]).await?;
        let finding = |user: &str, available: i128, held: i128, seq: i64| {
            let row = books.wallet(user);
            let journal = balance(row.available.into(), row.held.into());
            Finding::WalletRow {
                wallet: row.id.into(),
                row: balance(journal.available + available, journal.held + held),
                row_seq: row.seq + seq,
                journal,
                journal_seq: row.seq,
            }
        };
        let found = finds(world, [finding("ann", -7, 0, 0), finding("bob", 0, 7, 0), finding("dan", 0, 0, 2)]).await?;
        let text = format!("wallet {dan} says 100 available, 0 held after 3 entries, its journal 100 available, 0 held after 1");
        assert!(found.iter().any(|finding| finding.to_string() == text), "{found:?}");
    }

    async fn a_wallet_with_money_and_no_journal(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let (dan, bob) = (books.won("dan"), books.won("bob"));
        // Dan's only entry goes, and with it the money from all that was deposited. Half of it is still in his wallet.
        let vandal = Vandal::of(world).await?;
        vandal.does([
            format!("DELETE FROM al_entry WHERE wallet_id = {dan}"),
            format!("UPDATE al_wallet SET available = 50 WHERE id = {dan}"),
            format!("UPDATE al_wallet SET available = available - 50 WHERE id = {bob}"),
        ]).await?;
        let row = books.wallet("bob");
        let journal = balance(row.available.into(), row.held.into());
        finds(world, [
            Finding::WalletRow {
                wallet: dan, row: balance(50, 0), row_seq: 1, journal: balance(0, 0), journal_seq: 0,
            },
            Finding::WalletRow {
                wallet: bob,
                row: balance(journal.available - 50, journal.held),
                row_seq: row.seq,
                journal,
                journal_seq: row.seq,
            },
        ]).await?;
    }

    async fn an_entry_that_is_missing(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let ann = books.won("ann");
        let last = books.wallet("ann").seq;
        Vandal::of(world).await?.does([
            format!("UPDATE al_entry SET seq = seq + 1 WHERE wallet_id = {ann} AND seq = {last}"),
            format!("UPDATE al_wallet SET seq = seq + 1 WHERE id = {ann}"),
        ]).await?;
        let found = finds(world, [Finding::EntryGap { wallet: ann, expected: last, found: last + 1 }]).await?;
        assert_eq!(found[0].to_string(), format!("wallet {ann} has entry {} where entry {last} should be", last + 1));
    }

    async fn the_first_entry_is_missing(world: &World) {
        story(world).await?;
        let dan = Books::read(world.db()).await?.won("dan");
        Vandal::of(world).await?.does([
            format!("UPDATE al_entry SET seq = 5 WHERE wallet_id = {dan}"),
            format!("UPDATE al_wallet SET seq = 5 WHERE id = {dan}"),
        ]).await?;
        finds(world, [Finding::EntryGap { wallet: dan, expected: 1, found: 5 }]).await?;
    }

    /// The first entry, one in the middle and the last: each wrong cell is told once, and not for every entry behind it.
    async fn a_balance_that_does_not_run_along(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let vandal = Vandal::of(world).await?;
        let mut expected = Vec::new();
        for (user, seq, column) in [
            ("ann", 1, "available_after"), ("ann", 3, "held_after"), ("ann", books.wallet("ann").seq, "available_after"),
            ("bob", 4, "available_after"), ("bob", 6, "available_after"), ("dan", 1, "held_after"),
        ] {
            let id = books.won(user);
            vandal.does([format!("UPDATE al_entry SET {column} = {column} + 1 WHERE wallet_id = {id} AND seq = {seq}")]).await?;
            let row = books.journal(user).into_iter().find(|entry| entry.seq == seq).unwrap();
            let was = balance(row.available_after.into(), row.held_after.into());
            let found = match column {
                "held_after" => balance(was.available, was.held + 1),
                _ => balance(was.available + 1, was.held),
            };
            expected.push(Finding::RunningBalance { wallet: id, seq, expected: was, found });
        }
        let found = finds(world, expected).await?;
        let dan = books.won("dan");
        let text = format!("entry 1 of wallet {dan} says 100 available, 1 held instead of 100 available, 0 held");
        assert!(found.iter().any(|finding| finding.to_string() == text), "{found:?}");
    }

    async fn a_delta_that_its_balance_does_not_show(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let (ann, bob) = (books.won("ann"), books.won("bob"));
        // One more was deposited here and one less there, or so they say.
        Vandal::of(world).await?.does([
            format!("UPDATE al_entry SET available_delta = 2001 WHERE wallet_id = {ann} AND seq = 1"),
            format!("UPDATE al_entry SET available_delta = 1999 WHERE wallet_id = {bob} AND seq = 1"),
        ]).await?;
        let finding = |wallet, expected| Finding::RunningBalance {
            wallet, seq: 1, expected: balance(expected, 0), found: balance(2_000, 0),
        };
        finds(world, [finding(ann, 2_001), finding(bob, 1_999)]).await?;
    }

    async fn a_wallet_that_is_overdrawn(world: &World) {
        story(world).await?;
        let dan = Books::read(world.db()).await?.won("dan");
        let vandal = Vandal::of(world).await?;
        // A withdrawal of more than there is, and the deposit that covers it afterwards.
        let copy = |seq: i64, kind: i64, delta: i64, after: i64| format!(
            "INSERT INTO al_entry SELECT wallet_id, {seq}, operation, {kind}, {delta}, 0, {after}, 0, auction_id, memo, at \
             FROM al_entry WHERE wallet_id = {dan} AND seq = 1"
        );
        vandal.does([
            copy(2, 2, -150, -50),
            copy(3, 1, 60, 10),
            format!("UPDATE al_wallet SET available = 10, seq = 3 WHERE id = {dan}"),
        ]).await?;
        let found = finds(world, [Finding::Overdrawn { wallet: dan, seq: 2, balance: balance(-50, 0) }]).await?;
        assert_eq!(found[0].to_string(), format!("entry 2 overdraws wallet {dan}: -50 available, 0 held"));
    }

    async fn an_entry_whose_kind_and_auction_do_not_go_together(world: &World) {
        let story = story(world).await?;
        let books = Books::read(world.db()).await?;
        let (ann, bob, dan) = (books.won("ann"), books.won("bob"), books.won("dan"));
        let vandal = Vandal::of(world).await?;
        vandal.does([
            // A deposit for an auction.
            format!("UPDATE al_entry SET auction_id = {} WHERE wallet_id = {ann} AND seq = 1", story.open),
            // A deposit of held money.
            format!("UPDATE al_entry SET available_delta = 0, held_delta = 100, available_after = 0, held_after = 100 WHERE wallet_id = {dan}"),
            format!("UPDATE al_wallet SET available = 0, held = 100 WHERE id = {dan}"),
        ]).await?;
        // A hold for no auction, for which money of Bob's moves from one pocket into the other.
        let row = books.wallet("bob");
        vandal.does([
            format!(
                "INSERT INTO al_entry SELECT wallet_id, {seq}, operation, 3, -5, 5, {available}, {held}, NULL, memo, at \
                 FROM al_entry WHERE wallet_id = {bob} AND seq = 1",
                seq = row.seq + 1, available = row.available - 5, held = row.held + 5,
            ),
            format!("UPDATE al_wallet SET available = available - 5, held = held + 5, seq = seq + 1 WHERE id = {bob}"),
        ]).await?;
        let found = finds(world, [
            Finding::Misfiled { wallet: ann, seq: 1, kind: 1, held_delta: 0, auction: Some(story.open) },
            Finding::Misfiled { wallet: dan, seq: 1, kind: 1, held_delta: 100, auction: None },
            Finding::Misfiled { wallet: bob, seq: row.seq + 1, kind: 3, held_delta: 5, auction: None },
        ]).await?;
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [
            format!("entry 1 of wallet {ann} is of kind 1, moves 0 held, and is for auction {}", story.open),
            format!("entry {} of wallet {bob} is of kind 3, moves 5 held, and is for auction none", row.seq + 1),
            format!("entry 1 of wallet {dan} is of kind 1, moves 100 held, and is for auction none"),
        ]);
    }

    /// Wherever it is: before the first wallet, between two, behind the last.
    async fn an_entry_of_no_wallet(world: &World) {
        story(world).await?;
        let books = Books::read(world.db()).await?;
        let dan = books.won("dan");
        let vandal = Vandal::of(world).await?;
        let last = books.wallets.last().unwrap().id;
        let mut expected = Vec::new();
        for (id, seq) in [(-5, 1), (0, 1), (last + 1, 1), (last + 1, 2), (i64::MAX, 4)] {
            vandal.does([format!(
                "INSERT INTO al_entry SELECT {id}, {seq}, operation, kind, available_delta, held_delta, available_after, held_after, \
                 auction_id, memo, at FROM al_entry WHERE wallet_id = {dan} AND seq = 1"
            )]).await?;
            // The entries of a wallet are told once.
            if seq != 2 {
                let wallet = id.into();
                expected.push(Finding::MissingWallet { referrer: Record::Entry { wallet, seq }, wallet });
            }
        }
        let found = finds(world, expected).await?;
        assert_eq!(found[0].to_string(), "entry 1 of wallet -5 names wallet -5, which does not exist");
    }
}
