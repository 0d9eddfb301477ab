//! Plots as SVG text, drawn by plotters.
use crate::results::{ADVISED, AUTO, BASELINE, EXPERT, OBSERVED};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Colour of a variant, the same in every plot.
pub fn colour(variant: &str) -> RGBColor {
    match variant {
        BASELINE => RGBColor(0x8a, 0x8f, 0x98),
        OBSERVED => RGBColor(0xb2, 0x7b, 0xd6),
        ADVISED => RGBColor(0xe0, 0x9a, 0x1f),
        AUTO => RGBColor(0x0b, 0x69, 0xc7),
        EXPERT => RGBColor(0x2e, 0x9e, 0x5b),
        _ => RGBColor(0x20, 0x20, 0x20),
    }
}

const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
const INK: RGBColor = RGBColor(0x33, 0x3a, 0x45);
const MARK: RGBColor = RGBColor(0xd9, 0x48, 0x1c);

fn draw(
    width: u32,
    height: u32,
    body: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
        body(&area)?;
        area.present().map_err(|e| anyhow!("{e}"))?;
    }
    // Scales with the page; the XML header has no place inside HTML.
    Ok(svg.replacen(
        &format!("width=\"{width}\" height=\"{height}\""),
        "width=\"100%\"",
        1,
    ))
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// A line over seconds with marked moments.
pub fn timeline(
    title: &str,
    unit: &str,
    values: &[f64],
    marks: &[f64],
    colour: RGBColor,
    logarithmic: bool,
) -> Result<String> {
    let (width, height) = (900, 240);
    let end = (values.len().max(2) - 1) as f64;
    let top = values.iter().copied().fold(1.0, f64::max) * 1.15;
    let bottom = if logarithmic {
        values
            .iter()
            .copied()
            .filter(|v| *v > 0.0)
            .fold(top, f64::min)
            * 0.8
    } else {
        0.0
    };
    let points: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .filter(|(_, v)| **v > 0.0 || !logarithmic)
        .map(|(i, v)| (i as f64, *v))
        .collect();
    macro_rules! lines {
        ($area:expr, $y:expr) => {{
            let mut chart = ChartBuilder::on($area)
                .caption(title, font(17))
                .margin(8)
                .x_label_area_size(34)
                .y_label_area_size(64)
                .build_cartesian_2d(0.0..end, $y)
                .map_err(|e| anyhow!("{e}"))?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .bold_line_style(GRID)
                .axis_style(GRID)
                .label_style(font(12))
                .x_desc("seconds")
                .y_desc(unit)
                .y_label_formatter(&|v| super::significant(*v))
                .x_label_formatter(&|v| format!("{v:.0}"))
                .draw()
                .map_err(|e| anyhow!("{e}"))?;
            for m in marks {
                chart
                    .draw_series(std::iter::once(PathElement::new(
                        vec![(*m, bottom), (*m, top)],
                        MARK.mix(0.45).stroke_width(1),
                    )))
                    .map_err(|e| anyhow!("{e}"))?;
            }
            chart
                .draw_series(LineSeries::new(
                    points.iter().copied(),
                    colour.stroke_width(2),
                ))
                .map_err(|e| anyhow!("{e}"))?;
        }};
    }
    draw(width, height, |area| {
        if logarithmic {
            lines!(area, (bottom..top).log_scale());
        } else {
            lines!(area, bottom..top);
        }
        Ok(())
    })
}

/// One row of [`dots`].
pub struct Row {
    /// Name at the left.
    pub name: String,
    /// Variant and value; values must be positive.
    pub values: Vec<(String, f64)>,
}

/// Rows of dots on a logarithmic axis, one dot a variant.
pub fn dots(title: &str, unit: &str, rows: &[Row]) -> Result<String> {
    let height = 70 + rows.len() as u32 * 19;
    let all = || {
        rows.iter()
            .flat_map(|r| r.values.iter().map(|(_, v)| *v))
            .filter(|v| *v > 0.0)
    };
    let (low, high) = (
        all().fold(f64::MAX, f64::min) * 0.7,
        all().fold(f64::MIN_POSITIVE, f64::max) * 1.4,
    );
    if low >= high {
        return Ok(String::new());
    }
    let n = rows.len() as f64;
    draw(900, height, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, font(17))
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(250)
            .build_cartesian_2d((low..high).log_scale(), 0.0..n)
            .map_err(|e| anyhow!("{e}"))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(font(12))
            .x_desc(unit)
            .x_label_formatter(&|v| super::significant(*v))
            .draw()
            .map_err(|e| anyhow!("{e}"))?;
        for (i, row) in rows.iter().enumerate() {
            let y = n - i as f64 - 0.5;
            let (from, to) = row
                .values
                .iter()
                .fold((f64::MAX, 0.0f64), |(a, b), (_, v)| (a.min(*v), b.max(*v)));
            if from > 0.0 && to > 0.0 {
                chart
                    .draw_series(std::iter::once(PathElement::new(
                        vec![(from, y), (to, y)],
                        GRID.stroke_width(3),
                    )))
                    .map_err(|e| anyhow!("{e}"))?;
            }
            for (variant, v) in row.values.iter().filter(|(_, v)| *v > 0.0) {
                chart
                    .draw_series(std::iter::once(Circle::new(
                        (*v, y),
                        5,
                        colour(variant).mix(0.85).filled(),
                    )))
                    .map_err(|e| anyhow!("{e}"))?;
            }
            // Plotters' own tick labels cannot carry names at uneven places, so they are written beside the axis.
            let at = chart.backend_coord(&(low, y));
            area.draw_text(
                &row.name,
                &font(12).pos(plotters::style::text_anchor::Pos::new(
                    plotters::style::text_anchor::HPos::Right,
                    plotters::style::text_anchor::VPos::Center,
                )),
                (at.0 - 8, at.1),
            )
            .map_err(|e| anyhow!("{e}"))?;
        }
        Ok(())
    })
}

/// Horizontal bars on a linear axis from zero.
pub fn bars(title: &str, rows: &[(String, f64, String)]) -> Result<String> {
    let height = 46 + rows.len() as u32 * 30;
    // Room for the label behind the longest bar: about seven of the 790 pixels a letter.
    let top = rows
        .iter()
        .map(|(_, value, label)| {
            value / (1.0 - (label.chars().count() as f64 * 7.0 / 790.0).min(0.7))
        })
        .fold(f64::MIN_POSITIVE, f64::max)
        * 1.05;
    let n = rows.len() as f64;
    draw(900, height, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, font(17))
            .margin(8)
            .y_label_area_size(90)
            .build_cartesian_2d(0.0..top, 0.0..n)
            .map_err(|e| anyhow!("{e}"))?;
        for (i, (name, value, label)) in rows.iter().enumerate() {
            let y = n - i as f64;
            chart
                .draw_series(std::iter::once(Rectangle::new(
                    [(0.0, y - 0.85), (*value, y - 0.15)],
                    colour(name).filled(),
                )))
                .map_err(|e| anyhow!("{e}"))?;
            let (start, end) = (
                chart.backend_coord(&(0.0, y - 0.5)),
                chart.backend_coord(&(*value, y - 0.5)),
            );
            let middle = plotters::style::text_anchor::VPos::Center;
            area.draw_text(
                name,
                &font(13).pos(plotters::style::text_anchor::Pos::new(
                    plotters::style::text_anchor::HPos::Right,
                    middle,
                )),
                (start.0 - 8, start.1),
            )
            .map_err(|e| anyhow!("{e}"))?;
            area.draw_text(
                label,
                &font(13).pos(plotters::style::text_anchor::Pos::new(
                    plotters::style::text_anchor::HPos::Left,
                    middle,
                )),
                (end.0 + 8, end.1),
            )
            .map_err(|e| anyhow!("{e}"))?;
        }
        Ok(())
    })
}
