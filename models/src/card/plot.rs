//! The training curve as a small SVG line chart, in no other tool's words.

use std::fmt::Write;

use super::CurvePoint;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 88.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 40.0;
const SERIES: [(&str, &str); 2] = [("training", "#2a6f97"), ("held out", "#c8553d")];

/// Two lines over the passes; `None` without a finite point.
pub(super) fn curve(points: &[CurvePoint]) -> Option<String> {
    let finite: Vec<&CurvePoint> =
        points.iter().filter(|p| p.train.is_finite() && p.holdout.is_finite()).collect();
    let (first, last) = (finite.first()?, finite.last()?);
    let values = || finite.iter().flat_map(|point| [point.train, point.holdout]);
    let step = step(values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min));
    let low = (values().fold(f64::MAX, f64::min) / step).floor() * step;
    let high = ((values().fold(f64::MIN, f64::max) / step).ceil() * step).max(low + step);
    let passes = f64::from(last.epoch - first.epoch).max(1.0);
    let x = |epoch: u32| LEFT + (WIDTH - LEFT - RIGHT) * f64::from(epoch - first.epoch) / passes;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\" role=\"img\" aria-label=\"training curve\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let lines = ((high - low) / step).round() as u32;
    for line in 0..=lines {
        let value = low + step * f64::from(line);
        let at = y(value);
        add(
            &mut svg,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                label(value, step),
            ),
        );
    }
    for epoch in [first.epoch, last.epoch] {
        add(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{epoch}</text>\n",
                x(epoch),
                HEIGHT - BOTTOM + 16.0,
            ),
        );
    }
    add(
        &mut svg,
        format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">pass</text>\n",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
        ),
    );
    let ends = [y(last.train), y(last.holdout)];
    for (at, (name, colour)) in SERIES.into_iter().enumerate() {
        let of = |point: &CurvePoint| if at == 0 { point.train } else { point.holdout };
        let path: Vec<String> = finite
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.epoch), y(of(point))))
            .collect();
        // Names beside the ends of their lines, moved apart where the lines meet.
        let apart = if (ends[0] - ends[1]).abs() < 13.0 {
            if (ends[at] > ends[1 - at]) || (ends[0] == ends[1] && at == 1) { 6.5 } else { -6.5 }
        } else {
            0.0
        };
        add(
            &mut svg,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>\n",
                path.join(" "),
                WIDTH - RIGHT + 6.0,
                ends[at] + 4.0 + apart,
            ),
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a string takes any text");
}

/// 1, 2 or 5 times a power of ten, so that four to eight lines span the range.
fn step(range: f64) -> f64 {
    let rough = (if range > 0.0 { range } else { 1.0 }) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough).unwrap_or(10.0);
    factor * power
}

fn label(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (range, expected) in [(1.0, 0.2), (0.013, 0.005), (7.0, 2.0), (4.9, 1.0), (0.0, 0.2)] {
            assert!((step(range) - expected).abs() < 1e-12, "{range} {}", step(range));
        }
    }

    #[test]
    fn a_curve_of_nothing_finite_is_no_picture() {
        assert_eq!(curve(&[]), None);
        assert_eq!(curve(&[CurvePoint { epoch: 1, train: f64::NAN, holdout: 1.0 }]), None);
        let one = curve(&[CurvePoint { epoch: 1, train: 0.5, holdout: 0.5 }]).unwrap();
        assert!(!one.contains("NaN") && !one.contains("inf"), "{one}");
    }
}
