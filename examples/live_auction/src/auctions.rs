//! The list of the auctions, and the page of one.

use askama::Template;
use auction_ledger::{Auction, AuctionEvent, AuctionId, AuctionLedger, AuctionState, Currency};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;

use crate::app::App;
use crate::failure::Failure;
use crate::money::spoken;
use crate::session::{Session, random};
use crate::shown::Shown;
use crate::words;

#[derive(Template)]
#[template(path = "auctions.html")]
struct ListPage {
    user: String,
    token: String,
    available: String,
    held: String,
    open: Vec<Row>,
    over: Vec<Row>,
}

/// An auction in the list.
struct Row {
    id: AuctionId,
    title: String,
    price: String,
    /// For auctions that are open.
    ends: Moment,
    /// For those that are not.
    result: String,
}

/// An instant, for machines and for people.
struct Moment {
    exact: String,
    readable: String,
}

impl Moment {
    fn of(at: DateTime<Utc>) -> Self {
        Self {
            exact: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            readable: at.format("%H:%M:%S UTC").to_string(),
        }
    }
}

impl Row {
    fn of(auction: Auction, user: &str) -> Self {
        let money = |amount| spoken(amount, auction.currency);
        let price = money(auction.price.unwrap_or(auction.start_price));
        let result = match (auction.state, &auction.leader) {
            (AuctionState::Sold, Some(buyer)) => words::sold(buyer.as_str(), user, &price),
            (state, _) => state.to_string(),
        };
        let ends = Moment::of(auction.ends_at);
        Self { id: auction.id, title: auction.title, price, ends, result }
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    session: Session,
) -> Result<Html<String>, Failure> {
    let user = session.user();
    let wallet = app.ledger.wallet(user, Currency::EUR).await?;
    let mut over = rows(&app.ledger, AuctionState::Sold, user).await?;
    over.extend(rows(&app.ledger, AuctionState::Unsold, user).await?);
    let page = ListPage {
        token: session.token(&app.signer),
        available: spoken(wallet.available, wallet.currency),
        held: spoken(wallet.held, wallet.currency),
        open: rows(&app.ledger, AuctionState::Open, user).await?,
        over,
        user: user.to_owned(),
    };
    Ok(Html(page.render()?))
}

async fn rows(
    ledger: &AuctionLedger,
    state: AuctionState,
    user: &str,
) -> Result<Vec<Row>, Failure> {
    let auctions = ledger.auctions(state).await?;
    Ok(auctions.into_iter().map(|auction| Row::of(auction, user)).collect())
}

#[derive(Template)]
#[template(path = "auction.html")]
struct AuctionPage {
    user: String,
    token: String,
    /// Under this a form counts once, however often it is sent.
    key: String,
    id: AuctionId,
    title: String,
    seller: String,
    is_seller: bool,
    automatic: bool,
    currency: Currency,
    shown: Shown,
    lines: Vec<Line>,
    told: Told,
}

/// A line of the history.
struct Line {
    at: Moment,
    text: String,
    /// Whether nobody else sees it.
    is_private: bool,
}

impl Line {
    fn of(event: &AuctionEvent, user: &str) -> Option<Self> {
        let text = words::of_event(event, user)?;
        Some(Self { at: Moment::of(event.at), text, is_private: event.recipient().is_some() })
    }
}

/// What a page says about the form that was sent before it, where no script has done so.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) success: &'static str,
    pub(crate) error: String,
    /// What was typed, to be corrected.
    pub(crate) amount: String,
    /// The key of that form, if it carries it when it is sent again.
    pub(crate) key: Option<String>,
}

/// What is told after a redirect. Anybody can make such a link, so it says no more than the page shows.
#[derive(Deserialize)]
pub(crate) struct After {
    #[serde(default)]
    done: bool,
}

pub(crate) async fn page(
    State(app): State<App>,
    session: Session,
    Path((_, id)): Path<(String, i64)>,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Response, Failure> {
    let done = after.is_ok_and(|Query(after)| after.done);
    let success = if done { "What you sent was carried out." } else { "" };
    render(&app, &session, id.into(), Told { success, ..Told::default() }).await
}

/// The page of an auction, with what is to be said about a form.
pub(crate) async fn render(
    app: &App,
    session: &Session,
    auction: AuctionId,
    mut told: Told,
) -> Result<Response, Failure> {
    let user = session.user();
    let (view, shown) = Shown::read(&app.ledger, auction, user).await?;
    let lines = history(&app.ledger, auction, shown.seq, user).await?;
    let page = AuctionPage {
        token: session.token(&app.signer),
        key: told.key.take().map_or_else(random, Ok)?,
        id: auction,
        title: view.auction.title,
        seller: view.auction.seller.to_string(),
        is_seller: view.is_seller,
        automatic: view.auction.automatic_bidding,
        currency: view.auction.currency,
        shown,
        lines,
        user: user.to_owned(),
        told,
    };
    Ok((page.told.status, Html(page.render()?)).into_response())
}

/// How many commands the history of a page shows.
const HISTORY: i64 = 50;

/// The last lines up to the command `seq`, the newest first. What comes later the WebSocket tells.
async fn history(
    ledger: &AuctionLedger,
    auction: AuctionId,
    seq: i64,
    user: &str,
) -> Result<Vec<Line>, Failure> {
    let since = seq.saturating_sub(HISTORY).max(0);
    // Every number occurs, so these are the commands up to `seq`, whatever is committed meanwhile.
    let commands = seq.saturating_sub(since).unsigned_abs();
    let events = ledger.events(auction).since(since).limit(commands).for_user(user).await?;
    Ok(events.iter().rev().filter_map(|event| Line::of(event, user)).collect())
}
