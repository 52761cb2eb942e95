//! The two images that a node makes itself, because a machine may reach no registry: the sandbox's
//! and one to try the cluster with. Both are a busybox.

use super::archive::{Entry, Image};

/// Images under this prefix are made on the node, and no registry has them.
pub const LOCAL_PREFIX: &str = "docker.io/keelson/";
/// The sandbox's image.
pub const PAUSE: &str = "docker.io/keelson/pause:latest";
/// The image of the tour.
pub const TOUR: &str = "docker.io/keelson/tour:latest";

/// Sleeps until it is told to end. The first process of a container is deaf to signals that it
/// does not catch, so it catches them.
const SLEEP: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// Answers HTTP on port 8080 with the pod's name.
const SERVE: &str = "trap 'exit 0' TERM INT; httpd -f -p 8080 -h /www & wait $!";

/// The server runs this for `/`.
const ANSWER: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nhostname\n";

/// Debian's static busybox crashes when its wget is given a time limit, so the limit is kept from
/// outside of it.
const WGET: &str = r#"#!/bin/sh
limit=
count=$#
while [ $count -gt 0 ]; do
    word=$1
    shift
    count=$((count - 1))
    case $word in
        -T | --timeout)
            limit=$1
            shift
            count=$((count - 1))
            ;;
        -T*) limit=${word#-T} ;;
        --timeout=*) limit=${word#*=} ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec ${limit:+timeout "$limit"} busybox wget "$@"
"#;

/// What a shell user expects to find.
const APPLETS: &[&str] = &[
    "[",
    "ash",
    "awk",
    "base64",
    "basename",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "free",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hostname",
    "httpd",
    "id",
    "ifconfig",
    "ip",
    "kill",
    "less",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mktemp",
    "more",
    "mount",
    "mv",
    "nc",
    "netstat",
    "nslookup",
    "od",
    "ping",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "time",
    "timeout",
    "top",
    "touch",
    "tr",
    "traceroute",
    "true",
    "tty",
    "umount",
    "uname",
    "uniq",
    "uptime",
    "vi",
    "watch",
    "wc",
    "which",
    "whoami",
    "xargs",
    "yes",
];

/// The sandbox's image.
pub fn pause(busybox: &[u8]) -> Image {
    Image {
        name: PAUSE,
        entries: system(busybox),
        command: vec!["/bin/sh", "-c", SLEEP],
        ports: Vec::new(),
    }
}

/// The image of the tour.
pub fn tour(busybox: &[u8]) -> Image {
    let mut entries = system(busybox);
    entries.push(Entry::Directory("www"));
    entries.push(Entry::Directory("www/cgi-bin"));
    entries.push(Entry::File {
        path: "www/cgi-bin/index.cgi",
        mode: 0o755,
        bytes: ANSWER.as_bytes().to_vec(),
    });
    Image {
        name: TOUR,
        entries,
        command: vec!["/bin/sh", "-c", SERVE],
        ports: vec![8080],
    }
}

fn system(busybox: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = [
        "bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var",
    ]
    .map(Entry::Directory)
    .into();
    let file = |path, bytes: &[u8]| Entry::File {
        path,
        mode: 0o644,
        bytes: bytes.to_vec(),
    };
    entries.push(Entry::File {
        path: "bin/busybox",
        mode: 0o755,
        bytes: busybox.to_vec(),
    });
    entries.push(Entry::File {
        path: "bin/wget",
        mode: 0o755,
        bytes: WGET.as_bytes().to_vec(),
    });
    entries.push(file(
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ));
    entries.push(file("etc/group", b"root:x:0:\nnogroup:x:65534:\n"));
    let links = APPLETS.iter().map(|name| Entry::Link {
        path: format!("bin/{name}"),
        target: "busybox",
    });
    entries.extend(links);
    entries
}
