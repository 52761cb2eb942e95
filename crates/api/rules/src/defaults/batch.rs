//! Defaults of jobs.

use serde_json::{Map, Value};

use super::pod::template;
use super::{child, default, default_text, made};

/// `batch/v1` Job.
pub(super) fn job(object: &mut Map<String, Value>) {
    if let Some(spec) = made(object, "spec") {
        job_spec(spec);
    }
}

fn job_spec(spec: &mut Map<String, Value>) {
    let is_set =
        |spec: &Map<String, Value>, field: &str| spec.get(field).is_some_and(|v| !v.is_null());
    // A queue of work leaves the completions open; only a job that says neither runs once.
    if !is_set(spec, "completions") && !is_set(spec, "parallelism") {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    default_text(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "manualSelector", false);
    // With a limit for each index the overall one is open.
    let overall = if is_set(spec, "backoffLimitPerIndex") {
        i64::from(i32::MAX)
    } else {
        6
    };
    default(spec, "backoffLimit", overall);
    let replacement = if is_set(spec, "podFailurePolicy") {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    default_text(spec, "podReplacementPolicy", replacement);
    template(spec);
}

/// `batch/v1` CronJob.
pub(super) fn cron_job(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else {
        return;
    };
    default_text(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    let job = child(spec, "jobTemplate").and_then(|job| child(job, "spec"));
    if let Some(job) = job {
        template(job);
    }
}
