//! Bids and purchases, sent by forms: with the page's script, or without any.

use auction_ledger::{AuctionId, AuctionLedger, Currency, Error};
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::auctions::{self, Told};
use crate::failure::Failure;
use crate::money;
use crate::session::{Session, random};
use crate::shown::Shown;
use crate::words;

/// What a form sends.
#[derive(Deserialize)]
pub(crate) struct Sent {
    /// That of the session.
    token: String,
    /// The form counts once under this: a double click, and a form that is sent again, are one bid.
    key: String,
    /// As it was typed.
    #[serde(default)]
    amount: String,
}

/// What became of a form.
struct Outcome {
    status: StatusCode,
    text: String,
    /// Whether the form keeps its key: because that is free, or because nobody knows whether it is.
    keeps_key: bool,
}

impl Outcome {
    fn done(text: String) -> Self {
        Self { status: StatusCode::OK, text, keeps_key: false }
    }

    fn refused(text: String) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, text, keeps_key: true }
    }

    fn of_error(error: &Error, currency: Currency) -> Self {
        let refused = Self::refused(words::of_error(error, currency));
        match error {
            Error::Rejected(_) | Error::InvalidAmount { .. } | Error::InvalidText { .. } => refused,
            Error::IdempotencyConflict { .. } => {
                Self { status: StatusCode::CONFLICT, keeps_key: false, ..refused }
            }
            error => {
                tracing::error!(?error, "a form was not carried out");
                Self { status: StatusCode::SERVICE_UNAVAILABLE, ..refused }
            }
        }
    }
}

pub(crate) async fn bid(
    State(app): State<App>,
    session: Session,
    Path((_, id)): Path<(String, i64)>,
    headers: HeaderMap,
    form: Result<Form<Sent>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(sent) = form?;
    session.check(&app.signer, &sent.token)?;
    let outcome = place(&app.ledger, id.into(), session.user(), &sent).await?;
    answer(&app, &session, id.into(), &headers, sent, outcome).await
}

async fn place(
    ledger: &AuctionLedger,
    auction: AuctionId,
    user: &str,
    sent: &Sent,
) -> Result<Outcome, Failure> {
    let of = ledger.auction(auction).await?;
    let amount = match money::parse(&sent.amount, of.currency) {
        Ok(amount) => amount,
        Err(problem) => return Ok(Outcome::refused(words::of_no_amount(problem, of.currency))),
    };
    Ok(match ledger.place_bid(auction, user, amount).key(&sent.key).await {
        Ok(bid) => Outcome::done(words::of_bid(&bid, of.sealed)),
        Err(error) => Outcome::of_error(&error, of.currency),
    })
}

pub(crate) async fn buy(
    State(app): State<App>,
    session: Session,
    Path((_, id)): Path<(String, i64)>,
    headers: HeaderMap,
    form: Result<Form<Sent>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(sent) = form?;
    session.check(&app.signer, &sent.token)?;
    let auction = AuctionId::from(id);
    let currency = app.ledger.auction(auction).await?.currency;
    let outcome = match app.ledger.buy_now(auction, session.user()).key(&sent.key).await {
        Ok(purchase) => {
            let price = money::spoken(purchase.price, purchase.currency);
            Outcome::done(format!("You have bought it for {price}."))
        }
        Err(error) => Outcome::of_error(&error, currency),
    };
    answer(&app, &session, auction, &headers, sent, outcome).await
}

/// What the script of a page is told.
#[derive(Serialize)]
struct Answer {
    text: String,
    /// What the form carries when it is sent next.
    key: String,
    shown: Shown,
}

/// Answers the script with JSON, and a form without script with a page: another one after a success, so that a reload sends
/// nothing again, and the same one with what was typed after a refusal.
async fn answer(
    app: &App,
    session: &Session,
    auction: AuctionId,
    headers: &HeaderMap,
    sent: Sent,
    outcome: Outcome,
) -> Result<Response, Failure> {
    let Outcome { status, text, keeps_key } = outcome;
    let key = keeps_key.then_some(sent.key);
    if is_script(headers) {
        let (_, shown) = Shown::read(&app.ledger, auction, session.user()).await?;
        let key = key.map_or_else(random, Ok)?;
        return Ok((status, Json(Answer { text, key, shown })).into_response());
    }
    if status.is_success() {
        let page = format!("/as/{}/auctions/{auction}?done=true", session.user());
        return Ok(Redirect::to(&page).into_response());
    }
    let told = Told { status, success: "", error: text, amount: sent.amount, key };
    auctions::render(app, session, auction, told).await
}

fn is_script(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accepted| accepted == "application/json")
}
