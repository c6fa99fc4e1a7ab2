//! The scenarios on PostgreSQL, near by.

use super::{Best, HOT, MANY, Section, ZIPF};
use crate::contest::{Bench, Contestant, Peer};
use crate::database::Pool;
use crate::world::Shape;

/// With two connections hardly a bid overtakes another, so few come too late; with one, each would wait for the ping of a
/// connection that comes back to the pool.
pub fn in_order(contestant: Contestant) -> Contestant {
    contestant.pool(Pool { connections: 2, pings: true })
}

/// The floor and Django, with their best numbers.
fn peers(best: &Best, clients: &[usize], shape: Shape) -> Vec<Contestant> {
    let floor = |name, count: &usize| Contestant::new(name, Peer::Floor, shape, *count);
    let django = |count: &usize| Contestant::new("Django", Peer::Django, shape, *count);
    let with_key = clients.iter().map(|count| floor("floor", count));
    let without = clients.iter().map(|count| floor("floor, no key", count).without_key());
    with_key.chain(without).chain(best.django.iter().map(django)).collect()
}

pub async fn hot(bench: &Bench, best: &Best) -> Section {
    let mut all = vec![
        Contestant::new("ours", Peer::Ours, HOT, 256),
        Contestant::new("ours, no key", Peer::Ours, HOT, 256).without_key(),
    ];
    all.extend(peers(best, &best.floor_hot, HOT));
    if !bench.options.quick {
        all.push(Contestant::new("alone", Peer::Alone, HOT, 256));
        all.push(in_order(Contestant::new("alone, in order", Peer::Alone, HOT, 256)));
        all.push(Contestant::new("by hand", Peer::ByHand, HOT, 256));
    }
    let lines = bench.rounds(all).await;
    Section::new("hot", "One auction", lines).note(IN_ORDER)
}

/// Why many bids are refused where each has a transaction of its own.
pub const IN_ORDER: &str = "\"Alone\" is one bid a transaction. A bid names its amount before it waits for the lock, so with 16 \
connections many are overtaken and refused; \"in order\" has two connections, where hardly any is. The floor and \"by hand\" bid the next \
minimum under the lock.";

pub async fn many(bench: &Bench, best: &Best) -> Section {
    let mut all = vec![
        Contestant::new("ours", Peer::Ours, MANY, 256),
        Contestant::new("ours, no key", Peer::Ours, MANY, 256).without_key(),
    ];
    all.extend(peers(best, &best.floor_many, MANY));
    if !bench.options.quick {
        all.push(Contestant::new("alone", Peer::Alone, MANY, 256));
        all.push(Contestant::new("by hand", Peer::ByHand, MANY, 256));
    }
    Section::new("many", "1,000 auctions", bench.rounds(all).await)
}

pub async fn single(bench: &Bench, best: &Best) -> Section {
    let no_pings = Pool { pings: false, ..Pool::default() };
    let mut all = vec![
        Contestant::new("ours", Peer::Ours, HOT, 1),
        Contestant::new("ours, no pings", Peer::Ours, HOT, 1).pool(no_pings),
        Contestant::new("floor", Peer::Floor, HOT, 1),
        Contestant::new("by hand", Peer::ByHand, HOT, 1),
    ];
    if !bench.options.quick {
        all.push(Contestant::new("ours, no key", Peer::Ours, HOT, 1).without_key());
        all.push(Contestant::new("floor, no key", Peer::Floor, HOT, 1).without_key());
        all.push(Contestant::new("by hand, no pings", Peer::ByHand, HOT, 1).pool(no_pings));
        if !best.django.is_empty() {
            all.push(Contestant::new("Django", Peer::Django, HOT, 1));
        }
    }
    let note = "\"No pings\": SeaORM's `test_before_acquire` is off; by default a pool asks each connection whether it is \
        still there before it is used, which is a round trip.";
    Section::new("single", "One caller alone", bench.rounds(all).await).note(note)
}

pub async fn zipf(bench: &Bench, best: &Best) -> Section {
    let mut all = vec![
        Contestant::new("ours", Peer::Ours, ZIPF, 256).zipf(),
        Contestant::new("alone", Peer::Alone, ZIPF, 256).zipf(),
        Contestant::new("by hand", Peer::ByHand, ZIPF, 256).zipf(),
    ];
    let floor = |count: &usize| Contestant::new("floor", Peer::Floor, ZIPF, *count).zipf();
    all.extend(best.floor_many.iter().map(floor));
    let note = "The n-th of 10,000 auctions is picked as often as 1/n. pgbench draws by its `random_zipfian`, with as many clients \
        as are best for 1,000 auctions.";
    Section::new("zipf", "10,000 auctions by Zipf's law", bench.rounds(all).await).note(note)
}

const CALLERS: [usize; 6] = [1, 4, 16, 64, 256, 1024];

pub async fn callers(bench: &Bench) -> Vec<Section> {
    let mut sections = Vec::new();
    let wanted = [
        ("callers_hot", "1 to 1,024 callers, one auction", HOT),
        ("callers_many", "1 to 1,024 callers, 1,000 auctions", MANY),
    ];
    for (name, title, shape) in wanted {
        let all = CALLERS.iter().flat_map(|count| {
            let ours = Contestant::new(&format!("ours, {count}"), Peer::Ours, shape, *count);
            let alone = Contestant::new(&format!("alone, {count}"), Peer::Alone, shape, *count);
            [ours, alone]
        });
        sections.push(Section::new(name, title, bench.rounds(all.collect()).await));
    }
    sections
}

pub async fn pool(bench: &Bench) -> Section {
    let all = [4, 8, 16, 32, 64].map(|connections| {
        let pool = Pool { connections, pings: true };
        Contestant::new(&format!("ours, {connections} connections"), Peer::Ours, MANY, 256)
            .pool(pool)
    });
    Section::new("pool", "Pools of several sizes, 1,000 auctions", bench.rounds(all.into()).await)
}

pub async fn storm(bench: &Bench) -> Section {
    let shape = Shape::to_buy(5000);
    let all = vec![
        Contestant::new("ours", Peer::Storm, shape, 256),
        Contestant::new("alone", Peer::StormAlone, shape, 256),
    ];
    let note = "256 callers buy one auction at once. That exactly one of them does is checked each time; then comes the next \
        auction. The latency is that of all answers, the losers' too. No keys.";
    let section = Section::new("storm", "Everybody buys at once", bench.rounds(all).await);
    section.note(note).counting("auctions sold")
}

pub async fn settle(bench: &Bench) -> Section {
    let shape = Shape::ended(10_000);
    let all = vec![
        Contestant::new("one sweeper", Peer::Settle, shape, 1),
        Contestant::new("four sweepers", Peer::Settle, shape, 4),
    ];
    let note = "10,000 auctions of one seller, with one bid each, are due. The sweepers call `settle_due(100)` until nothing \
        is left, or for 10 s.";
    let section =
        Section::new("settle", "10,000 auctions that have ended", bench.rounds(all).await);
    section.note(note).counting("auctions settled")
}

pub async fn within(bench: &Bench) -> Section {
    let all = [(HOT, 1), (MANY, 64)].into_iter().flat_map(|(shape, count)| {
        let what = if count == 1 { "one caller" } else { "64 callers, 1,000 auctions" };
        [
            Contestant::new(&format!("within, {what}"), Peer::Within, shape, count),
            Contestant::new(&format!("by hand, {what}"), Peer::ByHandWithNote, shape, count),
        ]
    });
    let note = "A transaction of the host inserts a row of its own and places a bid.";
    Section::new("within", "Within a host's unit of work", bench.rounds(all.collect()).await)
        .note(note)
}

pub async fn relay(bench: &Bench) -> Section {
    let all =
        [(HOT, "one auction"), (MANY, "1,000 auctions")].into_iter().flat_map(|(shape, what)| {
            [
                Contestant::new(&format!("without, {what}"), Peer::Ours, shape, 256),
                Contestant::new(&format!("with a relay, {what}"), Peer::Relayed, shape, 256),
            ]
        });
    let note = "The relay runs in the same process, woken by hints, and its sink does nothing: what it takes from the bids is the \
        work of reading them again, for they write no row for it.";
    Section::new("relay", "Events delivered at least once", bench.rounds(all.collect()).await)
        .note(note)
}

pub async fn overload(bench: &Bench) -> Section {
    let all = vec![
        Contestant::new("ours, 256", Peer::Ours, HOT, 256),
        Contestant::new("ours, 1024", Peer::Ours, HOT, 1024),
        Contestant::new("ours, 16384", Peer::Ours, HOT, 64 * 256),
    ];
    let note = "At most 10,000 wait (the default of `GroupCommit`). Whoever is answered `Overloaded` is shed, waits 100 ms and \
        calls again.";
    Section::new("overload", "64 times as many callers", bench.rounds(all).await).note(note)
}
