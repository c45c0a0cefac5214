//! Curves as SVG: a line for each series, a mark for each of its points.

use super::{COLOURS, LEFT, TOP, line, text};

/// A chart of one curve a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// Written above the chart.
    pub title: String,
    /// Under the horizontal axis, and beside the vertical one.
    pub axes: [String; 2],
    /// Names and points, the horizontal value first.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 280.0;
const BOTTOM: f64 = 44.0;
const RIGHT: f64 = 16.0;
const TICKS: usize = 4;

impl Lines {
    /// The chart as a stand-alone SVG document; both axes reach from the least to the greatest value.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let ends = |of: fn(&(f64, f64)) -> f64| {
            let ends =
                points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                });
            if ends.0 < ends.1 { ends } else { (ends.0.min(0.0), ends.1.max(1.0)) }
        };
        let (across, up) = (ends(|point| point.0), ends(|point| point.1));
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let x = |value: f64| LEFT + WIDTH * share(value, across);
        let y = |value: f64| TOP + HEIGHT * (1.0 - share(value, up));
        let (width, height) = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let [below, beside] = &self.axes;
        text(&mut svg, (LEFT, 18.0), "start", &format!("{}: {beside}", self.title));
        for tick in 0..=TICKS {
            let at = tick as f64 / TICKS as f64;
            let value = |(low, high): (f64, f64)| low + at * (high - low);
            let (across, up) = (value(across), value(up));
            let (left, right) = (LEFT, LEFT + WIDTH);
            line(
                &mut svg,
                &format!(
                    "<line x1=\"{left}\" y1=\"{0:.1}\" x2=\"{right:.0}\" y2=\"{0:.1}\" stroke=\"#dddddd\"/>",
                    y(up)
                ),
            );
            text(&mut svg, (LEFT - 6.0, y(up) + 4.0), "end", &format!("{up:.2}"));
            text(&mut svg, (x(across), TOP + HEIGHT + 16.0), "middle", &format!("{across:.3}"));
        }
        text(&mut svg, (LEFT + WIDTH / 2.0, TOP + HEIGHT + 34.0), "middle", below);
        let mut legend = LEFT;
        for (at, (name, points)) in self.series.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            line(
                &mut svg,
                &format!(
                    "<rect x=\"{legend:.0}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"
                ),
            );
            text(&mut svg, (legend + 14.0, 37.0), "start", name);
            legend += 28.0 + 6.6 * name.chars().count() as f64;
            let places: Vec<String> =
                points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
            line(
                &mut svg,
                &format!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                    places.join(" ")
                ),
            );
            for (a, b) in points {
                line(
                    &mut svg,
                    &format!(
                        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                        x(*a),
                        y(*b)
                    ),
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_values_are_the_ends_of_the_axes() {
        let chart = Lines {
            title: "set".to_owned(),
            axes: ["violations".to_owned(), "cost".to_owned()],
            series: vec![
                ("one".to_owned(), vec![(0.0, 2.0), (0.1, 1.0)]),
                ("two".to_owned(), vec![(0.05, 1.5)]),
            ],
        };
        let svg = chart.to_svg();
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (3, 2));
        let corner = format!("cx=\"{LEFT:.1}\" cy=\"{TOP:.1}\"");
        assert!(svg.contains(&corner), "{svg}");
        assert!(!svg.contains("NaN"));
        let empty = Lines { series: vec![], ..chart };
        assert!(empty.to_svg().ends_with("</svg>\n"));
    }
}
