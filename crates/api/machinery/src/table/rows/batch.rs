//! Rows of jobs.

use jiff::Timestamp;
use serde_json::Value;

use super::text::{
    NONE, UNSET, age, at, at_or, condition, containers, duration, is_true, list, number, selector,
    since,
};

/// Job.
pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object.pointer("/spec/template/spec"));
    vec![
        status(object).into(),
        completions(object).into(),
        lasted(object, now).into(),
        age(object, now),
        names,
        images,
        selector(object.pointer("/spec/selector")).into(),
    ]
}

fn status(object: &Value) -> &'static str {
    let has = |kind: &str| condition(object, kind) == Some("True");
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if object.pointer("/metadata/deletionTimestamp").is_some() => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(object: &Value) -> String {
    let done = number(object, "/status/succeeded");
    let parallelism = number(object, "/spec/parallelism");
    match object.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{done}/{wanted}"),
        None if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        None => format!("{done}/1"),
    }
}

fn lasted(object: &Value, now: Timestamp) -> String {
    let time = |pointer: &str| at(object, pointer).parse::<Timestamp>().ok();
    let Some(start) = time("/status/startTime") else {
        return String::new();
    };
    let end = time("/status/completionTime").unwrap_or(now);
    duration(end.as_second() - start.as_second())
}

/// CronJob.
pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object.pointer("/spec/jobTemplate/spec/template/spec"));
    let last = match at(object, "/status/lastScheduleTime") {
        "" => NONE.to_owned(),
        time => since(time, now),
    };
    let suspended = match object.pointer("/spec/suspend") {
        None => UNSET,
        Some(_) if is_true(object, "/spec/suspend") => "True",
        Some(_) => "False",
    };
    vec![
        at(object, "/spec/schedule").into(),
        at_or(object, "/spec/timeZone", NONE).into(),
        suspended.into(),
        list(object, "/status/active").len().into(),
        last.into(),
        age(object, now),
        names,
        images,
        selector(object.pointer("/spec/jobTemplate/spec/selector")).into(),
    ]
}
