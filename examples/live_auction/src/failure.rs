//! What can go wrong before an auction is asked, as pages with a status.

use askama::Template;
use auction_ledger::Error;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Failure {
    NotSignedIn,
    NoSuchUser,
    NoSuchPage,
    NoSuchAuction,
    ForeignHost,
    ForeignPage,
    WrongToken,
    /// The body of a request is too large, or no form of ours.
    NotAForm(StatusCode),
    TooManyWatchers,
    NoRandomness,
    NotWritten,
    Ledger(Box<Error>),
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::NoSuchUser => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoSuchPage | Self::NoSuchAuction => StatusCode::NOT_FOUND,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignPage | Self::WrongToken => StatusCode::FORBIDDEN,
            Self::NotAForm(status) => *status,
            Self::TooManyWatchers => StatusCode::SERVICE_UNAVAILABLE,
            Self::Ledger(error) if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRandomness | Self::NotWritten | Self::Ledger(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// What the user is told. What the database said is for the log.
    fn text(&self) -> &'static str {
        match self {
            Self::NotSignedIn => "You are not signed in here, or have been for too long.",
            Self::NoSuchUser => "There is no user of this name.",
            Self::NoSuchPage => "There is no such page.",
            Self::NoSuchAuction => "There is no such auction.",
            Self::ForeignHost => "This application does not answer to that address.",
            Self::ForeignPage => "This was not sent by a page of this application.",
            Self::WrongToken => {
                "This form is of another session, or too old. Go back, reload the page, and send it again."
            }
            Self::NotAForm(StatusCode::PAYLOAD_TOO_LARGE) => "That is more than a form can have.",
            Self::NotAForm(_) => "This is no form of this application.",
            Self::TooManyWatchers => "Too many people are watching just now. Try again in a while.",
            Self::NoRandomness | Self::NotWritten | Self::Ledger(_) => {
                "Something went wrong here, and it is not your fault. Try again in a while."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    text: &'static str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, text) = (self.status(), self.text());
        if status.is_server_error() {
            tracing::error!(failure = ?self, "a page could not be shown");
        }
        match (FailurePage { text }).render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(_) => (status, text).into_response(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownAuction { .. } => Self::NoSuchAuction,
            error => Self::Ledger(Box::new(error)),
        }
    }
}

impl From<FormRejection> for Failure {
    fn from(rejection: FormRejection) -> Self {
        Self::NotAForm(rejection.status())
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a template could not be filled in");
        Self::NotWritten
    }
}
