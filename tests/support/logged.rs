//! What is logged while a story is told.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

type Failure = Box<dyn std::error::Error + Send + Sync>;

thread_local! {
    /// What this thread has logged, while somebody listens.
    static HEARD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// One listener for the whole process, which hears those threads that want it: with one for each thread, whichever thread comes
/// to a span first would decide for all of them whether anybody wants it.
static LISTENER: Once = Once::new();

struct Heard;

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HEARD.with_borrow_mut(|heard| heard.iter_mut().for_each(|heard| heard.extend(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells the story on one thread, and listens to every line that it logs, and to the beginning and end of every span.
pub(crate) async fn logged<T, F>(
    story: impl FnOnce() -> F + Send + 'static,
) -> Result<(T, String), Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>>,
{
    LISTENER.call_once(|| {
        let lines = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::FULL);
        let wanted = dynamic_filter_fn(|_, _| HEARD.with_borrow(Option::is_some));
        let lines = lines.with_ansi(false).with_writer(|| Heard);
        tracing_subscriber::registry().with(wanted).with(lines).init();
    });
    let listen = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        HEARD.set(Some(Vec::new()));
        let told = runtime.block_on(story());
        drop(runtime);
        let heard = HEARD.take().unwrap_or_default();
        Ok((told?, String::from_utf8(heard)?))
    };
    tokio::task::spawn_blocking(listen).await?
}
