//! Callers that share work: the first one leads and works for all that came by then.
//!
//! A follower sleeps until it has its answer or is told to lead. The lead passes on after one round, so that no caller
//! works for others for ever. If the leader panics, its followers get no answer (`None`) and the next one leads.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a waiting caller gets.
enum Turn<A> {
    Answered(Option<A>),
    Lead,
    Wait,
}

struct Slot<A> {
    turn: Mutex<Turn<A>>,
    told: Condvar,
}

struct Waiting<R, A> {
    requests: Vec<R>,
    slots: Vec<Arc<Slot<A>>>,
    /// Whether some caller leads.
    led: bool,
}

/// Requests of concurrent callers, which one of them answers for all that wait.
pub(super) struct Queue<R, A> {
    waiting: Mutex<Waiting<R, A>>,
}

/// The lead; dropping it passes it on, also when the leader panics.
struct Lead<'a, R, A> {
    queue: &'a Queue<R, A>,
    slots: Vec<Arc<Slot<A>>>,
}

impl<R, A> Default for Queue<R, A> {
    fn default() -> Self {
        let waiting = Waiting { requests: Vec::new(), slots: Vec::new(), led: false };
        Self { waiting: Mutex::new(waiting) }
    }
}

impl<R, A> Queue<R, A> {
    /// Queues a request and waits for its answer; calls `work` if it is this caller's turn to lead.
    ///
    /// `work` calls its argument once for the requests and returns their answers in the same order.
    pub(super) fn submit(&self, request: R, work: impl FnOnce(&mut dyn FnMut() -> Vec<R>) -> Vec<A>) -> Option<A> {
        let slot = Arc::new(Slot { turn: Mutex::new(Turn::Wait), told: Condvar::new() });
        let leads = {
            let mut waiting = lock(&self.waiting);
            waiting.requests.push(request);
            waiting.slots.push(Arc::clone(&slot));
            !std::mem::replace(&mut waiting.led, true)
        };
        if !leads && let Turn::Answered(answer) = slot.wait() {
            return answer;
        }
        let mut lead = Lead { queue: self, slots: Vec::new() };
        let answers = work(&mut || {
            let mut waiting = lock(&self.waiting);
            lead.slots.append(&mut waiting.slots);
            std::mem::take(&mut waiting.requests)
        });
        for (slot, answer) in lead.slots.drain(..).zip(answers) {
            slot.tell(Turn::Answered(Some(answer)));
        }
        drop(lead);
        match slot.wait() {
            Turn::Answered(answer) => answer,
            Turn::Lead | Turn::Wait => None,
        }
    }
}

impl<R, A> Drop for Lead<'_, R, A> {
    fn drop(&mut self) {
        self.slots.drain(..).for_each(|slot| slot.tell(Turn::Answered(None)));
        let mut waiting = lock(&self.queue.waiting);
        match waiting.slots.first() {
            Some(next) => next.tell(Turn::Lead),
            None => waiting.led = false,
        }
    }
}

impl<A> Slot<A> {
    fn tell(&self, turn: Turn<A>) {
        *lock(&self.turn) = turn;
        self.told.notify_one();
    }

    fn wait(&self) -> Turn<A> {
        let turn = lock(&self.turn);
        let waits = |turn: &mut Turn<A>| matches!(turn, Turn::Wait);
        let mut turn = self.told.wait_while(turn, waits).unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *turn, Turn::Wait)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn callers_that_wait_together_share_one_round_and_get_their_own_answers() {
        let (queue, rounds) = (Queue::<u32, u32>::default(), AtomicUsize::new(0));
        let (entered, go_on) = (Barrier::new(2), Barrier::new(2));
        let double = |requests: Vec<u32>| requests.into_iter().map(|it| it * 2).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                queue.submit(0, |take| {
                    let requests = take();
                    entered.wait();
                    go_on.wait();
                    double(requests)
                })
            });
            entered.wait();
            let others: Vec<_> = (1..=8)
                .map(|request| {
                    let (queue, rounds) = (&queue, &rounds);
                    scope.spawn(move || {
                        let work = |take: &mut dyn FnMut() -> Vec<u32>| {
                            rounds.fetch_add(1, Ordering::SeqCst);
                            double(take())
                        };
                        (request, queue.submit(request, work))
                    })
                })
                .collect();
            while lock(&queue.waiting).requests.len() < 8 {
                std::thread::yield_now();
            }
            go_on.wait();
            assert_eq!(first.join().unwrap(), Some(0));
            for other in others {
                let (request, answer) = other.join().unwrap();
                assert_eq!(answer, Some(request * 2));
            }
        });
        assert_eq!(rounds.into_inner(), 1);
    }

    #[test]
    fn a_leader_that_panics_leaves_its_followers_without_answer_and_the_queue_usable() {
        let queue = Queue::<u32, u32>::default();
        let leader = std::panic::AssertUnwindSafe(|| {
            queue.submit(1, |take| {
                take();
                panic!("the leader dies")
            })
        });
        assert!(std::panic::catch_unwind(leader).is_err());
        assert_eq!(queue.submit(2, |take| take()), Some(2));
    }
}
