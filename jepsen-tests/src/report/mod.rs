//! One page that shows a run: the verdict and its proof, rates, latencies, and who did what when.
//! It holds all that it needs, and asks nothing of any other place.

mod data;
mod faults;
mod graph;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::check::{Finding, Judgement, Verdict, Workload};
use crate::history::Event;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(crate) fn page(title: &str, events: &[Event], judgement: &Judgement) -> String {
    // Text from the history is put in last, so that nothing in it is taken for a place.
    let parts = [
        ("{{style}}", STYLE.to_owned()),
        ("{{script}}", SCRIPT.to_owned()),
        ("{{title}}", escape(title)),
        ("{{summary}}", summary(judgement)),
        ("{{findings}}", findings(judgement)),
        ("{{data}}", data::json(events, judgement)),
    ];
    let mut page = String::with_capacity(PAGE.len() + SCRIPT.len());
    let mut rest = PAGE;
    while let Some(at) = rest.find("{{") {
        page.push_str(&rest[..at]);
        rest = &rest[at..];
        match parts.iter().find(|(place, _)| rest.starts_with(place)) {
            Some((place, part)) => {
                page.push_str(part);
                rest = &rest[place.len()..];
            }
            None => {
                page.push_str("{{");
                rest = &rest[2..];
            }
        }
    }
    page.push_str(rest);
    page
}

/// Text as HTML has it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

fn summary(judgement: &Judgement) -> String {
    let (class, word) = match &judgement.verdict {
        Verdict::Valid => ("valid", "valid"),
        Verdict::Violated(_) => ("violated", "violated"),
        Verdict::Unknown(_) => ("unknown", "could not judge"),
    };
    let counts = judgement.counts;
    let mut html = format!("<span class=\"verdict {class}\">{word}</span><dl>");
    let mut put = |name: &str, value: &str| {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
    };
    if let Some(workload) = judgement.workload {
        put("workload", workload.name());
        if matches!(workload, Workload::Append | Workload::Wr) {
            put("model", judgement.model.name());
        }
    }
    put("acknowledged", &counts.ok.to_string());
    put("refused", &counts.fail.to_string());
    put("outcome unknown", &counts.info.to_string());
    html.push_str("</dl>");
    html
}

fn findings(judgement: &Judgement) -> String {
    let findings = match &judgement.verdict {
        Verdict::Valid => return "<p>Every promise was kept.</p>".to_owned(),
        Verdict::Unknown(why) => return format!("<p>{}</p>", escape(why)),
        Verdict::Violated(findings) => findings,
    };
    let mut html = String::from("<ul class=\"counts\">");
    for (anomaly, count) in findings.counts() {
        let _ = write!(html, "<li><b>{anomaly}</b> {count}</li>");
    }
    html.push_str("</ul>");
    findings
        .told()
        .iter()
        .for_each(|finding| html.push_str(&section(finding)));
    html
}

fn section(finding: &Finding) -> String {
    let mut html = format!(
        "<section class=\"finding\"><h3>{}</h3><p>{}</p>",
        finding.anomaly,
        escape(&finding.what)
    );
    if !finding.edges.is_empty() {
        html.push_str(&graph::svg(finding));
    }
    html.push_str("<ol class=\"ops\">");
    for (number, op) in finding.ops.iter().enumerate() {
        let _ = write!(
            html,
            "<li><a href=\"#timeline\" data-op=\"{}\">T{}</a> <code>{}</code></li>",
            op.index,
            number + 1,
            escape(&op.text)
        );
    }
    html.push_str("</ol>");
    if !finding.edges.is_empty() {
        html.push_str("<ul class=\"edges\">");
        for edge in &finding.edges {
            let _ = write!(
                html,
                "<li><span class=\"edge {0}\">{0}</span> {1}</li>",
                edge.kind,
                escape(&edge.why)
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</section>");
    html
}
