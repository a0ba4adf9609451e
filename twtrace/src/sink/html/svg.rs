//! Shapes and axes. Text is never drawn: a shape stretches with the page, and letters must not.

use maud::{Markup, html};
use std::fmt::Write as _;

/// The drawing's own width and height, whatever its size on the page.
pub(super) const WIDTH: f64 = 1000.0;
pub(super) const HEIGHT: f64 = 100.0;

/// A drawing as wide as its place, with what it says for those who do not see it.
pub(super) fn drawing(says: &str, shapes: &Markup) -> Markup {
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(says) {
            (shapes)
        }
    }
}

/// The outline between two curves of shares of the height, left to right at equal distances. A single moment is drawn
/// over the whole width.
pub(super) fn band(class: &str, lower: &[f64], upper: &[f64]) -> Markup {
    if let ([low], [high]) = (lower, upper) {
        return band(class, &[*low, *low], &[*high, *high]);
    }
    let mut path = String::new();
    let places = upper.iter().enumerate().chain(lower.iter().enumerate().rev());
    for (number, (place, share)) in places.enumerate() {
        let command = if number == 0 { 'M' } else { 'L' };
        write!(path, "{command}{:.1} {:.2}", across(place, upper.len()), down(*share))
            .expect("a string takes whatever is written");
    }
    html! { path class=(class) d={ (path) "Z" } {} }
}

/// A level line at a share of the height.
pub(super) fn level(class: &str, share: f64) -> Markup {
    html! { line class=(class) x1="0" x2=(WIDTH) y1=(round(down(share))) y2=(round(down(share))) {} }
}

/// A bar that lies, from one share of the width to another.
pub(super) fn bar(class: &str, from: f64, to: f64, thickness: f64) -> Markup {
    let (from, to) = (from.clamp(0.0, 1.0), to.clamp(0.0, 1.0));
    html! {
        rect class=(class) x=(round(from * WIDTH)) y=(round((HEIGHT - thickness) / 2.0))
            width=(round((to - from).max(0.0) * WIDTH)) height=(round(thickness)) {}
    }
}

/// Invisible columns over the whole height that say their words when pointed at.
pub(super) fn columns(words: &[String]) -> Markup {
    let width = WIDTH / words.len().max(1) as f64;
    html! {
        @for (place, words) in words.iter().enumerate() {
            rect.point x=(round(place as f64 * width)) y="0" width=(round(width)) height=(HEIGHT) { title { (words) } }
        }
    }
}

/// Where the `place`th of so many points is.
fn across(place: usize, of: usize) -> f64 {
    if of > 1 { place as f64 * WIDTH / (of - 1) as f64 } else { 0.0 }
}

fn down(share: f64) -> f64 {
    HEIGHT * (1.0 - share.clamp(0.0, 1.0))
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Round numbers from 0 up to the first that is no less than `most`: four or five of them.
pub(super) fn ticks(most: f64) -> Vec<f64> {
    if most <= 0.0 {
        return vec![0.0, 1.0];
    }
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let count = (most / step).ceil();
    (0..=count as u32).map(|number| f64::from(number) * step).collect()
}

/// Moments of the wall clock between two, in nanoseconds, at round distances: four of them at the most.
pub(super) fn clock_ticks(begin: i128, end: i128) -> Vec<i128> {
    const SECOND: i128 = 1_000_000_000;
    const STEPS: [i128; 22] = [
        SECOND / 1000,
        SECOND / 500,
        SECOND / 200,
        SECOND / 100,
        SECOND / 50,
        SECOND / 20,
        SECOND / 10,
        SECOND / 5,
        SECOND / 2,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        15 * SECOND,
        30 * SECOND,
        60 * SECOND,
        120 * SECOND,
        300 * SECOND,
        900 * SECOND,
        3600 * SECOND,
        4 * 3600 * SECOND,
        24 * 3600 * SECOND,
    ];
    let span = (end - begin).max(1);
    let step = STEPS.into_iter().find(|step| span / step <= 3).unwrap_or(span / 3);
    let first = begin.div_euclid(step) * step + if begin.rem_euclid(step) == 0 { 0 } else { step };
    (0..).map(|number| first + number * step).take_while(|tick| *tick <= end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        assert_eq!(ticks(0.0), [0.0, 1.0]);
        assert_eq!(ticks(3.0), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(28_231.0), [0.0, 10_000.0, 20_000.0, 30_000.0]);
        assert_eq!(ticks(0.7), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8]);
        for most in [1e-9, 0.3, 1.0, 7.0, 99.0, 101.0, 1e6, 1.8e19] {
            let ticks = ticks(most);
            assert!((2..=6).contains(&ticks.len()) && ticks[ticks.len() - 1] >= most, "{most}: {ticks:?}");
        }
    }

    #[test]
    fn times_are_round() {
        const SECOND: i128 = 1_000_000_000;
        assert_eq!(clock_ticks(61 * SECOND, 239 * SECOND), [120 * SECOND, 180 * SECOND]);
        assert_eq!(clock_ticks(0, 4 * SECOND), [0, 2 * SECOND, 4 * SECOND]);
        assert_eq!(clock_ticks(5, 5).len(), 0);
        assert!(clock_ticks(0, i128::from(u64::MAX)).len() <= 4);
    }

    #[test]
    fn a_band_goes_there_and_back() {
        let band = band("x", &[0.0, 0.5], &[1.0, 1.0]).into_string();
        assert_eq!(band, r#"<path class="x" d="M0.0 0.00L1000.0 0.00L1000.0 50.00L0.0 100.00Z"></path>"#);
    }
}
