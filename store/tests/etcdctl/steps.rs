//! The commands, read from their list.

/// When a part of the list applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In each setting.
    All,
    /// With users.
    Users,
    /// Without users.
    NoUsers,
    /// Takes a minute; where all settings are asked for.
    Long,
    /// After two of three members are gone.
    NoQuorum,
}

/// How a command ends and what of it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By itself; its output and its exit code.
    Usual,
    /// Not by itself: ended when it has been silent for a while; its output.
    Endless,
    /// By itself; its exit code.
    Code,
}

/// One command.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) part: Part,
    pub(super) kind: Kind,
    /// As it stands in the list, with its format: what a difference is reported by.
    pub(super) text: String,
    pub(super) input: String,
}

impl Step {
    /// The arguments, with what is in braces still there.
    pub(super) fn args(&self) -> Vec<String> {
        words(&self.text)
    }
}

/// As a shell would, as far as the list needs it: blanks divide, `"` holds together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut braces) = (Vec::new(), String::new(), false, 0);
    let mut begun = false;
    for c in text.chars() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted && braces == 0 => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                braces += i32::from(c == '{') - i32::from(c == '}');
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

const FORMATS: [&str; 4] = ["", " -w=json", " -w=fields", " -w=table"];

/// All of them, in order.
pub(super) fn all() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut part = Part::All;
    // Formats share their input.
    let mut formats = 0;
    for line in include_str!("steps.txt").lines() {
        if let Some(input) = line.strip_prefix('|') {
            let first = steps.len() - formats;
            for step in &mut steps[first..] {
                step.input
                    .push_str(input.strip_prefix(' ').unwrap_or(input));
                step.input.push('\n');
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            part = match line {
                "[all]" => Part::All,
                "[users]" => Part::Users,
                "[no users]" => Part::NoUsers,
                "[long]" => Part::Long,
                "[no quorum]" => Part::NoQuorum,
                other => panic!("{other} is no part"),
            };
            continue;
        }
        let (kind, text, in_formats) = match line.split_at_checked(2) {
            Some(("* ", text)) => (Kind::Usual, text, &FORMATS[..]),
            Some(("~ ", text)) => (Kind::Endless, text, &FORMATS[..1]),
            Some(("? ", text)) => (Kind::Code, text, &FORMATS[..1]),
            _ => (Kind::Usual, line, &FORMATS[..1]),
        };
        formats = in_formats.len();
        steps.extend(in_formats.iter().map(|format| Step {
            part,
            kind,
            text: format!("{text}{format}"),
            input: String::new(),
        }));
    }
    steps
}
