//! The flags that the kubelet knows; upstream's, and a few of its configuration file's settings.

use client::flags::Known;

/// Flags with a value, and what each is for.
const VALUES: &[(&str, &str)] = &[
    ("kubeconfig", "path to the kubeconfig file"),
    (
        "server",
        "addresses of api-servers, comma-separated, over the kubeconfig's",
    ),
    (
        "hostname-override",
        "the node's name (default: the host's name)",
    ),
    (
        "node-ip",
        "the node's address, or two of them (default: the one it would leave from)",
    ),
    (
        "node-labels",
        "labels of the node, name=value, comma-separated",
    ),
    (
        "register-with-taints",
        "taints of the node, key=value:effect, comma-separated",
    ),
    (
        "container-runtime-endpoint",
        "the runtime's socket (default unix:///run/containerd/containerd.sock)",
    ),
    (
        "root-dir",
        "where pods' files are (default /var/lib/kubelet)",
    ),
    (
        "pod-logs-dir",
        "where pods' logs are (default /var/log/pods)",
    ),
    ("address", "address of the server (default 0.0.0.0)"),
    (
        "port",
        "port of the server; 0 takes a free one (default 10250; hollow: 0)",
    ),
    (
        "tls-cert-file",
        "certificate of the server (default: one made for this process)",
    ),
    ("tls-private-key-file", "key of the server"),
    (
        "client-ca-file",
        "CA of clients that come with certificates",
    ),
    (
        "authorization-mode",
        "Webhook or AlwaysAllow (default Webhook)",
    ),
    ("pod-cidr", "the addresses of this node's pods"),
    (
        "local-image-prefix",
        "images that are made on the node and that no registry has",
    ),
    (
        "cluster-dns",
        "addresses of the cluster's DNS, comma-separated",
    ),
    (
        "cluster-domain",
        "the cluster's domain (default cluster.local)",
    ),
    ("max-pods", "how many pods the node takes (default 110)"),
    (
        "capacity",
        "amounts over what the machine has: cpu=4,memory=8Gi",
    ),
    (
        "system-reserved",
        "amounts that pods cannot have: cpu=500m,memory=1Gi",
    ),
    (
        "node-status-update-frequency",
        "how often the node is looked at (default 10s)",
    ),
    ("cert-dir", "accepted; certificates are made in memory"),
    ("cgroup-driver", "accepted; the runtime decides"),
    (
        "log-level",
        "log filter such as info or debug (default info)",
    ),
    ("v", "upstream's verbosity: 4 and more is debug"),
];

/// Flags that are true or false, and what each is for.
const SWITCHES: &[(&str, &str)] = &[
    ("register-node", "make the Node object (default true)"),
    (
        "register-schedulable",
        "whether new pods may come at once (default true)",
    ),
    (
        "anonymous-auth",
        "answer clients that do not say who they are (default false)",
    ),
    (
        "authentication-token-webhook",
        "ask the api-server about bearer tokens (default true)",
    ),
    ("hollow", "run nothing: a node that only reports"),
];

/// The flags.
pub fn known() -> Known {
    let known = VALUES
        .iter()
        .fold(Known::new(), |known, (name, help)| known.value(name, help));
    SWITCHES
        .iter()
        .fold(known, |known, (name, help)| known.switch(name, help))
}
