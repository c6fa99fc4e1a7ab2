//! The plots: throughput and latency by the number of callers, and the peers side by side.

use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::Failure;
use crate::contest::Line;
use crate::scenarios::Section;

const SIZE: (u32, u32) = (900, 420);
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 96, 36), RGBColor(44, 140, 70), RGBColor(120, 90, 170)];

/// Draws what there is, and says which section has which files.
pub fn draw(
    folder: &Path,
    sections: &[Section],
) -> Result<Vec<(&'static str, &'static str)>, Failure> {
    let mut drawn = Vec::new();
    for section in sections {
        match section.name {
            "hot" => {
                bars(&folder.join("hot.svg"), section)?;
                drawn.push(("hot", "hot.svg"));
            }
            "many" => {
                bars(&folder.join("many.svg"), section)?;
                drawn.push(("many", "many.svg"));
            }
            "callers_hot" => {
                curves(
                    &folder.join("callers_hot.svg"),
                    section,
                    "accepted bids a second",
                    Line::per_second,
                )?;
                curves(
                    &folder.join("latency_hot.svg"),
                    section,
                    "median latency, ms",
                    Line::p50_ms,
                )?;
                drawn.extend([
                    ("callers_hot", "callers_hot.svg"),
                    ("callers_hot", "latency_hot.svg"),
                ]);
            }
            "callers_many" => {
                curves(
                    &folder.join("callers_many.svg"),
                    section,
                    "accepted bids a second",
                    Line::per_second,
                )?;
                drawn.push(("callers_many", "callers_many.svg"));
            }
            _ => {}
        }
    }
    Ok(drawn)
}

/// The points of one kind of contestant: callers, and what is measured.
fn points(section: &Section, kind: &str, of: fn(&Line) -> Option<f64>) -> Vec<(f64, f64)> {
    let lines = section.lines.iter().filter(|line| line.contestant.name.starts_with(kind));
    lines.filter_map(|line| Some((line.contestant.callers as f64, of(line)?))).collect()
}

/// Both axes logarithmic.
fn curves(
    file: &Path,
    section: &Section,
    what: &str,
    of: fn(&Line) -> Option<f64>,
) -> Result<(), Failure> {
    let series: Vec<_> = ["ours", "alone"].map(|kind| (kind, points(section, kind, of))).into();
    let all = || series.iter().flat_map(|(_, points)| points);
    let most = all().map(|point| point.1).fold(1.0, f64::max) * 1.5;
    let least = all().map(|point| point.1).fold(most, f64::min) / 1.5;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = chart(&area, section, (0.9..1200.0).log_scale(), (least..most).log_scale())?;
    chart.configure_mesh().x_desc("callers").y_desc(what).draw()?;
    for ((kind, points), colour) in series.into_iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(kind)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

/// A bar for each contestant, its least and its most as a line.
fn bars(file: &Path, section: &Section) -> Result<(), Failure> {
    let lines: Vec<_> = section
        .lines
        .iter()
        .filter_map(|line| Some((line, line.spread(|sample| Some(sample.per_second()))?)))
        .collect();
    let most = lines.iter().map(|(_, spread)| spread.most).fold(1.0, f64::max) * 1.1;
    let count = lines.len() as f64;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = chart(&area, section, 0.0..count.max(1.0), 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_desc(format!("{} a second", section.unit))
        .draw()?;
    for (index, (line, spread)) in lines.iter().enumerate() {
        let (left, colour) = (index as f64, COLOURS[index % COLOURS.len()]);
        let bar =
            Rectangle::new([(left + 0.15, 0.0), (left + 0.85, spread.median)], colour.filled());
        let range = [(left + 0.5, spread.least), (left + 0.5, spread.most)];
        let name = Text::new(
            format!("{} ({:.0})", line.contestant.name, spread.median),
            (left + 0.05, spread.most + most * 0.03),
            ("sans-serif", 12),
        );
        chart.draw_series(std::iter::once(bar))?;
        chart.draw_series(std::iter::once(PathElement::new(range, BLACK.stroke_width(1))))?;
        chart.draw_series(std::iter::once(name))?;
    }
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b, X, Y> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

fn chart<'a, 'b, X, Y>(
    area: &'a Area<'b>,
    section: &Section,
    x: X,
    y: Y,
) -> Result<Chart<'a, 'b, X, Y>, Failure>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut builder = ChartBuilder::on(area);
    builder.caption(&section.title, ("sans-serif", 16)).margin(12);
    builder.x_label_area_size(36).y_label_area_size(70);
    builder.build_cartesian_2d(x, y).map_err(|error| error.to_string().into())
}
