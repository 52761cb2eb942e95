//! Named places where a test lets this process wait, fail or die: one at each step that a crash could
//! leave half done. Steered as etcd's are, by the protocol of gofail.
//!
//! Only test builds and builds with the feature `failpoints` have them; elsewhere a place is an empty
//! function, and nothing listens. Names are etcd's where etcd has the same step, else `module::step`.
//!
//! Input: `GOFAIL_FAILPOINTS`, a list such as `raftBeforeSave=panic;log::after_write=sleep("1s")`, and at
//! run time HTTP at the address in `GOFAIL_HTTP`, see `http.rs`.

#[cfg(any(test, feature = "failpoints"))]
mod http;
#[cfg(any(test, feature = "failpoints"))]
mod points;
#[cfg(any(test, feature = "failpoints"))]
mod terms;

#[cfg(not(any(test, feature = "failpoints")))]
pub(crate) use self::absent::{each, hit, pause, serve};
#[cfg(any(test, feature = "failpoints"))]
pub(crate) use self::active::{each, hit, pause, serve};

#[cfg(not(any(test, feature = "failpoints")))]
mod absent {
    use std::io;

    use futures::Stream;

    /// Nothing.
    #[inline(always)]
    pub(crate) fn hit(_name: &'static str) -> io::Result<()> {
        Ok(())
    }

    /// Nothing.
    #[inline(always)]
    pub(crate) async fn pause(_name: &'static str) {}

    /// Nothing.
    #[inline(always)]
    pub(crate) fn each<S: Stream>(_name: &'static str, stream: S) -> S {
        stream
    }

    /// Nothing.
    pub(crate) fn serve() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(test, feature = "failpoints"))]
mod active {
    use std::io;

    use futures::{Stream, StreamExt};

    use super::points::POINTS;
    use super::terms::Deed;

    /// Does what is asked of the place `name` on a thread that may block: nothing, a wait, an error, or the
    /// end of the process without any cleaning up.
    pub(crate) fn hit(name: &'static str) -> io::Result<()> {
        match POINTS.hit(name) {
            None => Ok(()),
            Some(Deed::Sleep(time)) => {
                std::thread::sleep(time);
                Ok(())
            }
            Some(Deed::Return(text)) => Err(io::Error::other(format!(
                "failpoint {name} returns {text:?}"
            ))),
            Some(Deed::Panic) => die(name),
        }
    }

    /// The same in an asynchronous place that cannot fail.
    // Cancel-safe: it only waits.
    pub(crate) async fn pause(name: &'static str) {
        match POINTS.hit(name) {
            None | Some(Deed::Return(_)) => {}
            Some(Deed::Sleep(time)) => tokio::time::sleep(time).await,
            Some(Deed::Panic) => die(name),
        }
    }

    /// The place `name` before each item of a stream.
    pub(crate) fn each<S>(
        name: &'static str,
        stream: S,
    ) -> impl Stream<Item = S::Item> + Send + Unpin + use<S>
    where
        S: Stream + Send,
        S::Item: Send,
    {
        Box::pin(stream.then(move |item| async move {
            pause(name).await;
            item
        }))
    }

    /// Listens for orders, if `GOFAIL_HTTP` names an address.
    pub(crate) fn serve() -> io::Result<()> {
        match std::env::var("GOFAIL_HTTP") {
            Ok(address) if !address.is_empty() => super::http::listen(&address).map(drop),
            _ => Ok(()),
        }
    }

    /// As a kill would: nothing is flushed, nothing is told to anybody.
    fn die(name: &'static str) -> ! {
        tracing::error!(name, "failpoint panics");
        std::process::abort()
    }
}
