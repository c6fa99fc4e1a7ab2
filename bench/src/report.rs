//! The tables, on the screen and in `RESULTS.md`.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::PoisonError;

use crate::Failure;
use crate::contest::{Bench, Line};
use crate::machine;
use crate::plots;
use crate::scenarios::Section;
use crate::statistics::{Sample, Spread};
use crate::targets::Measured;

/// What a run has found so far. It is written anew with each section, so that a run that is cut off leaves something.
pub struct Report<'a> {
    bench: &'a Bench,
    machine: Vec<(&'static str, String)>,
    sections: Vec<Section>,
}

impl<'a> Report<'a> {
    pub async fn of(bench: &'a Bench) -> Result<Self, Failure> {
        let machine = machine::describe(bench).await?;
        machine.iter().for_each(|(what, how)| println!("{what}: {how}"));
        Ok(Self { bench, machine, sections: Vec::new() })
    }

    pub fn add(&mut self, section: Section) -> Result<(), Failure> {
        println!("\n{}", table(&section));
        self.sections.push(section);
        self.write()
    }

    /// The end: the ratios, and whether no line failed.
    pub fn finish(&self) -> Result<bool, Failure> {
        let measured = Measured(&self.sections);
        println!("\n{}", targets(&measured));
        for (kind, name, value) in measured.quick() {
            match value {
                Some(value) => println!("{kind} {name} {value:.2}"),
                None => println!("skipped: {kind} {name}, which was not measured"),
            }
        }
        let lines = self.sections.iter().flat_map(|section| &section.lines);
        let failed: Vec<&Line> = lines.filter(|line| line.failure.is_some()).collect();
        for line in &failed {
            println!("FAILED: {}: {}", line.contestant.name, line.failure.as_deref().unwrap_or(""));
        }
        Ok(failed.is_empty())
    }

    /// A part of a run replaces the report of a whole one only where that is asked for.
    fn folder(&self) -> Option<PathBuf> {
        let options = &self.bench.options;
        let whole = !options.quick && options.only.is_empty();
        let out = options.out.clone().or_else(|| whole.then(|| "bench".into()))?;
        Some(if out.is_absolute() { out } else { crate::servers::repository().join(out) })
    }

    fn write(&self) -> Result<(), Failure> {
        let Some(folder) = self.folder() else { return Ok(()) };
        std::fs::create_dir_all(folder.join("plots"))?;
        let plots = plots::draw(&folder.join("plots"), &self.sections)?;
        std::fs::write(folder.join("RESULTS.md"), self.text(&plots)?)?;
        Ok(())
    }

    fn text(&self, plots: &[(&'static str, &'static str)]) -> Result<String, Failure> {
        let options = &self.bench.options;
        let mut text = String::from(
            "# Results\n\nWritten by the program; [`README.md`](README.md) says how it measures.\n\n```text\n",
        );
        writeln!(text, "{}\n```\n\n| | |\n|---|---|", options.command.trim())?;
        for (what, how) in &self.machine {
            writeln!(text, "| {what} | {how} |")?;
        }
        let django = self.bench.django.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let django = django.unwrap_or_else(|| "skipped: not there".to_owned());
        writeln!(text, "| Django | {django} |\n")?;
        writeln!(
            text,
            "Each contestant ran {} times for {} s, after a warm-up, in turns, on a database of its own. The books were audited \
             after every turn. Numbers are medians, and in brackets the least and the most.\n",
            options.rounds, options.seconds
        )?;
        text.push_str("## Targets\n\n");
        text.push_str(&targets(&Measured(&self.sections)));
        for section in &self.sections {
            write!(text, "\n## {}\n\n", section.title)?;
            text.push_str(&table(section));
            for (_, file) in plots.iter().filter(|(name, _)| *name == section.name) {
                write!(text, "\n![{}](plots/{file})\n", section.title)?;
            }
        }
        Ok(text)
    }
}

fn targets(measured: &Measured<'_>) -> String {
    let mut text = String::from("| target | goal | measured | |\n|---|---|---|---|\n");
    for target in measured.targets() {
        let sign = if target.at_least { "≥" } else { "≤" };
        let value =
            target.measured.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
        let met = target.is_met().map_or("", |met| if met { "met" } else { "**not met**" });
        _ = writeln!(text, "| {} | {sign} {} | {value} | {met} |", target.what, target.goal);
    }
    text
}

/// One table, in Markdown.
fn table(section: &Section) -> String {
    let mut text = String::new();
    if !section.note.is_empty() {
        _ = writeln!(text, "{}\n", section.note);
    }
    _ = writeln!(
        text,
        "| {} | callers | {} a second | refused | shed | p50, ms | p99, ms | bytes a bid | memory, MiB |\n\
         |---|---|---|---|---|---|---|---|---|",
        section.title, section.unit
    );
    for line in &section.lines {
        _ = writeln!(text, "{}", row(line));
    }
    text
}

fn row(line: &Line) -> String {
    let (name, callers) = (&line.contestant.name, line.contestant.callers);
    if let Some(failure) = &line.failure {
        return format!("| {name} | {callers} | FAILED: {failure} | | | | | | |");
    }
    let rate = spread(line.spread(|sample| Some(sample.per_second())), 0);
    let share = |of: fn(&Sample) -> Option<f64>| {
        let spread = line.spread(of).filter(|spread| spread.most > 0.0);
        spread.map_or(String::new(), |spread| format!("{:.1} %", spread.median * 100.0))
    };
    let refused = share(|sample| Some(sample.rejected_share()));
    let shed = share(|sample| {
        let all = sample.accepted + sample.rejected + sample.shed;
        Some(sample.shed as f64 / all.max(1) as f64)
    });
    let (p50, p99) = (spread(line.spread(|s| s.p50_ms), 2), spread(line.spread(|s| s.p99_ms), 2));
    let bytes = line.spread(|sample| sample.bytes_per_bid).map(|spread| spread.median);
    let bytes = bytes.map_or(String::new(), |bytes| format!("{bytes:.0}"));
    let memory = line.spread(|sample| Some(sample.resident_kib as f64 / 1024.0));
    let memory = memory.filter(|memory| memory.most > 0.0);
    let memory = memory.map_or(String::new(), |memory| format!("{:.0}", memory.median));
    format!(
        "| {name} | {callers} | {rate} | {refused} | {shed} | {p50} | {p99} | {bytes} | {memory} |"
    )
}

fn spread(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or(String::new(), |Spread { median, least, most }| {
        format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
    })
}
