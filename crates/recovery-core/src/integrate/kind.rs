//! What differs between resource types in the parts of the integration that they share.

/// The state of an integration whose last run failed. The reconciler repeats it.
pub(crate) const FAILING: &str = "failing";

/// A kind of resource: how it is called, and where its result is recorded.
#[derive(Debug)]
pub struct ResourceKind {
    /// Its types in AWS Backup, such as `EBS`.
    pub resource_types: &'static [&'static str],
    /// The noun in messages: `volume`.
    pub noun: &'static str,
    /// The participle in messages for one that is integrated: `attached`. The OpsItem records it, too.
    pub integrated: &'static str,
    /// The key under which the OpsItem records it.
    pub state_key: &'static str,
    /// What the OpsItem records while one that was integrated before is integrated again: `attaching`.
    pub integrating: &'static str,
    /// What it is integrated with: `to its instance`.
    pub with: &'static str,
    /// The instruction to integrate one by hand: `Attach the volume`.
    pub by_hand: &'static str,
    /// Why it was integrated in this way, as a sentence.
    pub why: &'static str,
    /// What is said of one with which nothing is left to do.
    pub note: &'static str,
    /// The Lambda function that integrates it.
    pub function: &'static str,
    /// The keys of the operational data in which a result is recorded.
    pub result_keys: &'static [&'static str],
    /// The one of these keys with the seconds from the end of the restore job to the integration.
    pub seconds_key: &'static str,
}

impl ResourceKind {
    /// [`by_hand`](ResourceKind::by_hand) within a sentence.
    pub(crate) fn by_hand_in_sentence(&self) -> String {
        let mut letters = self.by_hand.chars();
        letters
            .next()
            .map(|first| first.to_lowercase().chain(letters).collect())
            .unwrap_or_default()
    }
}
