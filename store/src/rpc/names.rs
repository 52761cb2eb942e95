//! The services' full names, as paths and metrics have them.

pub(crate) const KV: &str = "etcdserverpb.KV";
pub(crate) const WATCH: &str = "etcdserverpb.Watch";
pub(crate) const LEASE: &str = "etcdserverpb.Lease";
pub(crate) const CLUSTER: &str = "etcdserverpb.Cluster";
pub(crate) const MAINTENANCE: &str = "etcdserverpb.Maintenance";
pub(crate) const AUTH: &str = "etcdserverpb.Auth";
pub(crate) const LOCK: &str = "v3lockpb.Lock";
pub(crate) const ELECTION: &str = "v3electionpb.Election";
