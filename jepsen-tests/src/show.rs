//! A judgement for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::check::{Finding, Findings, Judgement, Verdict, Workload};

/// For people.
pub(crate) fn text(judgement: &Judgement) -> String {
    let mut text = String::new();
    let counts = judgement.counts;
    if let Some(workload) = judgement.workload {
        let told = if judgement.is_inferred {
            ", told from its operations"
        } else {
            ""
        };
        let _ = writeln!(text, "workload {}{told}", workload.name());
        if matches!(workload, Workload::Append | Workload::Wr) {
            let _ = writeln!(text, "model {}", judgement.model.name());
        }
    }
    let _ = writeln!(
        text,
        "{} operations acknowledged, {} refused, {} of unknown outcome",
        counts.ok, counts.fail, counts.info
    );
    if !judgement.allowed.is_empty() {
        let _ = writeln!(
            text,
            "found, but allowed by the model: {}",
            names(&judgement.allowed)
        );
    }
    match &judgement.verdict {
        Verdict::Valid => text.push_str("valid: every promise was kept\n"),
        Verdict::Unknown(why) => {
            let _ = writeln!(text, "could not judge: {why}");
        }
        Verdict::Violated(findings) => {
            let _ = writeln!(text, "VIOLATED: {}", names(findings));
            for finding in findings.told() {
                text.push_str(&finding_text(finding));
            }
        }
    }
    text
}

/// Each anomaly and how often it was found.
fn names(findings: &Findings) -> String {
    let counts = findings.counts().iter();
    let each: Vec<String> = counts
        .map(|(anomaly, count)| match count {
            1 => (*anomaly).to_owned(),
            count => format!("{anomaly} ({count} times)"),
        })
        .collect();
    each.join(", ")
}

fn finding_text(finding: &Finding) -> String {
    let mut text = format!("\n{}: {}\n", finding.anomaly, finding.what);
    for (number, op) in finding.ops.iter().enumerate() {
        let _ = writeln!(text, "  T{:<3} {}", number + 1, op.text);
    }
    for edge in &finding.edges {
        let (from, to) = (edge.from + 1, edge.to + 1);
        let _ = writeln!(text, "  T{from} -{}-> T{to}: {}", edge.kind, edge.why);
    }
    text
}

/// For programs: one object.
pub(crate) fn json(judgement: &Judgement) -> Json {
    let (valid, why, findings) = match &judgement.verdict {
        Verdict::Valid => (json!(true), None, None),
        Verdict::Unknown(why) => (json!("unknown"), Some(why), None),
        Verdict::Violated(findings) => (json!(false), None, Some(findings)),
    };
    json!({
        "valid": valid,
        "reason": why,
        "workload": judgement.workload,
        "workloadInferred": judgement.is_inferred,
        "model": judgement.model,
        "operations": judgement.counts,
        "anomalies": findings.map(Findings::counts),
        "findings": findings.map_or(&[][..], Findings::told),
        "allowed": judgement.allowed.counts(),
    })
}
