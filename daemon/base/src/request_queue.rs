//! A queue of concurrent requests, of which one caller (the leader) processes all waiting ones.
//!
//! The other callers are followers. A follower sleeps until it has its reply or becomes the leader. A leader processes
//! one group, so that no caller works for others without end. If the leader panics, its followers get no reply (`None`)
//! and the next caller leads.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The state of a caller.
enum State<A> {
    Replied(Option<A>),
    Leader,
    Waiting,
}

/// The state of one caller, with the condition variable on which the caller sleeps.
struct Slot<A> {
    state: Mutex<State<A>>,
    changed: Condvar,
}

/// The requests that no leader has taken yet, with the slots of their callers.
struct Waiting<R, A> {
    requests: Vec<R>,
    slots: Vec<Arc<Slot<A>>>,
    /// Whether a caller leads.
    has_leader: bool,
}

/// The requests of concurrent callers, which one of the callers processes.
pub struct Queue<R, A> {
    waiting: Mutex<Waiting<R, A>>,
}

/// The role of the leader; dropping it makes the next caller the leader, also when the leader panics.
struct Lead<'a, R, A> {
    queue: &'a Queue<R, A>,
    slots: Vec<Arc<Slot<A>>>,
}

impl<R, A> Default for Queue<R, A> {
    fn default() -> Self {
        let waiting = Waiting { requests: Vec::new(), slots: Vec::new(), has_leader: false };
        Self { waiting: Mutex::new(waiting) }
    }
}

impl<R, A> Queue<R, A> {
    /// Queues a request and waits for its reply; `None` if the leader panicked.
    ///
    /// If this caller becomes the leader, it calls `work`. `work` calls its argument once to take the requests and
    /// returns their replies in the same order.
    pub fn submit(&self, request: R, work: impl FnOnce(&mut dyn FnMut() -> Vec<R>) -> Vec<A>) -> Option<A> {
        let slot = Arc::new(Slot { state: Mutex::new(State::Waiting), changed: Condvar::new() });
        let leads = {
            let mut waiting = lock(&self.waiting);
            waiting.requests.push(request);
            waiting.slots.push(Arc::clone(&slot));
            !std::mem::replace(&mut waiting.has_leader, true)
        };
        if !leads && let State::Replied(reply) = slot.wait() {
            return reply;
        }
        let mut lead = Lead { queue: self, slots: Vec::new() };
        let replies = work(&mut || {
            let mut waiting = lock(&self.waiting);
            lead.slots.append(&mut waiting.slots);
            std::mem::take(&mut waiting.requests)
        });
        for (slot, reply) in lead.slots.drain(..).zip(replies) {
            slot.set(State::Replied(Some(reply)));
        }
        drop(lead);
        match slot.wait() {
            State::Replied(reply) => reply,
            State::Leader | State::Waiting => None,
        }
    }
}

impl<R, A> Drop for Lead<'_, R, A> {
    fn drop(&mut self) {
        self.slots.drain(..).for_each(|slot| slot.set(State::Replied(None)));
        let mut waiting = lock(&self.queue.waiting);
        match waiting.slots.first() {
            Some(next) => next.set(State::Leader),
            None => waiting.has_leader = false,
        }
    }
}

impl<A> Slot<A> {
    fn set(&self, state: State<A>) {
        *lock(&self.state) = state;
        self.changed.notify_one();
    }

    /// Sleeps until the caller has its reply or leads, and resets the state.
    fn wait(&self) -> State<A> {
        let state = lock(&self.state);
        let waits = |state: &mut State<A>| matches!(state, State::Waiting);
        let mut state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, State::Waiting)
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
    fn concurrent_callers_share_one_group_and_get_their_own_replies() {
        let (queue, groups) = (Queue::<u32, u32>::default(), AtomicUsize::new(0));
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
                    let (queue, groups) = (&queue, &groups);
                    scope.spawn(move || {
                        let work = |take: &mut dyn FnMut() -> Vec<u32>| {
                            groups.fetch_add(1, Ordering::SeqCst);
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
                let (request, reply) = other.join().unwrap();
                assert_eq!(reply, Some(request * 2));
            }
        });
        assert_eq!(groups.into_inner(), 1);
    }

    #[test]
    fn the_queue_stays_usable_after_a_leader_that_panics() {
        let queue = Queue::<u32, u32>::default();
        let leader = std::panic::AssertUnwindSafe(|| {
            queue.submit(1, |take| {
                take();
                panic!("the leader panics")
            })
        });
        assert!(std::panic::catch_unwind(leader).is_err());
        assert_eq!(queue.submit(2, |take| take()), Some(2));
    }
}
