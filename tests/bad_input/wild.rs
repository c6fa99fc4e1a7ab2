//! Values that a host can pass and should not: at the ends of their types, beside the limits of the ledger, and anything.

use std::fmt;
use std::time::Duration;

use auction_ledger::Currency;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rust_decimal::Decimal;

/// A text whose `Debug` fits a screen.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.0.chars().take(40).collect();
        let more = if start.len() < self.0.len() { "…" } else { "" };
        write!(formatter, "{start:?}{more} ({} bytes)", self.0.len())
    }
}

/// Something valid most of the time, so that with several parts one or two are wild.
pub(super) fn mostly<T: fmt::Debug + Clone + 'static>(
    valid: impl Strategy<Value = T> + 'static,
    wild: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![4 => valid, 1 => wild].boxed()
}

/// Any text: of every script, with controls and NUL, empty, as long as the limits or beside them, and much too long.
pub(super) fn text() -> BoxedStrategy<Text> {
    let lengths =
        prop_oneof![Just(63), Just(64), Just(65), Just(199), Just(200), Just(201), 1_usize..300];
    let repeated = (character(), lengths).prop_map(|(c, length)| c.to_string().repeat(length));
    let bytes =
        (character(), 0_usize..4, prop_oneof![Just(64), Just(200)]).prop_map(|(c, more, limit)| {
            // As many bytes as are allowed, and some more.
            let width = c.len_utf8();
            c.to_string().repeat(limit / width) + &"x".repeat(limit % width + more)
        });
    let with_nul =
        ("[a-z]{0,3}", "[a-z]{0,3}").prop_map(|(before, after)| format!("{before}\0{after}"));
    let names = prop::sample::select(vec![
        "",
        " ",
        "ann ",
        " ann",
        "ANN",
        "a\u{308}nn",
        "ａnn",
        "ann\n",
        "'; DROP TABLE al_wallet; --",
        "\\",
        "%",
        "{}",
        "\u{feff}ann",
        "\u{202e}nna",
        "null",
        "NULL",
        "0",
        "-1",
        "true",
    ]);
    prop_oneof![
        6 => prop::collection::vec(character(), 0..12).prop_map(|all| all.into_iter().collect()),
        3 => repeated,
        3 => bytes,
        3 => names.prop_map(str::to_owned),
        2 => with_nul,
        1 => character().prop_map(|c| c.to_string().repeat(100_000)),
    ]
    .prop_map(Text)
    .boxed()
}

fn character() -> BoxedStrategy<char> {
    prop_oneof![
        3 => any::<char>(),
        3 => prop::char::range('a', 'z'),
        1 => prop::char::range('\0', '\u{1f}'),
        1 => prop::sample::select(vec!['é', 'ß', '漢', '🏺', '\u{301}', '\u{10ffff}', '\u{7f}', '\'', '"', '\\']),
    ].boxed()
}

/// Any `Decimal`: the ends, zeros of both signs and every scale, amounts beside the limits, and any 96 bits.
pub(super) fn decimal() -> BoxedStrategy<Decimal> {
    let any_bits = (any::<[u32; 3]>(), any::<bool>(), 0_u32..=28).prop_map(
        |([low, middle, high], negative, scale)| {
            Decimal::from_parts(low, middle, high, negative, scale)
        },
    );
    let zero = (any::<bool>(), 0_u32..=28)
        .prop_map(|(negative, scale)| Decimal::from_parts(0, 0, 0, negative, scale));
    let ends =
        prop::sample::select(vec![Decimal::MIN, Decimal::MAX, -Decimal::ONE, Decimal::new(1, 28)]);
    // 10^15 minor units are the limit of an amount, and 10^18 that of a balance.
    let limits = (
        prop::sample::select(vec![1_i128, 10_i128.pow(15), 10_i128.pow(18), i128::from(i64::MAX)]),
        -2_i128..=2,
        0_u32..=14,
    )
        .prop_map(|(limit, beside, scale)| Decimal::from_i128_with_scale(limit + beside, scale));
    let small =
        (-50_i64..5_000, 0_u32..=14).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale));
    prop_oneof![3 => any_bits, 1 => zero, 1 => ends, 3 => limits, 3 => small].boxed()
}

/// Any instant that chrono can name: its ends, leap seconds, before and after the calendar of most people.
pub(super) fn instant() -> BoxedStrategy<DateTime<Utc>> {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let anywhere = (first.timestamp()..=last.timestamp(), 0_u32..1_000_000_000);
    let anywhere =
        anywhere.prop_map(|(second, nano)| DateTime::from_timestamp(second, nano).unwrap());
    let leap = (-1_000_000_i64..1_000_000, 1_000_000_000_u32..2_000_000_000)
        .prop_map(|(minute, nano)| DateTime::from_timestamp(minute * 60 + 59, nano).unwrap());
    let near_ends = (0_i64..3, any::<bool>()).prop_map(move |(micros, early)| {
        let away = TimeDelta::microseconds(micros);
        if early { first + away } else { last - away }
    });
    let near_now =
        (-4_000_i64..4_000).prop_map(|second| super::start() + TimeDelta::seconds(second));
    prop_oneof![2 => anywhere, 1 => leap, 2 => near_ends, 3 => near_now].boxed()
}

/// Any duration, up to `Duration::MAX` and down to less than a microsecond.
pub(super) fn duration() -> BoxedStrategy<Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0_u64..2_000).prop_map(Duration::from_nanos),
        (0_u64..100_000).prop_map(Duration::from_secs),
        (any::<u64>(), 0_u32..1_000_000_000).prop_map(|(second, nano)| Duration::new(second, nano)),
        any::<u64>().prop_map(Duration::from_micros),
    ]
    .boxed()
}

pub(super) fn id() -> BoxedStrategy<i64> {
    prop_oneof![any::<i64>(), -3_i64..3, Just(i64::MIN), Just(i64::MAX)].boxed()
}

pub(super) fn limit() -> BoxedStrategy<u64> {
    let ends = [0, 1, u64::MAX, i64::MAX as u64, i64::MAX as u64 + 1, u64::from(u32::MAX) + 1];
    prop_oneof![any::<u64>(), 0_u64..200, prop::sample::select(ends.to_vec())].boxed()
}

/// Any currency: a code of 3 to 10 letters and digits, and 0 to 12 decimals. Some share the code of another one.
pub(super) fn currency() -> BoxedStrategy<Currency> {
    let code = prop_oneof!["[A-Z0-9]{3,10}", Just("EUR".to_owned()), Just("KRW".to_owned())];
    (code, 0_u8..=12).prop_map(|(code, exponent)| Currency::new(&code, exponent).unwrap()).boxed()
}
