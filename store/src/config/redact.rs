//! The command line as others may see it: in the log, and where profiles are served.

/// The command line without what must not be seen.
pub(crate) fn redacted(args: &[String]) -> Vec<&str> {
    let mut hide_next = false;
    args.iter()
        .map(|arg| {
            let name = arg.trim_start_matches('-');
            let hide = std::mem::replace(
                &mut hide_next,
                matches!(name, "discovery-password" | "discovery-user"),
            );
            // A user's flag may hold the password as well.
            let is_user = name.starts_with("discovery-user=") && name.contains(':');
            if hide || is_user || arg.contains("password=") {
                "[redacted]"
            } else {
                arg.as_str()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn passwords_are_not_seen() {
        let args = [
            "--name=a",
            "--discovery-password=x",
            "--discovery-user=u:x",
            "--discovery-password",
            "x",
            "--data-dir=d",
        ]
        .map(str::to_owned);
        let hidden = "[redacted]";
        let expected = [
            "--name=a",
            hidden,
            hidden,
            "--discovery-password",
            hidden,
            "--data-dir=d",
        ];
        assert_eq!(redacted(&args), expected);
    }
}
