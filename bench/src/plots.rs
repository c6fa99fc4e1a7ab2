//! The plots: throughput and latency by the number of callers, and the peers side by side.

use std::path::Path;

use plotters::coord::combinators::BindKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::Failure;
use crate::contest::{Contestant, Line, Peer};
use crate::scenarios::Section;

const SIZE: (u32, u32) = (900, 420);
const COLOURS: [RGBColor; 2] = [RGBColor(31, 119, 180), RGBColor(214, 96, 36)];
const GREY: RGBColor = RGBColor(150, 150, 150);

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
    let callers =
        series.iter().take(1).flat_map(|(_, points)| points).map(|point| point.0).collect();
    let x = (0.9..1200.0).log_scale().with_key_points(callers);
    let y = (least..most).log_scale().with_key_points(ticks(least, most));
    let mut chart = chart(&area, section, x, y)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&whole).y_label_formatter(&short);
    mesh.x_desc("callers").y_desc(what).draw()?;
    for ((kind, points), colour) in series.into_iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(kind)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft);
    legend.background_style(WHITE).border_style(BLACK).draw()?;
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
    // Room for the names behind the bars.
    let most = lines.iter().map(|(_, spread)| spread.most).fold(1.0, f64::max) * 1.3;
    let count = lines.len() as f64;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = chart(&area, section, 0.0..most, 0.0..count.max(1.0))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_label_formatter(&whole)
        .x_desc(format!("{} a second", section.unit))
        .draw()?;
    for (index, (line, spread)) in lines.iter().enumerate() {
        let top = count - index as f64;
        let colour = if line.contestant.peer == Peer::Ours { COLOURS[0] } else { GREY };
        let bar = Rectangle::new([(0.0, top - 0.2), (spread.median, top - 0.8)], colour.filled());
        let range = [(spread.least, top - 0.5), (spread.most, top - 0.5)];
        let Contestant { name, callers, .. } = &line.contestant;
        let name = Text::new(
            format!("{name}, {callers}: {:.0}", spread.median),
            (spread.most + most * 0.01, top - 0.35),
            ("sans-serif", 13),
        );
        chart.draw_series(std::iter::once(bar))?;
        chart.draw_series(std::iter::once(PathElement::new(range, BLACK.stroke_width(1))))?;
        chart.draw_series(std::iter::once(name))?;
    }
    area.present()?;
    Ok(())
}

/// 1, 2, 5, 10, 20, 50 and so on, as far as they are on the axis.
fn ticks(least: f64, most: f64) -> Vec<f64> {
    let decades = (-3..9).map(|power| 10_f64.powi(power));
    let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * decade));
    all.filter(|tick| (least..=most).contains(tick)).collect()
}

fn whole(number: &f64) -> String {
    format!("{number:.0}")
}

/// With as many digits as it takes.
fn short(number: &f64) -> String {
    format!("{}", (number * 1000.0).round() / 1000.0)
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
