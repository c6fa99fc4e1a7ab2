//! What came out, as tables.

use std::sync::atomic::Ordering::Relaxed;

use crate::bidders::Bids;
use crate::listeners::{Counts, Heard};
use crate::minutes::Minutes;

pub(crate) fn print(
    minutes: &Minutes,
    bids: &Bids,
    counts: &Counts,
    heard: &[Heard],
    lagged: usize,
) {
    let mib = |kib: u64| format!("{}.{}", kib >> 10, ((kib & 1_023) * 10) >> 10);
    println!();
    println!(
        "| minute | memory, at most, MiB | processors of the server | bids accepted, refused, late a second | events, shown a second |"
    );
    println!("|---|---|---|---|---|");
    println!("| before the listeners | {} | | | |", mib(minutes.empty));
    println!("| before the bids | {} | | | |", mib(minutes.connected));
    for pair in minutes.untils.windows(2) {
        let [before, until] = pair else { unreachable!() };
        let seconds = until.second - before.second;
        // A processor for a second is a hundred hundredths.
        let percent = (until.processor - before.processor) / seconds;
        println!(
            "| {} | {}, {} | {percent} % | {}, {}, {} | {}, {} |",
            until.second / 60,
            mib(until.memory),
            mib(until.most),
            (until.accepted - before.accepted) / seconds,
            (until.refused - before.refused) / seconds,
            (until.late - before.late) / seconds,
            (until.events - before.events) / seconds,
            (until.shown - before.shown) / seconds,
        );
    }
    println!("| end | {} | | | |", mib(minutes.end));
    println!();
    println!(
        "bids: {} accepted, {} refused, {} failed, {} sent late",
        bids.accepted(),
        bids.refused(),
        bids.failed(),
        bids.late()
    );
    let [gone, sent_away] = [&counts.gone, &counts.sent_away].map(|count| count.load(Relaxed));
    println!("listeners: {} were told everything, once and in order", heard.len());
    println!("came back after going {gone} times, after being sent away {sent_away} times");
    println!("pages that were too slow and read from the ledger: {lagged} times");

    let (mut since_sent, mut since_answered, mut earlier) = (Vec::new(), Vec::new(), 0_usize);
    let mut answers = Vec::new();
    for (price, arrived) in heard.iter().flat_map(|page| &page.arrivals) {
        let (sent, answered) = bids.times(*price);
        since_sent.push(arrived.saturating_sub(sent));
        since_answered.push(arrived.saturating_sub(answered));
        earlier += usize::from(*arrived < answered);
        answers.push(answered.saturating_sub(sent));
    }
    let listeners = heard.iter().filter(|page| !page.arrivals.is_empty()).count();
    println!(
        "{} arrivals at {listeners} listeners, {earlier} of them before the answer",
        since_sent.len()
    );
    println!();
    println!("| ms | median | 99 % | at most |");
    println!("|---|---|---|---|");
    print_times("from a bid to its answer", answers);
    print_times("from a bid to a listener", since_sent);
    print_times("from the answer to a listener", since_answered);
}

fn print_times(what: &str, mut micros: Vec<u64>) {
    micros.sort_unstable();
    let Some(last) = micros.len().checked_sub(1) else {
        return;
    };
    let ms = |micros: u64| format!("{}.{}", micros / 1_000, micros / 100 % 10);
    let [half, most, all] = [last / 2, last * 99 / 100, last].map(|at| ms(micros[at]));
    println!("| {what} | {half} | {most} | {all} |");
}
