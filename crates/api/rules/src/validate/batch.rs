//! Jobs and CronJobs.

use api_meta::Cause;
use serde_json::{Value, json};

use super::tools::{get, immutable, not_negative, one_of, text};
use super::{pod, selector};

/// `batch/v1` Job.
pub(super) fn job(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    job_spec(faults, "spec", spec);
    if let Some(labels) = get(spec, "selector") {
        selector::check(faults, "spec.selector", labels);
    }
    let Some(old) = old.and_then(|old| old.get("spec")) else {
        return;
    };
    for field in [
        "completions",
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        let may_grow = field == "completions" && text(spec, "completionMode") == "Indexed";
        if !may_grow {
            immutable(
                faults,
                &format!("spec.{field}"),
                spec.get(field),
                old.get(field),
            );
        }
    }
    // The pods of a suspended job may still be told where to run.
    if old.get("suspend") != Some(&json!(true)) {
        immutable(
            faults,
            "spec.template",
            spec.get("template"),
            old.get("template"),
        );
    }
}

fn job_spec(faults: &mut Vec<Cause>, path: &str, spec: &Value) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ] {
        not_negative(faults, path, spec, field);
    }
    one_of(
        faults,
        path,
        spec,
        "completionMode",
        &["NonIndexed", "Indexed"],
    );
    let nothing = json!({});
    let template = spec.get("template").unwrap_or(&nothing);
    pod::template(faults, &format!("{path}.template"), template);
    let policy = template
        .pointer("/spec/restartPolicy")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let restart = format!("{path}.template.spec.restartPolicy");
    match policy {
        "OnFailure" | "Never" => {}
        "" | "Always" => {
            faults.push(Cause::required(
                restart,
                "valid values: \"OnFailure\", \"Never\"",
            ));
        }
        other => faults.push(Cause::not_supported(
            restart,
            other,
            &["OnFailure", "Never"],
        )),
    }
}

/// `batch/v1` CronJob.
pub(super) fn cron_job(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    schedule(faults, text(spec, "schedule"));
    not_negative(faults, "spec", spec, "startingDeadlineSeconds");
    one_of(
        faults,
        "spec",
        spec,
        "concurrencyPolicy",
        &["Allow", "Forbid", "Replace"],
    );
    not_negative(faults, "spec", spec, "successfulJobsHistoryLimit");
    not_negative(faults, "spec", spec, "failedJobsHistoryLimit");
    let job = spec.pointer("/jobTemplate/spec").unwrap_or(&nothing);
    job_spec(faults, "spec.jobTemplate.spec", job);
}

fn schedule(faults: &mut Vec<Cause>, schedule: &str) {
    const PATH: &str = "spec.schedule";
    if schedule.is_empty() {
        return faults.push(Cause::required(PATH, ""));
    }
    if schedule.starts_with('@') {
        return;
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 && !schedule.contains("TZ") {
        let why = format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        );
        faults.push(Cause::invalid(PATH, schedule, &why));
    } else if schedule.contains("TZ") {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        faults.push(Cause::invalid(PATH, schedule, why));
    }
}
