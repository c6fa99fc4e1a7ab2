use futures::FutureExt;

use super::*;

/// A runtime that ends drops its tasks between two polls.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_not_answered_yet_is_when_the_runtime_ends() {
    let (callers, mut receivers): (Vec<_>, Vec<_>) = (0..40).map(|_| oneshot::channel()).unzip();
    let answer = |waiting| Err(Error::Overloaded { waiting });
    let answers: Vec<_> = callers.into_iter().zip((0..).map(answer)).collect();
    let mut received = move || {
        let answered = receivers.iter_mut().map(|receiver| match receiver.try_recv() {
            Ok(Err(Error::Overloaded { waiting })) => Some(waiting),
            _ => None,
        });
        answered.collect::<Vec<_>>()
    };

    let mut sending = Box::pin(Answers(answers.into_iter()).send());
    assert!((&mut sending).now_or_never().is_none());
    let sent: Vec<_> = (0..40).map(|caller| (caller < AT_ONCE).then_some(caller)).collect();
    assert_eq!(received(), sent);
    drop(sending);
    let rest: Vec<_> = (0..40).map(|caller| (caller >= AT_ONCE).then_some(caller)).collect();
    assert_eq!(received(), rest);
}
