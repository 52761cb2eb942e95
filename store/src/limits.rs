//! Constants that bound the store, each with its reason, tied by assertions where they depend on
//! each other. Settings that a user may change are in `config`.

use std::time::Duration;

/// What gRPC framing may add to a request of the allowed size; etcd's value, so that the same
/// request is refused by the same layer.
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// Above this a request delays every other one of its connection; etcd warns from here.
pub const REQUEST_BYTES_RECOMMENDED: usize = 10 * 1024 * 1024;

/// One log entry must fit a peer message and a record of the log with room to spare.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What `--quota-backend-bytes=0` stands for.
pub const QUOTA_BYTES_DEFAULT: i64 = 2 * 1024 * 1024 * 1024;

/// The quota that a setting stands for.
pub const fn quota_or_default(set: i64) -> i64 {
    if set == 0 { QUOTA_BYTES_DEFAULT } else { set }
}

/// etcd's upper bound of `--election-timeout`: beyond it nobody can tell slow from dead.
pub const ELECTION_MS_MAX: u64 = 50_000;

/// etcd's lower bound of `--watch-progress-notify-interval`.
pub const WATCH_PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Range requests that read the disk at once, off the reactor. Others wait in order: memory for
/// answers is the scarce thing.
pub const RANGES_IN_FLIGHT_MAX: usize = 16;

/// Snapshots sent to clients at once. Each takes a thread and keeps old rows on the disk for as long
/// as its client reads. Others wait in order.
pub const SNAPSHOTS_IN_FLIGHT_MAX: usize = 2;

/// Ranges up to this many keys are read in place: handing them to another thread costs more.
pub const RANGE_INLINE_KEYS_MAX: i64 = 16;

/// The first chunk of a streamed range, as etcd's; later ones grow towards the request limit.
pub const RANGE_STREAM_FIRST_CHUNK_KEYS: i64 = 10;

/// A lease of more seconds than this would overflow etcd's clocks.
pub const LEASE_TTL_MAX_SECONDS: i64 = 9_000_000_000;

/// The lifetime of a lease that a lock or an election makes for a caller without one, as in etcd.
pub const SESSION_TTL_SECONDS: i64 = 60;

/// Requests of one member that wait for a lock or an election, some kilobytes each. Further ones are
/// refused.
pub const QUEUE_WAITERS_MAX: usize = 50_000;

/// Times that a key is tried to be taken out of a queue for a client that went away; then its lease
/// has to do it.
pub const QUEUE_LEAVE_TRIES: usize = 3;

/// JSON in the gateway is converted in place up to this size of a message, and on another thread above.
pub const GATEWAY_INLINE_BYTES: usize = 256 * 1024;

/// A message may be so many times longer as JSON: base64 takes a third more, and the rest is names,
/// spaces and numbers.
pub const GATEWAY_JSON_SHARE: usize = 2;

/// Websockets of one member. They count as no connections any more once they are open.
pub const WEBSOCKETS_MAX: usize = 5_000;

/// How often the leader looks for expired leases.
pub const LEASE_TICK: Duration = Duration::from_millis(500);

/// Changes of leases kept for the leader's clocks, some megabytes; it takes them several times a second.
/// After more than that all clocks start anew, which ends no lease early.
pub const LEASE_NEWS_MAX: usize = 200_000;

/// Leases revoked in one tick; two ticks a second make etcd's 1,000 a second.
pub const LEASE_REVOKES_PER_TICK_MAX: usize = 500;

/// After a change of leader leases that are due together are spread to so many a second: three quarters of
/// what can be revoked, as etcd does, so that others need not wait behind them.
pub const LEASE_ENDS_PER_SECOND_AFTER_PROMOTION: usize = 2 * LEASE_REVOKES_PER_TICK_MAX * 3 / 4;

/// What is left of a lease is kept in the log this often, as in etcd.
pub const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Leases checkpointed in one tick, by one command; etcd's 1,000 a second.
pub const LEASE_CHECKPOINTS_PER_TICK_MAX: usize = 500;

/// Renewals of one stream under way at once. Further ones wait in the connection.
pub const RENEWALS_IN_FLIGHT_MAX: usize = 64;

/// Revokes under way at once, so that expiry never fills the proposal queue.
pub const LEASE_REVOKES_IN_FLIGHT_MAX: usize = 32;

/// Connections of one listener. A full listener leaves newcomers in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 20_000;

/// What `--warning-unary-request-duration=0` stands for, as in etcd.
pub const SLOW_REQUEST_DEFAULT: Duration = Duration::from_millis(300);

/// What `--grpc-keepalive-min-time=0` stands for: grpc-go's default, which etcd leaves alone then.
pub const PING_MIN_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// How long a TLS handshake may take; a stalled one must not hold a slot for ever.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an HTTP/1 client may take to send its headers.
pub const HTTP1_HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connections may take to finish their requests at shutdown.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// How long handing over leadership may take at shutdown.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_millis(700);

/// How long a member waits for another one's answer when it joins.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest member list taken from another member when joining.
pub const JOIN_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Times without a leader, in election timeouts, after which streams that ask for one are ended.
pub const LEADERLESS_ELECTIONS: u32 = 3;

/// What `--auth-token-ttl=0` stands for, as in etcd.
pub const TOKEN_TTL_DEFAULT: Duration = Duration::from_secs(300);

/// A century: longer ones would overflow clocks.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Simple tokens that a member remembers, some 150 bytes each.
pub const TOKENS_MAX: usize = 200_000;

/// Letters in the random part of a simple token, as in etcd: some 91 bits.
pub const TOKEN_LETTERS: usize = 16;

/// bcrypt's own bounds, and etcd's default.
pub const BCRYPT_COST_MIN: u32 = 4;
/// See [`BCRYPT_COST_MIN`].
pub const BCRYPT_COST_MAX: u32 = 31;
/// See [`BCRYPT_COST_MIN`].
pub const BCRYPT_COST_DEFAULT: u32 = 10;

/// Passwords hashed or compared at once: each takes a processor. Others wait in order.
pub const PASSWORDS_IN_FLIGHT_MAX: usize = 4;

/// Ended spans of requests that wait to be exported, two kilobytes each; OpenTelemetry's default. Further
/// ones are dropped and counted.
pub const SPANS_QUEUED_MAX: usize = 2_048;

/// Spans sent at once; OpenTelemetry's default.
pub const SPANS_BATCH_MAX: usize = 512;

/// How long a span waits for others to be sent with.
pub const SPANS_BATCH_DELAY: Duration = Duration::from_secs(1);

/// How often a batch that is not full looks for more. The queue fills in it at 100,000 spans a second.
pub const SPANS_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a batch is tried to be sent; OpenTelemetry's default.
pub const SPANS_EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long spans that are left may take at shutdown.
pub const SPANS_FLUSH_TIMEOUT: Duration = Duration::from_millis(400);

/// How often lost spans are told in the log.
pub const SPANS_LOST_INTERVAL: Duration = Duration::from_secs(60);

/// A method with a longer name gets no span; etcd's have at most 50 bytes.
pub const SPAN_NAME_BYTES_MAX: usize = 128;

/// A longer `traceparent` or `tracestate` is not read; W3C asks for 512 bytes of the latter.
pub const TRACE_HEADER_BYTES_MAX: usize = 512;

/// A CPU profile may take so many seconds. It costs memory with its length, and there is one at a time.
pub const PROFILE_SECONDS_MAX: u64 = 300;

/// What a CPU profile takes where its request does not say, as in Go.
pub const PROFILE_SECONDS_DEFAULT: u64 = 30;

/// How often each second of processor time is looked at, as in Go.
pub const PROFILE_HERTZ: i32 = 100;

const _: () = assert!(REQUEST_BYTES_RECOMMENDED < REQUEST_BYTES_MAX);
const _: () = assert!(LEASE_REVOKES_IN_FLIGHT_MAX <= LEASE_REVOKES_PER_TICK_MAX);
const _: () = assert!(RANGE_STREAM_FIRST_CHUNK_KEYS <= RANGE_INLINE_KEYS_MAX);
const _: () = assert!(SPANS_BATCH_MAX <= SPANS_QUEUED_MAX);
// The task that sends is one of those that must be through by then.
const _: () = assert!(SPANS_FLUSH_TIMEOUT.as_millis() < DRAIN_TIMEOUT.as_millis());
const _: () = assert!(PROFILE_SECONDS_DEFAULT <= PROFILE_SECONDS_MAX);
const _: () =
    assert!(BCRYPT_COST_MIN <= BCRYPT_COST_DEFAULT && BCRYPT_COST_DEFAULT <= BCRYPT_COST_MAX);
