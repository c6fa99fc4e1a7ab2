//! What a bid costs, beside others that carry out the same: one run, alternating, on throwaway servers.
//!
//! ```text
//! cargo run -p bench --release                 # everything, and bench/RESULTS.md
//! cargo run -p bench --release -- --quick      # the comparisons with the floor and with Django
//! ```
//!
//! `README.md` says what is measured, and how.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "it prints measurements; its numbers are rates, not money"
)]
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a program, not a library"
)]
#![allow(clippy::missing_errors_doc, reason = "every error ends the run or its line")]

mod by_hand;
mod contest;
mod database;
mod django;
mod ends;
mod floor;
mod keys;
mod load;
mod machine;
mod options;
mod ours;
mod plots;
mod proxy;
mod relayed;
mod report;
mod scenarios;
mod servers;
mod statistics;
mod targets;
mod within;
mod world;

use std::process::ExitCode;

use contest::Bench;
use database::Databases;
use options::Options;
use servers::{Address, Servers};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let run = || -> Result<bool, Failure> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run())
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Failure> {
    let options = Options::read()?;
    if options.list {
        scenarios::NAMES.iter().for_each(|(name, what)| println!("{name:10} {what}"));
        return Ok(true);
    }
    let servers = Servers::start(!options.quick).await?;
    let address = Address::of(&servers.postgres)?;
    let far_port = proxy::start(format!("{}:{}", address.host, address.port).parse()?)?;
    let mut bench = Bench::new(Databases::new(servers)?, options, far_port);
    let done = scenarios::run(&bench).await;
    bench.databases.servers.stop().await?;
    done
}
