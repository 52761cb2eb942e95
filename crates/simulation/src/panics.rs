//! A task that panics is caught by the runtime, which nobody may miss: the hook keeps what was said for
//! the run on the same thread.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics on this thread are noted, and those of other threads too.
pub(crate) fn note() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            SAID.with_borrow_mut(|said| said.push(format!("panicked: {info}")));
            before(info);
        }));
    });
    drop(take());
}

/// What was said on this thread since [`note`].
pub(crate) fn take() -> Vec<String> {
    SAID.with_borrow_mut(std::mem::take)
}
