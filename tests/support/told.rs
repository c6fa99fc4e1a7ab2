//! What sinks were told, against what can be read back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use auction_ledger::{
    AuctionEvent, AuctionId, AuctionLedger, AuctionTerms, Currency, RecordingSink, UserId,
};
use tokio::time::timeout;

use super::TestResult;

/// Waits until the sink has everything: an auction that is opened now comes behind all of it. Its own events are left out.
pub(crate) async fn everything(
    ledger: &AuctionLedger,
    sink: &RecordingSink,
) -> Result<Vec<AuctionEvent>, Box<dyn std::error::Error + Send + Sync>> {
    let terms = AuctionTerms::english(Currency::KRW, 10.into(), 1.into());
    let mark = ledger.open_auction("a mark", "a mark", terms.ends_in(Duration::from_secs(60)));
    let mark = mark.await?.id;
    let marked = timeout(Duration::from_secs(30), async {
        let mut count = 0;
        loop {
            let mut events = sink.wait_for(count + 1).await;
            if events.iter().any(|event| event.auction == mark) {
                events.retain(|event| event.auction != mark);
                return events;
            }
            count = events.len();
        }
    });
    Ok(marked.await?)
}

/// Reads the events of every auction back, for everybody and for some users, in pages of several sizes and from several numbers
/// on: they are what the sink was told, to the last field.
pub(crate) async fn is_read_back(ledger: &AuctionLedger, told: &[AuctionEvent]) -> TestResult {
    let mut auctions: BTreeMap<AuctionId, Vec<AuctionEvent>> = BTreeMap::new();
    for event in told {
        auctions.entry(event.auction).or_default().push(event.clone());
    }
    for (auction, told) in auctions {
        let public = visible(&told, None);
        for limit in [2, 5, 1_000] {
            let mut pages = Vec::new();
            loop {
                let since = pages.last().map_or(0, |event: &AuctionEvent| event.seq);
                let page = ledger.events(auction).since(since).limit(limit).await?;
                if page.is_empty() {
                    break;
                }
                pages.extend(page);
            }
            assert_eq!(pages, public, "auction {auction} in pages of {limit}");
        }
        let last = told.last().map_or(0, |event| event.seq);
        for since in [1, last / 3, last / 2, last - 1, last] {
            for user in recipients(&told).iter().take(5).map(Some).chain([None]) {
                let mut events = ledger.events(auction).since(since).limit(1_000);
                if let Some(user) = user {
                    events = events.for_user(user.clone());
                }
                let after: Vec<_> =
                    visible(&told, user).into_iter().filter(|event| event.seq > since).collect();
                assert_eq!(events.await?, after, "auction {auction} after {since} for {user:?}");
            }
        }
    }
    Ok(())
}

fn recipients(events: &[AuctionEvent]) -> BTreeSet<UserId> {
    events.iter().filter_map(|event| event.recipient().cloned()).collect()
}

fn visible(events: &[AuctionEvent], user: Option<&UserId>) -> Vec<AuctionEvent> {
    let visible =
        |event: &&AuctionEvent| event.recipient().is_none_or(|recipient| Some(recipient) == user);
    events.iter().filter(visible).cloned().collect()
}
