//! Proves, on real processes, that store and plane keep their word through kills.

mod quick;

use anyhow::{Context, Result};
use jepsen_tests::{Verdict, find};

async fn check(scenario: &str) -> Result<()> {
    let scenario = find(scenario).context("no such scenario")?;
    let report = scenario.run(testkit::keelson()?).await?;
    assert_eq!(*report.verdict(), Verdict::Valid, "{}", report.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_every_member_is_killed_at_once() {
    check("kill-all-stores").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plane_goes_on_when_its_parts_are_killed_one_after_another() {
    check("plane-kills").await.unwrap();
}
