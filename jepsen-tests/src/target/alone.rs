//! A cluster of one on a folder that is there already: what a snapshot was restored to.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use base::ports;

use super::cluster::Program;
use super::member::{Member, Recipe};
use crate::wire;

const READY_SECONDS: u64 = 60;

/// The one member. Dropping it ends it.
pub(crate) struct Alone {
    /// Where clients reach it.
    pub(crate) url: String,
    member: Member,
}

impl Alone {
    /// Its name.
    pub(crate) const NAME: &'static str = "alone";
    /// Where it says its peers would reach it.
    pub(crate) const PEER_URL: &'static str = "http://127.0.0.1:2380";

    /// Starts it on the data that is in `folder` under its name, and waits until it answers.
    pub(crate) async fn start(program: &Program, folder: &Path) -> Result<Self> {
        let ports = ports::free(3).context("find ports")?;
        let [client, peer, orders] = ports[..] else {
            anyhow::bail!("find ports");
        };
        let url = format!("http://127.0.0.1:{client}");
        let pairs = [
            ("name", Self::NAME.to_owned()),
            ("data-dir", folder.join(Self::NAME).display().to_string()),
            ("listen-client-urls", url.clone()),
            ("advertise-client-urls", url.clone()),
            ("listen-peer-urls", format!("http://127.0.0.1:{peer}")),
            ("initial-advertise-peer-urls", Self::PEER_URL.to_owned()),
            (
                "initial-cluster",
                format!("{}={}", Self::NAME, Self::PEER_URL),
            ),
        ];
        let usual = pairs.map(|(flag, value)| format!("--{flag}={value}"));
        let recipe = Recipe {
            program: program.path.clone(),
            args: [&program.first[..], &usual[..]].concat(),
            env: Vec::new(),
            orders: (Ipv4Addr::LOCALHOST, orders).into(),
            inside: Vec::new(),
            boots: None,
        };
        let who = (
            Self::NAME.to_owned(),
            url.clone(),
            Self::PEER_URL.to_owned(),
        );
        let member = Member::new(who, folder, recipe, None);
        member.start()?;
        let alone = Self { url, member };
        testkit::poll(READY_SECONDS, "an answer", async || {
            alone.member.look();
            wire::probe(&alone.url).await
        })
        .await?;
        Ok(alone)
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.member.kill();
    }
}
