//! What all requests share, the routes, and what holds for every one of them.

use std::sync::Arc;

use auction_ledger::{AuctionLedger, BroadcastSink};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};

use crate::failure::Failure;
use crate::origin::Origins;
use crate::session::Signer;
use crate::{assets, auctions, bidding, live, sign_in};

/// What all requests share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) ledger: AuctionLedger,
    /// The events that arrive in this process, wherever they come from.
    pub(crate) events: BroadcastSink,
    pub(crate) signer: Signer,
    pub(crate) origins: Origins,
    /// Says when to stop; whoever still has a receiver has not stopped.
    pub(crate) stopping: Arc<watch::Sender<bool>>,
    /// One permit for each WebSocket.
    pub(crate) watchers: Arc<Semaphore>,
}

/// A form has three short fields.
const LARGEST_FORM: usize = 2_048;

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(sign_in::users))
        .route("/sign-in", post(sign_in::sign_in))
        .route("/as/{user}", get(auctions::list))
        .route("/as/{user}/sign-out", post(sign_in::sign_out))
        .route("/as/{user}/auctions/{id}", get(auctions::page))
        .route("/as/{user}/auctions/{id}/bid", post(bidding::bid))
        .route("/as/{user}/auctions/{id}/buy", post(bidding::buy))
        .route("/as/{user}/auctions/{id}/live", get(live::live))
        .route("/static/{name}", get(assets::asset))
        .fallback(async || Failure::NoSuchPage)
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

/// Refuses what is not for this application or not sent by its pages, and gives every answer its headers.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if !app.origins.is_our_host(headers) {
        Failure::ForeignHost.into_response()
    } else if !request.method().is_safe() && !app.origins.is_our_page(headers) {
        Failure::ForeignPage.into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: with that, browsers send their own forms with the origin `null`.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Pages show wallets.
    (header::CACHE_CONTROL, "no-store"),
];
