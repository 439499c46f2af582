//! When grants were last used. Each use is noted at most once a minute, together with records that are written anyway.

use std::collections::BTreeMap;

use sekisho_protocol::env::{Timestamp, after};
use sekisho_protocol::ids::GrantId;

/// How long after a noted use of a grant no other is noted, in seconds.
const AGAIN_SECONDS: u32 = 60;
/// The most grants that are remembered here. Beyond that all are forgotten, and each is noted once more.
const REMEMBERED_MAX: usize = 16_384;

/// When the use of each grant was last noted.
#[derive(Debug, Default)]
pub(super) struct Used(BTreeMap<GrantId, Timestamp>);

impl Used {
    /// Returns the last of these uses for each grant whose use is to be noted now. They are sorted, so that two nodes
    /// that write them never wait for each other.
    pub(super) fn due(&self, uses: impl Iterator<Item = (GrantId, Timestamp)>) -> BTreeMap<GrantId, Timestamp> {
        let mut due = BTreeMap::new();
        for (grant, at) in uses {
            if self.0.get(&grant).is_none_or(|noted| at >= after(*noted, AGAIN_SECONDS)) {
                let last = due.entry(grant).or_insert(at);
                *last = at.max(*last);
            }
        }
        due
    }

    /// Remembers which uses were noted.
    pub(super) fn noted(&mut self, due: BTreeMap<GrantId, Timestamp>) {
        if self.0.len() + due.len() > REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.extend(due);
    }
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, after};
    use sekisho_protocol::ids::GrantId;

    use super::{REMEMBERED_MAX, Used};

    #[test]
    fn the_use_of_a_grant_is_due_once_a_minute() {
        let (now, entropy) = (ManualClock::default().now(), SeededEntropy::default());
        let grants: Vec<_> = (0..REMEMBERED_MAX).map(|_| GrantId::generate(now, &entropy)).collect();
        let mut used = Used::default();
        let at = |seconds| after(now, seconds);
        let due = |used: &Used, uses: &[(GrantId, u32)]| -> Vec<_> {
            used.due(uses.iter().map(|(grant, seconds)| (*grant, at(*seconds)))).into_iter().collect()
        };
        let (one, other) = (grants[0], grants[1]);
        assert_eq!(due(&used, &[(one, 3), (one, 5), (one, 4)]), [(one, at(5))]);
        used.noted(used.due([(one, at(5))].into_iter()));
        assert_eq!(due(&used, &[(one, 64), (other, 6)]), [(other, at(6))]);
        assert_eq!(due(&used, &[(one, 65)]), [(one, at(65))]);
        used.noted(grants.iter().map(|grant| (*grant, at(7))).collect());
        assert_eq!(used.0.len(), REMEMBERED_MAX, "it is bounded");
        assert_eq!(due(&used, &[(one, 66)]), []);
    }
}
