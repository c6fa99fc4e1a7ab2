//! Choosing a demo user. A host has a login here: whoever asks is believed.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::app::App;
use crate::demo;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    users: &'static [&'static str],
}

pub(crate) async fn users() -> Result<Html<String>, Failure> {
    Ok(Html(UsersPage { users: demo::USERS }.render()?))
}

#[derive(Deserialize)]
pub(crate) struct SignIn {
    user: String,
}

/// There is no session yet that a token could be of: that the form is ours shows its `Origin`, which is looked at before.
pub(crate) async fn sign_in(
    State(app): State<App>,
    form: Result<Form<SignIn>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(form) = form?;
    // Only these names go into a path and a header.
    let user = demo::USERS.iter().find(|user| **user == form.user).ok_or(Failure::NoSuchUser)?;
    let cookie = Session::begin(&app.signer, user, app.origins.are_secure())?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&format!("/as/{user}"))).into_response())
}

#[derive(Deserialize)]
pub(crate) struct SignOut {
    token: String,
}

pub(crate) async fn sign_out(
    State(app): State<App>,
    session: Session,
    form: Result<Form<SignOut>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(form) = form?;
    session.check(&app.signer, &form.token)?;
    Ok(([(header::SET_COOKIE, session.end())], Redirect::to("/")).into_response())
}
