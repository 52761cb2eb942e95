//! The rules of one member's namespace: what of its peers' packets does not arrive.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::super::link::Rules;

/// A script for `nft` that replaces the rules of the member `to` at once. `addresses` are those of all
/// members.
pub(super) fn script(rules: &Rules, to: usize, addresses: &[Ipv4Addr]) -> String {
    // Made again each time: what is there already stays as it is.
    let mut script = String::from(
        "add table ip jepsen\n\
         add chain ip jepsen input { type filter hook input priority 0; policy accept; }\n\
         flush chain ip jepsen input\n",
    );
    for (from, address) in addresses.iter().enumerate() {
        let lost = match rules.holds((from, to)) {
            true => "drop".to_owned(),
            false => match rules.lost_percent_of((from, to)) {
                0 => continue,
                percent => format!("numgen random mod 100 < {percent} drop"),
            },
        };
        let _ = writeln!(script, "add rule ip jepsen input ip saddr {address} {lost}");
    }
    script
}
