//! The calls that a function made, and how many of them had to wait for each other.

use std::time::Duration;

/// A call as the fake AWS saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The name of the API action.
    pub(crate) action: String,
    /// When the request was there, since some moment that all calls share.
    pub(crate) began: Duration,
    /// When its answer was sent.
    pub(crate) ended: Duration,
}

/// The longest chain: the most calls of which each began after the one before it had ended.
///
/// Only such calls can have waited for each other. The calls must take long enough that those which
/// do not wait overlap: with no added latency, chance decides.
pub(crate) fn longest_chain(calls: &[Call]) -> Vec<&Call> {
    let mut by_end: Vec<&Call> = calls.iter().collect();
    by_end.sort_by_key(|call| call.ended);
    let mut chain: Vec<&Call> = Vec::new();
    for call in by_end {
        // What ends first leaves the most room for others.
        if chain.last().is_none_or(|last| last.ended <= call.began) {
            chain.push(call);
        }
    }
    chain
}

/// The place of the first `action` in the chain of calls that leads to it; the first call is 1.
pub(crate) fn place(calls: &[Call], action: &str) -> Option<usize> {
    let call = calls.iter().find(|call| call.action == action)?;
    let before: Vec<Call> = calls
        .iter()
        .filter(|other| other.ended <= call.began)
        .cloned()
        .collect();
    Some(longest_chain(&before).len() + 1)
}

/// The calls in the order they began, with `‖` between those that overlap and `→` between those
/// that do not, and each once with its count where it repeats in a row.
pub(crate) fn sequence(calls: &[Call]) -> String {
    let mut ordered: Vec<&Call> = calls.iter().collect();
    ordered.sort_by_key(|call| call.began);
    let mut text = String::new();
    let mut busy_until: Option<Duration> = None;
    for call in ordered {
        match busy_until {
            Some(end) if call.began < end => text += " ‖ ",
            Some(_) => text += " → ",
            None => {}
        }
        text += &call.action;
        busy_until = busy_until.max(Some(call.ended));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, began: u64, ended: u64) -> Call {
        Call {
            action: action.to_owned(),
            began: Duration::from_millis(began),
            ended: Duration::from_millis(ended),
        }
    }

    #[test]
    fn overlapping_calls_are_one_link_of_the_chain() {
        assert!(longest_chain(&[]).is_empty());
        let calls = [
            call("tags", 0, 30),
            call("volume", 1, 31),
            call("stack", 32, 62),
            call("early", 33, 60),
            call("attach", 63, 93),
            call("item", 63, 95),
        ];
        assert_eq!(longest_chain(&calls).len(), 3);
        assert_eq!(place(&calls, "tags"), Some(1));
        assert_eq!(place(&calls, "volume"), Some(1));
        assert_eq!(place(&calls, "attach"), Some(3));
        assert_eq!(place(&calls, "nothing"), None);
        assert_eq!(
            sequence(&calls),
            "tags ‖ volume → stack ‖ early → attach ‖ item"
        );
    }

    #[test]
    fn long_concurrent_call_does_not_shorten_the_chain() {
        let calls = [
            call("long", 0, 100),
            call("a", 0, 30),
            call("b", 30, 60),
            call("c", 60, 90),
        ];
        let chain: Vec<&str> = longest_chain(&calls)
            .iter()
            .map(|call| call.action.as_str())
            .collect();
        assert_eq!(chain, ["a", "b", "c"]);
    }

    /// Compared with all subsets, for many small cases.
    #[test]
    fn finds_the_longest_chain() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for _ in 0..500 {
            let calls: Vec<Call> = (0..7)
                .map(|_| {
                    let began = random(20);
                    call("x", began, began + 1 + random(8))
                })
                .collect();
            let longest = (0_u32..1 << calls.len())
                .filter(|subset| {
                    let mut chosen: Vec<&Call> = calls
                        .iter()
                        .enumerate()
                        .filter(|(index, _)| subset & (1 << index) != 0)
                        .map(|(_, call)| call)
                        .collect();
                    chosen.sort_by_key(|call| call.began);
                    chosen.windows(2).all(|pair| pair[0].ended <= pair[1].began)
                })
                .map(u32::count_ones)
                .max()
                .unwrap();
            assert_eq!(longest_chain(&calls).len(), longest as usize, "{calls:?}");
        }
    }
}
