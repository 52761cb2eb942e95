//! Draws a cycle: transactions in a ring, and an arrow for each that must come before another.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use super::escape;
use crate::check::Finding;

const WIDTH: f64 = 720.0;
const BOX_WIDTH: f64 = 150.0;
const BOX_HEIGHT: f64 = 46.0;
/// Characters of an operation that a box shows.
const TEXT_MAX: usize = 22;
/// A longer cycle is told in words alone.
const NODES_MAX: usize = 24;

/// The picture, or nothing if the cycle is too long for one.
pub(super) fn svg(finding: &Finding) -> String {
    let count = finding.ops.len();
    if !(2..=NODES_MAX).contains(&count) {
        return String::new();
    }
    let height = if count == 2 { 180.0 } else { 340.0 };
    let places: Vec<(f64, f64)> = (0..count).map(|at| place(at, count, height)).collect();
    let mut svg = format!(
        "<svg class=\"cycle\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"the cycle\">\
         <defs><marker id=\"arrow\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0L10 5L0 10z\" \
         fill=\"context-stroke\"/></marker></defs>"
    );
    for edge in &finding.edges {
        let (Some(from), Some(to)) = (places.get(edge.from), places.get(edge.to)) else {
            continue;
        };
        let (start, bend, end) = arrow(*from, *to, count == 2);
        let (x, y) = middle(start, bend, end);
        let _ = write!(
            svg,
            "<path class=\"edge {0}\" d=\"M{1:.1} {2:.1}Q{3:.1} {4:.1} {5:.1} {6:.1}\" \
             marker-end=\"url(#arrow)\"/><text class=\"label {0}\" x=\"{x:.1}\" y=\"{y:.1}\">{0}</text>",
            edge.kind, start.0, start.1, bend.0, bend.1, end.0, end.1
        );
    }
    for (number, ((x, y), op)) in places.iter().zip(&finding.ops).enumerate() {
        let (left, top) = (x - BOX_WIDTH / 2.0, y - BOX_HEIGHT / 2.0);
        let _ = write!(
            svg,
            "<g class=\"node\"><title>{0}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" \
             width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/><text x=\"{x:.1}\" \
             y=\"{1:.1}\" class=\"name\">T{2}</text><text x=\"{x:.1}\" y=\"{3:.1}\">{4}</text></g>",
            escape(&op.text),
            y - 4.0,
            number + 1,
            y + 13.0,
            escape(&shortened(&op.text))
        );
    }
    svg.push_str("</svg>");
    svg
}

fn place(at: usize, count: usize, height: f64) -> (f64, f64) {
    let (x, y) = (WIDTH / 2.0, height / 2.0);
    let turn = TAU * (at as f64) / (count as f64) - TAU / 4.0;
    if count == 2 {
        return (x + if at == 0 { -200.0 } else { 200.0 }, y);
    }
    (
        x + turn.cos() * (WIDTH / 2.0 - BOX_WIDTH / 2.0 - 10.0),
        y + turn.sin() * (height / 2.0 - BOX_HEIGHT / 2.0 - 8.0),
    )
}

type Point = (f64, f64);

/// Start, bend and end of an arrow from box to box. Two arrows between the same two bend apart.
fn arrow(from: Point, to: Point, is_pair: bool) -> (Point, Point, Point) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let away = if is_pair { 60.0 } else { 18.0 };
    let bend = (
        (from.0 + to.0) / 2.0 + dy / length * away,
        (from.1 + to.1) / 2.0 - dx / length * away,
    );
    (border(from, bend), bend, border(to, bend))
}

/// Where the line from the middle of a box towards a point leaves the box.
fn border(middle: Point, towards: Point) -> Point {
    let (dx, dy) = (towards.0 - middle.0, towards.1 - middle.1);
    let across = (BOX_WIDTH / 2.0 + 3.0) / dx.abs().max(0.01);
    let down = (BOX_HEIGHT / 2.0 + 3.0) / dy.abs().max(0.01);
    let part = across.min(down).min(1.0);
    (middle.0 + dx * part, middle.1 + dy * part)
}

fn middle(start: Point, bend: Point, end: Point) -> Point {
    let at = |a: f64, b: f64, c: f64| a / 4.0 + b / 2.0 + c / 4.0;
    (at(start.0, bend.0, end.0), at(start.1, bend.1, end.1))
}

/// The value alone, cut to what fits.
fn shortened(text: &str) -> String {
    let value = text.split_once('[').map_or(text, |(_, value)| value);
    let mut short: String = value.chars().take(TEXT_MAX).collect();
    if value.chars().count() > TEXT_MAX {
        short.push('…');
    }
    if short.len() < text.len() && text.contains('[') {
        short.insert(0, '[');
    }
    short
}
