//! What the command line asks for.

use std::path::PathBuf;

use crate::Failure;

/// How to use the program.
pub const USAGE: &str = "cargo run -p bench --release -- [options]
  --quick          the comparisons with the floor and with Django only, in a few minutes
  --only NAME…     these scenarios only
  --rounds N       how often each contestant runs (5)
  --seconds N      how long it is measured each time (2)
  --out DIR        where RESULTS.md and plots/ go (bench; nowhere with --quick and --only)
  --list           the names of the scenarios
SOAK=1 adds the book of 10,000,000 bids.";

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    pub quick: bool,
    pub only: Vec<String>,
    pub rounds: usize,
    pub seconds: u64,
    pub out: Option<PathBuf>,
    pub list: bool,
    pub soak: bool,
    /// The command line as it was typed, for the report.
    pub command: String,
}

impl Options {
    /// Reads the command line.
    pub fn read() -> Result<Self, Failure> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let mut options = Self {
            quick: arguments.iter().any(|argument| argument == "--quick"),
            only: Vec::new(),
            rounds: 5,
            seconds: 2,
            out: None,
            list: false,
            soak: std::env::var("SOAK").is_ok_and(|value| value == "1"),
            command: String::new(),
        };
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next_if(|next| !next.starts_with("--"));
            match argument.as_str() {
                "--quick" => {}
                "--list" => options.list = true,
                "--rounds" => options.rounds = value().ok_or(USAGE)?.parse()?,
                "--seconds" => options.seconds = value().ok_or(USAGE)?.parse()?,
                "--out" => options.out = Some(value().ok_or(USAGE)?.into()),
                "--only" => {
                    while let Some(name) = value() {
                        options.only.push(name.clone());
                    }
                }
                _ => return Err(USAGE.into()),
            }
        }
        if options.rounds == 0 || options.seconds == 0 {
            return Err(USAGE.into());
        }
        let soak = if options.soak { "SOAK=1 " } else { "" };
        // Where the report goes is no part of what was measured.
        let out =
            arguments.iter().position(|argument| argument == "--out").unwrap_or(usize::MAX - 1);
        let arguments = arguments.iter().enumerate().filter(|(at, _)| *at != out && *at != out + 1);
        let arguments: Vec<&str> = arguments.map(|(_, argument)| argument.as_str()).collect();
        let arguments = arguments.join(" ");
        options.command = format!("{soak}cargo run -p bench --release -- {arguments}");
        Ok(options)
    }
}
