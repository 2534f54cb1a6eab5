//! Names of restored databases and tables.

use crate::plan::digest::digest;

/// What a name is for: each kind has its own rules and its own namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameKind {
    /// A DB instance
    /// (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html#RDS_Limits.Constraints>).
    DbInstance,
    /// A DB cluster; the rules are the same.
    DbCluster,
    /// A table
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>).
    Table,
}

impl NameKind {
    /// What a name must be, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            NameKind::DbInstance | NameKind::DbCluster => {
                "1 to 63 letters, digits and hyphens, beginning with a letter, without a hyphen at the end or two in sequence"
            }
            NameKind::Table => "3 to 255 letters, digits and _ - .",
        }
    }

    /// Whether AWS accepts the name.
    pub fn accepts(self, name: &str) -> bool {
        match self {
            NameKind::DbInstance | NameKind::DbCluster => {
                (1..=63).contains(&name.len())
                    && name.starts_with(|c: char| c.is_ascii_alphabetic())
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                    && !name.ends_with('-')
                    && !name.contains("--")
            }
            NameKind::Table => {
                (3..=255).contains(&name.len())
                    && name
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
            }
        }
    }

    /// The name as AWS stores it: RDS converts it to small letters.
    pub fn stored(self, name: &str) -> String {
        match self {
            NameKind::DbInstance | NameKind::DbCluster => name.to_ascii_lowercase(),
            NameKind::Table => name.to_owned(),
        }
    }

    /// The key of the restore metadata that contains the name.
    pub fn metadata_key(self) -> &'static str {
        match self {
            NameKind::DbInstance => "DBInstanceIdentifier",
            NameKind::DbCluster => "DBClusterIdentifier",
            NameKind::Table => "targetTableName",
        }
    }

    /// The longest base name: a cluster's instances get a suffix.
    fn limit(self) -> usize {
        match self {
            NameKind::DbInstance => 63,
            NameKind::DbCluster => 60,
            NameKind::Table => 255,
        }
    }

    /// The name in a drill: `<name>-<drill>`. If that is too long, or AWS does not accept it, a digest of
    /// both replaces a part of it. The name of a table ends with that of the drill in any case, because the
    /// clean-up finds tables by it.
    pub fn in_drill(self, name: &str, drill: &str) -> String {
        let whole = self.stored(&format!("{name}-{drill}"));
        if whole.len() <= self.limit() && self.accepts(&whole) {
            return whole;
        }
        let digest = &digest([name, drill])[..12];
        let end = match self {
            NameKind::Table => format!("-{digest}-{drill}"),
            // The clean-up names untagged databases whose names end so.
            NameKind::DbInstance | NameKind::DbCluster => {
                let drill = self.stored(&drill.replace('_', "-"));
                match drill.len() <= 40 && self.accepts(&format!("a-{drill}")) {
                    true => format!("-{digest}-{drill}"),
                    false => format!("-{digest}"),
                }
            }
        };
        let base: String = self
            .stored(name)
            .chars()
            .take(self.limit() - end.len())
            .collect();
        format!("{}{end}", base.trim_end_matches('-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [NameKind; 3] = [NameKind::DbInstance, NameKind::DbCluster, NameKind::Table];

    #[test]
    fn names_in_a_drill_are_valid_and_differ() {
        let long = "a".repeat(63);
        let longest = "a".repeat(255);
        let table = NameKind::Table.in_drill(&longest, "d-1");
        assert!(
            NameKind::Table.accepts(&table) && table.ends_with("-d-1"),
            "{table}"
        );
        let drill_80 = "d".repeat(80);
        for kind in KINDS {
            assert_eq!(kind.in_drill("orders", "d-1"), "orders-d-1");
            let mut seen = std::collections::BTreeSet::new();
            for name in ["orders", "orders-2", &long] {
                for drill in ["d-1", "d_1", "-", "d--1", "d-", &drill_80] {
                    let named = kind.in_drill(name, drill);
                    assert!(kind.accepts(&named), "{kind:?} {name} {drill}: {named}");
                    if kind == NameKind::Table {
                        assert!(named.ends_with(&format!("-{drill}")), "{named}");
                    }
                    assert!(seen.insert(named), "{kind:?} {name} {drill}");
                }
            }
        }
        assert!(
            NameKind::DbCluster
                .in_drill("Orders", "D_1")
                .ends_with("-d-1")
        );
        assert_eq!(NameKind::DbInstance.in_drill("Orders", "D1"), "orders-d1");
        assert_eq!(NameKind::Table.in_drill("Orders", "D1"), "Orders-D1");
        assert_eq!(NameKind::Table.in_drill("Orders", "d_1"), "Orders-d_1");
    }

    #[test]
    fn accepts_what_aws_accepts() {
        for kind in [NameKind::DbInstance, NameKind::DbCluster] {
            for name in ["a", "Orders-1", &"a".repeat(63)] {
                assert!(kind.accepts(name), "{name}");
            }
            for name in ["", "1a", "a-", "a--b", "a_b", "a.b", &"a".repeat(64)] {
                assert!(!kind.accepts(name), "{name}");
            }
        }
        for name in ["abc", "1.2", "Orders_1-x"] {
            assert!(NameKind::Table.accepts(name), "{name}");
        }
        for name in ["ab", "a b", "a/b", &"a".repeat(256)] {
            assert!(!NameKind::Table.accepts(name), "{name}");
        }
    }
}
