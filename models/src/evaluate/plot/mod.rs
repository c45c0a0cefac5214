//! Grouped bars and curves as SVG, so that a report needs no plotting tool.

use std::fmt::Write;

mod lines;

pub use lines::Lines;

/// A chart of one bar per group and series; values in `[0, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// Written above the chart.
    pub title: String,
    /// Under each group of bars.
    pub groups: Vec<String>,
    /// The legend.
    pub series: Vec<String>,
    /// `[groups][series]`; an absent value leaves a gap.
    pub values: Vec<Vec<Option<f64>>>,
}

// A palette that stays distinct in grey and to colour-blind eyes (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#56b4e9", "#e69f00", "#999999", "#009e73", "#cc79a7", "#d55e00", "#f0e442"];

const BAR: f64 = 26.0;
const GAP: f64 = 30.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 28.0;

impl Bars {
    /// A chart of values by group and series, both in the order in which they first come.
    pub(super) fn of<'a>(title: &str, bars: &[(&'a str, &'a str, f64)]) -> Self {
        let (mut groups, mut series): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for (group, one, _) in bars {
            if !groups.contains(group) {
                groups.push(group);
            }
            if !series.contains(one) {
                series.push(one);
            }
        }
        let value = |group: &str, one: &str| {
            let bar = bars.iter().find(|bar| (bar.0, bar.1) == (group, one));
            bar.map(|bar| bar.2)
        };
        let values = groups.iter().map(|g| series.iter().map(|s| value(g, s)).collect()).collect();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Self { title: title.to_owned(), groups: owned(groups), series: owned(series), values }
    }

    /// The chart as a stand-alone SVG document.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let group_width = BAR * self.series.len() as f64;
        let width = (LEFT + (group_width + GAP) * self.groups.len() as f64 + GAP).max(460.0);
        let height = TOP + HEIGHT + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        text(&mut svg, (LEFT, 18.0), "start", &self.title);
        self.legend(&mut svg);
        for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let y = level(tick);
            line(
                &mut svg,
                &format!(
                    "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>",
                    width - 8.0
                ),
            );
            text(&mut svg, (LEFT - 6.0, y + 4.0), "end", &format!("{tick:.2}"));
        }
        for (at, (group, values)) in self.groups.iter().zip(&self.values).enumerate() {
            let x = LEFT + GAP + (group_width + GAP) * at as f64;
            bars(&mut svg, x, values);
            text(&mut svg, (x + group_width / 2.0, TOP + HEIGHT + 18.0), "middle", group);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = LEFT;
        for (at, name) in self.series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            line(
                svg,
                &format!(
                    "<rect x=\"{x:.0}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"
                ),
            );
            text(svg, (x + 14.0, 37.0), "start", name);
            x += 28.0 + 6.6 * name.chars().count() as f64;
        }
    }
}

fn bars(svg: &mut String, left: f64, values: &[Option<f64>]) {
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let x = left + BAR * at as f64;
        let y = level(value.clamp(0.0, 1.0));
        let colour = COLOURS[at % COLOURS.len()];
        line(
            svg,
            &format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                BAR - 2.0,
                TOP + HEIGHT - y
            ),
        );
        let label = format!("{value:.2}");
        text(svg, (x + BAR / 2.0 - 1.0, y - 3.0), "middle", label.trim_start_matches('0'));
    }
}

fn level(value: f64) -> f64 {
    TOP + HEIGHT * (1.0 - value)
}

fn line(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str) {
    let escaped = content.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{escaped}</text>")
        .expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_present_value_is_a_bar_of_its_height() {
        let chart = Bars {
            title: "a < b & c".to_owned(),
            groups: vec!["smd".to_owned(), "skab".to_owned()],
            series: vec!["pca".to_owned(), "vae".to_owned()],
            values: vec![vec![Some(0.5), None], vec![Some(1.0), Some(0.0)]],
        };
        let svg = chart.to_svg();
        assert!(svg.contains("a &lt; b &amp; c"));
        // Background, two of the legend, three values.
        assert_eq!(svg.matches("<rect").count(), 6);
        assert_eq!(svg.matches("height=\"100.0\"").count(), 1);
        assert_eq!(svg.matches("height=\"200.0\"").count(), 1);
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
