//! One input after the other, each looked at from all sides.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use auction_ledger::{Error, Rejection};
use proptest::strategy::Strategy;
use sea_orm::DbErr;

use super::arena::{Arena, Slot};
use super::judge::{self, Due, Kind};
use super::request::{Answer, Command, Input, Lot, Request};
use super::source::Source;
use super::witness::Witness;
use super::{EUR, WON};
use crate::support::{Books, World};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How many inputs were answered how.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kinds: BTreeMap<Kind, usize>,
    rejections: BTreeMap<String, usize>,
}

impl Tally {
    fn count(&mut self, kind: Kind, error: Option<&Error>) {
        *self.kinds.entry(kind).or_default() += 1;
        if let Some(rejection) = error.and_then(Error::rejection) {
            *self.rejections.entry(name(rejection)).or_default() += 1;
        }
    }

    fn asked(&self) -> usize {
        self.kinds.values().sum()
    }

    fn of(&self, kind: Kind) -> usize {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    /// So many per cent got as far as the rows, and so many were accepted: an input that is refused at the door tests the
    /// door only.
    pub(super) fn assert_deep(&self, count: usize, deep: usize, accepted: usize) {
        println!("{self:?}");
        let seen = self.asked();
        assert!(seen >= count, "every input is counted");
        let reached = seen - self.of(Kind::Invalid);
        assert!(reached * 100 >= deep * seen, "{reached} of {seen} got as far as the rows");
        let accepted_ones = self.of(Kind::Accepted);
        assert!(accepted_ones * 100 >= accepted * seen, "{accepted_ones} of {seen} were accepted");
    }

    /// None but these was given, and every one of them if there were inputs enough: some are rare.
    pub(super) fn assert_rejections(&self, count: usize, expected: &[&str]) {
        let given: BTreeSet<_> = self.rejections.keys().map(String::as_str).collect();
        let expected = expected.iter().copied().collect();
        assert!(given.is_subset(&expected), "{given:?}");
        if count >= 10_000 {
            assert_eq!(given, expected);
        }
    }
}

/// The name of the variant.
fn name(rejection: &Rejection) -> String {
    let debug = format!("{rejection:?}");
    debug.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Sends `count` requests, or some more, and judges each.
pub(super) async fn ask(
    world: &World,
    count: usize,
    inputs: impl Strategy<Value = Input>,
) -> Result<Tally> {
    let mut asking = Asking {
        world,
        arena: Arena::new(world).await?,
        witness: Witness::of(world).await?,
        seen: String::new(),
        failed: false,
        compared: 0,
        tally: Tally::default(),
    };
    asking.seen = asking.witness.look().await?;
    let mut source = Source::new();
    while asking.tally.asked() < count {
        // The witness always looks, and every now and then somebody compares row by row.
        let compare = asking.tally.asked() * 20 >= asking.compared * count;
        asking.compared += usize::from(compare);
        source.try_next(&inputs, async |input| asking.attempt(&input, compare).await).await;
    }
    assert_eq!(asking.witness.look().await?, asking.seen, "the last ones have written");
    Books::read(world.db()).await?.check();
    asking.witness.end().await?;
    asking.arena.ledger.connection().close_by_ref().await?;
    Ok(asking.tally)
}

struct Asking<'a> {
    world: &'a World,
    arena: Arena,
    witness: Witness,
    /// What the witness saw last.
    seen: String,
    /// The last input did not pass.
    failed: bool,
    compared: usize,
    tally: Tally,
}

/// What was answered to a request that was judged and passed.
struct Passed {
    kind: Kind,
    answer: std::result::Result<Answer, Error>,
}

/// Why an input does not pass.
type Judged<T> = std::result::Result<T, String>;

fn failed(error: impl std::fmt::Display) -> String {
    format!("the test failed: {error}")
}

impl Asking<'_> {
    async fn attempt(&mut self, input: &Input, compare: bool) -> Judged<()> {
        if std::mem::replace(&mut self.failed, true) {
            // A simpler input after one that failed.
            self.seen = self.witness.look().await.map_err(failed)?;
        }
        let before = if compare { Some(self.books().await.map_err(failed)?) } else { None };
        let (requests, passed) = match input {
            Input::Alone(request) => {
                let answer = request.command.send(&self.arena, None).await;
                (slice::from_ref(request), vec![self.judge(request, answer)?])
            }
            Input::Together(requests) => (requests.as_slice(), self.together(requests).await?),
        };
        let may_write = passed.iter().zip(requests).any(|(passed, request)| passed.writes(request));
        let queries = requests.iter().all(|request| request.command.is_query());
        // Where nothing may write, whatever was written since the last look is seen at the next one.
        if !queries || self.tally.asked().is_multiple_of(10) {
            let seen = self.witness.look().await.map_err(failed)?;
            if (seen != self.seen) != may_write {
                return Err(format!("written: {}, and to be written: {may_write}", !may_write));
            }
            self.seen = seen;
        }
        if let Some(before) = before.filter(|_| !may_write)
            && self.books().await.map_err(failed)? != before
        {
            return Err("a row is another one".to_owned());
        }
        for (passed, request) in passed.into_iter().zip(requests) {
            self.tally.count(passed.kind, passed.answer.as_ref().err());
            let renewed = self.go_on(&request.command, passed.answer).await;
            renewed.map_err(|error| format!("no new auction: {error}"))?;
        }
        self.failed = false;
        Ok(())
    }

    /// A refusal breaks nothing: the unit of work goes on, and is committed with what was accepted.
    async fn together(&self, requests: &[Request]) -> Judged<Vec<Passed>> {
        let done = self.arena.ledger.atomic(async |uow| {
            let mut passed = Vec::new();
            let mut seen = self.witness.look_inside(uow).await?;
            for request in requests {
                let answer = request.command.send(&self.arena, Some(uow)).await;
                let one = match self.judge(request, answer) {
                    Ok(one) => one,
                    Err(wrong) => return Ok(Err(wrong)),
                };
                if let Some(refusal) = uow.refusal() {
                    return Ok(Err(format!("{request:?} has broken its unit of work: {refusal}")));
                }
                let now = self.witness.look_inside(uow).await?;
                if (now != seen) != one.writes(request) {
                    return Ok(Err(format!("{request:?} has written: {}", now != seen)));
                }
                seen = now;
                passed.push(one);
            }
            Ok::<_, Error>(Ok(passed))
        });
        done.await.map_err(|error| format!("not committed: {error}"))?.into_value()
    }

    fn judge(
        &self,
        request: &Request,
        answer: std::result::Result<Answer, Error>,
    ) -> Judged<Passed> {
        let due = self.due(&request.command);
        let kind = judge::judge(&due, &answer).map_err(|wrong| format!("{request:?}: {wrong}"))?;
        match &answer {
            Ok(answer) => answer.sound.clone()?,
            Err(error) => readable(error)?,
        }
        match request.command.lot() {
            Some(Lot::In(_)) if kind == Kind::UnknownAuction => {
                Err("an auction is unknown that is there".to_owned())
            }
            Some(Lot::Id(_)) if answer.is_ok() => {
                Err("an auction is known that is not there".to_owned())
            }
            _ => Ok(Passed { kind, answer }),
        }
    }

    fn due(&self, command: &Command) -> Due {
        let due = judge::due(command, self.arena.clock.now());
        match command {
            Command::Bid { lot: Lot::In(slot), amount, .. } if due == Due::Judgement => {
                let currency = if *slot == Slot::Euro { EUR } else { WON };
                judge::due_of_bid(*amount, currency)
            }
            _ => due,
        }
    }

    /// Puts fresh auctions where this command has changed some.
    async fn go_on(
        &mut self,
        command: &Command,
        answer: std::result::Result<Answer, Error>,
    ) -> Result<()> {
        let Ok(answer) = answer else {
            return Ok(());
        };
        match (command, command.lot()) {
            (Command::SettleDue { .. }, _) if answer.over => {
                self.arena.renew(Slot::Due).await?;
                self.arena.renew(Slot::DueQuiet).await?;
            }
            // Bids change what the next one finds, and after some of them nobody can pay any more.
            (Command::Bid { .. }, Some(Lot::In(slot)))
                if answer.over || self.tally.asked().is_multiple_of(4) =>
            {
                self.arena.renew(slot).await?;
            }
            (_, Some(Lot::In(slot))) if answer.over => self.arena.renew(slot).await?,
            _ => return Ok(()),
        }
        self.seen = self.witness.look().await?;
        Ok(())
    }

    async fn books(&self) -> std::result::Result<Books, DbErr> {
        Books::read(self.world.db()).await
    }
}

impl Passed {
    /// Whether this answer says that something was written.
    fn writes(&self, request: &Request) -> bool {
        let accepted = self.answer.as_ref().ok();
        !request.command.is_query()
            && accepted.is_some_and(|answer| !repeats(&request.command, answer))
    }
}

/// Whether an accepted command only says again what was so already.
fn repeats(command: &Command, answer: &Answer) -> bool {
    matches!(command, Command::Settle { .. } | Command::SettleDue { .. }) && !answer.over
}

/// An error can be shown and logged, and does not repeat a text of any length.
fn readable(error: &Error) -> std::result::Result<(), String> {
    let mut texts = vec![error.to_string(), format!("{error:?}")];
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        texts.push(inner.to_string());
        source = inner.source();
    }
    let longest = texts.iter().map(String::len).max().unwrap_or_default();
    let sound = longest < 1_000 && texts.iter().all(|text| !text.is_empty());
    if sound { Ok(()) } else { Err(format!("its text has {longest} bytes: {:.200}", texts[0])) }
}
